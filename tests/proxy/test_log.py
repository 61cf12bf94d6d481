"""One record is one line, whatever a stranger put into it, and a log that cannot be written stops nobody."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.log import (
    ATOMIC,
    ENCODERS,
    Clock,
    SessionLog,
    Sink,
    Value,
    json_line,
    logfmt_line,
    open_session_log,
    open_sink,
    set_up_messages,
)
from proxy.settings import LogSettings

NOW = 1795253400.125
"""2026-11-21 at 09:30 UTC and an eighth of a second."""


def logfmt_fields(line: str) -> dict[str, object]:
    """Reads a line back: the reverse of `logfmt_line`, except that bare words stay texts."""
    fields: dict[str, object] = {}
    for key, quoted, bare in re.findall(r'(\w+)=(?:("(?:[^"\\]|\\.)*")|(\S*))(?: |$)', line):
        fields[key] = json.loads(quoted) if quoted else bare
    return fields


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(alphabet='"\\= \n\x1b\u2028é\ud800')
)
fields = st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values)


@example({"detail": "\x7f"})
@given(fields)
def test_a_record_of_any_values_is_one_line_of_json_that_reads_back(record: dict[str, Value]) -> None:
    line = json_line(record)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert not any(byte < 32 or byte == 127 for byte in line[:-1])
    finite = {key: str(v) if isinstance(v, float) and not math.isfinite(v) else v for key, v in record.items()}
    assert json.loads(line) == {key: value for key, value in finite.items() if value is not None}


@given(fields)
def test_a_record_of_any_values_is_one_line_of_logfmt_that_reads_back(record: dict[str, Value]) -> None:
    line = logfmt_line(record)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert not any(byte < 32 or byte == 127 for byte in line[:-1])
    written = logfmt_fields(line.decode().rstrip("\n"))
    for key, value in record.items():
        if value is None:
            assert key not in written
        elif isinstance(value, str):
            assert written[key] == value
        elif isinstance(value, bool):
            assert written[key] == ("true" if value else "false")
        else:
            assert written[key] == (
                str(value) if not isinstance(value, float) or not math.isfinite(value) else repr(value)
            )


def test_plain_words_stay_readable_in_logfmt() -> None:
    record: dict[str, Value] = {"user": "alice@example.org", "client": "[2001:db8::1]:993", "text": "a b", "none": ""}
    assert logfmt_line(record) == b'user=alice@example.org client=[2001:db8::1]:993 text="a b" none=""\n'


def test_a_user_name_cannot_forge_a_field_or_a_record() -> None:
    record: dict[str, Value] = {"user": 'x" status=ok\nuser=root \x1b[31m', "status": "bad"}
    assert logfmt_line(record) == b'user="x\\" status=ok\\nuser=root \\u001b[31m" status=bad\n'
    assert json_line(record) == b'{"user":"x\\" status=ok\\nuser=root \\u001b[31m","status":"bad"}\n'


def test_the_clock_writes_milliseconds_and_the_second_once() -> None:
    clock = Clock()
    assert clock.stamp(NOW) == "2026-11-21T09:30:00.125Z"
    assert clock.stamp(NOW + 0.5) == "2026-11-21T09:30:00.625Z"
    assert clock.stamp(NOW + 0.9) == "2026-11-21T09:30:01.025Z"


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_lines_are_held_back_until_they_are_flushed(tmp_path: Path) -> None:
    file = tmp_path / "log"
    log = open_session_log(LogSettings(file=file), open_sink(LogSettings(file=file)))
    log.record({"user": "alice"}, NOW)
    log.record({"user": "bob"}, NOW)
    assert lines(file) == []
    log.flush(NOW)
    log.flush(NOW)
    assert lines(file) == [
        {"time": "2026-11-21T09:30:00.125Z", "user": "alice"},
        {"time": "2026-11-21T09:30:00.125Z", "user": "bob"},
    ]


def test_a_rotated_file_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "log"
    sink = Sink(file)
    log = SessionLog(sink, json_line, limit=10_000)
    log.record({"n": 1}, NOW)
    log.flush(NOW)
    file.rename(tmp_path / "log.1")
    log.record({"n": 2}, NOW)
    log.flush(NOW)
    log.reopen()
    log.record({"n": 3}, NOW)
    log.flush(NOW)
    sink.close()
    assert [line["n"] for line in lines(tmp_path / "log.1")] == [1, 2]
    assert [line["n"] for line in lines(file)] == [3]
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_opened_again_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    sink = Sink(directory / "log")
    directory.rename(tmp_path / "moved")
    with pytest.raises(OSError, match="No such file"):
        sink.reopen()
    assert sink.write(b"x\n") == 2
    assert (tmp_path / "moved" / "log").read_bytes() == b"x\n"


def test_standard_error_is_never_opened_or_closed(tmp_path: Path) -> None:
    with (tmp_path / "err").open("wb") as file:
        sink = Sink(None, file.fileno())
        sink.reopen()
        sink.close()
        assert sink.write(b"x\n") == 2


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_pipe_that_nobody_reads_stops_nobody_and_the_loss_is_told(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    capacity = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 2 * ATOMIC)
    log = SessionLog(Sink(None, writer), json_line, limit=4 * ATOMIC)
    for number in range(400):
        log.record({"n": number, "filler": "x" * 40}, NOW)
        log.flush(NOW)
    assert log.dropped > 0
    received = b""
    while log._lines:
        received += os.read(reader, capacity)
        log.flush(NOW)
    received += os.read(reader, capacity)
    written = [json.loads(line) for line in received.splitlines()]
    sessions = [line["n"] for line in written if "n" in line]
    assert sessions == list(range(400 - log.dropped))
    assert [line["lines"] for line in written if "n" not in line] == [log.dropped]


def test_a_pipe_gets_whole_lines_in_pieces_that_it_takes_at_once(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []

    def write(_: int, piece: bytes) -> int:
        pieces.append(piece)
        return len(piece)

    monkeypatch.setattr("proxy.log.os.write", write)
    data = b"".join(b"%d " % number + b"y" * 1500 + b"\n" for number in range(5)) + b"z" * 9000 + b"\nend\n"
    assert Sink(None, pipe[1]).write(data) == len(data)
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert [len(piece) for piece in pieces] == [3006, 3006, 1503, 9001, 4]


def test_a_piece_that_was_taken_in_part_is_continued_later(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bytes] = []

    def write(_: int, piece: bytes) -> int:
        taken.append(piece[:3])
        return 3

    monkeypatch.setattr("proxy.log.os.write", write)
    assert Sink(None, pipe[1]).write(b"one\ntwo\n") == 3
    assert taken == [b"one"]


def test_a_reader_that_has_gone_away_is_no_exception() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        log = SessionLog(Sink(None, ours.fileno()), json_line, limit=1000)
        log.record({"n": 1}, NOW)
        log.flush(NOW)
        assert log._lines


@pytest.fixture
def messages(tmp_path: Path) -> Iterator[Path]:
    """The root logger as it was, after a test has set it up."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield tmp_path / "messages"
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_messages_of_all_modules_are_records_too(messages: Path, name: str) -> None:
    settings = LogSettings(file=messages, format="json" if name == "json" else "logfmt", level="warning")
    set_up_messages(settings, Sink(messages))
    logging.getLogger("proxy.worker").info("not shown")
    try:
        raise ValueError("first line\nsecond line")
    except ValueError:
        logging.getLogger("proxy.worker").exception("worker %d\nfailed", 3)
    (line,) = messages.read_text().splitlines()
    record = json.loads(line) if name == "json" else logfmt_fields(line)
    assert (record["level"], record["logger"], record["message"]) == ("error", "proxy.worker", "worker 3\nfailed")
    assert str(record["exception"]).startswith("Traceback")
    assert "second line" in str(record["exception"])


def test_a_message_that_cannot_be_formatted_does_not_reach_the_caller(
    messages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_messages(LogSettings(file=messages), Sink(messages))
    logging.getLogger("x").warning("%d", "no number")
    assert messages.read_text() == ""
    assert "Logging error" in capsys.readouterr().err
