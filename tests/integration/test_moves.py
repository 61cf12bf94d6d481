"""Users are moved while they are connected: by an operator's order, because the directory says so. One node, two mail
servers, sessions in all protocols, the commands as they are typed."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tls import ThrowawayAuthority

from .clients import imap_plain
from .cluster import Cluster
from .dovecot import Dovecot
from .logins import IMPLICIT, PROTOCOLS, Session, logged_in
from .operators import told, typed
from .rerouting import SHARD_ENTRIES
from .site import Site, User, new_dovecot, spare_users
from .vestibule import Vestibule
from .wait import wait_until

WORDS = "Your mail is being moved. Connect again."

FAREWELLS = {
    "imap": f"* BYE [UNAVAILABLE] {WORDS}\r\n".encode(),
    "pop3": f"-ERR [SYS/TEMP] {WORDS}\r\n".encode(),
    "managesieve": f'BYE (TRYLATER) "{WORDS}"\r\n'.encode(),
}

TOKEN = "a token that is long enough"

DIRECTOR = {"moves": {"move_timeout": 4.0}, "failback": {"failback_after": 3600.0}}
"""Nobody returns by themselves here."""

_USERS = iter(spare_users("s1", 60))


@pytest.fixture(scope="module")
def servers(site: Site) -> Iterator[tuple[Dovecot, Dovecot]]:
    """Two mail servers that know nothing of each other."""
    with new_dovecot("a", site.folder, site.authority) as one, new_dovecot("b", site.folder, site.authority) as other:
        yield one, other


@pytest.fixture(scope="module")
def place(site: Site, folder: Path, authority: ThrowawayAuthority, servers: tuple[Dovecot, Dovecot]) -> Iterator[Place]:
    """Shard s1 is on both servers, the first preferred."""
    (folder / "api.token").write_text(TOKEN)
    changes = {
        "shard": None,
        "directory": {"shards": {"base": SHARD_ENTRIES.base, "filter": SHARD_ENTRIES.filter}},
        "director": DIRECTOR,
        "admin": {"api_token_file": folder / "api.token"},
    }
    with Cluster(folder, authority, "memory", servers, (), names=("front",), changes=changes) as cluster:
        cluster.directory.add_shard("s1", entry(servers[0]), entry(servers[1], priority=2))
        wait_until(lambda: cluster.asked(cluster.nodes[0], "shards"), "the shard")
        yield Place(site, cluster)


def entry(server: Dovecot, *, name: str = "", priority: int = 1) -> str:
    """A server as a shard's entry names it."""
    ports = f"imap={server.ports['imap']} pop3={server.ports['pop3']} managesieve={server.ports['sieve']}"
    return f"{name or server.name} host={server.address} priority={priority} {ports}"


class Place:
    """The node, the servers, and everything between them."""

    def __init__(self, site: Site, cluster: Cluster) -> None:
        self.site, self.cluster = site, cluster
        (self.node,) = cluster.nodes
        self.directory = cluster.directory
        self.a, self.b = cluster.servers

    def user(self, shard: str = "s1") -> User:
        """Somebody new."""
        user = next(_USERS)
        self.directory.add_user(user.name, user.password, shard)
        return user

    def session(self, user: User, protocol: str = "imap", source: str = "") -> Session:
        return logged_in(self.node, self.site, user, protocol, source)

    def idle(self, user: User) -> Session:
        """A session that waits in IDLE."""
        session = self.session(user)
        session.send(b"s SELECT INBOX\r\ni IDLE\r\n")
        session.until(b"+ ")
        return session

    def server_of(self, user: User, protocol: str = "imap") -> str:
        """Where a login lands, as the servers' logs say."""
        before = {server.name: len(server.logins(user.name)) for server in (self.a, self.b)}
        with self.session(user, protocol):
            return wait_until(partial(self._new_login, user, before), f"a login of {user.name}")

    def is_at(self, user: User) -> str:
        """The backend in the user's record; "" while a move is under way."""
        record = self.cluster.record(user)
        return "" if not record or record["target"] else str(record["backend"])

    def job(self, name: str) -> dict[str, Any]:
        """A move, drain or failback that has been ordered."""
        rows = self.cluster.asked(self.node, "moves")
        return next((row for row in reversed(rows) if row["job"] == name), {})

    def _new_login(self, user: User, before: dict[str, int]) -> str:
        return next((one.name for one in (self.a, self.b) if len(one.logins(user.name)) > before[one.name]), "")


