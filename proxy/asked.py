"""One command of an operator: what was typed, and what it takes to answer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from proxy.console import Console
from proxy.screen import Screen
from proxy.settings import Settings
from proxy.tables import printable
from proxy.targets import Target, find_target


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command has to work with."""

    options: argparse.Namespace
    settings: Settings
    console: Console
    screen: Screen

    def answered(self, answer: object, *lines: str) -> None:
        """Show an answer to a program or to a person."""
        if self.options.json:
            self.screen.show_json(answer)
        else:
            self.screen.show(map(printable, lines))

    def target(self) -> Target:
        """Whose sessions are meant; raises what `find_target` raises."""
        return find_target(self.options.target, self.settings, self.console)

    def agreed(self, question: str) -> bool:
        """Whether it is to be done: nobody who said --yes, or is no person, is asked."""
        return self.options.yes or self.screen.agreed(printable(question))


Run = Callable[[Asked], int]
"""Does a command and returns its exit code; raises `director.Unanswered`, `director.Refused` and InvalidName."""
