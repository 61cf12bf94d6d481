from __future__ import annotations

import pytest

from loadtest.fleet.hearing import Refused, Trouble
from loadtest.fleet.pop3 import Pop3
from tests.loadtest.fleet.scripted import Scripted, done


def test_a_mailbox_is_drained() -> None:
    peer = Scripted(
        b"+OK hello\r\n+OK\r\n+OK in\r\n+OK 1 5\r\n+OK\r\n1 uid-1\r\n.\r\n+OK\r\na\r\n..b\r\n.\r\n+OK\r\n+OK bye\r\n"
    )
    session = Pop3(peer.connection)
    done(session.greeting())
    done(session.login("alice", "secret"))
    assert done(session.stat()) == (1, 5)
    assert done(session.uidl()) == ["uid-1"]
    assert done(session.retrieve(1)) == b"a\r\n.b\r\n"
    done(session.delete(1))
    done(session.logout())
    assert peer.said_to_it == b"USER alice\r\nPASS secret\r\nSTAT\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n"


def test_a_refusal_is_told_with_its_phase() -> None:
    session = Pop3(Scripted(b"+OK\r\n-ERR [AUTH] no\r\n").connection)
    with pytest.raises(Refused, match=r"\[AUTH\] no") as found:
        done(session.login("alice", "wrong"))
    assert found.value.kind == "login: refused"


@pytest.mark.parametrize("said", [b"* OK IMAP\r\n", b"hello\r\n"])
def test_what_is_not_pop3_is_trouble(said: bytes) -> None:
    with pytest.raises(Trouble, match=r"IMAP|hello"):
        done(Pop3(Scripted(said).connection).greeting())


def test_stat_has_to_tell_numbers() -> None:
    with pytest.raises(Trouble):
        done(Pop3(Scripted(b"+OK many\r\n").connection).stat())
