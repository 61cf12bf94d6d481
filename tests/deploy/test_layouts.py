"""The layouts in deploy/directory are configurations: each loads as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .fragments import FRAGMENTS, directory_settings


def test_there_is_a_layout_for_every_common_directory() -> None:
    names = {path.stem for path in FRAGMENTS}
    assert names >= {
        "active-directory",
        "inetlocalmailrecipient",
        "iredmail",
        "perdition",
        "sun-messaging",
        "vestibule-schema",
        "virtual-domains",
        "zimbra",
    }


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_a_layout_loads_as_it_stands(path: Path, tmp_path: Path) -> None:
    settings = directory_settings(path.read_text(), tmp_path)
    assert settings.kind == "ldap"
    assert settings.ordered_servers
    assert settings.bind_dn


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_a_layout_is_nothing_but_the_directory_part(path: Path) -> None:
    tables = re.findall(r"^\[+([^]]+)\]+", path.read_text(), re.MULTILINE)
    assert tables[0] == "directory"
    assert {table.partition(".")[0] for table in tables} == {"directory"}


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_no_layout_sends_passwords_in_clear(path: Path, tmp_path: Path) -> None:
    settings = directory_settings(path.read_text(), tmp_path)
    assert not settings.allow_cleartext
    assert settings.tls_verify
