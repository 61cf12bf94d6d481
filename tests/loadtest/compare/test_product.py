"""Programs that are started to be measured: ready, ended, or left out with a reason."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from loadtest.compare.product import NotHere, Product, Running, account, process, program
from loadtest.compare.surroundings import Surroundings

CHILD = "import os, sys; os.fork(); open(sys.argv[1], 'a').write('x'); sys.stdin.read(); import signal; signal.pause()"


def never(around: Surroundings, folder: Path, port: int) -> AbstractContextManager[Running]:
    raise NotHere("never")


def test_a_process_runs_while_it_is_wanted_and_its_children_with_it(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    with process([sys.executable, "-c", CHILD, sign], tmp_path / "log", sign.exists) as pid:
        assert os.getpgid(pid) == pid
        running = Running(1, (pid,))
        assert running.cpu_seconds() > 0
        assert running.pss_kib() > 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_ends_too_early_is_left_out_in_its_own_words(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "print('no such'); raise SystemExit('setting')"]
    with (
        pytest.raises(NotHere, match=r"ended with 1: .*(no such.*setting|setting.*no such)"),
        process(program, tmp_path / "log", lambda: False),
    ):
        pytest.fail("it is not ready")


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(NotHere, match="Debian package some-mail"):
        program("no-such-program", "some-mail")


def test_a_version_is_the_first_line_of_what_it_says() -> None:
    speaks = ("sh", "-c", "echo one; echo two")
    assert Product(name="P", has="", start=never, version=speaks).said_version() == "one"
    assert Product(name="P", has="", start=never, version=("no-such-program",)).said_version() == ""
    assert Product(name="P", has="", start=never).said_version() == ""


def test_nobody_serves_as_root() -> None:
    assert account().user != "root"
