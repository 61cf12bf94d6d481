"""The reference page of the configuration file, made from the settings' metadata: `python -m proxy.reference`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from proxy.reading import expected, is_list, is_required, keys, nested
from proxy.settings import Settings

_HEAD = """\
# The configuration file

Vestibule reads one TOML file, `/etc/vestibule/vestibule.toml` unless `--config` names another. This page lists every
key there is. It is made from the program itself (`python -m proxy.reference > docs/configuration.md`), so it is never
out of date; `deploy/vestibule.toml` is an example to begin with.

`vestibule check-config` reads the file as the daemon would, names every fault by its key, and asks the directory and
the mail servers whether they are as the file says. Paths count from the directory of the file. Keys that are in no
table here are refused, so a misspelt one is never silently without effect.
"""


def page() -> str:
    """The whole page in Markdown."""
    return "\n".join([_HEAD, *_tables(Settings, "")])


def _tables(cls: type, path: str) -> Iterator[str]:
    """One chapter for each table below `cls`, parents first."""
    for field, annotation in keys(cls):
        inner = nested(annotation)
        if inner is None:
            continue
        name = f"{path}{field.name}"
        yield from _chapter(inner, f"[[{name}]]" if is_list(annotation) else f"[{name}]", field)
        yield from _tables(inner, f"{name}.")


def _chapter(cls: type, title: str, place: dataclasses.Field[Any]) -> Iterator[str]:
    need = " Required." if is_required(place) else ""
    repeat = " May be repeated." if title.startswith("[[") else ""
    yield f"## `{title}`\n\n{place.metadata['doc']}{need}{repeat}\n"
    rows = [_row(field, annotation) for field, annotation in keys(cls) if nested(annotation) is None]
    yield "\n".join(["| key | takes | default | meaning |", "|---|---|---|---|", *rows, ""])


def _row(field: dataclasses.Field[Any], annotation: object) -> str:
    cells = (f"`{field.name}`", expected(annotation, field.metadata), _default(field), field.metadata["doc"])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: dataclasses.Field[Any]) -> str:
    if "default" in field.metadata:
        return str(field.metadata["default"])
    if is_required(field):
        return "required"
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return "not set" if value is None else f"`{_toml(value)}`"


def _toml(value: object) -> str:
    """A default as one would write it in the file."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }" if value else "{ }"
    return json.dumps(str(value) if isinstance(value, Path | IPv4Network | IPv6Network) else value)


if __name__ == "__main__":
    sys.stdout.write(page())
