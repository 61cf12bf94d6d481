"""The table of digests: what it recognises, for how long, and what can be learnt from it."""

import io
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ldapmap.memory.guarded import dumpable
from ldapmap.memory.table import ACCEPTED, REFUSED, SLOT, UNKNOWN, WAYS, RememberedTable
from ldapmap.sections import RememberSettings

AGE, ATTEMPTS = 100.0, 3
DN = b"uid=alice,dc=x"
NOW = 1000.0


def new_table(size: int = 64, **changes: Any) -> RememberedTable:
    return RememberedTable.create(RememberSettings(**{"size": size, "age": AGE, "attempts": ATTEMPTS, **changes}))


@pytest.fixture(name="table")
def one_table() -> Iterator[RememberedTable]:
    table = new_table()
    yield table
    table.discard()


def memory_of(table: RememberedTable) -> memoryview:
    return table._view


def used_slots(table: RememberedTable) -> list[int]:
    view = memory_of(table)
    return [at for at in range(SLOT, len(view), SLOT) if any(view[at : at + SLOT])]


def test_a_password_that_was_accepted_is_recognised_and_no_other(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"secret", NOW)
    assert table.check(b"alice", DN, b"secret", NOW + 1) == ACCEPTED
    assert table.check(b"alice", DN, b"Secret", NOW + 1) == REFUSED
    assert table.check(b"bob", DN, b"secret", NOW + 1) == UNKNOWN


def test_a_namesake_with_another_dn_is_not_let_in(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"secret", NOW)
    assert table.check(b"alice", b"uid=alice,dc=y", b"secret", NOW) == REFUSED


def test_what_belongs_to_the_dn_cannot_be_moved_into_the_password(table: RememberedTable) -> None:
    table.remember(b"alice", b"dc=x", b"ysecret", NOW)
    assert table.check(b"alice", b"dc=xy", b"secret", NOW) == REFUSED


def test_a_password_is_forgotten_when_its_time_is_over(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"secret", NOW)
    assert table.check(b"alice", DN, b"secret", NOW + AGE) == ACCEPTED
    assert table.check(b"alice", DN, b"secret", NOW + AGE + 0.1) == UNKNOWN
    assert used_slots(table) == []


def test_being_recognised_does_not_prolong_the_time(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"secret", NOW)
    table.check(b"alice", DN, b"wrong", NOW + 1)
    assert table.check(b"alice", DN, b"secret", NOW + AGE - 1) == ACCEPTED
    assert table.check(b"alice", DN, b"secret", NOW + AGE + 1) == UNKNOWN


def test_a_time_to_come_is_not_believed(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"secret", NOW)
    assert table.check(b"alice", DN, b"secret", NOW - 1) == UNKNOWN


def test_wrong_passwords_in_a_row_make_it_forgotten(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"secret", NOW)
    for _ in range(ATTEMPTS - 1):
        assert table.check(b"alice", DN, b"wrong", NOW) == REFUSED
    assert table.check(b"alice", DN, b"secret", NOW) == ACCEPTED, "which begins the row anew"
    for _ in range(ATTEMPTS):
        assert table.check(b"alice", DN, b"wrong", NOW) == REFUSED
    assert table.check(b"alice", DN, b"secret", NOW) == UNKNOWN


def test_the_password_accepted_last_counts_in_whatever_order_it_is_told(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"new", NOW + 1)
    table.remember(b"alice", DN, b"old", NOW)
    assert table.check(b"alice", DN, b"new", NOW + 2) == ACCEPTED
    table.remember(b"alice", DN, b"newer", NOW + 2)
    assert table.check(b"alice", DN, b"new", NOW + 2) == REFUSED
    assert len(used_slots(table)) == 1


def test_a_refused_password_is_forgotten_but_a_wrong_guess_changes_nothing(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"secret", NOW)
    for _ in range(ATTEMPTS + 1):
        table.disown(b"alice", DN, b"a guess")
    assert table.check(b"alice", DN, b"secret", NOW) == ACCEPTED
    table.disown(b"alice", DN, b"secret")
    table.disown(b"nobody", DN, b"secret")
    assert table.check(b"alice", DN, b"secret", NOW) == UNKNOWN


def test_one_user_or_all_are_forgotten(table: RememberedTable) -> None:
    for user in (b"alice", b"bob", b"carol"):
        table.remember(user, DN, b"secret", NOW)
    table.forget(b"alice")
    assert table.check(b"alice", DN, b"secret", NOW) == UNKNOWN
    assert table.check(b"bob", DN, b"secret", NOW) == ACCEPTED
    table.forget_all()
    assert table.check(b"bob", DN, b"secret", NOW) == UNKNOWN
    assert table.check(b"carol", DN, b"secret", NOW) == UNKNOWN


