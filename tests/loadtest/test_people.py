"""The directory of N users, as the LDIF kind of directory reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldapmap import Directory, DirectorySettings, WrongPassword, open_directory
from loadtest.cli import main
from loadtest.people import CHUNK, PASSWORD, PEOPLE, SHARDS, dn, ldif, uid


def directory_of(text: str, folder: Path) -> Directory:
    file = folder / "people.ldif"
    file.write_text(text)
    return open_directory(DirectorySettings(kind="ldif", file=file, base=PEOPLE), None)


async def test_every_user_has_a_shard_and_the_common_password(tmp_path: Path) -> None:
    directory = directory_of("".join(ldif(100)), tmp_path)
    await directory.start()
    for number in range(100):
        entry = await directory.find(uid(number))
        assert (entry.dn, entry.user) == (dn(number), uid(number))
        assert entry.shard in SHARDS
        await directory.verify(entry, PASSWORD.encode())
        with pytest.raises(WrongPassword):
            await directory.verify(entry, b"something else")
    await directory.close()


def test_the_same_number_and_seed_give_the_same_bytes() -> None:
    assert "".join(ldif(50)) == "".join(ldif(50))
    assert "".join(ldif(50)) != "".join(ldif(50, seed=2))


def test_it_comes_in_pieces_and_has_as_many_users_as_asked() -> None:
    pieces = list(ldif(2 * CHUNK + 1))
    assert len(pieces) == 4
    assert "".join(pieces).count("\nuid: ") == 2 * CHUNK + 1


def test_without_users_the_foundation_is_left() -> None:
    assert "".join(ldif(0)).count("dn: ") == 3


def test_other_hashes_are_used_in_turn() -> None:
    text = "".join(ldif(4, hashes=["{CRYPT}one", "{CRYPT}two"]))
    assert text.count("userPassword: {CRYPT}one\n") == text.count("userPassword: {CRYPT}two\n") == 2


def test_the_command_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["directory", "3", "--seed", "7"]) == 0
    assert capsys.readouterr().out == "".join(ldif(3, seed=7))
