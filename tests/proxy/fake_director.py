"""A director that says what a test wants it to say, behind a control socket as the real one has it."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.proxy.example import SMALLEST, write_site

PATIENCE = 20.0
Answer = dict[str, Any]
Says = Answer | list[Answer] | Callable[[Answer], Answer]
"""One answer to every such question, or one after the other (the last one again and again), or what is made of it."""


def rows(*given: Answer) -> Answer:
    return {"ok": True, "rows": list(given), "more": False}


def refused(text: str) -> Answer:
    return {"ok": False, "error": text}


class FakeDirector:
    """Answers one client after the other in a thread of its own; `asked` has every question."""

    def __init__(self, path: Path) -> None:
        self.asked: list[Answer] = []
        self.says: dict[str, Says] = {}
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client, client.makefile("rwb") as lines:
                client.settimeout(PATIENCE)
                for line in lines:
                    lines.write(b"".join(json.dumps(answer).encode() + b"\n" for answer in self._answers(line)))
                    lines.flush()

    def _answers(self, line: bytes) -> list[Answer]:
        question = json.loads(line)
        self.asked.append(question)
        says = self.says.get(question["ask"], refused("not a question"))
        if callable(says):
            return [says(question)]
        if isinstance(says, list):
            return [says.pop(0) if len(says) > 1 else says[0]]
        chunks: list[Answer] = says.get("chunks", [says])
        return chunks


class Place:
    """A site whose run directory may have a director in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "control.sock"
        self.config = write_site(folder, SMALLEST.replace('user = ""', f'user = ""\nrun_dir = "{folder}"'))
        self.directors: list[FakeDirector] = []

    def start(self, **says: Says) -> FakeDirector:
        director = FakeDirector(self.socket)
        director.says = {"backends": rows(), **says}
        self.directors.append(director)
        return director


@contextmanager
def site() -> Iterator[Place]:
    """In a folder of its own with a short name: that of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="vd"))
    place = Place(folder)
    try:
        yield place
    finally:
        for director in place.directors:
            director.close()
        shutil.rmtree(folder)
