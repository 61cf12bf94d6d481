"""Three directory servers behind the whole daemon, with a mirror and remembered passwords, and then fewer of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ldapmap import ask_mirror

from .logins import ACCEPTED, PROTOCOLS, UNAVAILABLE, answer_to
from .site import ALICE, BOB, Site, User, populate
from .slapd import Slapd
from .slapd_topologies import in_step, three_way
from .vestibule import Vestibule
from .wait import wait_until

Three = tuple[Slapd, Slapd, Slapd]

WRONG = User("alice", "not her password")


@pytest.fixture
def three(slapd: Slapd) -> Iterator[Three]:
    """Three providers that hold the site's users; they may be hurt."""
    with three_way() as servers:
        populate(servers[0], spare=2)
        wait_until(lambda: in_step(servers), "the providers to agree")
        yield servers


def directory(servers: Three, **more: Any) -> dict[str, Any]:
    quick = {"server_retry": 0.2, "operation_timeout": 2.0, "connect_timeout": 1.0}
    follow = {"heartbeat": 0.5, "retry": 0.2, "trust": 1.0}
    return {"servers": [one.ldap for one in servers], "mirror": True, "follow": follow, **quick, **more}


def status(daemon: Vestibule) -> dict[str, Any]:
    return ask_mirror(daemon.home / "mirror", "status")


def following(daemon: Vestibule) -> bool:
    return daemon.metrics()["vestibule_mirror_following"] == 1


@pytest.fixture
def daemon(site: Site, three: Three) -> Iterator[Vestibule]:
    with site.vestibule({"directory": directory(three)}, workers=2) as running:
        wait_until(lambda: following(running), "the mirror to follow")
        yield running


@pytest.fixture
def remembering(site: Site, three: Three) -> Iterator[Vestibule]:
    with site.vestibule({"directory": directory(three, remember={"enabled": True})}, workers=2) as running:
        wait_until(lambda: following(running), "the mirror to follow")
        yield running


@pytest.mark.parametrize("survivor", [0, 1, 2])
def test_with_any_two_servers_dead_routing_and_logins_go_on(
    site: Site, three: Three, daemon: Vestibule, survivor: int
) -> None:
    for number, server in enumerate(three):
        if number != survivor:
            server.kill()
    for protocol in PROTOCOLS:
        assert answer_to(daemon, site, ALICE, protocol).startswith(ACCEPTED[protocol])
        assert not answer_to(daemon, site, WRONG, protocol).startswith((ACCEPTED[protocol], UNAVAILABLE[protocol]))
    wait_until(lambda: following(daemon), "the mirror to follow the survivor")
    three[survivor].replace(f"uid=bob,{three[survivor].people}", mailHost="s1")
    wait_until(
        lambda: (answer_to(daemon, site, BOB), daemon.session(user="bob", shard="s1"))[1],
        "the change at the survivor to be seen",
    )


def test_with_all_servers_dead_nobody_is_told_that_the_password_is_wrong_and_then_all_goes_on(
    site: Site, three: Three, daemon: Vestibule
) -> None:
    before = status(daemon)
    for server in three:
        server.kill()
    for protocol in PROTOCOLS:
        for user in (ALICE, WRONG, User("nobody", "whatever")):
            assert answer_to(daemon, site, user, protocol).startswith(UNAVAILABLE[protocol])
    wait_until(lambda: not following(daemon), "the mirror to notice")
    assert status(daemon)["users"] == before["users"]
    for server in three:
        server.start()
    wait_until(lambda: answer_to(daemon, site, ALICE).startswith(b"a OK"), "logins to work again")
    wait_until(lambda: following(daemon), "the mirror to follow again")
    after = status(daemon)
    assert after["received"] == before["received"], "nothing is sent again"
    assert after["reloads"] == before["reloads"]


def test_tokens_and_passed_through_passwords_are_routed_while_all_servers_are_dead(site: Site, three: Three) -> None:
    with site.vestibule({"directory": directory(three, auth="passthrough")}, workers=1) as daemon:
        wait_until(lambda: following(daemon), "the mirror to follow")
        for server in three:
            server.kill()
        for protocol in PROTOCOLS:
            assert answer_to(daemon, site, ALICE, protocol).startswith(ACCEPTED[protocol])
            assert not answer_to(daemon, site, WRONG, protocol).startswith((ACCEPTED[protocol], UNAVAILABLE[protocol]))
        assert answer_to(daemon, site, User("nobody", "x")).startswith(UNAVAILABLE["imap"])


def test_remembered_passwords_let_in_whom_a_server_has_accepted_and_nobody_else(
    site: Site, three: Three, remembering: Vestibule
) -> None:
    daemon = remembering
    assert answer_to(daemon, site, ALICE).startswith(b"a OK")
    for server in three:
        server.kill()
    wait_until(lambda: not following(daemon), "the mirror to notice")
    for protocol in PROTOCOLS:
        assert answer_to(daemon, site, ALICE, protocol).startswith(ACCEPTED[protocol])
    assert answer_to(daemon, site, BOB).startswith(UNAVAILABLE["imap"]), "he has not logged in before"
    assert answer_to(daemon, site, WRONG).startswith(UNAVAILABLE["imap"])
    metrics = daemon.metrics()
    assert metrics['vestibule_directory_remembered_total{outcome="accepted"}'] == 3
    assert metrics['vestibule_directory_remembered_total{outcome="unknown"}'] >= 1
    for server in three:
        server.start()
    wait_until(lambda: answer_to(daemon, site, BOB).startswith(b"a OK"), "logins to work again")
    assert not answer_to(daemon, site, WRONG).startswith((b"a OK", UNAVAILABLE["imap"])), "servers judge again"


def test_a_changed_entry_is_not_remembered(site: Site, three: Three, remembering: Vestibule) -> None:
    daemon = remembering
    assert answer_to(daemon, site, ALICE).startswith(b"a OK")
    assert answer_to(daemon, site, BOB).startswith(b"a OK")
    changes = status(daemon)["received"]
    three[0].replace(f"uid=alice,{three[0].people}", sn="Changed")
    wait_until(lambda: status(daemon)["received"] > changes, "the mirror to see the change")
    for server in three:
        server.kill()
    assert answer_to(daemon, site, ALICE).startswith(UNAVAILABLE["imap"])
    assert answer_to(daemon, site, BOB).startswith(b"a OK")


def test_a_password_that_a_server_has_refused_is_not_remembered(
    site: Site, three: Three, remembering: Vestibule
) -> None:
    daemon = remembering
    assert answer_to(daemon, site, ALICE).startswith(b"a OK")
    three[0].replace(f"uid=alice,{three[0].people}", userPassword="another secret")
    wait_until(lambda: in_step(three), "the providers to agree")
    assert not answer_to(daemon, site, ALICE).startswith((b"a OK", UNAVAILABLE["imap"]))
    for server in three:
        server.kill()
    assert answer_to(daemon, site, ALICE).startswith(UNAVAILABLE["imap"])


def test_the_mirrors_process_may_die_and_nobody_notices(site: Site, three: Three, daemon: Vestibule) -> None:
    before = status(daemon)
    daemon.kill_mirror()
    assert answer_to(daemon, site, ALICE).startswith(b"a OK")
    wait_until(lambda: daemon.metrics()["vestibule_mirror_restarts_total"] == 1, "its death to be noticed")
    wait_until(lambda: following(daemon), "a new process to follow")
    after = status(daemon)
    assert (after["received"], after["reloads"]) == (0, 0), "it resumes where the other one was"
    assert after["users"] == before["users"]
