"""The figures of a mirror: a file that is filled here, and what its process would have told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import pytest

from ldapmap import DirectorySettings, Entry
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.generations import Generations
from ldapmap.mirror.records import key_of
from ldapmap.mirror.routes import Routes
from ldapmap.mirror.status import MirrorStatus
from ldapmap.mirror.store import Writer
from loadtest.mirror_process import InStep, MirrorProcess
from loadtest.mirroring import (
    change_figures,
    load_figures,
    lookup_figures,
    open_routes,
    resume_figures,
    shards_in,
)
from loadtest.people import dn, uid

SETTINGS = DirectorySettings(kind="ldap", mirror=True)
STATUS = MirrorStatus(
    state="following",
    server="ldap://a.example",
    users=3,
    entries=3,
    file_bytes=3 << 20,
    generation=1,
    last_contact=0.0,
    lag_seconds=0.0,
    changes=0,
    received=0,
    reloads=0,
    reconnects=0,
    purges_refused=0,
    unusable=0,
    message="",
)


class Ourselves:
    """In place of the mirror's process."""

    pid = os.getpid()


OURSELVES = cast(MirrorProcess, Ourselves())


class Store:
    """A mirror's file, and an editor of it."""

    def __init__(self, path: Path) -> None:
        self._generations = Generations(path)
        self._generations.acquire()
        file = self._generations.new()
        self._writer = Writer(file, fingerprint=fingerprint(SETTINGS))
        self.replace_all((dn(number), "mailHost", "s1") for number in range(10))
        self._writer.finish_load()
        self._generations.publish(file)

    def replace(self, dn: str, attribute: str, value: str) -> None:
        user = dn.partition(",")[0].removeprefix("uid=")
        with self._writer.transaction() as change:
            change.put(user.encode().ljust(16)[-16:], [key_of(0, user)], Entry(user, dn, value), b"")

    def replace_all(self, changes: Iterable[tuple[str, str, str]]) -> None:
        for change in changes:
            self.replace(*change)

    def close(self) -> None:
        self._writer.close(clean=True)
        self._generations.release()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def routes(store: Store, tmp_path: Path) -> Iterator[Routes]:
    opened = open_routes(SETTINGS, tmp_path)
    yield opened
    opened.close()


def test_a_reader_sees_the_shards(routes: Routes) -> None:
    assert shards_in(routes)(uid(3)) == "s1"
    assert shards_in(routes)(uid(10)) is None


def test_lookups_are_measured(routes: Routes) -> None:
    assert [figure.name for figure in lookup_figures(routes, [uid(1), uid(2)])] == ["mirror: lookup"]


def test_changes_are_measured(store: Store, routes: Routes) -> None:
    figures = change_figures(OURSELVES, store, routes, [1, 2], [3, 4, 5])
    assert len(figures) == 6
    assert {shards_in(routes)(uid(number)) for number in (1, 2)} == {"moved"}
    assert {shards_in(routes)(uid(number)) for number in (3, 4, 5)} == {"moved again"}


def test_the_load_is_what_the_process_has_told() -> None:
    values = {figure.name: figure.value for figure in load_figures(OURSELVES, InStep(4.0, 2.0, STATUS))}
    assert values["mirror: first load"] == 2.0
    assert values["mirror: first load, time"] == 4.0
    assert values["mirror: file"] == 3.0
    assert values["mirror: memory of its process"] > 0


def test_a_return_is_told_in_milliseconds() -> None:
    time, cost = resume_figures(InStep(0.008, 0.002, STATUS))
    assert (time.value, cost.value) == (8.0, 2.0)
    assert "0 entries" in time.how
