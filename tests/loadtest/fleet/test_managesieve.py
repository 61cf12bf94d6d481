from __future__ import annotations

import pytest

from loadtest.fleet.hearing import Refused, Trouble
from loadtest.fleet.managesieve import MOST_LINES, ManageSieve
from tests.loadtest.fleet.scripted import Scripted, done


def test_a_script_is_uploaded_read_listed_and_deleted() -> None:
    peer = Scripted(
        b'"SIEVE" "fileinto"\r\nOK "hello"\r\nOK "in"\r\nOK\r\n{4}\r\nkeep\r\nOK\r\n',
        b'"one" ACTIVE\r\n"two"\r\nOK\r\nOK\r\nOK\r\n',
    )
    session = ManageSieve(peer.connection)
    done(session.greeting())
    done(session.login("alice", "secret"))
    done(session.put("one", b"keep"))
    assert done(session.get("one")) == b"keep"
    assert done(session.names()) == ["one", "two"]
    done(session.delete("one"))
    done(session.logout())
    assert b'AUTHENTICATE "PLAIN" "AGFsaWNlAHNlY3JldA=="\r\n' in peer.said_to_it
    assert b'PUTSCRIPT "one" {4+}\r\nkeep\r\n' in peer.said_to_it


def test_a_refusal_is_told_with_its_phase() -> None:
    session = ManageSieve(Scripted(b'NO (QUOTA) "full"\r\n').connection)
    with pytest.raises(Refused, match="full") as found:
        done(session.put("one", b"keep"))
    assert found.value.kind == "script: refused"


def test_a_script_without_content_is_trouble() -> None:
    with pytest.raises(Trouble):
        done(ManageSieve(Scripted(b"OK\r\n").connection).get("one"))


def test_endless_answers_are_trouble() -> None:
    with pytest.raises(Trouble):
        done(ManageSieve(Scripted(b'"x" "y"\r\n' * (MOST_LINES + 1)).connection).names())


def test_too_big_a_script_is_not_taken() -> None:
    with pytest.raises(Trouble, match="99999999"):
        done(ManageSieve(Scripted(b"{99999999}\r\n").connection).get("one"))
