"""All workers and nodes count as one, nearly; strangers lock nobody out; nothing that is over stays."""

from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_network

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from director.actions import Action, Count, Note, Publish, Send
from director.guard import MARK, Guard
from director.limits import ALLOWED, LimitSettings, Verdict, place
from director.shares import STAMPS, threshold
from director.store import MAX_MESSAGE
from director.wire import Attempt, Connected, Embargo, Failed, Passed, ToWorker, Wait, Wary

HOME, OFFICE, EXEMPT = "192.0.2.1", "198.51.100.7", "127.0.0.1"
STRICT = {"failures_free": 0, "penalty": 2.0, "penalty_most": 15.0, "penalty_decay": 60.0}


def guard(node: str = "a", others: Iterable[str] = (), **settings: float) -> Guard:
    made = Guard(node, LimitSettings(**{**STRICT, **settings}))  # type: ignore[arg-type]
    made.nodes({node, *others})
    return made


def words(actions: Iterable[Action], worker: str = "w") -> list[ToWorker]:
    """What a worker is told."""
    return [action.message for action in actions if isinstance(action, Send) and action.worker == worker]


def published(actions: Iterable[Action]) -> list[bytes]:
    return [action.message for action in actions if isinstance(action, Publish)]


def kinds(actions: Iterable[Action]) -> list[str]:
    return [type(action).__name__ for action in actions]


# --- sessions ------------------------------------------------------------------------------------------------------


def test_sessions_are_judged_counted_and_told_to_nobody_when_the_node_is_alone() -> None:
    book = guard(sessions_per_user=1)
    assert book.began("alice", HOME, 0.0) == (ALLOWED, ())
    assert book.began("alice", OFFICE, 0.0) == (Verdict("user", 1, 1), ())
    assert book.refusals == {"user": 1}
    assert len(book) == 1
    assert book.ended("alice", HOME, 0.0) == ()
    assert book.began("alice", OFFICE, 0.0)[0].allowed
    assert book.tick(100.0) == []


def test_the_exempt_are_not_counted_on_any_node() -> None:
    book = guard(others="b", sessions_per_user=1)
    for _ in range(3):
        assert book.began("alice", EXEMPT, 0.0) == (ALLOWED, ())
        book.resumed("alice", EXEMPT)
        assert book.ended("alice", EXEMPT, 0.0) == ()
    assert book.tick(1.0) == []
    assert len(book) == 0


def test_what_others_have_told_counts() -> None:
    book = guard(others="b", sessions_per_user=4, sessions_per_address=0, sessions_per_pair=0)
    _, [count] = book.began("alice", HOME, 0.0)
    assert isinstance(count, Count)
    book.counted(count.key, {"a": count.value, "b": 2 * STAMPS, "dead": 9 * STAMPS}, 0.0)
    assert book.began("alice", OFFICE, 0.0)[0].allowed
    assert book.began("alice", OFFICE, 0.0)[0] == Verdict("user", 4, 4)
    assert book.began("bob", OFFICE, 0.0)[0].allowed


def test_sessions_that_live_already_are_told_by_the_next_tick() -> None:
    book = guard(others="b", sessions_per_user=4, sessions_per_address=0, sessions_per_pair=0)
    book.resumed("alice", HOME)
    assert kinds(book.tick(0.0)) == ["Count"]


def test_when_another_node_comes_it_is_told_who_has_many_sessions() -> None:
    book = guard(sessions_per_user=4, sessions_per_address=0, sessions_per_pair=0)
    book.began("alice", HOME, 0.0)
    assert book.tick(0.0) == []
    book.nodes(["a", "b"])
    assert kinds(book.tick(0.1)) == ["Count"]
    book.nodes(["a", "b"])
    assert book.tick(0.2) == []


def test_a_session_that_is_resumed_makes_its_pair_known() -> None:
    book = guard()
    book.resumed("alice", HOME)
    book.said("w", Failed(1, "bob", HOME), 0.0)
    assert book.said("w", Attempt(2, "alice", HOME), 0.0) == (Send("w", Wait(2, 0.0)),)


# --- failed logins -------------------------------------------------------------------------------------------------