# --- a user is moved ---


def test_sessions_of_all_protocols_hear_the_farewell_and_come_back_at_the_other_server(place: Place) -> None:
    user = place.user()
    sessions = [place.idle(user), *(place.session(user, protocol) for protocol in PROTOCOLS)]
    plan = told(place.node, "move", user.name, "b", "--dry-run")
    assert (plan["users"], plan["sessions"], plan["to"]) == (1, 4, {"b": 1})
    assert all(session.alive() for session in sessions[1:])
    job = told(place.node, "move", user.name, "b", "--wait")
    assert job["over"] == {"moved": 1}
    for session in sessions:
        assert session.rest() == FAREWELLS[session.protocol]
    for protocol in PROTOCOLS:
        assert place.server_of(user, protocol) == "b"


def test_downloads_and_uploads_are_cut_off_without_a_lie_and_logins_wait_for_that(place: Place) -> None:
    user = place.user()
    place.a.deliver(user.name, b"Subject: large\r\n\r\n" + (b"x" * 70 + b"\r\n") * (1 << 17))
    down, up = place.session(user), place.session(user)
    down.send(b"s SELECT INBOX\r\nf FETCH 1 BODY.PEEK[]\r\n")
    down.until(b"* 1 FETCH (BODY[] {")
    up.send(b"p APPEND INBOX {100000}\r\n")
    up.until(b"+ ")
    up.send(b"Subject: half\r\n\r\n" + b"x" * 5000 + b"\r\n")
    told(place.node, "move", user.name, "b")
    assert place.server_of(user) == "b"
    rest = down.rest()
    assert b"BYE" not in rest
    assert b"f OK" not in rest
    assert up.rest() == b""
    with imap_plain(place.a.address, place.a.ports["imap"]) as direct:
        direct.login(user.name, user.password)
        assert direct.select()[1] == [b"1"]


def test_who_is_nowhere_can_be_moved_and_nobody_to_where_they_do_not_belong(place: Place) -> None:
    user = place.user()
    told(place.node, "move", user.name, "b")
    assert place.server_of(user) == "b"
    said = typed(place.node, "move", user.name, "c")
    assert (said.code, said.output) == (1, "")
    assert "no backend is called 'c'" in said.complaint


# --- a move that cannot be finished ---


@contextmanager
def stopped_worker(place: Place, user: User) -> Iterator[list[Session]]:
    """A session of the user is with a worker that does not move; three connections are with others."""
    held = place.idle(user)
    stopped = place.node.worker_of(held.socket)
    with ExitStack() as stack:
        free: list[Session] = []
        while len(free) < 3:
            port = place.node.ports[IMPLICIT["imap"]]
            one = stack.enter_context(Session("imap", place.node.address, port, place.site.trusting()))
            if place.node.worker_of(one.socket) != stopped:
                free.append(one)
        os.kill(stopped, signal.SIGSTOP)
        try:
            yield free
        finally:
            os.kill(stopped, signal.SIGCONT)
            assert held.rest().endswith(FAREWELLS["imap"])


def test_a_move_that_takes_too_long_is_undone_and_logins_go_on_where_they_were(place: Place) -> None:
    user = place.user()
    with stopped_worker(place, user) as others:
        said = typed(place.node, "move", user.name, "b", "--wait")
        assert said.code == 1
        assert "took too long" in said.output
        assert others[0].plain(user.name, user.password).startswith(b"a OK")
        assert place.is_at(user) == "a"
        assert {row["backend"] for row in place.cluster.asked(place.node, "who", target=user.name)} == {"a"}
    assert place.server_of(user) == "a"


