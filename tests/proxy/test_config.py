"""Loading the file: text, keys, files, secrets; and nothing but ConfigurationError when one of them is no good."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import config
from proxy.config import ConfigurationError, load, read_file, warnings
from tests.proxy.example import SMALLEST, write_site

MASTER = '[backend_login]\nmode = "master"\nmaster_user = "m"\nmaster_password_file = "master.secret"\n'


def refused(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert str(caught.value) == "\n".join(str(fault) for fault in caught.value.faults)
    return [str(fault) for fault in caught.value.faults]


def test_a_good_file_is_loaded_and_knows_where_it_came_from(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    settings = load(path)
    assert settings.file == path
    assert settings.certificate[0].chain == tmp_path / "mail.pem"
    assert warnings(settings) == ()


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    (message,) = refused(tmp_path / "none.toml")
    assert message.endswith(": No such file or directory")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[node", "not TOML: Expected"),
        (b"a = 1\na = 2", "not TOML: Cannot overwrite"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b"a = " + b"[" * 20_000, "not TOML: maximum recursion"),
        (b"a = " + b"9" * 5_000, "not TOML: Exceeds the limit"),
        (b"#" * (1 << 21), "longer than 1,048,576 bytes"),
    ],
)
def test_text_that_is_not_toml_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "vestibule.toml"
    path.write_bytes(content)
    (found,) = refused(path)
    assert found.startswith(f"{path}: {message}")


def test_faults_in_the_keys_come_before_a_look_at_files(tmp_path: Path) -> None:
    path = tmp_path / "vestibule.toml"
    path.write_text(SMALLEST.replace('"imap"', '"imapp"'))
    assert refused(path) == [
        'listener[0].protocol: found "imapp", expected one of "imap", "pop3", "managesieve"; did you mean "imap"?'
    ]


def test_all_files_that_are_missing_or_no_good_are_named_at_once(tmp_path: Path) -> None:
    path = write_site(tmp_path, SMALLEST + '[log]\nfile = "logs/vestibule.log"\n')
    (tmp_path / "mail.pem").unlink()
    (tmp_path / "mail.key").write_bytes(b"")
    (tmp_path / "users.ldif").unlink()
    (tmp_path / "users.ldif").mkdir()
    who = config._own_name()
    assert refused(path) == [
        f"certificate[0].chain: {tmp_path}/mail.pem: cannot be read by {who}: No such file or directory",
        f"certificate[0].key: {tmp_path}/mail.key: empty",
        f"directory.file: {tmp_path}/users.ldif: not a file",
        f"log.file: {tmp_path}/logs/vestibule.log: its directory does not exist; create it",
    ]


def test_a_secret_is_read_without_the_newline_at_its_end(tmp_path: Path) -> None:
    path = write_site(tmp_path, SMALLEST + MASTER)
    for content in (b"s e cret", b"s e cret\n", b"s e cret\r\n"):
        (tmp_path / "master.secret").write_bytes(content)
        password = load(path).backend_login.master_password
        assert password is not None
        assert password.reveal() == b"s e cret"
        assert "s e cret" not in repr(load(path))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no password"),
        (b"\n", "holds no password"),
        (b"hunter2\n\n", "expected the password on one line, without control characters"),
        (b"hunter2\nagain\n", "expected the password on one line, without control characters"),
        (b"hunter2\0", "expected the password on one line, without control characters"),
        (b"hunter2" * 200, "holds more than 1024 bytes; expected the password and nothing else"),
    ],
)
def test_a_file_that_is_no_password_is_refused_and_not_shown(tmp_path: Path, content: bytes, problem: str) -> None:
    path = write_site(tmp_path, SMALLEST + MASTER)
    (tmp_path / "master.secret").write_bytes(content)
    assert refused(path) == [f"backend_login.master_password_file: {tmp_path}/master.secret: {problem}"]


def test_secrets_that_everybody_may_read_are_warned_of(tmp_path: Path) -> None:
    path = write_site(tmp_path, SMALLEST + MASTER)
    (tmp_path / "master.secret").write_bytes(b"x")
    for name, mode in (("master.secret", 0o644), ("mail.key", 0o604), ("mail.pem", 0o644)):
        (tmp_path / name).chmod(mode)
    assert [fault.key for fault in warnings(load(path))] == ["certificate[0].key", "backend_login.master_password_file"]
    (tmp_path / "master.secret").chmod(0o640)
    assert [fault.key for fault in warnings(load(path))] == ["certificate[0].key"]


def test_root_needs_the_account_that_it_is_to_become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_site(tmp_path, SMALLEST.replace('user = ""', 'user = "nobody-here"\ngroup = "none-here"'))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    user, group = refused(path)
    assert user.startswith('node.user: there is no user "nobody-here" on this machine; create it (useradd --system')
    assert group.startswith('node.group: there is no group "none-here"')
    path.write_text(SMALLEST.replace('user = ""', 'user = "root"\ngroup = "root"'))
    assert load(path).node.user == "root"
    path.write_text(SMALLEST.replace('user = ""', 'user = "nobody-here"'))
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    assert load(path).node.user == "nobody-here"


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    (message,) = refused(tmp_path / "none.toml")
    assert "cannot be read by user 987654" in message


def test_the_example_for_operators_has_no_fault() -> None:
    settings = read_file(Path(__file__).parents[2] / "deploy" / "vestibule.toml")
    assert settings.protocols == ("imap", "managesieve", "pop3")
    assert [backend.name for backend in settings.backends] == ["mb1a", "mb1b", "mb2"]


def test_reading_alone_looks_at_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "vestibule.toml"
    path.write_text(SMALLEST)
    assert read_file(path).directory.file == tmp_path / "users.ldif"


@given(
    st.text(max_size=200)
    | st.binary(max_size=200)
    | st.sampled_from(SMALLEST.splitlines()).map(lambda line: SMALLEST.replace(line, ""))
)
def test_any_content_ends_in_settings_or_in_a_configuration_error(content: str | bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "vestibule.toml")
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(ConfigurationError):
            read_file(path)
