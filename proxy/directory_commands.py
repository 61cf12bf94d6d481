"""`vestibule directory check|show|mirror`: what the directory and its mirror say, and that they agree."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ldapmap import DirectoryError, ask_mirror, check_directory
from proxy.config import ConfigurationError, load
from proxy.lookup import look_up
from proxy.outgoing import directory_context
from proxy.output import DONE, REFUSED, print_findings, verdict
from proxy.reading import Fault
from proxy.settings import Settings


def add_commands(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """The commands below `directory`; `common` has the options of all listings."""
    commands = parser.add_subparsers(dest="directory_command", required=True, metavar="COMMAND")
    text = "Check the directory servers: reached, schema, indexes, and what a mirror needs."
    commands.add_parser("check", parents=[common], help=text, description=text)
    text = "Show what directory and mirror say about a user."
    show = commands.add_parser("show", parents=[common], help=text, description=text)
    show.add_argument("user", metavar="USER", help="the name as a mail client would send it")
    text = "Look at the running daemon's mirror, or have it loaded anew."
    mirror = commands.add_parser("mirror", help=text, description=text)
    words = mirror.add_subparsers(dest="mirror_command", required=True, metavar="COMMAND")
    text = "Show how far the mirror follows the directory."
    words.add_parser("status", parents=[common], help=text, description=text)
    text = "Load the mirror anew; whatever the directory does not have any more is meant to vanish."
    words.add_parser("rebuild", parents=[common], help=text, description=text)


def run(options: argparse.Namespace) -> int:
    """One of the commands; the exit code. Raises ConfigurationError."""
    return _COMMANDS[options.directory_command](options)


def _check(options: argparse.Namespace) -> int:
    settings = load(options.config)
    findings = check_directory(settings.directory, directory_context(settings.directory))
    print_findings(findings, as_json=options.json)
    return verdict(findings)


def _show(options: argparse.Namespace) -> int:
    shown = look_up(load(options.config), options.user)
    print(json.dumps(shown.as_json(), indent=2) if options.json else shown.as_text())
    return DONE if shown.found else REFUSED


def _mirror(options: argparse.Namespace) -> int:
    path = _mirror_path(load(options.config))
    try:
        answer = ask_mirror(path, options.mirror_command)
    except DirectoryError as error:
        print(f"vestibule: {error.reason}; is the daemon running?", file=sys.stderr)
        return REFUSED
    if options.json:
        print(json.dumps(answer, indent=2))
    else:
        print(_words(answer))
    good = answer.get("state") == "following" if options.mirror_command == "status" else "error" not in answer
    return DONE if good else REFUSED


def _mirror_path(settings: Settings) -> Path:
    if settings.mirror_path is None:
        raise ConfigurationError(Fault("directory.mirror", "is false: there is no mirror; set it to true"))
    return settings.mirror_path


def _words(answer: Mapping[str, Any]) -> str:
    rows = [(name.replace("_", " "), _word(name, value)) for name, value in answer.items() if value != ""]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _word(name: str, value: object) -> str:
    if name == "last_contact" and isinstance(value, (int, float)):
        return f"{max(time.time() - value, 0):.1f} s ago" if value else "never"
    if name == "lag_seconds" and isinstance(value, (int, float)):
        return f"{value * 1000:.1f} ms"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {"check": _check, "show": _show, "mirror": _mirror}
