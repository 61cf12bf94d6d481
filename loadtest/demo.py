"""`python -m loadtest.demo [--once]`: Vestibule in front of four simulated mail servers, on this machine, right now."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from loadtest.demo_site import ADDRESS, LISTENERS, DemoSite, User, open_site
from loadtest.visit import SCRIPTS, VisitFailed, visit

READY = b"vestibule: ready"

START = 30.0
"""Seconds the daemon has to become ready."""

STOP = 15.0
"""Seconds the daemon has to end."""


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


class Daemon:
    """The running proxy, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.quiet = True

    async def ready(self) -> None:
        """Wait until it accepts connections; raises DemoFailed with what it said when it ends or hesitates."""
        said = b""
        try:
            async with asyncio.timeout(START):
                while READY not in said:
                    line = await self._line()
                    said += line
                    if not line:
                        break
        except TimeoutError:
            said += b"it did not become ready in time"
        if READY not in said:
            raise DemoFailed(f"Vestibule did not start:\n{said.decode(errors='replace')}")

    async def pass_on(self) -> None:
        """Read its log until it ends, and print it once there is nothing else to be read on the screen."""
        while line := await self._line():
            if not self.quiet:
                sys.stdout.write(f"  {line.decode(errors='replace')}")
                sys.stdout.flush()

    async def _line(self) -> bytes:
        assert self._process.stderr is not None  # noqa: S101 (it was started with a pipe)
        return await self._process.stderr.readline()

    async def stop(self) -> None:
        """End it, by force if it does not listen."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def serving(config: Path) -> AsyncIterator[Daemon]:
    """The proxy as an operator starts it, ready for connections. Raises DemoFailed."""
    daemon = Daemon(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "serve", "--config", str(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends the daemon in an orderly way
            limit=1 << 20,
        )
    )
    try:
        await daemon.ready()
        reading = asyncio.create_task(daemon.pass_on())
        try:
            yield daemon
        finally:
            await daemon.stop()
            await reading
    finally:
        await daemon.stop()


async def route(config: Path, user: str) -> dict[str, Any]:
    """What `vestibule route USER --json` says; raises DemoFailed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "route", user, "--config", str(config), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, complaint = await process.communicate()
    if process.returncode:
        raise DemoFailed(f"vestibule route {user}: {(complaint or told).decode(errors='replace')}")
    answer: dict[str, Any] = json.loads(told)
    return answer


async def show(site: DemoSite) -> int:
    """Log in once as every user in every protocol and tell what happened; the number of logins that failed."""
    context = ssl.create_default_context(cafile=str(site.ca_file))
    failed = 0
    for user in site.users:
        answer = await route(site.config, user.name)
        backend, why = choice(answer)
        print(f"\n{user.name}: the directory says shard {user.shard}; Vestibule chooses {backend} ({why})")
        for protocol in SCRIPTS:
            failed += not await _show_login(site, context, user, protocol, backend)
    return failed


def choice(answer: dict[str, Any]) -> tuple[str, str]:
    """The backend and the reason in what `route --json` says; raises DemoFailed when it tells none."""
    for step in answer["steps"]:
        if step["step"] == "choice":
            backend, _, why = str(step["result"]).partition(": ")
            return backend, why
    raise DemoFailed(f"{answer['typed']} has no backend")


async def _show_login(site: DemoSite, context: ssl.SSLContext, user: User, protocol: str, expected: str) -> bool:
    port = next(site.ports[name] for name, listener in LISTENERS.items() if listener[:2] == (protocol, "implicit"))
    try:
        backend = await visit(protocol, port, context, user.name, user.password)
    except VisitFailed as failure:
        print(f"  {protocol:<12} FAILED: {failure}")
        return False
    as_chosen = backend == expected
    print(f"  {protocol:<12} logged in, answered by {backend}{'' if as_chosen else ': NOT the one that was chosen'}")
    return as_chosen


def instructions(site: DemoSite) -> str:
    """How to try it by hand."""
    user = site.users[0]
    ports = "\n".join(
        f"    {protocol:<12} {ADDRESS}:{site.ports[name]:<6} {'TLS' if tls == 'implicit' else 'STARTTLS'}"
        for name, (protocol, tls, _) in LISTENERS.items()
    )
    people = "\n".join(f"    {each.name:<12} password: {each.password}" for each in site.users)
    return f"""
Try it yourself. Mail clients connect to localhost (the certificate is signed by {site.ca_file}):
{ports}
as one of these:
{people}

    openssl s_client -quiet -crlf -connect {ADDRESS}:{site.ports["imaps"]} -servername localhost -CAfile {site.ca_file}
    a LOGIN {user.name} "{user.password}"
    b SELECT INBOX
    c FETCH 1 BODY[]

    vestibule route {user.name} --config {site.config}       where a user goes, and why
    curl http://{ADDRESS}:{site.ports["metrics"]}/metrics             what happened so far

The configuration is {site.config}. End with Ctrl-C; the log follows.
"""


async def demo(once: bool) -> int:
    """Run the demo until its end, or until SIGINT or SIGTERM cancels it; the exit code."""
    _cancel_at_signals()
    with tempfile.TemporaryDirectory(prefix="vestibule-demo-") as name:
        async with open_site(Path(name)) as site:
            print("Starting Vestibule in front of", ", ".join(backend.name for backend in site.backends))
            async with serving(site.config) as daemon:
                failed = await show(site)
                total = len(site.users) * len(SCRIPTS)
                print(f"\n{total - failed} of {total} logins succeeded")
                if not once:
                    print(instructions(site))
                    daemon.quiet = False
                    await _interrupted()
        return 1 if failed else 0


def _cancel_at_signals() -> None:
    """Let Ctrl-C and SIGTERM end this task in the same orderly way, wherever it is."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (a coroutine that runs is in a task)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _interrupted() -> None:
    """Wait for one of these signals."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code.

    0 done, 1 a login failed, 2 the demo could not run, 130 it was interrupted before its logins were done.
    """
    parser = argparse.ArgumentParser(prog="demo", description="Show Vestibule at work on this machine.")
    parser.add_argument("--once", action="store_true", help="end after the logins instead of waiting for Ctrl-C")
    options = parser.parse_args(arguments)
    try:
        return asyncio.run(demo(options.once))
    except (DemoFailed, OSError) as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        return 130


if __name__ == "__main__":
    sys.exit(main())
