"""The command line: `vestibule serve|check-config|route`.

Exit codes: 0 done, 1 refused or not found, 2 bad usage or configuration.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from ldapmap import Finding
from proxy.checks import check_file, check_servers
from proxy.config import ConfigurationError, load
from proxy.explain import explain
from tls import CertificateFault

DEFAULT_CONFIG = Path("/etc/vestibule/vestibule.toml")

DONE, REFUSED, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. Bad usage ends in SystemExit(2), as argparse does it."""
    options = _parser().parse_args(arguments)
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
    parser = argparse.ArgumentParser(prog="vestibule", description="A mail proxy for IMAP, POP3 and ManageSieve.")
    parser.add_argument("--version", action="version", version=f"vestibule {version('vestibule')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_command(commands, "serve", "Run the daemon in the foreground.")
    check = _add_command(commands, "check-config", "Check the configuration and every server it names.", listing=True)
    check.add_argument("--offline", action="store_true", help="look at files only, ask no server")
    route = _add_command(commands, "route", "Show where a user would be sent, and why.", listing=True)
    route.add_argument("user", metavar="USER", help="the name as a mail client would send it")
    route.add_argument("--protocol", choices=("imap", "pop3", "managesieve"), help="default: the first one configured")
    return parser


def _add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, *, listing: bool = False
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="configuration file (default: %(default)s)"
    )
    if listing:
        command.add_argument("--json", action="store_true", help="print JSON")
    return command


def _serve(options: argparse.Namespace) -> int:
    settings = load(options.config)
    from proxy.supervisor import serve  # the other commands have no use for event loops and sessions

    return serve(settings)


def _check_config(options: argparse.Namespace) -> int:
    settings, findings = check_file(options.config)
    bad_file = _has_error(findings)
    if settings is not None and not bad_file and not options.offline:
        findings += check_servers(settings)
    _print_findings(findings, as_json=options.json)
    if bad_file:
        return UNUSABLE
    return REFUSED if _has_error(findings) else DONE


def _has_error(findings: Sequence[Finding]) -> bool:
    return any(finding.level == "error" for finding in findings)


def _print_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
        return
    for finding in findings:
        print(f"{finding.level:<8} {finding.subject}: {finding.text}")


def _route(options: argparse.Namespace) -> int:
    explanation = explain(load(options.config), options.user, options.protocol)
    print(json.dumps(explanation.as_json(), indent=2) if options.json else explanation.as_text())
    return DONE if explanation.found else REFUSED


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "check-config": _check_config,
    "route": _route,
}
