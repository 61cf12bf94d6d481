from __future__ import annotations

from loadtest.fleet.ledger import Ledger


def test_what_was_acknowledged_is_expected() -> None:
    ledger = Ledger(base=1.0)
    first, second = ledger.serial(), ledger.serial()
    ledger.acknowledged("alice", first)
    ledger.acknowledged("alice", second)
    assert ledger.missing("alice", [second]) == [first]
    assert ledger.missing("alice", [first, second, 5]) == []
    assert ledger.writers() == ["alice"]
    assert len(ledger) == 2


def test_what_is_about_to_be_deleted_is_not_expected_any_more() -> None:
    ledger = Ledger(base=1.0)
    serial = ledger.serial()
    ledger.acknowledged("alice", serial)
    ledger.doomed("alice", serial)
    assert ledger.missing("alice", []) == []
    assert ledger.deletes("alice")
    assert not ledger.deletes("bob")
    assert ledger.writers() == []
    assert len(ledger) == 0


def test_who_deletes_a_message_before_its_writer_hears_of_it_wins() -> None:
    ledger = Ledger(base=1.0)
    serial = ledger.serial()
    ledger.doomed("alice", serial)
    ledger.acknowledged("alice", serial)
    assert ledger.expected("alice") == frozenset()


def test_serials_differ_between_processes_and_runs() -> None:
    ledgers = [Ledger(process, 2, base) for process in (0, 1) for base in (1.0, 2.0)]
    serials = [ledger.serial() for ledger in ledgers for _ in range(100)]
    assert len(set(serials)) == len(serials)
    assert max(serials) < 1 << 63


def test_real_serials_fit_into_63_bits() -> None:
    assert 0 < Ledger().serial() < 1 << 63
