"""Commands of operators: what may be put into them, how they are run, and that nothing of them is left."""

import asyncio
import gc
import sys
from pathlib import Path
from typing import Any

import pytest

from director.commands import MAX_TEXT, Unfit, filled, placeholders, run
from tests.integration.processes import group_members
from tests.integration.wait import wait_until


def test_values_stand_in_for_their_names() -> None:
    command = ["check", "--from={partner}", "{host}:{partner}", "$HOME", "{}"]
    assert sorted(placeholders(command)) == ["host", "partner", "partner"]
    values = {"partner": "mb1b", "host": "2001:db8::1", "user": "unused; rm"}
    assert filled(command, values) == ["check", "--from=mb1b", "2001:db8::1:mb1b", "$HOME", "{}"]


def test_a_value_is_not_looked_into_for_names() -> None:
    with pytest.raises(Unfit):
        filled(["{user}"], {"user": "{host}", "host": "mb1"})


@pytest.mark.parametrize("name", ["ann", "ann@example.org", "ann+lists", "Jürgen", "EXAMPLE/ann", "ann.b_c-d=e"])
def test_ordinary_names_are_given(name: str) -> None:
    assert filled(["who", "{user}"], {"user": name}) == ["who", name]


@pytest.mark.parametrize(
    "name", ["", "-A", "a b", "ann;id", "$(id)", "`id`", "a\nb", "a'b", 'a"b', "a|b", "a&b", "~root", "*"]
)
def test_names_that_a_shell_or_a_program_might_misread_are_not(name: str) -> None:
    with pytest.raises(Unfit):
        filled(["who", "{user}"], {"user": name})


async def test_the_exit_code_and_the_last_line_are_told() -> None:
    assert await run(["sh", "-c", "echo one; echo two >&2; echo; exit 3"]) == (3, "two")
    assert await run(["true"]) == (0, "")


async def test_a_signal_is_told_as_its_negative_number() -> None:
    assert (await run(["sh", "-c", "kill -9 $$"])).code == -9


async def test_a_command_that_is_not_there_cannot_be_run() -> None:
    with pytest.raises(FileNotFoundError):
        await run(["/nowhere/check"])


async def test_there_is_little_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESTIBULE_SECRET", "secret")
    look = "import os, sys; print(sorted(set(os.environ) - {'LC_CTYPE'}), os.getcwd(), sys.stdin.read() == '')"
    assert (await run([sys.executable, "-c", look])).text == "['LANG', 'PATH'] / True"


async def test_endless_output_is_thrown_away() -> None:
    code, text = await run([sys.executable, "-c", "print('x' * 3_000_000); print('y' * 1000)"])
    assert (code, text) == (0, "y" * MAX_TEXT)


async def test_what_is_told_does_no_harm_to_a_terminal() -> None:
    assert (await run(["printf", "\\033[31mred\\n"])).text == " [31mred"


async def test_a_command_that_takes_too_long_is_killed_with_all_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "group"
    stubborn = f"trap '' TERM; sleep 1000 & echo $$ > {mark}.new; mv {mark}.new {mark}; wait"
    task = asyncio.ensure_future(run(["sh", "-c", stubborn]))
    await asyncio.to_thread(wait_until, mark.exists)
    group = int(mark.read_text())
    assert len(group_members(group)) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until, lambda: not group_members(group))


async def test_nothing_is_left_of_a_command_that_is_not_wanted_any_more_before_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, go_on = asyncio.create_subprocess_exec, asyncio.Event()
    mark = tmp_path / "group"

    async def start_late(*command: Any, **options: Any) -> Any:
        process = await start(*command, **options)
        await go_on.wait()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_late)
    task = asyncio.ensure_future(run(["sh", "-c", f"sleep 1000 & echo $$ > {mark}.new; mv {mark}.new {mark}; wait"]))
    await asyncio.to_thread(wait_until, mark.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    group = int(mark.read_text())
    await asyncio.to_thread(wait_until, lambda: not group_members(group))


async def test_a_command_that_is_not_wanted_any_more_may_fail_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, faults = asyncio.Event(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    async def fail_late(*_: Any, **__: Any) -> Any:
        await go_on.wait()
        raise FileNotFoundError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail_late)
    task = asyncio.ensure_future(run(["check"]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)
    gc.collect()
    assert not faults
