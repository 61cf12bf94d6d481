from __future__ import annotations

import pytest

from loadtest.fleet.hearing import Refused, Trouble
from loadtest.fleet.imap import Imap, quoted
from tests.loadtest.fleet.scripted import Scripted, done


def imap(*said: bytes) -> tuple[Imap, Scripted]:
    peer = Scripted(*said)
    return Imap(peer.connection), peer


def test_a_client_greets_logs_in_and_opens_its_inbox() -> None:
    session, peer = imap(b"* OK hello\r\na1 OK in\r\n* 3 EXISTS\r\n* FLAGS ()\r\na2 OK open\r\n")
    done(session.greeting())
    done(session.login('we"ird', "back\\slash"))
    done(session.select())
    assert session.exists == 3
    assert peer.said_to_it == b'a1 LOGIN "we\\"ird" "back\\\\slash"\r\na2 SELECT INBOX\r\n'


def test_a_refused_login_is_told_with_its_phase_and_the_servers_words() -> None:
    session, _ = imap(b"a1 NO [UNAVAILABLE] later\r\n")
    with pytest.raises(Refused, match="later") as found:
        done(session.login("a", "b"))
    assert found.value.kind == "login: refused"


def test_a_server_that_does_not_greet_refuses() -> None:
    session, _ = imap(b"* BYE full\r\n")
    with pytest.raises(Refused, match="full"):
        done(session.greeting())


def test_messages_are_fetched_as_they_are() -> None:
    session, _ = imap(
        b"* 1 FETCH (BODY[] {5}\r\nab\r\nc)\r\n* 7 EXISTS\r\n* 2 FETCH (FLAGS (\\Seen) BODY[] {2}\r\nxy)\r\na1 OK\r\n"
    )
    assert done(session.fetch("1:2")) == [b"ab\r\nc", b"xy"]
    assert session.exists == 7


def test_serials_are_found_with_their_uids() -> None:
    said = b"* 2 FETCH (UID 9 BODY[HEADER.FIELDS (X-LOADTEST-SERIAL)] {24}\r\nX-Loadtest-Serial: 77\r\n\r\n)\r\n"
    other = b"* 3 FETCH (UID 10 BODY[HEADER.FIELDS (X-LOADTEST-SERIAL)] {2}\r\n\r\n)\r\na1 OK\r\n"
    session, _ = imap(said.replace(b"{24}", b"{%d}" % len(b"X-Loadtest-Serial: 77\r\n\r\n")), other)
    assert done(session.serials("1:*")) == {77: 9}


def test_a_message_is_appended_when_the_server_wants_it() -> None:
    session, peer = imap(b"* 4 EXISTS\r\n+ go\r\na1 OK [APPENDUID 1 12] done\r\n")
    assert done(session.append(b"hello")) == 12
    assert peer.said_to_it == b"a1 APPEND INBOX {5}\r\nhello\r\n"


def test_a_server_may_not_tell_the_uid_and_may_refuse() -> None:
    session, _ = imap(b"+ go\r\na1 OK done\r\na2 NO [OVERQUOTA] full\r\n")
    assert done(session.append(b"x")) == 0
    with pytest.raises(Refused, match="full"):
        done(session.append(b"x"))


def test_idling_ends_when_something_new_is_told() -> None:
    session, peer = imap(b"+ idling\r\n* OK still here\r\n* 1 EXISTS\r\na1 OK\r\n")
    done(session.idle(0.0))
    assert session.exists == 1
    assert peer.said_to_it == b"a1 IDLE\r\nDONE\r\n"


def test_expunged_messages_are_counted_off() -> None:
    session, _ = imap(b"* 3 EXISTS\r\n* 1 EXPUNGE\r\na1 OK\r\n")
    done(session.noop())
    assert session.exists == 2


def test_being_sent_away_is_trouble_but_not_after_a_logout() -> None:
    session, _ = imap(b"* BYE moved\r\n")
    with pytest.raises(Trouble, match="moved") as found:
        done(session.noop())
    assert found.value.kind == "noop: sent away"
    session, _ = imap(b"* BYE bye\r\na1 OK\r\n")
    done(session.logout())


def test_what_is_not_imap_is_trouble() -> None:
    session, _ = imap(b"+OK POP3 here\r\nwhat?\r\n")
    with pytest.raises(Trouble, match="what"):
        done(session.noop())


def test_pipelined_answers_have_to_come_in_their_order() -> None:
    session, peer = imap(b"a1 OK\r\n* 1 EXISTS\r\na2 OK\r\na3 OK\r\n")
    assert done(session.pipeline(3)) == 3
    assert peer.said_to_it == b"a1 NOOP\r\na2 NOOP\r\na3 NOOP\r\n"
    session, _ = imap(b"a2 OK\r\na1 OK\r\n")
    assert done(session.pipeline(2)) == 0


def test_too_big_a_message_is_not_taken() -> None:
    session, _ = imap(b"* 1 FETCH (BODY[] {999999999}\r\n")
    with pytest.raises(Trouble, match="999999999"):
        done(session.fetch("1"))


def test_resting_notes_what_is_told() -> None:
    session, _ = imap(b"* 9 EXISTS\r\n")
    done(session.rest(0.0))
    assert session.exists == 9


def test_a_status_is_asked_for() -> None:
    session, peer = imap(b"* STATUS INBOX (MESSAGES 1)\r\na1 OK\r\n")
    done(session.status())
    assert peer.said_to_it == b"a1 STATUS INBOX (MESSAGES UIDNEXT UNSEEN)\r\n"


def test_quoting_escapes_what_has_to_be() -> None:
    assert quoted('a"b\\c') == b'"a\\"b\\\\c"'
