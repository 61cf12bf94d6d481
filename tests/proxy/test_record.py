"""A session's log line: every field, what is left out, and what never gets in."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import pytest

import ldapmap
from proxy.counters import Counters
from proxy.families import PHASES, families
from proxy.log import json_line
from proxy.meters import Meters
from proxy.protocols.failures import Failure, Kind
from proxy.record import Record
from tests.proxy.front import PASSWORD, Clock, Front, People, login, plain, site
from tests.proxy.talk import Imap, Server


@pytest.fixture
def counters() -> Counters:
    outcomes = [kind.value for kind in Kind]
    return Counters(families(protocols=["imap"], backends=["mb1a"], outcomes=outcomes, certificates=[]), 1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(counters: Counters, clock: Clock) -> Record:
    return Record("session1", "imap", ("192.0.2.7", 5555), Meters(counters.workers[0], "imap", ("mb1a",)), clock)


def line_of(record: Record, transferred: tuple[int, int] | None = None) -> dict[str, Any]:
    fields = record.line("login", "client", transferred)
    return {name: value for name, value in fields.items() if value is not None}


def test_a_session_of_which_nothing_is_known_says_who_came_and_when_it_ended(record: Record, clock: Clock) -> None:
    clock.add(1.23456)
    assert line_of(record) == {
        "event": "session",
        "session": "session1",
        "protocol": "imap",
        "client": "192.0.2.7",
        "port": 5555,
        "phase": "login",
        "seconds": 1.235,
        "closed_by": "client",
    }


def test_everything_that_is_known_is_told(record: Record, clock: Clock) -> None:
    record.user, record.shard, record.backend, record.client_id = "alice", "s1", "mb1a", "Mutt 2.2"
    record.tls, record.cipher, record.client = "TLSv1.3", "TLS_AES_256_GCM_SHA384", ("198.51.100.1", 4444)
    record.failed(Failure(Kind.BAD_CREDENTIALS, "the server refused the password"))
    line = line_of(record, (10, 2000))
    assert list(line) == [
        *("event", "session", "protocol", "user", "client", "port", "via", "tls", "cipher", "client_id", "shard"),
        *("backend", "phase", "failure", "detail", "failed_logins", "seconds", "bytes_to_backend", "bytes_to_client"),
        "closed_by",
    ]
    assert (line["client"], line["port"], line["via"]) == ("198.51.100.1", 4444, "192.0.2.7")
    assert (line["failure"], line["detail"]) == ("bad_credentials", "the server refused the password")
    assert (line["bytes_to_backend"], line["bytes_to_client"]) == (10, 2000)


def test_no_bytes_are_told_as_none_and_not_left_out(record: Record) -> None:
    assert line_of(record, (0, 0))["bytes_to_client"] == 0


@pytest.mark.parametrize("settled", [False, True])
def test_the_phases_of_the_last_attempt_are_told_in_seconds(record: Record, clock: Clock, settled: bool) -> None:
    began = clock()
    clock.add(0.25)
    began = record.passed("tls", began)
    assert began == clock()
    clock.add(5)
    record.passed("directory", began)
    began = clock()
    clock.add(0.5)
    record.passed("directory", began)
    if settled:
        record.settle()
    told = {name: value for name, value in line_of(record).items() if name.endswith("_seconds")}
    assert told == {"tls_seconds": 0.25, "directory_seconds": 0.5}


def test_a_phase_that_took_no_time_is_told(record: Record, clock: Clock) -> None:
    record.passed("directory", clock())
    record.settle()
    assert line_of(record)["directory_seconds"] == 0


def test_every_attempt_is_measured_and_counted(record: Record, clock: Clock, counters: Counters) -> None:
    for phase in PHASES:
        record.passed(phase, clock())
        assert sum(counters.distribution("login_phase_seconds", ("imap", phase)).counts) == 1
    record.failed(Failure(Kind.EXPIRED))
    record.succeeded()
    assert counters.number("logins_total", ("imap", "password_expired")) == 1
    assert counters.number("logins_total", ("imap", "ok")) == 1


def test_after_a_success_earlier_failures_are_a_number_only(record: Record) -> None:
    record.failed(Failure(Kind.BAD_CREDENTIALS, "wrong"))
    record.failed(Failure(Kind.BAD_CREDENTIALS, "wrong"))
    record.succeeded()
    line = line_of(record)
    assert line["failed_logins"] == 2
    assert not {"failure", "detail"} & set(line)


async def test_a_relayed_sessions_line_has_every_step_and_the_bytes_of_both_sides(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        await client.ask(b'i ID ("name" "Mutt" "version" "2.2")')
        answer = await client.ask(login())
        await client.send(b"x NOOP\r\n")
        await client.line()
        front.clock.add(12)
        client.close()
        line = await front.ended()
        assert {
            name: line[name] for name in ("event", "protocol", "user", "shard", "backend", "phase", "client_id")
        } == {
            "event": "session",
            "protocol": "imap",
            "user": "alice",
            "shard": "s1",
            "backend": "mb1a",
            "phase": "relay",
            "client_id": "Mutt 2.2",
        }
        assert {name for name in line if name.endswith("_seconds")} == {
            f"{phase}_seconds" for phase in ("preauth", "directory", "backend_connect", "backend_login", "total")
        }
        assert line["seconds"] == 12
        assert line["bytes_to_backend"] == len(b"x NOOP\r\n")
        assert line["bytes_to_client"] == len(b"echo x NOOP\r\n")
        assert b"a OK" in answer


async def test_a_password_is_in_no_log_at_any_level_whatever_becomes_of_the_login(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    people = People()
    secrets = [PASSWORD, "a wrong passw0rd", "Sp€cial ünd lang"]
    imap = Imap(*["NO [AUTHENTICATIONFAILED] no", "BAD what", "NO [SERVERBUG] x"])
    async with Server(imap) as server, Front(site(server, timeouts={"retries": 0}), tmp_path, people) as front:
        for secret in secrets:
            for trouble in (None, ldapmap.Unavailable("away"), ldapmap.NoRoute("none"), ZeroDivisionError("ours")):
                people.trouble = {"verify": trouble} if trouble else {}
                client = await front.greeted()
                await client.send(b"a AUTHENTICATE PLAIN " + plain(password=secret) + b"\r\n")
                await client.answer(b"a")
                client.close()
                client = await front.greeted()
                await client.send(b"a LOGIN {5+}\r\nalice {%d+}\r\n%b\r\n" % (len(secret.encode()), secret.encode()))
                await client.answer(b"a")
                await client.send(
                    b"b AUTHENTICATE PLAIN\r\n" + plain(password=secret) + b"x\r\n" + secret.encode() + b"\r\n"
                )
                client.close()
        await front.ended()
        said = front.log_file.read_text() + caplog.text + "".join(capfd.readouterr())
    assert len(front.lines()) >= len(secrets) * 8
    for secret in secrets:
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        for form in (secret, secret.encode("unicode_escape").decode(), encoded, plain(password=secret).decode()):
            assert form not in said
            assert form[: len(form) // 2] not in said


async def test_a_strangers_words_cannot_forge_a_field(tmp_path: Path) -> None:
    name = 'mallory", "user": "root\\u001b[2J'
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        await client.ask(b'i ID ("name" "evil\\" \\"failure" "version" "\x1b[2J")')
        await client.send(b"a LOGIN {%d+}\r\n%b x\r\n" % (len(name), name.encode()))
        await client.answer(b"a")
        client.close()
        line = await front.ended()
        assert line["failure"] == "bad_credentials"
        assert "user" not in line
        raw = front.log_file.read_bytes()
        assert raw.count(b"\n") == 1
        assert b"\x1b" not in raw
        assert raw == json_line(line)