def test_a_random_source_that_gives_too_little_is_an_error(
    table: RememberedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldapmap.memory.table.open", lambda *given, **named: io.BytesIO(b"short"), raising=False)
    with pytest.raises(OSError, match="random"):
        table.forget_all()


def test_in_a_full_table_the_one_accepted_longest_ago_makes_room() -> None:
    table = new_table(size=WAYS)
    users = [b"user%d" % number for number in range(WAYS + 1)]
    for number, user in enumerate(users):
        table.remember(user, DN, b"secret", NOW + number)
    verdicts = [table.check(user, DN, b"secret", NOW + WAYS) for user in users]
    assert verdicts == [UNKNOWN, *[ACCEPTED] * WAYS]
    table.discard()


def test_there_is_room_for_at_least_as_many_as_wanted() -> None:
    table = new_table(size=WAYS + 1)
    assert len(memory_of(table)) == SLOT + 2 * WAYS * SLOT
    table.discard()


def test_a_slot_with_an_impossible_time_makes_room_first() -> None:
    table = new_table(size=WAYS)
    for number in range(WAYS):
        table.remember(b"user%d" % number, DN, b"secret", NOW)
    view = memory_of(table)
    view[SLOT * 3 : SLOT * 4] = b"\xff" * SLOT
    table.remember(b"one more", DN, b"secret", NOW)
    assert view[SLOT * 3 : SLOT * 4] != b"\xff" * SLOT
    assert table.check(b"one more", DN, b"secret", NOW) == ACCEPTED
    table.discard()


@given(st.integers(0, SLOT - 1), st.integers(1, 255), st.booleans())
def test_no_changed_byte_of_a_slot_verifies_anything(at: int, change: int, right: bool) -> None:
    table = new_table(size=WAYS)
    table.remember(b"alice", DN, b"secret", NOW)
    memory_of(table)[used_slots(table)[0] + at] ^= change
    assert table.check(b"alice", DN, b"secret" if right else b"wrong", NOW) == UNKNOWN
    table.discard()


@given(st.integers(1, SLOT - 1), st.booleans())
def test_a_slot_of_which_only_a_part_was_written_verifies_nothing(written: int, first: bool) -> None:
    table = new_table(size=WAYS)
    table.remember(b"alice", DN, b"old", NOW)
    offset = used_slots(table)[0]
    view = memory_of(table)
    old = bytes(view[offset : offset + SLOT])
    table.remember(b"alice", DN, b"new", NOW + 1)
    new = bytes(view[offset : offset + SLOT])
    torn = new[:written] + old[written:] if first else old[:written] + new[written:]
    view[offset : offset + SLOT] = torn
    known = {old: b"old", new: b"new"}.get(torn)
    for password in (b"old", b"new"):
        assert (table.check(b"alice", DN, password, NOW + 1) == ACCEPTED) == (password == known)
    table.discard()


@given(st.binary(min_size=SLOT * WAYS, max_size=SLOT * WAYS))
def test_a_table_of_garbage_verifies_nothing_and_works_on(garbage: bytes) -> None:
    table = new_table(size=WAYS)
    memory_of(table)[SLOT:] = garbage
    assert table.check(b"alice", DN, b"secret", NOW) == UNKNOWN
    table.remember(b"alice", DN, b"secret", NOW)
    assert table.check(b"alice", DN, b"secret", NOW) == ACCEPTED
    table.discard()


def test_a_slot_moved_to_another_user_verifies_nothing() -> None:
    table = new_table(size=WAYS)
    table.remember(b"alice", DN, b"secret", NOW)
    offset = used_slots(table)[0]
    view = memory_of(table)
    alice = bytes(view[offset : offset + SLOT])
    table.remember(b"alice", DN, b"other", NOW + 1)
    table.forget(b"alice")
    table.remember(b"bob", DN, b"his own", NOW)
    (offset,) = used_slots(table)
    view[offset + 12 : offset + SLOT] = alice[12:]
    assert table.check(b"bob", DN, b"secret", NOW) == UNKNOWN
    table.discard()


def test_neither_names_nor_passwords_are_in_the_memory_nor_equal_what_another_table_has() -> None:
    tables = [new_table(), new_table()]
    for table in tables:
        table.remember(b"alice.adams", DN, b"correct horse", NOW)
        for text in (b"alice", b"horse", b"dc=x"):
            assert text not in bytes(memory_of(table))
    one, other = (bytes(memory_of(table)[offset:][:12]) for table in tables for offset in used_slots(table))
    assert one != other
    for table in tables:
        table.discard()


def test_nothing_is_shown_of_what_is_in_it(table: RememberedTable) -> None:
    table.remember(b"alice", DN, b"secret", NOW)
    assert "alice" not in repr(table)
    assert "secret" not in repr(vars(table))


class Model(RuleBasedStateMachine):
    """A table with room for everybody does what a dictionary does."""

    users = st.sampled_from([b"alice", b"bob", b"carol", b""])
    passwords = st.sampled_from([b"one", b"two", b"", b"a\0b"])
    names = st.sampled_from([DN, b"uid=other"])

    def __init__(self) -> None:
        super().__init__()
        self.table = new_table(size=WAYS)
        self.known: dict[bytes, tuple[bytes, bytes, float, int]] = {}
        self.now = NOW

    def teardown(self) -> None:
        self.table.discard()

    @rule(seconds=st.floats(0, AGE / 2))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(user=users, dn=names, password=passwords, ago=st.sampled_from([0.0, 1.0]))
    def remember(self, user: bytes, dn: bytes, password: bytes, ago: float) -> None:
        self.table.remember(user, dn, password, self.now - ago)
        if user not in self.known or self.known[user][2] <= self.now - ago:
            self.known[user] = (dn, password, self.now - ago, 0)

    @rule(user=users, dn=names, password=passwords)
    def check(self, user: bytes, dn: bytes, password: bytes) -> None:
        assert self.table.check(user, dn, password, self.now) == self.expected(user, dn, password)

    def expected(self, user: bytes, dn: bytes, password: bytes) -> str:
        known = self.known.get(user)
        if known is None or self.now - known[2] > AGE:
            self.known.pop(user, None)
            return UNKNOWN
        right = known[:2] == (dn, password)
        tries = 0 if right else known[3] + 1
        self.known[user] = (*known[:3], tries)
        if tries == ATTEMPTS:
            del self.known[user]
        return ACCEPTED if right else REFUSED

    @rule(user=users, dn=names, password=passwords)
    def disown(self, user: bytes, dn: bytes, password: bytes) -> None:
        self.table.disown(user, dn, password)
        if self.known.get(user, ())[:2] == (dn, password):
            del self.known[user]

    @rule(user=users)
    def forget(self, user: bytes) -> None:
        self.table.forget(user)
        self.known.pop(user, None)

    @invariant()
    def has_one_slot_for_each(self) -> None:
        assert len(used_slots(self.table)) == len(self.known)


TestModel = pytest.mark.machine(Model.TestCase)


def in_child(life: Callable[[], bool]) -> int:
    """A child's process id; its exit status is 0 when `life` was true."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if life() else 2
        finally:
            os._exit(status)
    return child


def succeeded(child: int) -> bool:
    return os.waitpid(child, 0)[1] == 0


def test_what_one_process_has_remembered_the_next_one_knows(table: RememberedTable) -> None:
    def first() -> bool:
        table.remember(b"alice", DN, b"secret", NOW)
        os.kill(os.getpid(), 9)
        return True

    assert not succeeded(in_child(first))
    assert succeeded(in_child(lambda: table.check(b"alice", DN, b"secret", NOW) == ACCEPTED))


def test_whoever_discards_the_table_has_neither_it_nor_its_key_any_more(table: RememberedTable) -> None:
    """Nor any copy of the key anywhere else in its memory: the test reads all of it from outside."""
    if os.geteuid() != 0:
        pytest.skip("only root may read the memory of a process that is not dumpable")
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()

    def worker() -> bool:
        table.discard()
        os.write(from_child, b"x")
        return os.read(to_child, 1) == b"x"

    child = in_child(worker)
    os.read(to_parent, 1)
    key = bytes(memory_of(table)[:32])
    found = occurrences(child, key)
    os.write(from_parent, b"x")
    assert succeeded(child)
    assert found == 0
    assert occurrences(os.getpid(), key) > 0, "and the test can find it where it is"
    for descriptor in (to_child, from_parent, to_parent, from_child):
        os.close(descriptor)


def occurrences(process: int, secret: bytes) -> int:
    """How many mappings of a process hold these bytes."""
    found = 0
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for line in maps:
            addresses, permissions, *rest = line.split()
            start, end = (int(address, 16) for address in addresses.split("-"))
            if permissions.startswith("rw") and rest[-1] not in ("[vvar]", "[vsyscall]"):
                memory.seek(start)
                found += secret in memory.read(end - start)
    return found


def test_a_process_with_the_table_is_not_dumpable_and_one_without_it_is_as_before() -> None:
    was = dumpable(True)
    table = new_table()
    assert dumpable(False) is False

    def worker() -> bool:
        table.discard()
        return dumpable(True)

    assert succeeded(in_child(worker))
    table.discard()
    assert dumpable(was) is True


def test_the_digests_of_many_users_do_not_get_into_each_others_way() -> None:
    table = new_table(size=4096)
    users = [b"user%d@example.org" % number for number in range(1000)]
    random.Random(7).shuffle(users)
    for user in users:
        table.remember(user, DN, b"secret of " + user, NOW)
    assert all(table.check(user, DN, b"secret of " + user, NOW) == ACCEPTED for user in users)
    table.discard()
