"""Whatever messages come in whatever order, the store ends up like the directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ldapmap.client.messages import SEARCH_DONE, FoundEntry, Result
from ldapmap.errors import Misconfigured, Unavailable
from ldapmap.mirror import consumer as consumer_module
from ldapmap.mirror.consumer import Consumer
from ldapmap.mirror.contents import Users
from ldapmap.mirror.errors import PurgeRefused, ReloadNeeded
from ldapmap.mirror.generations import Generations
from ldapmap.mirror.routes import Routes
from ldapmap.mirror.store import Writer
from ldapmap.mirror.syncrepl import (
    IdSet,
    NewCookie,
    RefreshDelete,
    RefreshPresent,
    SyncDone,
    SyncEvent,
)
from tests.ldapmap.mirror.provider import SETTINGS, Person, Provider, added, cookie_of, deleted, id_of

FINGERPRINT = b"these settings"
NAME = "people"


class Mirrored:
    """A mirror of a provider in a directory of its own, with the users that were forgotten."""

    def __init__(self, path: Path, purge_limit: float = 100.0) -> None:
        self.provider = Provider()
        self.forgotten: list[str] = []
        self.routes = Routes(path, fingerprint=FINGERPRINT, trust=60.0)
        self._purge_limit = purge_limit
        self._generations = Generations(path)
        self._generations.acquire()
        self.load()

    def load(self) -> None:
        """Everything anew, into a new generation."""
        self.writer = Writer(self._generations.new(), fingerprint=FINGERPRINT)
        self.search()
        self.hear(*self.provider.refresh(b""))
        self.writer.finish_load()
        self._generations.publish(self.writer.path)
        self.routes.look()

    def search(self) -> None:
        users = Users(SETTINGS, 0, forget=self.forgotten.append)
        self.consumer = Consumer(self.writer, users, name=NAME, purge_limit=self._purge_limit)

    def reconnect(self, done_by_present: bool = True) -> None:
        self.search()
        self.hear(*self.provider.refresh(self.consumer.cookie, done_by_present=done_by_present))

    def hear(self, *events: SyncEvent) -> None:
        self.consumer.consume(events)

    def restart(self, clean: bool) -> None:
        path = self.writer.path
        self.writer.close(clean=clean)
        self.writer = Writer(path, fingerprint=FINGERPRINT)

    def close(self) -> None:
        self.writer.close(clean=True)
        self.routes.close()
        self._generations.release()

    def shard(self, name: str) -> str:
        entry = self.routes.find(0, name)
        return "" if entry is None else entry.shard


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[Mirrored]:
    """Three people in the shards s1 to s3, named a1 to a3."""
    mirror = Mirrored(tmp_path / "mirror", purge_limit=34.0)
    for number in (1, 2, 3):
        mirror.provider.put(number, ((f"a{number}", f"a{number}@example"), f"s{number}"))
    mirror.writer.close(clean=True)
    mirror.load()
    yield mirror
    mirror.close()


def shards(mirrored: Mirrored) -> list[str]:
    return [mirrored.shard(f"a{number}") for number in (1, 2, 3)]


def test_a_load_stores_everybody_under_every_name(mirrored: Mirrored) -> None:
    assert shards(mirrored) == ["s1", "s2", "s3"]
    found = mirrored.routes.find(0, "A2@example")
    assert found == ("a2", "cn=2,ou=people,dc=example", "s2", "", "", "")
    assert mirrored.consumer.refreshed
    assert mirrored.consumer.cookie == mirrored.writer.cookie(NAME) == cookie_of(mirrored.provider.time)
    assert mirrored.forgotten == []


def test_changes_are_seen_as_they_come(mirrored: Mirrored) -> None:
    provider = mirrored.provider
    mirrored.hear(provider.put(1, (("a1",), "elsewhere")), provider.delete(2), provider.put(4, (("a4",), "s4")))
    assert shards(mirrored) == ["elsewhere", "", "s3"]
    assert mirrored.shard("a4") == "s4"
    assert mirrored.shard("a1@example") == ""
    assert mirrored.forgotten == ["a1", "a2", "a4"]
    assert mirrored.writer.cookie(NAME) == cookie_of(provider.time)


def test_a_cookie_alone_is_kept(mirrored: Mirrored) -> None:
    mirrored.hear(NewCookie(1, cookie_of(99)))
    assert mirrored.writer.cookie(NAME) == cookie_of(99)


def test_a_current_cookie_changes_nothing(mirrored: Mirrored) -> None:
    mirrored.reconnect()
    assert mirrored.consumer.refreshed
    assert shards(mirrored) == ["s1", "s2", "s3"]
    assert mirrored.forgotten == []


def test_a_delete_phase_names_what_is_gone(mirrored: Mirrored) -> None:
    mirrored.provider.delete(2)
    mirrored.provider.put(1, (("a1",), "elsewhere"))
    mirrored.reconnect()
    assert shards(mirrored) == ["elsewhere", "", "s3"]


@pytest.mark.parametrize("done_by_present", [True, False])
def test_after_a_present_phase_what_was_not_named_is_gone(mirrored: Mirrored, done_by_present: bool) -> None:
    mirrored.provider.delete(2)
    mirrored.provider.lose_log()
    mirrored.reconnect(done_by_present)
    assert shards(mirrored) == ["s1", "", "s3"]
    assert (mirrored.consumer.purged, mirrored.consumer.refreshed) == (1, True)
    assert mirrored.writer.cookie(NAME) == cookie_of(mirrored.provider.time)


def test_more_than_the_limit_is_not_purged_and_the_cookie_stays(mirrored: Mirrored) -> None:
    before = mirrored.writer.cookie(NAME)
    for number in (1, 2, 3):
        mirrored.provider.delete(number)
    mirrored.provider.lose_log()
    with pytest.raises(PurgeRefused, match="3 of 3"):
        mirrored.reconnect()
    assert shards(mirrored) == ["s1", "s2", "s3"]
    assert mirrored.writer.cookie(NAME) == before


def test_without_a_cookie_everything_is_named_whatever_the_phase_is_called(mirrored: Mirrored) -> None:
    with mirrored.writer.transaction() as change:
        change.set_cookie(NAME, b"")
    mirrored.provider.delete(2)
    mirrored.reconnect()
    assert shards(mirrored) == ["s1", "", "s3"]


def test_cookies_of_the_refresh_stage_are_kept_only_when_it_is_over(mirrored: Mirrored) -> None:
    before = mirrored.writer.cookie(NAME)
    mirrored.search()
    mirrored.hear(added(1, (("a1",), "elsewhere"), cookie=cookie_of(98)), IdSet(1, cookie_of(99), True, []))
    assert mirrored.shard("a1") == "elsewhere"
    assert mirrored.writer.cookie(NAME) == before
    mirrored.hear(RefreshDelete(1, None, False))
    assert mirrored.writer.cookie(NAME) == before
    mirrored.hear(RefreshDelete(1, None, True))
    assert mirrored.writer.cookie(NAME) == cookie_of(99)


def test_a_server_that_does_not_understand_our_cookie_needs_a_reload(mirrored: Mirrored) -> None:
    mirrored.search()
    with pytest.raises(ReloadNeeded, match="cookie"):
        mirrored.hear(*(added(n, ((f"a{n}",), "x")) for n in (1, 2)), RefreshDelete(1, b"", True))
    assert shards(mirrored) == ["s1", "s2", "s3"]


def ended(code: int, text: str = "") -> Result:
    return Result(1, SEARCH_DONE, code, text, None)


@pytest.mark.parametrize(
    ("result", "error", "words"),
    [
        (ended(4096, "refresh"), ReloadNeeded, "4096"),
        (ended(53, "consumer state is newer than provider!"), ReloadNeeded, "newer"),
        (ended(53, "no"), Misconfigured, "unwilling"),
        (ended(4), Misconfigured, "limits"),
        (ended(12), Misconfigured, "syncprov"),
        (ended(51), Unavailable, "busy"),
        (ended(0), Unavailable, "RFC 4533"),
    ],
)
def test_the_end_of_the_search_is_a_fault(mirrored: Mirrored, result: Result, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        mirrored.hear(result)
    with pytest.raises(error):
        mirrored.hear(SyncDone(1, result._replace(code=result.code or 51), None, True))


@pytest.mark.parametrize(("deletes", "left"), [(True, ["s1", "s2", "s3"]), (False, ["s1", "s2", ""])])
def test_a_search_that_does_not_persist_ends_by_itself(mirrored: Mirrored, deletes: bool, left: list[str]) -> None:
    mirrored.search()
    mirrored.hear(IdSet(1, None, False, [id_of(1), id_of(2)]), SyncDone(1, ended(0), cookie_of(99), deletes))
    assert (mirrored.consumer.over, mirrored.consumer.refreshed) == (True, True)
    assert shards(mirrored) == left
    assert mirrored.writer.cookie(NAME) == cookie_of(99)
    mirrored.hear(SyncDone(1, ended(0), None, False))
    assert shards(mirrored) == left


def test_answers_to_other_operations_are_ignored(mirrored: Mirrored) -> None:
    mirrored.hear(FoundEntry(2, "dc=x", {}))
    assert shards(mirrored) == ["s1", "s2", "s3"]


def test_what_a_server_names_is_bounded(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "MOST_NAMED", 2)
    mirrored.search()
    with pytest.raises(Unavailable, match="more entries"):
        mirrored.hear(IdSet(1, None, False, [id_of(1), id_of(2), id_of(3)]))


def test_a_batch_that_fails_changes_nothing(mirrored: Mirrored) -> None:
    with pytest.raises(Unavailable):
        mirrored.hear(deleted(1, cookie_of(99)), ended(51))
    assert shards(mirrored) == ["s1", "s2", "s3"]
    assert mirrored.writer.cookie(NAME) != cookie_of(99)


def test_a_present_phase_after_the_refresh_stage_removes_nobody(mirrored: Mirrored) -> None:
    mirrored.reconnect()
    mirrored.hear(IdSet(1, None, False, [id_of(1)]), RefreshPresent(1, None, True))
    assert shards(mirrored) == ["s1", "s2", "s3"]


NAMES = st.sampled_from(["ann", "bob", "cy", "dee", "eve", "Ann", "fay", "gil"])
PEOPLE: st.SearchStrategy[Person] = st.tuples(
    st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.sampled_from(["s1", "s2", "s3", ""])
)
NUMBERS = st.integers(0, 6)


def keys(person: Person) -> list[str]:
    return list(dict.fromkeys(name.lower() for name in person[0]))


class MirrorMachine(RuleBasedStateMachine):
    """People come, go and take each other's names while connections break, logs get lost and processes die."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vestibule-mirror-"))
        self.mirror = Mirrored(self.folder / "mirror")
        self.following = True
        self.told: dict[str, str] = {}
        self.sequence = 0
        self.owners: dict[str, set[int]] = {}
        """Everybody who has ever had a name since the last load."""

    @initialize(people=st.dictionaries(NUMBERS, PEOPLE, max_size=5))
    def everybody_is_loaded(self, people: dict[int, Person]) -> None:
        for number, person in people.items():
            self.mirror.provider.put(number, person)
        self.load_anew()

    @rule(number=NUMBERS, person=PEOPLE)
    def someone_is_put(self, number: int, person: Person) -> None:
        self.own(number, person)
        self.tell([self.mirror.provider.put(number, person)])

    @precondition(lambda self: self.mirror.provider.people)
    @rule(data=st.data())
    def someone_is_deleted(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.mirror.provider.people)))
        self.tell([self.mirror.provider.delete(number)])

    @rule(changes=st.lists(st.tuples(NUMBERS, PEOPLE), max_size=4))
    def several_are_put_at_once(self, changes: list[tuple[int, Person]]) -> None:
        for number, person in changes:
            self.own(number, person)
        self.tell([self.mirror.provider.put(number, person) for number, person in changes])

    @rule()
    def the_connection_breaks(self) -> None:
        self.following = False

    @rule()
    def the_session_log_is_lost(self) -> None:
        self.mirror.provider.lose_log()
        self.following = False

    @rule(clean=st.booleans())
    def the_process_ends(self, clean: bool) -> None:
        self.mirror.restart(clean)
        self.following = False

    @rule(data=st.data(), done_by_present=st.booleans())
    def it_connects(self, data: st.DataObject, done_by_present: bool) -> None:
        """In batches of any size, and perhaps only half of it before the connection breaks again."""
        self.mirror.search()
        events = list(self.mirror.provider.refresh(self.mirror.consumer.cookie, done_by_present=done_by_present))
        heard = data.draw(st.integers(0, len(events)))
        cut = data.draw(st.integers(0, heard))
        self.mirror.hear(*events[:cut])
        self.mirror.hear(*events[cut:heard])
        self.following = heard == len(events)

    @rule()
    def everything_is_loaded_anew(self) -> None:
        self.mirror.writer.close(clean=True)
        self.load_anew()

    @invariant()
    def the_store_is_like_the_directory(self) -> None:
        if not self.following:
            return
        people = self.mirror.provider.people
        usable = {number: person for number, person in people.items() if person[1]}
        for name in ("ann", "bob", "cy", "dee", "eve", "fay", "gil", "nobody"):
            self.check_name(name, [person for person in usable.values() if name in keys(person)])
        assert self.mirror.writer.users == len(usable)
        assert self.mirror.writer.unusable == len(people) - len(usable)

    @invariant()
    def the_log_tells_everything(self) -> None:
        for change in self.mirror.writer.changes_since(self.sequence, 1000) or ():
            assert change.sequence == self.sequence + 1
            assert self.told.get(change.user, "") == change.was_shard or self.contested([change.user])
            self.sequence = change.sequence
            self.told[change.user] = change.shard
        for user, shard in self.told.items():
            entry = self.mirror.routes.find(0, user)
            found = entry.shard if entry is not None and entry.user == user else ""  # it may be another's alias now
            assert found == shard or self.contested([user])

    def teardown(self) -> None:
        self.mirror.close()
        shutil.rmtree(self.folder)

    def check_name(self, name: str, having: Sequence[Person]) -> None:
        found = self.mirror.shard(name)
        if len(having) == 1 and not self.contested([name, keys(having[0])[0]]):
            assert found == having[0][1]
        elif len(having) == 1:
            assert found in ("", having[0][1])
        else:
            assert found == ""

    def contested(self, names: Sequence[str]) -> bool:
        return any(len(self.owners.get(name, ())) > 1 for name in names)

    def own(self, number: int, person: Person) -> None:
        for name in keys(person):
            self.owners.setdefault(name, set()).add(number)

    def tell(self, events: list[SyncEvent]) -> None:
        if self.following:
            self.mirror.hear(*events)

    def load_anew(self) -> None:
        self.owners.clear()
        for number, person in self.mirror.provider.people.items():
            self.own(number, person)
        self.mirror.load()
        self.following = True
        self.sequence = self.mirror.writer.sequence
        people = self.mirror.provider.people.values()
        self.told = {keys(person)[0]: self.mirror.shard(keys(person)[0]) for person in people}


TestMirrorMachine = pytest.mark.machine(MirrorMachine.TestCase)
TestMirrorMachine.settings = settings(max_examples=60, stateful_step_count=25)
