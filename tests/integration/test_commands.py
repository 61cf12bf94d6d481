"""The commands an operator types, against real servers."""

from __future__ import annotations

import json

from .site import ALICE, BOB, Site
from .vestibule import Vestibule, run


def test_a_configuration_whose_servers_all_answer_is_good(vestibule: Vestibule) -> None:
    done = run("check-config", "--config", str(vestibule.config), "--json")
    findings = json.loads(done.stdout)
    assert [one for one in findings if one["level"] == "error"] == []
    assert done.returncode == 0
    assert {"mb1", "mb2"} <= {name for one in findings for name in ("mb1", "mb2") if name in one["subject"]}


def test_a_server_that_does_not_answer_is_found(site: Site) -> None:
    daemon = site.vestibule({"directory": {"servers": [site.slapd.ldap, "ldap://127.0.0.1:1"]}})
    done = run("check-config", "--config", str(daemon.config))
    assert done.returncode == 1
    assert "127.0.0.1:1" in next(line for line in done.stdout.splitlines() if line.startswith("error"))
    daemon.discard()


def test_a_configuration_that_is_none_is_refused(site: Site) -> None:
    daemon = site.vestibule({"nonsense": {"key": 1}})
    for command in (("check-config",), ("serve",), ("route", ALICE.name)):
        assert run(*command, "--config", str(daemon.config)).returncode == 2
    daemon.discard()


def test_the_way_of_a_user_is_explained(vestibule: Vestibule) -> None:
    done = run("route", BOB.name.upper(), "--config", str(vestibule.config), "--json", "--protocol", "pop3")
    told = {step["step"]: step["result"] for step in json.loads(done.stdout)["steps"]}
    assert told["user"] == BOB.name
    assert told["shard"] == "s2"
    assert told["choice"].startswith("mb2: ")
    assert done.returncode == 0


def test_a_user_who_does_not_exist_is_not_found(vestibule: Vestibule) -> None:
    done = run("route", "nobody-at-all", "--config", str(vestibule.config))
    assert done.returncode == 1
    assert "UnknownUser" in done.stdout
