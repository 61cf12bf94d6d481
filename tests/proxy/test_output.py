"""What commands print alike."""

from __future__ import annotations

import json

import pytest

from ldapmap import Finding
from proxy.output import DONE, REFUSED, print_findings, verdict

FINE = Finding("ok", "ldap://a", "reached")
ODD = Finding("warning", "ldap://a", "no index")
BAD = Finding("error", "ldap://b", "refused")


def test_only_an_error_refuses() -> None:
    assert (verdict([]), verdict([FINE, ODD]), verdict([FINE, BAD])) == (DONE, DONE, REFUSED)


def test_findings_are_lines_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([FINE, BAD], as_json=False)
    assert capsys.readouterr().out == "ok       ldap://a: reached\nerror    ldap://b: refused\n"
    print_findings([BAD], as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"level": "error", "subject": "ldap://b", "text": "refused"}]
