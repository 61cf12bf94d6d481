"""The examples of docs/directory.md are true: the settings load, OpenLDAP takes its lines and the entries."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import ldap3
import pytest

from tests.integration import slapd as slapd_module
from tests.integration.site import merged
from tests.integration.slapd import BASE, ROOT_DN, ROOT_PASSWORD, STANDARD_SCHEMAS, Slapd
from tests.integration.toml import to_toml

from .fragments import FOLDER, ROOT, directory_settings

PAGE = (ROOT / "docs" / "directory.md").read_text()
SCHEMA = ROOT / "deploy" / "schema" / "vestibule.schema"
AROUND: dict[str, Any] = {"kind": "ldap", "base": "ou=people,dc=example,dc=org"}
"""What an example leaves out."""

REASON = slapd_module.missing()
needs_slapd = pytest.mark.skipif(bool(REASON), reason=REASON)


class Documented(Slapd):
    """A server with the lines of the page instead of the index it has in tests otherwise."""

    def configuration(self) -> list[str]:
        (lines,) = blocks("conf")
        path = self.home / "slapd.conf"
        path.write_text(re.sub(r"^index .*\n", lines, path.read_text(), count=1, flags=re.MULTILINE))
        return super().configuration()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def completed(example: str) -> str:
    given = tomllib.loads(example)["directory"]
    servers = {} if "server" in given else {"servers": ["ldaps://ldap1.example.org"]}
    mirror = {"mirror": True} if "remember" in given else {}
    return to_toml({"directory": merged({**AROUND, **servers, **mirror}, given)})


@pytest.mark.parametrize("example", blocks("toml"))
def test_an_example_of_settings_loads(example: str, tmp_path: Path) -> None:
    settings = directory_settings(completed(example), tmp_path)
    assert settings.base == AROUND["base"]


def test_every_layout_is_on_the_page() -> None:
    named = set(re.findall(r"`([\w-]+\.toml)`", PAGE)) - {"vestibule.toml"}
    assert {path.name for path in FOLDER.glob("*.toml")} <= named


def test_every_other_page_it_names_is_there() -> None:
    pages = set(re.findall(r"\]\(([\w-]+\.md)\)", PAGE))
    assert {page for page in pages if not (ROOT / "docs" / page).exists()} == set()


@needs_slapd
@pytest.mark.integration
def test_openldap_takes_the_lines_for_the_mirror() -> None:
    with Documented() as server:
        admin = server.admin()
        admin.search(BASE, "(objectClass=*)", ldap3.BASE, attributes=["contextCSN"])
        assert admin.response[0]["raw_attributes"]["contextCSN"]


@needs_slapd
@pytest.mark.integration
@pytest.mark.skipif(shutil.which("ldapadd") is None, reason="ldap-utils is not installed")
def test_openldap_takes_the_entries() -> None:
    with Slapd(schemas=(*STANDARD_SCHEMAS, SCHEMA)) as server:
        server.add(f"ou=shards,{BASE}", ["organizationalUnit"], {})
        for entry in blocks("ldif"):
            login = ["ldapadd", "-x", "-H", server.ldap, "-D", ROOT_DN, "-w", ROOT_PASSWORD]
            done = subprocess.run(login, input=entry, text=True, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