def test_who_fails_waits_and_all_workers_become_wary() -> None:
    book = guard()
    assert book.joined("w", 0.0) == book.joined("v", 0.0) == []
    actions = book.said("w", Failed(7, "alice", "2001:db8::1"), 0.0)
    here = "2001:db8::/64"
    wary: list[ToWorker] = [Wary("alice", here, 90.0), Wary("alice", "", 90.0), Wary("", here, 90.0)]
    assert words(actions) == [Wait(7, 2.0), *wary]
    assert words(actions, "v") == wary


def test_who_has_to_wait_is_told_so_and_one_at_a_time_may_try() -> None:
    book = guard()
    book.said("w", Failed(1, "alice", HOME), 0.0)
    assert book.said("w", Attempt(2, "bob", HOME), 1.0) == (Send("w", Wait(2, 1.0)),)
    assert book.refusals == {"penalty": 1}
    assert book.said("w", Attempt(3, "bob", HOME), 2.0) == (Send("w", Wait(3, 0.0)),)
    [answer] = words(book.said("w", Attempt(4, "carol", HOME), 2.0))
    assert isinstance(answer, Wait)
    assert answer.seconds > 1.9


def test_workers_that_are_wary_long_enough_are_not_told_again() -> None:
    book = guard(failures_free=1, penalty_decay=10.0)
    book.joined("w", 0.0)
    assert words(book.said("w", Failed(1, "alice", HOME), 0.0)) == [Wait(1, 0.0)]
    assert words(book.said("w", Failed(2, "alice", HOME), 0.0))[1:] == [Wary("alice", HOME, 40.0)]
    assert words(book.said("w", Failed(3, "alice", HOME), 0.0))[1:] == []
    assert words(book.said("w", Failed(4, "alice", HOME), 20.0))[1:] == []
    assert words(book.said("w", Failed(5, "alice", HOME), 20.0))[1:] == []
    assert words(book.said("w", Failed(6, "alice", HOME), 30.0))[1:] == [Wary("alice", HOME, 50.0)]


def test_a_new_worker_hears_what_is_left_of_it() -> None:
    book = guard(connections_per_second=1.0, connections_burst=1)
    book.said("w", Failed(1, "alice", HOME), 0.0)
    for _ in range(2):
        book.said("w", Connected(OFFICE), 89.5)
    pair, name, where, embargo = words(book.joined("w", 89.75))
    assert [pair, name, where] == [Wary("alice", HOME, 0.25), Wary("alice", "", 0.25), Wary("", HOME, 0.25)]
    assert embargo == Embargo(OFFICE, 0.75)
    assert book.joined("v", 90.5) == []


def test_a_worker_that_has_left_hears_nothing() -> None:
    book = guard()
    book.joined("v", 0.0)
    book.left("v")
    book.left("v")
    assert words(book.said("w", Failed(1, "alice", HOME), 0.0), "v") == []


def test_the_exempt_fail_without_consequences() -> None:
    book = guard(others="b")
    assert book.said("w", Failed(1, "alice", EXEMPT), 0.0) == (Send("w", Wait(1, 0.0)),)
    assert book.said("w", Passed("alice", EXEMPT), 0.0) == ()
    assert book.tick(0.1) == []


def test_a_name_that_is_empty_or_endless_stands_for_itself_only() -> None:
    book = guard()
    book.joined("w", 0.0)
    for name in ("", "x" * 10_000):
        for word in words(book.said("w", Failed(1, name, HOME), 0.0))[1:]:
            assert isinstance(word, Wary)
            assert len(word.name) <= 255
            assert word.name or word.address
    assert words(book.said("w", Attempt(2, "alice", OFFICE), 0.0)) == [Wait(2, 0.0)]


# --- new connections -----------------------------------------------------------------------------------------------


def test_an_address_that_connects_too_often_is_not_let_in_for_a_while_by_any_worker() -> None:
    book = guard(connections_per_second=10.0, connections_burst=2)
    book.joined("w", 0.0)
    book.joined("v", 0.0)
    assert [book.said("w", Connected(HOME), 0.0) for _ in range(2)] == [(), ()]
    actions = book.said("v", Connected(HOME), 0.0)
    assert words(actions) == words(actions, "v") == [Embargo(HOME, 1.0)]
    assert book.said("w", Connected(HOME), 0.5) == ()
    assert book.said("w", Connected(HOME), 1.0) == ()
    assert book.refusals == {"connections": 1}


