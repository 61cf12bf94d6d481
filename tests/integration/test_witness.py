"""The independent checker is believed, so it is shown logs whose truth is known."""

from __future__ import annotations

from datetime import datetime

from .dsync import READER
from .witness import Witness

NOON = datetime(2026, 3, 1, 12).astimezone().timestamp()


def at(second: float) -> str:
    return datetime.fromtimestamp(NOON + second).strftime("%Y-%m-%d %H:%M:%S.%f")


def login(
    second: float, user: str, session: str, *, pid: int = 7, address: str = "192.0.2.7", protocol: str = "imap"
) -> str:
    return (
        f"{at(second)} {protocol}-login: Info: Login: user=<{user}>, method=PLAIN, rip={address}, lip=127.0.0.1, "
        f"mpid={pid}, secured, session=<{session}>\n"
    )


def logout(second: float, user: str, session: str, *, pid: int = 7, protocol: str = "imap") -> str:
    return f"{at(second)} {protocol}({user})<{pid}><{session}>: Info: Disconnected: Logged out in=1 out=2\n"


def spans(witness: Witness, user: str) -> dict[str, list[tuple[float, float]]]:
    """The intervals in seconds after noon."""
    return {
        server: [(round(began - NOON, 6), round(ended - NOON, 6)) for began, ended in intervals]
        for server, intervals in witness.intervals(user).items()
    }


def test_a_session_lasts_from_its_login_line_to_its_logout_line() -> None:
    witness = Witness({"a": login(1.25, "ann", "S1") + logout(3.5, "ann", "S1")})
    assert spans(witness, "ann") == {"a": [(1.25, 3.5)]}
    assert witness.overlaps() == []


def test_one_user_on_two_servers_at_once_is_seen_for_as_long_as_it_lasts() -> None:
    a = login(1, "ann", "S1") + logout(4, "ann", "S1")
    b = login(3.5, "ann", "S2") + logout(9, "ann", "S2")
    (overlap,) = Witness({"a": a, "b": b}).overlaps()
    assert (overlap.user, overlap.servers, overlap.began - NOON) == ("ann", ("a", "b"), 3.5)
    assert round(overlap.seconds, 6) == 0.5
    assert Witness({"a": a, "b": b}).overlaps(longer_than=0.6) == []


def test_one_after_the_other_and_different_users_are_no_overlap() -> None:
    a = login(1, "ann", "S1") + logout(4, "ann", "S1")
    b = login(4, "ann", "S2") + logout(9, "ann", "S2") + login(1, "bob", "S3", pid=8) + logout(9, "bob", "S3", pid=8)
    assert Witness({"a": a, "b": b}).overlaps() == []


def test_several_sessions_on_one_server_count_as_one_stay() -> None:
    a = login(1, "ann", "S1") + login(2, "ann", "S2", pid=8, protocol="pop3") + logout(3, "ann", "S1")
    a += logout(5, "ann", "S2", pid=8, protocol="pop3") + login(6, "ann", "S4") + logout(7, "ann", "S4")
    b = login(0, "ann", "S3", protocol="managesieve") + logout(9, "ann", "S3", protocol="managesieve")
    witness = Witness({"a": a, "b": b})
    assert spans(witness, "ann") == {"a": [(1, 5), (6, 7)], "b": [(0, 9)]}
    assert [round(each.seconds, 6) for each in witness.overlaps()] == [4, 1]


def test_sessions_of_a_killed_server_end_when_it_was_killed() -> None:
    a = login(1, "ann", "S1") + login(6, "ann", "S9") + logout(7, "ann", "S9")
    b = login(4, "ann", "S2") + logout(5, "ann", "S2")
    witness = Witness({"a": a, "b": b}, {"a": [NOON + 3, NOON + 20]})
    assert spans(witness, "ann") == {"a": [(1, 3), (6, 7)], "b": [(4, 5)]}
    assert witness.overlaps() == []


def test_a_kill_before_a_login_does_not_end_it() -> None:
    witness = Witness({"a": login(5, "ann", "S1")}, {"a": [NOON + 3]}, until=NOON + 10)
    assert spans(witness, "ann") == {"a": [(5, 10)]}


def test_sessions_that_never_end_last_until_the_end_of_the_observation() -> None:
    witness = Witness({"a": login(1, "ann", "S1"), "b": login(2, "ann", "S2")}, until=NOON + 10)
    assert [(round(each.seconds, 6), each.servers) for each in witness.overlaps()] == [(8, ("a", "b"))]


def test_a_process_that_is_killed_takes_its_session_along() -> None:
    death = f"{at(3)} master: Error: service(imap): child 7 killed with signal 9\n"
    assert spans(Witness({"a": login(1, "ann", "S1") + death}), "ann") == {"a": [(1, 3)]}


def test_an_end_may_be_written_before_its_login() -> None:
    a = logout(1.0, "ann", "S1") + login(1.001, "ann", "S1")
    assert spans(Witness({"a": a}, until=NOON + 10), "ann") == {"a": [(1.0, 1.0)]}


def test_the_same_session_on_two_servers_is_two_sessions() -> None:
    a, b = login(1, "ann", "S1") + logout(2, "ann", "S1"), login(3, "ann", "S1") + logout(4, "ann", "S1")
    assert spans(Witness({"a": a, "b": b}), "ann") == {"a": [(1, 2)], "b": [(3, 4)]}


def test_who_has_not_logged_in_was_not_there() -> None:
    log = (
        f"{at(1)} imap-login: Info: Disconnected: Aborted login by logging out (no auth attempts in 0 secs): user=<>, "
        f"rip=192.0.2.7, lip=127.0.0.1, secured, session=<S1>\n"
        f"{at(1)} imap-login: Info: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<ann>, "
        f"method=PLAIN, rip=192.0.2.7, lip=127.0.0.1, mpid=0, session=<S2>\n"
        f"{at(1)} auth: Info: passwd-file(ann,192.0.2.7,<S2>): Password mismatch\n"
    )
    assert Witness({"a": log}).sessions == []


def test_probes_and_our_own_look_at_the_mail_do_not_count() -> None:
    a = login(1, "probe", "S1") + login(1, "ann", "S2", address=READER, pid=8)
    assert Witness({"a": a}, without_users={"probe"}).sessions == []
