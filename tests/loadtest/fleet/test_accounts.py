from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.fleet.accounts import Listed, NoAccounts, Numbered, read_password, read_users
from loadtest.fleet.clients import Account


def test_numbered_users_have_one_password() -> None:
    assert Numbered("secret").account(7) == Account("user0000007", "secret")


def test_users_of_a_file_have_their_own_password_or_the_common_one(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# people\nalice\n\nbob:with:colons\ncarol:\n")
    users = read_users(path, "common")
    assert users == [Account("alice", "common"), Account("bob", "with:colons"), Account("carol", "")]
    assert Listed(users).account(4) == users[1]


def test_a_password_is_read_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(" a secret \n")
    assert read_password(path) == " a secret "


def test_a_file_that_is_missing_or_empty_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoAccounts, match="nothing"):
        read_password(tmp_path / "nothing")
    with pytest.raises(NoAccounts, match="nothing"):
        read_users(tmp_path / "nothing", "")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(NoAccounts, match="one a line"):
        read_users(tmp_path / "empty", "")
