"""The command line: `vestibule serve|check-config|route|directory|backends|who|move|…`.

Exit codes: 0 done, 1 refused or not found, 2 bad usage or configuration.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points, version
from pathlib import Path

from proxy import director_commands, directory_commands
from proxy.checks import check_file, check_servers
from proxy.config import ConfigurationError, load
from proxy.explain import explain
from proxy.output import DONE, REFUSED, UNUSABLE, print_findings, verdict
from tls import CertificateFault

FURTHER_COMMANDS = "vestibule.commands"
"""Entry points of installed packages that are commands of their own: arguments in, exit code out."""

DEFAULT_CONFIG = Path("/etc/vestibule/vestibule.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. Bad usage ends in SystemExit(2), as argparse does it."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and (further := entry_points(group=FURTHER_COMMANDS, name=words[0])):
        command: Callable[[Sequence[str]], int] = next(iter(further)).load()
        return command(words[1:])
    options = _parser().parse_args(words)
    try:
        return _COMMANDS[options.command](options)
    except ConfigurationError as error:
        for fault in error.faults:
            print(f"vestibule: {fault}", file=sys.stderr)
        print(f"vestibule: {options.config} cannot be used", file=sys.stderr)
    except CertificateFault as fault:
        print(f"vestibule: {fault}", file=sys.stderr)
    return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    further = ", ".join(sorted(entry.name for entry in entry_points(group=FURTHER_COMMANDS)))
    parser = argparse.ArgumentParser(
        prog="vestibule",
        description="A mail proxy for IMAP, POP3 and ManageSieve.",
        epilog=further and f"further commands, with a help of their own: {further}",
    )
    parser.add_argument("--version", action="version", version=f"vestibule {version('vestibule')}")
    config, listing = _common_options()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "Run the daemon in the foreground."
    commands.add_parser("serve", parents=[config], help=text, description=text)
    text = "Check the configuration and every server it names."
    check = commands.add_parser("check-config", parents=[listing], help=text, description=text)
    check.add_argument("--offline", action="store_true", help="look at files only, ask no server")
    text = "Show where a user would be sent, and why."
    route = commands.add_parser("route", parents=[listing], help=text, description=text)
    route.add_argument("user", metavar="USER", help="the name as a mail client would send it")
    route.add_argument("--protocol", choices=("imap", "pop3", "managesieve"), help="default: the first one configured")
    text = "Look into the directory and its mirror."
    directory_commands.add_commands(commands.add_parser("directory", help=text, description=text), listing)
    director_commands.add_commands(commands, listing)
    return parser


def _common_options() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """What every command takes, and what every listing takes."""
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="configuration file (default: %(default)s)"
    )
    listing = argparse.ArgumentParser(add_help=False, parents=[config])
    listing.add_argument("--json", action="store_true", help="print JSON")
    return config, listing


def _serve(options: argparse.Namespace) -> int:
    settings = load(options.config)
    from proxy.supervisor import serve  # the other commands have no use for event loops and sessions

    return serve(settings)


def _check_config(options: argparse.Namespace) -> int:
    settings, findings = check_file(options.config)
    bad_file = verdict(findings) != DONE
    if settings is not None and not bad_file and not options.offline:
        findings += check_servers(settings)
    print_findings(findings, as_json=options.json)
    return UNUSABLE if bad_file else verdict(findings)


def _route(options: argparse.Namespace) -> int:
    explanation = explain(load(options.config), options.user, options.protocol)
    print(json.dumps(explanation.as_json(), indent=2) if options.json else explanation.as_text())
    return DONE if explanation.found else REFUSED


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "check-config": _check_config,
    "route": _route,
    "directory": directory_commands.run,
    **dict.fromkeys(director_commands.COMMANDS, director_commands.run),
}