def test_the_log_has_a_flood_once() -> None:
    book = guard(connections_per_second=0.1, connections_burst=1)
    floods = []
    for now in (0.0, 1.0, 11.0, 12.0, 21.0, 200.0, 201.0):
        floods.append([action for action in book.said("w", Connected(HOME), now) if isinstance(action, Note)])
        book.tick(now)
    assert [len(notes) for notes in floods] == [0, 1, 0, 0, 0, 0, 1]
    assert HOME in floods[1][0].text


def test_without_a_rate_nobody_is_shut_out() -> None:
    book = guard(others="b", connections_per_second=0.0, connections_burst=1)
    assert all(book.said("w", Connected(HOME), 0.0) == () for _ in range(100))
    assert book.tick(0.1) == []


# --- several nodes -------------------------------------------------------------------------------------------------


def test_failures_count_on_all_nodes_once() -> None:
    here, there = guard("a", "b"), guard("b", "a")
    there.joined("w", 0.0)
    here.said("w", Failed(1, "alice", HOME), 0.0)
    here.said("w", Failed(2, "alice", HOME), 0.0)
    [message] = published(here.tick(0.1))
    assert message.startswith(MARK)
    assert here.heard(message, 0.1) == ()
    assert here.tick(0.2) == []
    told = words(there.heard(message, 0.1))
    assert {(word.name, word.address) for word in told if isinstance(word, Wary)} == {
        ("alice", HOME),
        ("alice", ""),
        ("", HOME),
    }
    [answer] = words(there.said("w", Attempt(3, "alice", HOME), 0.1))
    assert isinstance(answer, Wait)
    assert answer.seconds == pytest.approx(4.0)
    assert there.tick(0.2) == []


@pytest.mark.parametrize(
    "message", [b"", b"other", MARK, MARK + b"\xc1", MARK + b"\x92\xa1b\x91\x94\xa4tale\xa0\xa0\x01"]
)
def test_other_messages_are_passed_over(message: bytes) -> None:
    assert guard().heard(message, 0.0) == ()


def test_a_pair_that_is_known_on_one_node_is_known_on_all() -> None:
    here, there = guard("a", "b"), guard("b", "a")
    here.said("w", Passed("alice", HOME), 0.0)
    [message] = published(here.tick(0.1))
    there.heard(message, 0.1)
    there.said("w", Failed(1, "bob", HOME), 0.1)
    assert there.said("w", Attempt(2, "alice", HOME), 0.1) == (Send("w", Wait(2, 0.0)),)
    here.said("w", Passed("alice", HOME), 0.2)
    assert here.tick(0.2) == []


