"""Questions and orders to this node's director, for the command line and for the HTTP interface."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

from director import ask
from proxy.tables import Row

SOCKET = "control.sock"
"""In `node.run_dir`."""

HELP = "is vestibule running, and may this user read it?"
"""For whoever gets no answer."""


class Console:
    """The director behind a control socket. Every question blocks, and raises `director.Unanswered` and `Refused`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, question: str, most: int | None = None, **details: object) -> list[Row]:
        """The rows of a listing, at most so many of them."""
        answers = ask(self._path, {"ask": question, **details})
        return list(islice(chain.from_iterable(answer["rows"] for answer in answers), most))

    def answer(self, question: str, **details: object) -> Row:
        """What is answered to a question about one thing, or to an order."""
        return next(ask(self._path, {"ask": question, **details}))
