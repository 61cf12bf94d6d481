"""Reads the configuration file: parses it, judges it whole, looks at the files it names and takes in the secrets."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from proxy.protocols.secret import Secret
from proxy.reading import Fault, is_list, join, keys, nested, read
from proxy.settings import Settings

LARGEST_FILE = 1024 * 1024
"""Bytes of a configuration file."""

LONGEST_SECRET = 1024
"""Bytes of a password in a file."""

_SECRET_KEYS = ("password_file", "secret_file", "token_file")


class ConfigurationError(Exception):
    """The configuration cannot be used; `faults` is everything that was found wrong with it."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def load(path: Path) -> Settings:
    """The settings in `path`, with the files they name looked at and the secrets read.

    Raises ConfigurationError with all faults of the first step that has any: the text, the keys, the files.
    """
    settings = read_file(path)
    faults = tuple(_file_faults(settings)) + tuple(_account_faults(settings))
    if faults:
        raise ConfigurationError(*faults)
    return _with_secrets(settings)


def read_file(path: Path) -> Settings:
    """The settings in `path`, judged by themselves: no other file is looked at. Raises ConfigurationError."""
    settings, faults = read(Settings, _parse(path), path.parent)
    if settings is None or faults:
        raise ConfigurationError(*faults)
    return dataclasses.replace(settings, file=path)


def warnings(settings: Settings) -> tuple[Fault, ...]:
    """What works but should be mended: files with a secret that everybody on this machine may read."""
    return tuple(
        Fault(key, f"{path} can be read by everybody on this machine; chmod o-rwx {path}")
        for key, path in _named_files(settings)
        if key.endswith((*_SECRET_KEYS, ".key")) and path.stat().st_mode & stat.S_IROTH
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(Fault("", f"{path}: {_reason(error)}")) from None
    if len(text) > LARGEST_FILE:
        raise ConfigurationError(
            Fault("", f"{path}: longer than {LARGEST_FILE:,} bytes, which is no configuration file")
        )
    try:
        return tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        raise ConfigurationError(Fault("", f"{path}: byte {error.start} is not UTF-8, which TOML has to be")) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(Fault("", f"{path}: not TOML: {error}")) from None


def _reason(error: OSError) -> str:
    return f"cannot be read by {_own_name()}: {error.strerror}"


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _named_files(value: object, path: str = "") -> Iterator[tuple[str, Path]]:
    """Every file that must be there, with the key that names it."""
    for field, annotation in keys(type(value)):
        found, place = getattr(value, field.name), join(path, field.name)
        if nested(annotation):
            entries = (
                [(f"{place}[{i}]", entry) for i, entry in enumerate(found)] if is_list(annotation) else [(place, found)]
            )
            for key, entry in entries:
                yield from _named_files(entry, key)
        elif isinstance(found, Path) and field.metadata.get("exists", True):
            yield place, found


def _file_faults(settings: Settings) -> Iterator[Fault]:
    for key, path in _named_files(settings):
        try:
            problem = _look(key, path)
        except OSError as error:
            problem = _reason(error)
        if problem:
            yield Fault(key, f"{path}: {problem}")
    if settings.log.file is not None and not settings.log.file.parent.is_dir():
        yield Fault("log.file", f"{settings.log.file}: its directory does not exist; create it")


def _look(key: str, path: Path) -> str:
    """What is wrong with one file; empty when nothing is."""
    if not stat.S_ISREG(path.stat().st_mode):
        return "not a file"
    if key.endswith(_SECRET_KEYS):
        return _secret_problem(_read_secret(path))
    with path.open("rb") as file:
        return "" if file.read(1) else "empty"


def _read_secret(path: Path) -> bytes:
    """The content without the newline that editors put at the end."""
    with path.open("rb") as file:
        return file.read(LONGEST_SECRET + 2).removesuffix(b"\n").removesuffix(b"\r")


def _secret_problem(secret: bytes) -> str:
    if not secret:
        return "holds no password"
    if len(secret) > LONGEST_SECRET:
        return f"holds more than {LONGEST_SECRET} bytes; expected the password and nothing else"
    return (
        "expected the password on one line, without control characters"
        if any(b < 32 or b == 127 for b in secret)
        else ""
    )


def _account_faults(settings: Settings) -> Iterator[Fault]:
    """Only root can become somebody else, so only for root do the accounts have to exist."""
    if os.geteuid() != 0:
        return
    node = settings.node
    accounts: tuple[tuple[str, str, Callable[[str], object], str], ...] = (
        (
            "user",
            node.user,
            pwd.getpwnam,
            f"useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin {node.user}",
        ),
        ("group", node.group, grp.getgrnam, f"groupadd --system {node.group}"),
    )
    for kind, name, find, remedy in accounts:
        if name and not _exists(find, name):
            yield Fault(
                f"node.{kind}", f'there is no {kind} "{name}" on this machine; create it ({remedy}), or name another'
            )


def _exists(find: Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True


def _with_secrets(settings: Settings) -> Settings:
    login = settings.backend_login
    if login.master_password_file is None:
        return settings
    password = Secret(_read_secret(login.master_password_file))
    return dataclasses.replace(settings, backend_login=dataclasses.replace(login, master_password=password))