def test_logins_that_wait_for_a_move_go_on_when_it_is_aborted(place: Place) -> None:
    user = place.user()
    with stopped_worker(place, user) as others:
        told(place.node, "move", user.name, "b")
        others[0].send(f'a LOGIN "{user.name}" "{user.password}"\r\n'.encode())
        wait_until(lambda: place.job(f"move {user.name}").get("moving") == {"kicking": 1}, "the move to begin")
        assert place.is_at(user) == ""
        place.cluster.asked(place.node, "abort", job=f"move {user.name}")
        assert others[0].answer().startswith(b"a OK")
        assert place.job(f"move {user.name}")["over"] == {"aborted": 1}
        assert place.is_at(user) == "a"
    said = typed(place.node, "abort", f"move {user.name}")
    assert said.code == 1


# --- a server is emptied ---


@contextmanager
def online_again(place: Place, backend: str) -> Iterator[None]:
    """The backend serves after this."""
    try:
        yield
    finally:
        told(place.node, "online", backend)
        told(place.node, "flush", "--yes")


def test_a_drain_tells_whom_it_would_move_and_moves_them(place: Place) -> None:
    users = [place.user() for _ in range(5)]
    sessions = [place.idle(user) for user in users]
    assert place.server_of(absent := place.user()) == "a"
    with online_again(place, "a"):
        plan = told(place.node, "drain", "a", "--dry-run")
        assert plan["users"] >= 6
        assert plan["to"] == {"b": plan["users"]}
        assert all(place.is_at(user) == "a" for user in users)
        job = told(place.node, "drain", "a", "--yes", "--wait")
        assert job["over"] == {"moved": job["users"]}
        for session in sessions:
            session.send(b"DONE\r\n")
            assert FAREWELLS["imap"] in session.rest()
        assert told(place.node, "who", "a", code=1) == []
        assert all(place.is_at(user) == "b" for user in (*users, absent))
        assert place.server_of(users[0]) == "b"


def test_standby_keeps_who_is_there_offline_moves_them_and_online_takes_others(place: Place) -> None:
    user = place.user()
    session = place.idle(user)
    with online_again(place, "a"):
        assert told(place.node, "standby", "a")["admin"] == "standby"
        assert place.server_of(user) == "a"
        assert place.server_of(place.user()) == "b"
        assert told(place.node, "offline", "a", "--yes")["admin"] == "offline"
        assert session.rest() == FAREWELLS["imap"]
        assert place.server_of(user) == "b"
        rows = {row["backend"]: row for row in told(place.node, "backends")}
        assert (rows["a"]["admin"], rows["b"]["admin"]) == ("offline", "online")
    assert place.server_of(place.user()) == "a"


def test_who_is_kicked_comes_back_to_the_same_server(place: Place) -> None:
    user, other = place.user(), place.user()
    kicked = [place.idle(user), place.session(user, "pop3")]
    elsewhere, beside = place.session(user, source="127.7.7.7"), place.session(other, "managesieve")
    assert told(place.node, "kick", "127.7.7.7")["kicked"] == 1
    assert elsewhere.rest() == FAREWELLS["imap"]
    assert told(place.node, "kick", user.name)["kicked"] == 2
    for session in kicked:
        assert session.rest() == FAREWELLS[session.protocol]
    assert beside.alive()
    assert place.server_of(user) == "a"
    told(place.node, "kick", "a", "--yes")
    assert beside.rest() == FAREWELLS["managesieve"]
    wait_until(lambda: not place.cluster.asked(place.node, "who"), "nobody to be left")
    assert typed(place.node, "kick", user.name).code == 1


# --- what operators see ---


