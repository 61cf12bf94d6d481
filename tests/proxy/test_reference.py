"""The reference page is made from the settings, and the one in the repository is the one that is made now."""

from __future__ import annotations

import runpy
import sys
import tomllib
from pathlib import Path

import pytest

from proxy.reading import keys, nested
from proxy.reference import page
from proxy.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_page_in_the_repository_is_up_to_date() -> None:
    stale = "stale: run python -m proxy.reference > docs/configuration.md"
    assert (ROOT / "docs" / "configuration.md").read_text() == page(), stale


def test_every_table_and_every_key_is_on_the_page() -> None:
    text = page()
    for field, annotation in keys(Settings):
        inner = nested(annotation)
        assert inner is not None
        assert f"## `[{field.name}]`" in text or f"## `[[{field.name}]]`" in text
        for key, _ in keys(inner):
            assert f"| `{key.name}` |" in text or f"{field.name}.{key.name}]" in text
    assert "## `[[shard.backend]]`" in text
    assert "## `[directory.attributes]`" in text


def test_what_the_program_fills_is_not_on_the_page() -> None:
    assert "`master_password`" not in page()


def test_every_row_has_four_cells() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") == 5 for line in rows)


def test_every_default_is_toml() -> None:
    for line in page().splitlines():
        cells = line.split(" | ")
        if line.startswith("| `") and cells[2].startswith("`"):
            tomllib.loads(f"value = {cells[2].strip('`')}")


def test_the_module_prints_the_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "proxy.reference")
    runpy.run_module("proxy.reference", run_name="__main__")
    assert capsys.readouterr().out == page()
