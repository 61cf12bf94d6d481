"""Asking a director, or whatever answers in its place."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from director.asking import Refused, Unanswered, ask


class Answering:
    """Answers one question with prepared bytes; `heard` is what was asked."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._answer = answer
        self.heard = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection, self._listening:
            with connection.makefile("rb") as lines:
                self.heard = lines.readline()
            connection.sendall(self._answer)

    def join(self) -> None:
        self._thread.join(10)


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vest-"))
    yield folder / "control.sock"
    shutil.rmtree(folder)


def answers(path: Path, said: bytes, question: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    director = Answering(path, said)
    try:
        return list(ask(path, {"ask": "status"} if question is None else question))
    finally:
        director.join()


def test_one_answer_is_without_what_is_about_the_answer(path: Path) -> None:
    assert answers(path, b'{"ok":true,"kicked":3}\n') == [{"kicked": 3}]


def test_the_question_is_one_line(path: Path) -> None:
    director = Answering(path, b'{"ok":true}\n')
    list(ask(path, {"ask": "kick", "target": "al\nice"}))
    director.join()
    assert director.heard == b'{"ask":"kick","target":"al\\nice"}\n'


def test_rows_come_in_pieces(path: Path) -> None:
    said = b'{"ok":true,"rows":[{"user":"a"}],"more":true}\n{"ok":true,"rows":[],"more":false}\n'
    assert answers(path, said) == [{"rows": [{"user": "a"}]}, {"rows": []}]


def test_a_refusal_is_told_with_its_reason(path: Path) -> None:
    with pytest.raises(Refused, match="no backend is called 'x'"):
        answers(path, b'{"ok":false,"error":"no backend is called \'x\'"}\n')


@pytest.mark.parametrize("said", [b"", b'{"ok":true', b"rubbish\n", b"[1]\n", b'{"ok":true,"rows":[],"more":true}\n'])
def test_what_is_no_answer_is_none(path: Path, said: bytes) -> None:
    with pytest.raises(Unanswered):
        answers(path, said)


def test_where_nobody_listens_nobody_answers(path: Path) -> None:
    with pytest.raises(Unanswered, match=r"no director answers at .*control\.sock: No such file"):
        list(ask(path, {"ask": "status"}))
