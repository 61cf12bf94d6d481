"""The command line: `vestibule loadtest run|directory|report|compare|scale`.

Each command is a module that offers `DESCRIPTION`, `add_arguments(parser)` and `run(options) -> int`; it is imported
only when it is asked for. Exit codes: 0 done, 1 what was tested did not hold, 2 it could not be tested, 130 interrupted
by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("loadtest.fleet.command", "let a fleet of mail clients loose on a proxy, and check what it hears"),
    "directory": ("loadtest.people", "write a directory of N users as LDIF"),
    "report": ("loadtest.report.command", "show the report of a run as a page, or compare two"),
    "compare": ("loadtest.compare.command", "measure Vestibule and its peers side by side"),
    "scale": ("loadtest.scale.command", "open tens of thousands of sessions, hold them, and close them"),
}
"""Name -> its module, and what it does."""

CANNOT = 2
"""The exit code of what could not be tested."""


class Command(Protocol):
    """What a command's module offers."""

    DESCRIPTION: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. Bad usage ends in SystemExit(2), as argparse does it."""
    parser = argparse.ArgumentParser(prog="vestibule loadtest", description="Put a mail proxy to the test.")
    table = "\n".join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"commands, each with a --help of its own:\n{table}"
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    options = parser.parse_args(arguments)
    return _command(options.command, options.arguments)


def _command(name: str, arguments: Sequence[str]) -> int:
    try:
        command = cast(Command, importlib.import_module(COMMANDS[name][0]))
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("loadtest"):
            raise
        print(
            f"vestibule: {missing.name} is missing; install it with: pip install 'vestibule[loadtest]'", file=sys.stderr
        )
        return CANNOT
    parser = argparse.ArgumentParser(prog=f"vestibule loadtest {name}", description=command.DESCRIPTION)
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
