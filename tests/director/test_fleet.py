"""Who is usable: what this node sees, what all agree on, what operators say, and whose site's turn it is."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from director.fleet import Admin, Candidate, Fleet, Turns
from director.sections import BackendSettings, HealthSettings, ShardSettings
from director.settings import DirectorSettings
from director.shards import Shard, Shards
from director.store import Node, Vote
from director.votes import Standing, Turn, VoteSettings

ME, OTHER, THIRD = "front1/aaaaaaaa", "front2/bbbbbbbb", "front3/cccccccc"


def shards(**of: Iterable[tuple[str, int, str]]) -> Shards:
    """Shards by name, with the name, priority and site of each backend."""
    return Shards(
        [
            ShardSettings(
                name=shard,
                backend=tuple(
                    BackendSettings(name=name, host=f"{name}.example", priority=priority, site=site)
                    for name, priority, site in backends
                ),
            )
            for shard, backends in of.items()
        ]
    )


PAIR = shards(s1=[("a", 1, ""), ("b", 2, "")])
EQUALS = shards(s1=[("a", 1, ""), ("b", 1, "")])
TWO_SITES = shards(s1=[("a", 1, "hall"), ("b", 2, "hall"), ("c", 3, "cellar")])


def fleet(of: Shards = PAIR, me: str = ME, ramp: float = 0.0, **settings: Any) -> Fleet:
    return Fleet(me, DirectorSettings(votes=VoteSettings(ramp=ramp), **settings), of, 0.0)


def only(book: Fleet) -> Shard:
    return book.shards.all[0]


def put_down(book: Fleet, backend: str, now: float) -> Turns:
    """Two failed probes in a row."""
    assert book.probed(backend, "refused", now) == Turns(probes=(backend,))
    return book.probed(backend, "refused", now)


def bring_back(book: Fleet, backend: str, now: float) -> Turns:
    """Two good probes in a row."""
    assert book.probed(backend, "", now) == Turns()
    return book.probed(backend, "", now)


def nodes(*names: str, age: float = 0.0) -> list[Node]:
    return [Node(name, name.partition("/")[2], age) for name in names]


def chosen(book: Fleet, user: str = "alice", preferred: str = "", now: float = 0.0) -> tuple[str, str]:
    """Name of the backend and why; both empty when there is none."""
    found = book.choose(user, only(book), preferred, now)
    return ("", "") if found is None else (found[0].name, found[1])


def if_failed(book: Fleet, backend: str, preferred: str = "", now: float = 0.0) -> str:
    found = book.if_failed("alice", only(book), preferred, backend, now)
    return "" if found is None else found[0].name


# --- shards ---


def test_shards_and_backends_are_found() -> None:
    book = fleet()
    assert book.shards is PAIR
    assert book.find_shard("A.example.") is only(book)
    assert book.find_shard("s2") is None
    found = book.backend("a")
    assert found is not None
    assert found.host == "a.example"
    assert book.backend("z") is None


def test_new_shards_take_the_place_of_the_old_and_nothing_is_lost_of_those_that_stay() -> None:
    book = fleet()
    put_down(book, "a", 1.0)
    wider = shards(s1=[("a", 1, ""), ("b", 2, ""), ("c", 2, "")])
    assert book.arrange(wider, 2.0) == Turns()
    assert book.standing("a") == "out"
    assert book.arrange(EQUALS, 3.0) == Turns()
    assert book.backend("c") is None
    assert book.arrange(shards(s1=[("a", 1, "")]), 4.0) == Turns(turns=(Turn("a", "out", "down"),))
    assert book.arrange(shards(s2=[("b", 1, "")]), 5.0) == Turns()
    assert book.arrange(PAIR, 6.0) == Turns()
    assert book.standing("a") == "up"


# --- this node's view, told to all ---


def test_a_node_that_is_alone_in_the_world_decides() -> None:
    book = fleet()
    assert put_down(book, "a", 1.0) == Turns((Turn("a", "up", "out"),), (("a", False),))
    assert bring_back(book, "a", 9.0) == Turns((Turn("a", "out", "up"),), (("a", True),))


def test_a_failed_login_has_the_backend_probed_at_once() -> None:
    book = fleet()
    assert book.reported("a", "alice", "connect", False, 1.0) == Turns(probes=("a",))
    assert book.doubtful("a")
    assert book.reported("a", "alice", "login", True, 1.0) == Turns()
    put_down(book, "a", 1.0)
    assert not book.doubtful("a")


def test_a_tick_tells_which_probes_are_due() -> None:
    book = fleet()
    assert sorted(book.tick(1.5).probes) == ["a", "b"]
    assert book.tick(1.6) == Turns()


def test_a_vote_is_renewed_before_it_is_out_of_date() -> None:
    book = fleet()
    put_down(book, "a", 0.0)
    told = [now for now in range(100) if ("a", False) in book.tick(float(now)).votes]
    assert told == list(range(10, 100, 10))
    assert book.standing("a") == "out"
    bring_back(book, "a", 100.0)
    assert all(book.tick(float(now)).votes == () for now in range(100, 150))


def test_after_a_long_sleep_the_own_view_still_counts() -> None:
    book = fleet()
    put_down(book, "a", 0.0)
    assert book.tick(1000.0).turns == ()
    assert book.standing("a") == "out"


# --- all nodes ---


def test_two_nodes_have_to_agree() -> None:
    book = fleet()
    assert book.votes(nodes(ME, OTHER), [], 0.0) == Turns()
    assert put_down(book, "a", 1.0).turns == (Turn("a", "up", "alone"),)
    table = [Vote("a", ME, "down"), Vote("a", OTHER, "down"), Vote("b", OTHER, "up")]
    assert book.votes(nodes(ME, OTHER), table, 2.0).turns == (Turn("a", "alone", "out"),)
    assert book.votes(nodes(ME, OTHER), table[:1], 3.0).turns == (Turn("a", "out", "alone"),)


def test_what_is_heard_of_others_counts_until_the_table_must_have_it() -> None:
    book = fleet(heartbeat=1.0)
    book.votes(nodes(ME, OTHER), [], 0.0)
    put_down(book, "a", 1.0)
    assert book.heard_vote(OTHER, "a", False, 1.0).turns == (Turn("a", "alone", "out"),)
    mine, others = Vote("a", ME, "down"), Vote("a", OTHER, "down")
    assert book.votes(nodes(ME, OTHER), [mine], 1.5).turns == ()
    assert book.heard_vote(OTHER, "a", True, 2.0).turns == (Turn("a", "out", "alone"),)
    assert book.votes(nodes(ME, OTHER), [mine, others], 2.5).turns == ()
    assert book.votes(nodes(ME, OTHER), [mine, others], 4.0).turns == (Turn("a", "alone", "out"),)


def test_nobody_else_knows_what_this_node_sees() -> None:
    book = fleet()
    book.votes(nodes(ME, OTHER), [], 0.0)
    assert book.heard_vote(ME, "a", False, 1.0) == Turns()
    assert book.heard_vote(OTHER, "z", False, 1.0) == Turns()
    assert book.votes(nodes(ME), [Vote("a", ME, "down")], 1.0) == Turns(votes=(("a", True),))
    put_down(book, "b", 1.0)
    assert book.votes(nodes(ME), [Vote("z", ME, "down")], 1.0).votes == (("b", False),)


def test_who_has_been_silent_for_too_long_has_no_say() -> None:
    book = fleet(node_timeout=6.0)
    book.votes([*nodes(ME, OTHER), *nodes(THIRD, age=6.0)], [], 0.0)
    put_down(book, "a", 1.0)
    assert book.heard_vote(THIRD, "a", False, 1.0).turns == ()
    assert book.heard_vote(OTHER, "a", False, 1.0).turns == (Turn("a", "alone", "out"),)


def test_a_node_that_cannot_hear_the_others_goes_by_what_it_sees() -> None:
    book = fleet(node_timeout=6.0)
    book.votes(nodes(ME, OTHER), [], 0.0)
    put_down(book, "a", 1.0)
    assert book.tick(5.9).turns == ()
    assert book.tick(6.0).turns == (Turn("a", "alone", "out"),)
    assert book.tick(20.0).turns == ()
    assert book.votes(nodes(ME, OTHER), [Vote("a", ME, "down")], 21.0).turns == (Turn("a", "out", "alone"),)


# --- operators ---


@pytest.mark.parametrize(
    ("state", "known", "keeps", "choice"),
    [
        ("online", "online", True, ("a", "priority")),
        ("standby", "standby", True, ("b", "failover")),
        ("offline", "offline", False, ("b", "failover")),
        ("maintenance", "online", True, ("a", "priority")),
    ],
)
def test_the_operators_word_counts(state: str, known: Admin, keeps: bool, choice: tuple[str, str]) -> None:
    book = fleet()
    assert book.admin({"a": state}, 1.0) == Turns(admin=() if known == "online" else ("a",))
    assert book.admin({"a": state}, 1.0) == Turns()
    assert (book.admin_state("a"), book.keeps("a"), book.grants("a"), chosen(book)) == (known, keeps, keeps, choice)
    assert book.takes("a") == (known == "online")
    assert book.admin({}, 2.0).admin == (() if known == "online" else ("a",))
    assert book.admin_state("a") == "online"


def test_what_is_said_of_a_backend_that_is_not_there_counts_when_it_comes() -> None:
    book = fleet()
    assert book.admin({"c": "offline"}, 1.0) == Turns()
    assert chosen(book) == ("a", "priority")
    book.arrange(shards(s1=[("c", 1, "")]), 2.0)
    assert chosen(book) == ("", "")


# --- who may stay, and who may come ---


def standing_of(standing: Standing) -> Fleet:
    """A fleet in which the backend a has this standing."""
    book = fleet()
    book.votes(nodes(ME, OTHER), [], 0.0)
    for backend in {"down": "ba", "out": "a", "alone": "a", "up": ""}[standing]:
        put_down(book, backend, 0.0)
        if standing != "alone":
            book.heard_vote(OTHER, backend, False, 0.0)
    assert book.standing("a") == standing
    return book


@pytest.mark.parametrize(
    ("standing", "keeps", "grants", "takes", "reason"),
    [
        ("up", True, True, True, ""),
        ("down", True, True, True, ""),
        ("alone", True, False, False, "cannot be reached from this node, though from others: refused"),
        ("out", False, False, False, "is down: refused"),
    ],
)
def test_what_a_standing_means(standing: Standing, keeps: bool, grants: bool, takes: bool, reason: str) -> None:
    book = standing_of(standing)
    assert (book.keeps("a"), book.grants("a"), book.takes("a")) == (keeps, grants, takes)
    assert (chosen(book)[0] == "a") == takes
    assert book.unusable_reason("a") == reason


def test_the_reason_is_told_in_words() -> None:
    book = fleet()
    assert book.unusable_reason("z") == "it is in no shard"
    assert not book.takes("z")
    book.admin({"a": "standby", "b": "offline"}, 0.0)
    assert book.unusable_reason("a") == "is on standby: it keeps its users and gets no others"
    assert book.unusable_reason("b") == "is offline by an operator's word"
    put_down(book, "b", 0.0)
    assert book.unusable_reason("b") == "is offline by an operator's word: refused"


def test_the_choice_is_that_of_priorities_preference_and_the_draw() -> None:
    assert chosen(fleet()) == ("a", "priority")
    assert chosen(fleet(), preferred="b.example") == ("b", "preferred")
    assert chosen(fleet(EQUALS))[1] == "hash"
    spread = {chosen(fleet(EQUALS), f"user{number}")[0] for number in range(20)}
    assert spread == {"a", "b"}


def test_what_would_be_chosen_if_a_backend_failed() -> None:
    book = fleet()
    assert if_failed(book, "a") == "b"
    assert if_failed(book, "b") == "a"
    assert if_failed(book, "b", preferred="b") == "a"
    put_down(book, "b", 0.0)
    assert if_failed(book, "a") == ""


def test_a_backend_that_returns_gets_new_users_bit_by_bit_unless_there_is_no_other() -> None:
    book = fleet(ramp=100.0)
    put_down(book, "a", 0.0)
    bring_back(book, "a", 10.0)
    got = sum(chosen(book, f"user{number}", now=40.0)[0] == "a" for number in range(1000))
    assert 200 < got < 400
    refused = next(name for name in map("user{}".format, range(100)) if chosen(book, name, now=40.0)[0] == "b")
    assert [row.reason for row in book.candidates(refused, only(book), "", 40.0)] == [
        "is being let in, and gets 30% of the new users by now",
        "",
    ]
    book.admin({"b": "standby"}, 40.0)
    assert chosen(book, refused, now=40.0) == ("a", "priority")
    book.admin({}, 40.0)
    book.tick(110.0)
    assert chosen(book, refused, now=110.0) == ("a", "priority")


def test_who_is_held_back_gets_new_users_only_if_there_is_no_other() -> None:
    book = fleet()
    book.hold_back(frozenset("a"))
    book.hold_back(frozenset("a"))
    assert chosen(book) == ("b", "failover")
    assert book.candidates("alice", only(book), "", 0.0)[0].reason.startswith("has returned, and has not caught up")
    put_down(book, "b", 0.0)
    assert chosen(book)[0] == "a"
    book.hold_back(frozenset())
    bring_back(book, "b", 0.0)
    assert chosen(book) == ("a", "priority")


# --- sites ---


def test_another_site_takes_over_later() -> None:
    book = fleet(TWO_SITES, site_failover_after=300.0)
    assert chosen(book) == ("a", "priority")
    assert chosen(book, preferred="c") == ("c", "preferred")
    put_down(book, "a", 0.0)
    assert chosen(book) == ("b", "failover")
    assert if_failed(book, "b") == ""
    assert put_down(book, "b", 10.0).turns == (Turn("b", "up", "down"),)
    assert chosen(book)[0] == "b"
    assert book.candidates("alice", only(book), "", 10.0)[1].reason == ("is down, but too many others are out already")
    book.tick(309.0)
    assert chosen(book)[0] == "b"
    assert book.tick(310.0).turns == (Turn("b", "down", "out"),)
    assert chosen(book) == ("c", "failover")
    assert bring_back(book, "b", 320.0).turns == (Turn("b", "out", "up"),)
    assert chosen(book)[0] == "b"
    assert book.keeps("c")


def test_a_site_is_not_given_up_for_one_that_is_down_as_well() -> None:
    book = fleet(TWO_SITES, site_failover_after=300.0)
    for backend in "abc":
        put_down(book, backend, 0.0)
    assert book.tick(300.0).turns == ()
    assert [book.standing(name) for name in "abc"] == ["out", "down", "down"]
    assert bring_back(book, "c", 301.0).turns == (Turn("c", "down", "up"), Turn("b", "down", "out"))
    assert chosen(book)[0] == "c"


def test_a_site_that_operators_have_taken_away_is_gone_too() -> None:
    book = fleet(TWO_SITES, site_failover_after=300.0)
    book.admin({"a": "offline", "b": "standby"}, 0.0)
    assert chosen(book) == ("", "")
    book.tick(300.0)
    assert chosen(book) == ("c", "failover")


def test_who_is_at_another_site_says_so() -> None:
    book = fleet(TWO_SITES, site_failover_after=300.0)
    later = "which takes over when all backends of the first have been gone for 300 s"
    assert book.candidates("alice", only(book), "", 0.0) == (
        Candidate("a", "up", "online", True, ""),
        Candidate("b", "up", "online", True, ""),
        Candidate("c", "up", "online", False, f"is at another site cellar, {later}"),
    )
    nameless = fleet(shards(s1=[("a", 1, "hall"), ("b", 2, "")]), site_failover_after=300.0)
    assert nameless.candidates("alice", only(nameless), "", 0.0)[1].reason == f"is at another site, {later}"


# --- for operators ---


def test_all_backends_are_listed() -> None:
    book = fleet(TWO_SITES, ramp=100.0)
    put_down(book, "a", 1.0)
    put_down(book, "b", 1.0)
    bring_back(book, "a", 2.0)
    book.admin({"c": "standby"}, 3.0)
    assert [row[:3] + row[6:] for row in book.rows(52.0)] == [
        ("a", "s1", "hall", "up", "online", "up", "", 2.0, 0.5),
        ("b", "s1", "hall", "out", "online", "down", "refused", 1.0, 1.0),
        ("c", "s1", "cellar", "up", "standby", "up", "", 0.0, 1.0),
    ]
    assert book.rows(52.0)[0][3:6] == ("a.example", 1, 1)


# --- whatever happens ---

ESTATE = shards(
    s1=[("a", 1, "hall"), ("b", 2, "hall"), ("c", 3, "cellar")],
    s2=[("d", 1, ""), ("e", 1, "")],
    s3=[("f", 1, "")],
)
NAMES, OTHERS = "abcdef", (OTHER, THIRD)


class Estate(RuleBasedStateMachine):
    """Two nodes of three are real and hear the same of the third; both know of each other by the table alone."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        chosen: Mapping[str, Any] = {
            "health": HealthSettings(failures_to_down=1, successes_to_up=1),
            "site_failover_after": 20.0,
            "votes": VoteSettings(ramp=15.0, vote_lasts=30.0),
        }
        self.books = {me: Fleet(me, DirectorSettings(**chosen), ESTATE, 0.0) for me in (ME, OTHER)}
        self.known = {me: dict[str, Standing](dict.fromkeys(NAMES, "up")) for me in self.books}
        self.table: set[tuple[str, str]] = set()
        self.well = dict.fromkeys(NAMES, True)
        self.admin: dict[str, str] = {}
        self.share()

    def told(self, me: str, turns: Turns) -> None:
        for turn in turns.turns:
            assert self.known[me][turn.backend] == turn.was
            assert turn.was != turn.standing
            self.known[me][turn.backend] = turn.standing
        for backend, up in turns.votes:
            self.table -= {(backend, me)}
            self.table |= set() if up else {(backend, me)}

    @rule()
    def share(self) -> None:
        for me, book in self.books.items():
            said = [Vote(backend, node, "down") for backend, node in self.table]
            self.told(me, book.votes(nodes(ME, *OTHERS), said, self.now))

    @rule(backend=st.sampled_from(NAMES), well=st.booleans())
    def both_probe(self, backend: str, well: bool) -> None:
        self.well[backend] = well
        for me, book in self.books.items():
            self.told(me, book.probed(backend, "" if well else "refused", self.now))
        self.share()

    @rule(backend=st.sampled_from(NAMES), well=st.booleans())
    def the_third_says(self, backend: str, well: bool) -> None:
        self.table -= {(backend, THIRD)}
        self.table |= set() if well else {(backend, THIRD)}
        self.share()

    @rule(backend=st.sampled_from(NAMES), state=st.sampled_from(["online", "standby", "offline"]))
    def an_operator_says(self, backend: str, state: str) -> None:
        self.admin[backend] = state
        for me, book in self.books.items():
            self.told(me, book.admin(self.admin, self.now))

    @rule(seconds=st.sampled_from([0.1, 5.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        for _ in range(int(seconds / 5) or 1):
            self.now += min(seconds, 5.0)
            for me, book in self.books.items():
                self.told(me, book.tick(self.now))
            self.share()

    @invariant()
    def standings_are_what_was_told(self) -> None:
        for me, book in self.books.items():
            assert self.known[me] == {name: book.standing(name) for name in NAMES}

    @invariant()
    def a_backend_that_answers_everybody_is_never_down(self) -> None:
        for name, well in self.well.items():
            if well:
                assert {book.standing(name) for book in self.books.values()} == {"up"}

    @invariant()
    def never_are_all_taken_out(self) -> None:
        for book in self.books.values():
            for shard in ESTATE.all:
                out = [backend for backend in shard.backends if book.standing(backend.name) == "out"]
                left = [backend for backend in shard.backends if book.standing(backend.name) != "out"]
                assert left
                serving = any(book.standing(backend.name) == "up" for backend in left)
                assert serving or len(out) * 2 <= len(shard.backends)

    @invariant()
    def the_choice_is_usable_and_the_same_on_every_node(self) -> None:
        for shard in ESTATE.all:
            for user in ("alice", "bob", "carol"):
                for preferred in ("", shard.backends[-1].name):
                    choices = [book.choose(user, shard, preferred, self.now) for book in self.books.values()]
                    assert choices[0] == choices[1]
                    self._is_usable(shard, user, preferred)

    def _is_usable(self, shard: Shard, user: str, preferred: str) -> None:
        book = self.books[ME]
        found = book.choose(user, shard, preferred, self.now)
        rows = {row.backend: row for row in book.candidates(user, shard, preferred, self.now)}
        if found is None:
            assert not any(row.usable for row in rows.values())
            return
        name = found[0].name
        assert rows[name].usable
        assert (book.takes(name), book.grants(name), book.admin_state(name)) == (True, True, "online")
        other = book.if_failed(user, shard, preferred, name, self.now)
        assert other is None or other[0].name != name


TestEstate = pytest.mark.machine(Estate.TestCase)
TestEstate.settings = settings(max_examples=40, stateful_step_count=30)


@given(st.text(min_size=1), st.sampled_from(["", "a", "b", "c"]))
def test_when_all_is_well_a_fleet_chooses_as_the_shard_at_the_first_site_alone_would(user: str, preferred: str) -> None:
    spread, near = fleet(TWO_SITES), fleet(PAIR)
    found = chosen(spread, user, preferred)
    assert found == (("c", "preferred") if preferred == "c" else chosen(near, user, preferred))