def test_what_does_not_fit_into_a_message_comes_in_the_next_and_there_is_an_end_to_it() -> None:
    book = guard("a", "b")
    for number in range(20_000):
        book.said("w", Passed(f"{number:05}" + "\N{CYCLONE}" * 300, HOME), 0.0)
    messages: list[bytes] = []
    while found := published(book.tick(0.1)):
        messages += found
    assert all(MAX_MESSAGE // 4 < len(message) <= MAX_MESSAGE for message in messages[:-1])
    assert sum(message.count(b"passed") for message in messages) == 10_000


def test_an_address_shares_its_rate_over_the_nodes() -> None:
    names = "abc"
    books = {name: guard(name, names, connections_per_second=12.0, connections_burst=30) for name in names}
    for book in books.values():
        book.joined("w", 0.0)
    taken, embargoes = 0, dict.fromkeys(names, 0.0)
    for tick in range(600):
        now = tick / 10
        for name, book in books.items():
            for _ in range(3):
                if embargoes[name] <= now:
                    taken += 1
                    actions = book.said("w", Connected(HOME), now)
                    embargoes[name] = now + 1.0 if actions else 0.0
        for book in books.values():
            for message in published(book.tick(now)):
                for other in books.values():
                    other.heard(message, now)
    assert taken <= 2 * 30 + 60 * 12 * 1.1
    assert taken >= 60 * 12 * 0.5


def test_a_node_that_gets_all_connections_of_an_address_takes_its_whole_rate() -> None:
    book = guard("a", "bcd", connections_per_second=10.0, connections_burst=8)
    assert all(book.said("w", Connected(HOME), tick / 10) == () for tick in range(100))


# --- operators -----------------------------------------------------------------------------------------------------


def test_rows_say_what_is_known_of_a_user_or_an_address() -> None:
    book = guard("a", "b", sessions_per_user=4, sessions_per_address=0, sessions_per_pair=3)
    _, [count, *_] = book.began("alice", HOME, 0.0)
    assert isinstance(count, Count)
    book.counted(count.key, {"b": 3 * STAMPS}, 0.0)
    book.said("w", Failed(1, "bob", HOME), 0.0)
    pair = {"sessions": 1, "elsewhere": 0, "most": 3, "failures": 0.0, "wait": 0.0, "limit": ""}
    alice = {"user": "alice", "address": "", "sessions": 1, "elsewhere": 3, "most": 4}
    assert book.rows("alice", 1.0) == [
        {**alice, "failures": 0.0, "wait": 0.0, "limit": "user"},
        {"user": "alice", "address": HOME, **pair},
    ]
    assert [(row["user"], row["address"], row["limit"], row["wait"]) for row in book.rows(HOME, 1.0)] == [
        ("", HOME, "penalty", 1.0),
        ("alice", HOME, "", 0.0),
        ("bob", HOME, "penalty", 1.0),
    ]
    assert [row["failures"] for row in book.rows("bob", 31.0)] == [0.5, 0.5]
    assert book.rows("carol", 1.0) == []
    assert [row["limit"] for row in book.rows(EXEMPT, 1.0)] == ["exempt"]


def test_rows_of_all_are_those_who_wait_or_have_half_of_what_they_may() -> None:
    book = guard(
        sessions_per_user=4,
        sessions_per_address=3,
        sessions_per_pair=0,
        connections_per_second=1.0,
        connections_burst=1,
    )
    for user in ("alice", "alice", "bob"):
        book.began(user, HOME, 0.0)
    book.began("carol", OFFICE, 0.0)
    book.said("w", Failed(1, "dave", OFFICE), 0.0)
    for _ in range(2):
        book.said("w", Connected("203.0.113.9"), 1.5)
    waiting = {("", OFFICE): "penalty", ("dave", OFFICE): "penalty", ("dave", ""): "penalty"}
    crowded = {("", HOME): "address", ("alice", ""): ""}
    found = {(row["user"], row["address"]): row["limit"] for row in book.rows("", 1.5)}
    assert found == {**waiting, **crowded, ("", "203.0.113.9"): "connections"}
    assert [row["wait"] for row in book.rows("203.0.113.9", 2.0)] == [0.5]
    assert {(row["user"], row["address"]) for row in book.rows("", 10.0)} == set(crowded)


def test_forgiving_lifts_waits_and_embargoes_on_all_nodes() -> None:
    slow = {"connections_per_second": 0.5, "connections_burst": 2}
    here, there = guard("a", "b", **slow), guard("b", "a", **slow)
    for book in (here, there):
        book.joined("w", 0.0)
        for address in (HOME, OFFICE):
            book.said("w", Failed(1, "alice", address), 0.0)
            for _ in range(3):
                book.said("w", Connected(address), 0.0)
    for book in (here, there):
        for message in published(book.tick(0.1)):
            here.heard(message, 0.1)
            there.heard(message, 0.1)
    lifted = set(words(here.forgive(HOME)))
    assert lifted == {Wary("alice", HOME, 0.0), Wary("", HOME, 0.0), Embargo(HOME, 0.0)}
    [message] = published(here.tick(0.2))
    assert set(words(there.heard(message, 0.2))) == lifted
    for book in (here, there):
        assert book.said("w", Attempt(1, "bob", HOME), 0.3) == (Send("w", Wait(1, 0.0)),)
        assert book.said("w", Connected(HOME), 0.3) == ()
        assert words(book.said("w", Attempt(1, "bob", OFFICE), 0.3)) != [Wait(1, 0.0)]
        book.forgive("")
        assert book.rows("", 0.3) == []


def test_forgiving_on_a_node_that_is_alone_tells_no_other() -> None:
    book = guard()
    book.forgive("alice")
    assert book.tick(0.1) == []


# --- anything may happen -------------------------------------------------------------------------------------------

NODES = 3
MOST = {"user": 12, "address": 6, "pair": 5}
USERS, ADDRESSES = "uv", (HOME, OFFICE, "2001:db8::1")
nodes, users, addresses = st.integers(0, NODES - 1), st.sampled_from(USERS), st.sampled_from(ADDRESSES)


class Cluster(RuleBasedStateMachine):
    """Nodes with a store and messages between them. What each event calls for is done before the next one, and
    events are a tenth of a second apart."""

    lossy = False

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.lives = NODES
        self.names = [f"node{number}" for number in range(NODES)]
        self.live: list[list[tuple[str, str]]] = [[] for _ in range(NODES)]
        self.store: dict[str, dict[str, int]] = {}
        self.wary: list[dict[tuple[str, str], float]] = [{} for _ in range(NODES)]
        self.passed: set[tuple[int, str, str]] = set()
        self.failures: set[tuple[str, str]] = set()
        self.lost: list[bool] = []
        self.forgot = False

    @initialize()
    def start(self) -> None:
        self.guards = [self.fresh(number) for number in range(NODES)]

    def fresh(self, number: int) -> Guard:
        made = Guard(
            self.names[number],
            LimitSettings(
                sessions_per_user=MOST["user"],
                sessions_per_address=MOST["address"],
                sessions_per_pair=MOST["pair"],
                connections_per_second=2.0,
                connections_burst=4,
                failures_free=0,
                exempt=(ip_network("127.0.0.0/8"),),
            ),
        )
        made.nodes(self.names)
        made.joined("w", self.now)
        return made

    def loses(self) -> bool:
        return bool(self.lossy and self.lost and self.lost.pop())

    def act(self, number: int, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Count) and not self.loses():
                self.store.setdefault(action.key, {})[self.names[number]] = action.value
                if not action.value:
                    del self.store[action.key][self.names[number]]
                if not self.loses():
                    self.guards[number].counted(action.key, self.store[action.key], self.now)
            elif isinstance(action, Publish):
                for other in range(NODES):
                    if not self.loses():
                        self.act(other, self.guards[other].heard(action.message, self.now))
            elif isinstance(action, Send) and isinstance(action.message, Wary):
                word = action.message
                self.wary[number][word.name, word.address] = self.now + word.seconds

    def pass_time(self, seconds: float = 0.125) -> None:
        self.now += seconds
        for number in range(NODES):
            self.act(number, self.guards[number].tick(self.now))

    @precondition(lambda self: self.lossy)
    @rule(lost=st.lists(st.booleans(), max_size=20))
    def lose(self, lost: list[bool]) -> None:
        self.lost = lost

    @rule(number=nodes, user=users, address=addresses)
    def began(self, number: int, user: str, address: str) -> None:
        self.pass_time()
        verdict, actions = self.guards[number].began(user, address, self.now)
        if verdict.allowed:
            self.live[number].append((user, address))
        else:
            assert verdict.count >= verdict.most == MOST[verdict.limit]
        self.act(number, actions)

    @rule(number=nodes, user=users, address=addresses, times=st.integers(2, 12))
    def began_often(self, number: int, user: str, address: str, times: int) -> None:
        for _ in range(times):
            self.began(number, user, address)

    @rule(number=nodes, data=st.data())
    def ended(self, number: int, data: st.DataObject) -> None:
        self.pass_time()
        for _ in range(data.draw(st.integers(0, len(self.live[number])))):
            session = self.live[number].pop()
            self.act(number, self.guards[number].ended(*session, self.now))

    @rule(number=nodes)
    def director_restarts(self, number: int) -> None:
        """What it has told stays in the store until nobody tells anything."""
        self.forgot = True
        self.pass_time()
        self.guards[number] = self.fresh(number)
        self.wary[number] = {}
        self.passed = {known for known in self.passed if known[0] != number}
        for session in self.live[number]:
            self.guards[number].resumed(*session)

    @rule(number=nodes)
    def node_restarts(self, number: int) -> None:
        """Its sessions are gone, and its shares stay in the store under the name of its former life."""
        self.pass_time()
        self.live[number] = []
        self.names[number] = f"node{self.lives}"
        self.lives += 1
        self.director_restarts(number)
        for other in range(NODES):
            self.guards[other].nodes(self.names)

    @rule(number=nodes, name=users, address=addresses, times=st.integers(1, 5))
    def failed(self, number: int, name: str, address: str, times: int) -> None:
        self.failures.add((name, address))
        for _ in range(times):
            self.act(number, self.guards[number].said("w", Failed(1, name, address), self.now))

    @rule(number=nodes, name=users, address=addresses)
    def passes(self, number: int, name: str, address: str) -> None:
        self.passed.add((number, name, address))
        self.act(number, self.guards[number].said("w", Passed(name, address), self.now))

    @rule(number=nodes, name=users, address=addresses)
    def attempt(self, number: int, name: str, address: str) -> None:
        [answer] = words(self.guards[number].said("w", Attempt(1, name, address), self.now))
        assert isinstance(answer, Wait)
        assert 0.0 <= answer.seconds <= 15.0

    @rule(number=nodes, address=addresses, times=st.integers(1, 9))
    def connected(self, number: int, address: str, times: int) -> None:
        for _ in range(times):
            self.act(number, self.guards[number].said("w", Connected(address), self.now))

    @rule(number=nodes, whom=st.sampled_from(["", "u", HOME]))
    def forgiven(self, number: int, whom: str) -> None:
        self.act(number, self.guards[number].forgive(whom))
        self.pass_time()

    @rule(seconds=st.sampled_from([1.0, 16.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    def tallies(self, sessions: Iterable[tuple[str, str]]) -> Iterable[tuple[str, int]]:
        pairs = [(user, place(address)) for user, address in sessions]
        yield from (("pair", count) for count in Counter(pairs).values())
        yield from (("user", count) for count in Counter(user for user, _ in pairs).values())
        yield from (("address", count) for count in Counter(where for _, where in pairs).values())

    @invariant()
    def nobody_has_more_than_may_be(self) -> None:
        for sessions in self.live:
            assert all(count <= MOST[kind] for kind, count in self.tallies(sessions))
        if not self.lossy:
            for kind, count in self.tallies(session for sessions in self.live for session in sessions):
                assert count <= MOST[kind] + (NODES - 1) * threshold(MOST[kind], NODES)

    @invariant()
    def strangers_delay_nobody_who_has_been_there_before(self) -> None:
        for number, name, address in self.passed:
            if (name, address) not in self.failures:
                assert self.guards[number]._limits.wait(name, address, self.now) == 0.0

    @invariant()
    def workers_ask_whenever_somebody_has_to_wait(self) -> None:
        for guarded, wary in zip(getattr(self, "guards", ()), self.wary, strict=False):
            for name in USERS:
                for address in map(place, ADDRESSES):
                    if guarded._limits.wait(name, address, self.now):
                        keys = ((name, address), (name, ""), ("", address))
                        assert max(wary.get(key, 0.0) for key in keys) > self.now

    def teardown(self) -> None:
        self.lost = []
        for number in range(NODES):
            for session in self.live[number]:
                self.act(number, self.guards[number].ended(*session, self.now))
        for _ in range(40):
            self.pass_time(16.0)
        for each in self.guards:
            assert len(each) == len(each._shares) == len(each._news._times) == len(each._pace) == 0
            assert len(each._limits._buckets) == 0
            assert each._limits.failing() == []
            assert not each._wary
            assert not each._embargoes
            assert each.rows("", self.now) == []
        if not self.forgot:
            assert not {name for shares in self.store.values() for name in shares} & set(self.names)


class LossyCluster(Cluster):
    """Answers and messages are lost; each node keeps to the limits by itself, and nothing stays."""

    lossy = True


TestCluster = pytest.mark.machine(Cluster.TestCase)
TestLossyCluster = pytest.mark.machine(LossyCluster.TestCase)
TestCluster.settings = hypothesis_settings(max_examples=40)
TestLossyCluster.settings = TestCluster.settings
