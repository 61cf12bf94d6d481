"""An LMDB file that is open in this process, and what is checked before it is opened.

LMDB's locks belong to the process, so no process may open a file twice: all readers and the writer in a process share
one `Environment`, which becomes writable when the writer comes.

LMDB maps the file into memory and believes what it finds there. A file that was cut off would end the process with a
bus error, so size and both meta pages are compared first. Nothing helps against a file that is cut off
while it is open.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import lmdb

from ldapmap.mirror.boot import survived
from ldapmap.mirror.errors import Unusable

MAP_SIZE = 8 << 30
"""Bytes of address space; the file is only as large as its contents."""

_TABLES = ("users", "entries", "changes", "shards", "shard_entries", "meta")
_MOST_READERS = 1024
"""Processes that may read at the same time; 64 bytes each."""
_MODE = 0o600
_AT_ONCE = 50_000
"""Rows copied in one transaction, whose pages are in memory."""
_META = struct.Struct("=QHHHHIIQQI4x40x48xQQ")
"""The head of a page and MDB_meta of LMDB 0.9: magic, version, page size, last page and transaction are looked at."""
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))

_Key = tuple[int, int, int]


class Environment:
    """One open file."""

    __slots__ = ("_key", "_page_size", "_uses", "begin", "lmdb", "path", "writable", *_TABLES)

    users: lmdb._Database
    entries: lmdb._Database
    changes: lmdb._Database
    shards: lmdb._Database
    shard_entries: lmdb._Database
    meta: lmdb._Database

    def __init__(self, path: Path, writable: bool, map_size: int) -> None:
        self.path = path
        self._uses = 0
        self._open(writable, map_size)
        self._page_size = self.lmdb.stat()["psize"]
        self._key = _key(path)
        _opened[self._key] = self

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        """What the file holds at this moment. For everything but a login's lookup, which counts every microsecond.

        Raises Unusable when LMDB finds the file damaged.
        """
        with self.translated():
            transaction = self.lmdb.begin()
            try:
                yield transaction
            finally:
                transaction.abort()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """LMDB's errors become ours."""
        try:
            yield
        except lmdb.Error as error:
            raise Unusable(f"{self.path}: {error}") from error

    def copy_to(self, target: Environment) -> None:
        """Write everything into an empty file in the order of the keys, so that its pages are full."""
        with self.reading() as transaction:
            for name in _TABLES:
                rows = transaction.cursor(getattr(self, name)).iternext()
                copied = _AT_ONCE
                while copied == _AT_ONCE:
                    with target.lmdb.begin(write=True) as inner:
                        some = itertools.islice(rows, _AT_ONCE)
                        copied, _ = inner.cursor(getattr(target, name)).putmulti(some, append=True)

    def fill_up(self) -> None:
        """LMDB may leave out pages at the end that hold nothing, and the file would look as if it were cut off."""
        size = self.file_bytes
        with suppress(FileNotFoundError):  # it was removed, and whoever has it open may go on
            if self.path.stat().st_size < size:
                os.truncate(self.path, size)

    @property
    def file_bytes(self) -> int:
        return (self.lmdb.info()["last_pgno"] + 1) * self._page_size

    @property
    def map_size(self) -> int:
        return self.lmdb.info()["map_size"]

    def double(self) -> None:
        """Make the map larger. There is no transaction in this process."""
        self.lmdb.set_mapsize(2 * self.map_size)

    def adopt_size(self) -> None:
        """Another process has made the file larger than this one's map."""
        self.lmdb.set_mapsize(0)

    def acquire(self, *, writable: bool, map_size: int) -> Environment:
        """One more use of it; nobody else in this process is reading at the moment."""
        if writable and not self.writable:
            self.lmdb.close()
            self._open(writable, map_size)
        self._uses += 1
        return self

    def release(self) -> None:
        """One use less; the last one closes it."""
        self._uses -= 1
        if not self._uses:
            del _opened[self._key]
            self.lmdb.close()

    def _open(self, writable: bool, map_size: int) -> None:
        self.lmdb = lmdb.Environment(
            str(self.path),
            map_size=map_size,
            subdir=False,
            readonly=not writable,
            metasync=False,
            sync=False,
            mode=_MODE,
            max_readers=_MOST_READERS,
            max_dbs=len(_TABLES),
            max_spare_txns=1,
        )
        self.writable = writable
        self.begin = self.lmdb.begin
        try:
            for name in _TABLES:
                setattr(self, name, self.lmdb.open_db(name.encode(), create=writable))
        except lmdb.Error:
            self.lmdb.close()
            raise


_opened: dict[_Key, Environment] = {}


def open_environment(path: Path, *, writable: bool = False, map_size: int = MAP_SIZE) -> Environment:
    """The file at `path`; only with `writable` may it be missing. Raises Unusable. Call `release` when done with it."""
    try:
        if not writable or path.exists():
            environment = _opened.get(_key(path))
            if environment is not None:
                return environment.acquire(writable=writable, map_size=map_size)
            refuse_damaged(path)
        return Environment(path, writable, map_size).acquire(writable=writable, map_size=map_size)
    except (OSError, lmdb.Error) as error:
        raise Unusable(f"{path}: {error}") from error


def refuse_damaged(path: Path) -> None:
    """Raise Unusable for a file that a power failure left, that is cut off, or that LMDB has not made; or OSError."""
    if not survived(path):
        raise Unusable(f"{path}: the system went down while it was open")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        first = _meta(file.read(_META.size))
        page_size = first[1]
        file.seek(page_size if page_size in _PAGE_SIZES else 0)
        second = _meta(file.read(_META.size))
    if page_size not in _PAGE_SIZES or second[1] != page_size:
        raise Unusable(f"{path}: not a file of LMDB 0.9")
    last_page = max(first, second)[2]
    if size < (last_page + 1) * page_size:
        raise Unusable(f"{path}: cut off at {size} bytes")


def lock_of(path: Path) -> Path:
    """Where LMDB keeps the locks of the file at `path`."""
    return path.with_name(path.name + "-lock")


def _meta(page: bytes) -> tuple[int, int, int]:
    """Transaction, page size and last page of a meta page; all 0 if it is none."""
    if len(page) < _META.size:
        return 0, 0, 0
    *_, magic, version, _, _, page_size, last_page, transaction = _META.unpack(page)
    return (transaction, page_size, last_page) if (magic, version) == (_MAGIC, _VERSION) else (0, 0, 0)


def _key(path: Path) -> _Key:
    """The file itself, whatever path leads to it, as opened by this process and no parent of it."""
    status = path.stat()
    return os.getpid(), status.st_dev, status.st_ino
