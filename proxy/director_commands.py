"""`vestibule backends|shards|who|kick|move|drain|…`: the operator's talk with the director of this node."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from director import Refused, Unanswered
from ldapmap import InvalidName
from proxy import orders, screen
from proxy.asked import Asked, Run
from proxy.config import load
from proxy.console import HELP, SOCKET, Console
from proxy.listings import BACKENDS, LIMITS, MOVES, SHARDS, WHO, Listing, status_lines
from proxy.output import DONE, REFUSED
from proxy.screen import Screen
from proxy.tables import Row, printable
from proxy.targets import LIMITED
from proxy.user_story import ask_director, ask_directory, story


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its help, what it takes beside --config and --json, and what it does."""

    help: str
    run: Run
    arguments: Sequence[tuple[str, Mapping[str, Any]]] = ()


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """The commands, each a parser of its own; `common` has the options of all listings."""
    for name, command in COMMANDS.items():
        parser = commands.add_parser(name, parents=[common], help=command.help, description=command.help)
        for argument, details in command.arguments:
            parser.add_argument(argument, **details)


def run(options: argparse.Namespace) -> int:
    """One of the commands; the exit code. Raises ConfigurationError."""
    settings = load(options.config)
    asked = Asked(options, settings, Console(settings.node.run_dir / SOCKET), Screen())
    try:
        return COMMANDS[options.command].run(asked)
    except Unanswered as error:
        print(f"vestibule: {printable(str(error))}; {HELP}", file=sys.stderr)
    except Refused as error:
        print(f"vestibule: {printable(str(error))}", file=sys.stderr)
    except InvalidName as error:
        print(f"vestibule: no name of a user: {printable(error.reason)}", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has seen enough
    return REFUSED


# --- listings ---


def _list(asked: Asked, listing: Listing, rows: Sequence[Row]) -> None:
    if asked.options.json:
        asked.screen.show_json(sorted(rows, key=listing.order))
    else:
        asked.screen.show(listing.lines(rows, width=asked.screen.width, coloured=asked.screen.coloured))


def _backends(asked: Asked) -> int:
    _list(asked, BACKENDS, asked.console.rows("backends"))
    return DONE


def _shards(asked: Asked) -> int:
    _list(asked, SHARDS, asked.console.rows("shards"))
    return DONE


def _who(asked: Asked) -> int:
    target = asked.target().text
    rows = asked.console.rows("who", target=target)
    _list(asked, WHO, rows)
    return DONE if rows or not target else REFUSED


def _limits(asked: Asked) -> int:
    target = asked.target().one_of("all", *LIMITED)
    rows = asked.console.rows("limits", target=target)
    _list(asked, LIMITS, rows)
    return DONE if rows or not target else REFUSED


def _moves(asked: Asked) -> int:
    if not asked.options.watch:
        _list(asked, MOVES, asked.console.rows("moves"))
        return DONE
    try:
        while True:
            rows = asked.console.rows("moves")
            asked.screen.refresh(MOVES.lines(rows, width=asked.screen.width, coloured=asked.screen.coloured))
            screen.pause(screen.LOOK_EVERY)
    except KeyboardInterrupt:
        return DONE


# --- one user, one node ---


def _explain(asked: Asked) -> int:
    told = ask_directory(asked.settings, asked.options.user)
    answer = ask_director(asked.console, told)
    told_story = story(asked.options.user, told, answer, time.time())
    if asked.options.json:
        asked.screen.show_json({**told_story.as_json(), "director": answer})
    else:
        asked.screen.show([told_story.as_text()])
    return DONE if told_story.found else REFUSED


def _status(asked: Asked) -> int:
    answer = asked.console.answer("status")
    asked.answered(answer, *status_lines(answer, time.time()))
    return DONE


_TARGET = ("target", {"nargs": "?", "default": "", "metavar": "TARGET"})
_BACKEND = ("backend", {"metavar": "BACKEND", "help": "its name in the configuration or the directory"})
_USER = ("user", {"metavar": "USER", "help": "the name as a mail client would send it"})
_YES = ("--yes", {"action": "store_true", "help": "do not ask"})
_DRY_RUN = ("--dry-run", {"action": "store_true", "help": "say whom it would move, and move nobody"})
_WAIT = (
    "--wait",
    {"action": "store_true", "help": "show how far it is until it is over; fails if a user was not moved"},
)

COMMANDS: Mapping[str, Command] = {
    "backends": Command("Show all backends: state, health, load.", _backends),
    "shards": Command("Show all shards and their backends.", _shards),
    "who": Command(
        "Show sessions of this node: all, or those of a user, an address, a network or a backend.", _who, (_TARGET,)
    ),
    "kick": Command(
        "End the sessions of a user, an address or a backend; the clients may come back.",
        orders.kick,
        (("target", {"metavar": "TARGET"}), _YES),
    ),
    "move": Command("Move a user to another backend of the shard.", orders.move, (_USER, _BACKEND, _DRY_RUN, _WAIT)),
    "drain": Command("Move all users away from a backend.", orders.drain, (_BACKEND, _DRY_RUN, _WAIT, _YES)),
    "standby": Command("Let a backend keep its users, but give it no others.", orders.set_admin, (_BACKEND,)),
    "online": Command("Let a backend serve again.", orders.set_admin, (_BACKEND,)),
    "offline": Command("Move all users away from a backend, and give it none.", orders.set_admin, (_BACKEND, _YES)),
    "flush": Command(
        "Forget where a user, or everybody, was assigned; who has sessions stays.",
        orders.flush,
        (("user", {"nargs": "?", "default": "", "metavar": "USER"}), _YES),
    ),
    "moves": Command(
        "Show moves, drains and failbacks: those under way and the last ones.",
        _moves,
        (("--watch", {"action": "store_true", "help": "go on showing them"}),),
    ),
    "abort": Command("Give up a move: who has not been moved stays.", orders.abort, (("job", {"metavar": "MOVE"}),)),
    "explain": Command("Tell where a user is, why, and what would happen.", _explain, (_USER,)),
    "limits": Command(
        "Show who has to wait or is near a limit, or what is counted of a user or an address.", _limits, (_TARGET,)
    ),
    "status": Command("Show how the director of this node is.", _status),
}
