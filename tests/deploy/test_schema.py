"""Vestibule's own schema, in both forms, on a real OpenLDAP."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import ldap3
import pytest

from tests.integration import slapd as slapd_module
from tests.integration.slapd import (
    BASE,
    PEOPLE,
    ROOT_PASSWORD,
    STANDARD_SCHEMAS,
    Slapd,
    find_program,
)

REASON = slapd_module.missing()
pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(REASON), reason=REASON)]

FOLDER = Path(__file__).parents[2] / "deploy" / "schema"
SCHEMA = FOLDER / "vestibule.schema"
LDIF = FOLDER / "vestibule.ldif"

CONFIG_DN = "cn=config"
ROUTED = ["inetOrgPerson", "vestibuleMailRoute"]


class ConfiguredSlapd(Slapd):
    """A server whose configuration is in cn=config, made from slapd.conf; `early` goes into it while it is down."""

    def __init__(self, early: Path | None = None) -> None:
        super().__init__()
        self._early = early
        self._folder = self.home / "slapd.d"
        self.node = f'database config\nrootpw "{ROOT_PASSWORD}"\n'

    def configuration(self) -> list[str]:
        if not self._folder.exists():
            self._folder.mkdir()
            written = ["-f", str(self.home / "slapd.conf")]
            run("slapadd", *written, "-b", BASE, "-l", "/dev/null")  # makes the database, which slaptest wants to open
            run("slaptest", *written, "-F", str(self._folder))
            if self._early is not None:
                run("slapadd", "-n", "0", "-F", str(self._folder), "-l", str(self._early))
        return ["-F", str(self._folder)]

    def add_schema(self, ldif: Path) -> None:
        """Add a schema's LDIF while the server runs."""
        program = shutil.which("ldapadd")
        if program is None:
            pytest.skip("ldap-utils is not installed")
        login = ["-x", "-H", self.ldap, "-D", CONFIG_DN, "-w", ROOT_PASSWORD]
        subprocess.run([program, *login, "-f", str(ldif)], check=True, capture_output=True)


def run(program: str, *arguments: str) -> None:
    done = subprocess.run([find_program(program) or program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def included() -> Slapd:
    return Slapd(schemas=(*STANDARD_SCHEMAS, SCHEMA))


def loaded_while_down() -> Slapd:
    return ConfiguredSlapd(LDIF)


@pytest.fixture(scope="module", params=[included, loaded_while_down], ids=["slapd.conf", "cn=config"])
def slapd(request: pytest.FixtureRequest) -> Iterator[Slapd]:
    make: Callable[[], Slapd] = request.param
    with make() as server:
        yield server


def definitions(server: Slapd) -> dict[str, str]:
    """What the server's subschema says of our attributes and classes: name -> definition with single blanks."""
    admin = server.admin()
    admin.search("cn=Subschema", "(objectClass=*)", ldap3.BASE, attributes=["attributeTypes", "objectClasses"])
    raw = admin.response[0]["raw_attributes"]
    texts = [" ".join(value.decode().split()) for value in raw["attributeTypes"] + raw["objectClasses"]]
    named = ((re.search(r"NAME '(vestibule\w+)'", text), text) for text in texts)
    return {match[1]: text for match, text in named if match}


def test_both_forms_define_the_same() -> None:
    with included() as one, loaded_while_down() as other, ConfiguredSlapd() as third:
        assert not definitions(third)
        third.add_schema(LDIF)
        expected = definitions(one)
        assert definitions(other) == expected
        assert definitions(third) == expected
    assert set(expected) == {
        "vestibuleShard",
        "vestibulePreferredReplica",
        "vestibuleFlags",
        "vestibuleProtocols",
        "vestibuleNetworks",
        "vestibuleBackend",
        "vestibuleMailRoute",
        "vestibuleShardEntry",
    }
    assert all(text.startswith("( 1.3.6.1.4.1.32473.7.") for text in expected.values())


def test_a_user_may_have_all_of_it(slapd: Slapd) -> None:
    values = {
        "cn": "Alice",
        "sn": "Alice",
        "vestibuleShard": "s1",
        "vestibulePreferredReplica": "mb1a",
        "vestibuleFlags": ["disabled", "must-change"],
        "vestibuleProtocols": ["imap", "managesieve"],
        "vestibuleNetworks": ["192.0.2.0/24", "2001:db8::/32"],
    }
    slapd.add(f"uid=alice,{PEOPLE}", ROUTED, values)
    for condition in ("(vestibuleShard=S1)", "(vestibuleShard=s*)", "(vestibuleFlags=DISABLED)"):
        assert slapd.admin().search(PEOPLE, condition), condition


def test_the_class_may_be_added_to_an_entry_of_any_other(slapd: Slapd) -> None:
    dn = slapd.add_user("bob", "secret", mailHost="s2")
    slapd.replace(dn, objectClass=["inetOrgPerson", "inetLocalMailRecipient", "vestibuleMailRoute"])
    slapd.replace(dn, vestibuleShard="s2", mailHost=[])


def test_a_shard_has_a_name_and_backends(slapd: Slapd) -> None:
    values = {
        "vestibuleBackend": ["mb1a host=mb1a.example.org priority=1 weight=1 imap=143", "mb1b host=mb1b.example.org"],
        "description": "The first",
    }
    slapd.add(f"cn=s1,{BASE}", ["vestibuleShardEntry"], values)
    with pytest.raises(RuntimeError, match="objectClassViolation"):
        slapd.add(f"cn=s2,{BASE}", ["vestibuleShardEntry"], {})


@pytest.mark.parametrize(
    ("attribute", "value", "why"),
    [
        ("vestibuleShard", ["s1", "s2"], "constraintViolation"),
        ("vestibuleShard", "schärd", "invalidAttributeSyntax"),
        ("vestibulePreferredReplica", ["mb1a", "mb1b"], "constraintViolation"),
        ("vestibuleFlags", "gelöscht", "invalidAttributeSyntax"),
        ("vestibuleProtocols", ["imap", "IMAP"], "attributeOrValueExists"),
        ("vestibuleNetworks", "überall", "invalidAttributeSyntax"),
        ("vestibuleBackend", "mb1a host=mb1a.example.org", "objectClassViolation"),
    ],
)
def test_a_wrong_value_is_refused(slapd: Slapd, attribute: str, value: str | list[str], why: str) -> None:
    given = {"cn": "Carol", "sn": "Carol", attribute: value}
    with pytest.raises(RuntimeError, match=why):
        slapd.add(f"uid=carol,{PEOPLE}", ROUTED, given)
    assert not slapd.admin().search(PEOPLE, "(uid=carol)")


def test_without_the_class_an_entry_may_not_have_the_attributes(slapd: Slapd) -> None:
    with pytest.raises(RuntimeError, match="objectClassViolation"):
        slapd.add_user("dave", "secret", vestibuleShard="s1")
