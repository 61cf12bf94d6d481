"""The way of one user, step by step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.config import ConfigurationError, load
from proxy.explain import explain
from proxy.explanation import Explanation
from proxy.settings import Settings
from tests.proxy.example import SMALLEST, write_site

MASTER = 'mode = "master"\nmaster_user = "proxy"\nmaster_password_file = "master.secret"\n'


def site(tmp_path: Path, extra: str = "") -> Settings:
    (tmp_path / "master.secret").write_text("hunter2")
    return load(write_site(tmp_path, SMALLEST + extra))


def steps(explanation: Explanation) -> dict[str, str]:
    return dict(explanation.steps)


def test_every_step_from_the_typed_name_to_the_backend_is_told(tmp_path: Path) -> None:
    explanation = explain(site(tmp_path), "Alice+lists")
    assert explanation.found
    told = steps(explanation)
    assert told["typed name"] == "Alice+lists"
    assert told["search key"] == "alice"
    assert told["entry"] == "uid=alice,ou=people,dc=example,dc=org"
    assert told["user"] == "alice"
    assert told["value of the shard attribute"] == "s1"
    assert told["shard"] == "s1"
    assert told["candidate 1"] == "mb1a, priority 1, weight 1"
    assert told["choice"] == "mb1a: it alone has the best priority"
    assert "vestibule explain" in told["not asked here"]
    assert told["connection"] == "imap to mb1a.example.org port 143, STARTTLS, certificate verified"
    assert told["client's address"] == "IMAP ID, if it offers ID"
    assert told["login"] == "as alice with the user's own password"


@pytest.mark.parametrize(
    ("extra", "login"),
    [
        (MASTER, "SASL PLAIN: proxy with the master user's password, acting for alice"),
        (MASTER + 'master_form = "separator"\n', "as alice*proxy with the master user's password"),
    ],
)
def test_the_form_of_the_login_is_told_and_no_password(tmp_path: Path, extra: str, login: str) -> None:
    explanation = explain(site(tmp_path, "[backend_login]\n" + extra), "alice")
    assert steps(explanation)["login"] == login
    assert "hunter2" not in explanation.as_text()


@pytest.mark.parametrize(
    ("extra", "connection", "address"),
    [
        ('tls = "off"\n', "pop3 to mb1a.example.org port 110, no TLS", "XCLIENT, if it offers that"),
        (
            'tls = "implicit"\nverify = false\nproxy_protocol = true\n',
            "pop3 to mb1a.example.org port 995, TLS from the first byte, certificate not verified",
            "PROXY v2 header",
        ),
        ('tls = "off"\nforward_client = false\n', "pop3 to mb1a.example.org port 110, no TLS", None),
    ],
)
def test_the_connection_is_told_for_the_protocol_asked_for(
    tmp_path: Path, extra: str, connection: str, address: str | None
) -> None:
    told = steps(explain(site(tmp_path, "[backend_login]\n" + extra), "alice", "pop3"))
    assert told["connection"] == connection
    assert told.get("client's address") == address


def test_what_the_entry_says_of_backend_and_name_is_told(tmp_path: Path) -> None:
    settings = site(tmp_path, '[directory.attributes]\npreferred = "preferred"\nlogin = "mailName"\n')
    with (tmp_path / "users.ldif").open("a") as file:
        file.write("dn: uid=bob,dc=x\nobjectClass: person\nuid: bob\n")
        file.write("mailHost: mb1a.example.org\npreferred: mb1a\nmailName: b.ob\n")
    told = steps(explain(settings, "bob"))
    assert told["preferred backend"] == "mb1a"
    assert told["name at the backend"] == "b.ob"
    assert told["login"] == "as b.ob with the user's own password"


@pytest.mark.parametrize(
    ("typed", "reason"), [("nobody", "UnknownUser: "), ("", "InvalidName: "), ("a\nb", "InvalidName: ")]
)
def test_a_name_that_leads_nowhere_is_told_why(tmp_path: Path, typed: str, reason: str) -> None:
    explanation = explain(site(tmp_path), typed)
    assert not explanation.found
    assert steps(explanation)["refused"].startswith(reason)
    assert "\n\n" not in explanation.as_text()


def test_a_shard_that_does_not_exist_is_told(tmp_path: Path) -> None:
    settings = site(tmp_path)
    users = tmp_path / "users.ldif"
    users.write_text(users.read_text().replace("mailHost: s1", "mailHost: elsewhere"))
    explanation = explain(settings, "alice")
    assert not explanation.found
    assert "elsewhere" in steps(explanation)["refused"]


def test_text_that_could_disturb_a_terminal_is_quoted() -> None:
    text = Explanation("x", False, (("typed name", "x\x1b[31m\ny"), ("entry", "plain"))).as_text()
    assert text == 'typed name  "x\\u001b[31m\\ny"\nentry       plain'


def test_programs_get_the_same_as_json(tmp_path: Path) -> None:
    explanation = explain(site(tmp_path), "alice")
    read = json.loads(json.dumps(explanation.as_json()))
    assert (read["typed"], read["found"]) == ("alice", True)
    assert [(step["step"], step["result"]) for step in read["steps"]] == list(explanation.steps)


def test_a_directory_that_cannot_be_opened_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    settings = site(tmp_path)
    (tmp_path / "users.ldif").write_text("this is no LDIF\n")
    with pytest.raises(ConfigurationError, match="directory: "):
        explain(settings, "alice")