def test_what_operators_see_is_what_there_is(place: Place) -> None:
    user = place.user()
    with ExitStack() as stack:
        for protocol in PROTOCOLS:
            stack.enter_context(place.session(user, protocol, source="127.8.8.8"))
        rows = told(place.node, "who", user.name)
        assert sorted(row["protocol"] for row in rows) == sorted(PROTOCOLS)
        assert {(row["address"], row["backend"], row["shard"]) for row in rows} == {("127.8.8.8", "a", "s1")}
        for row in rows:
            place.a.wait_for_log(rf"Login: user=<{user.name}>.*session=<{row['session']}>")
        assert {row["session"] for row in told(place.node, "who", "127.8.0.0/16")} == {row["session"] for row in rows}
        seen = {row["backend"]: row for row in told(place.node, "backends")}
        assert (seen["a"]["standing"], seen["a"]["view"], seen["a"]["problem"]) == ("up", "up", "")
        assert seen["a"]["sessions"] == len(told(place.node, "who", "a"))
        assert told(place.node, "shards")[0]["backends"] == ["a", "b"]
        story = told(place.node, "explain", user.name)["director"]
        assert story["record"]["backend"] == "a"
        assert len(story["sessions"]) == 3
        assert (story["choice"]["backend"], story["if_failed"]["backend"]) == ("a", "b")
        status = told(place.node, "status")
        assert (status["node"], status["workers"], status["users_on_two_backends"]) == ("front", [0, 1], 0)
        assert status["sessions"] == len(told(place.node, "who"))
        assert typed(place.node, "flush", user.name).code == 1
    wait_until(lambda: not place.cluster.record(user)["holds"], "the sessions to end")
    assert told(place.node, "flush", user.name)["flushed"] == 1
    assert place.cluster.record(user) == {}


def test_over_http_the_same_is_asked_and_ordered(place: Place) -> None:
    user = place.user()
    session = place.idle(user)
    assert http(place.node, "/api/who?target=" + user.name)["rows"][0]["backend"] == "a"
    assert http(place.node, "/api/move", b'{"user": "%s", "backend": "b"}' % user.name.encode())["ok"]
    assert session.rest() == FAREWELLS["imap"]
    assert place.server_of(user) == "b"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        http(place.node, "/api/status", token="a guess that is wrong")


def http(node: Vestibule, path: str, body: bytes | None = None, token: str = TOKEN) -> dict[str, Any]:
    """The answer to a question, or to an order."""
    metrics = node.config.read_text().partition('metrics = "')[2].partition('"')[0]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"http://{metrics}{path}", body, headers), timeout=10) as reply:
        answer: dict[str, Any] = json.load(reply)
        return answer


# --- the directory says so ---


def test_a_user_with_ten_sessions_follows_the_preferred_backend_of_the_entry(place: Place) -> None:
    user = place.user()
    sessions = [place.idle(user) for _ in range(10)]
    place.directory.move(user.name, preferred="b")
    for session in sessions:
        assert session.rest() == FAREWELLS["imap"]
    assert place.server_of(user) == "b"
    place.directory.move(user.name, preferred="")
    assert place.server_of(user) == "b"


def test_users_follow_the_shard_of_their_entries(place: Place) -> None:
    place.directory.add_shard("s2", entry(place.b, name="b2"))
    user = place.user()
    session = place.idle(user)
    place.directory.move(user.name, shard="s2")
    assert session.rest() == FAREWELLS["imap"]
    assert place.server_of(user) == "b"
    assert place.is_at(user) == "b2"


def test_one_write_to_its_entry_moves_a_shard(place: Place) -> None:
    place.directory.add_shard("s3", entry(place.a, name="a3"))
    users = [place.user("s3") for _ in range(4)]
    sessions = [place.idle(user) for user in users[:3]]
    assert place.server_of(users[3]) == "a"
    place.directory.change_shard("s3", entry(place.b, name="b3"))
    for session in sessions:
        assert session.rest() == FAREWELLS["imap"]
    for user in users:
        assert place.server_of(user) == "b"
