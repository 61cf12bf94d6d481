"""A file that a power failure has left is recognised without opening it."""

from pathlib import Path

import pytest

from ldapmap.mirror import boot


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mirror-1.mdb"


def reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(boot, "BOOT_ID", tmp_path / "boot_id")


def test_a_file_that_is_not_open_survives(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boot.survived(file)
    boot.mark(file)
    boot.unmark(file)
    reboot(tmp_path, monkeypatch)
    assert boot.survived(file)


def test_an_open_file_survives_its_process_but_not_the_system(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot.mark(file)
    assert boot.survived(file)
    reboot(tmp_path, monkeypatch)
    assert not boot.survived(file)


def test_the_system_has_an_id() -> None:
    assert len(boot.boot_id()) == 36
    assert boot.boot_id() == boot.boot_id()


def test_a_mark_may_go_twice(file: Path) -> None:
    boot.unmark(file)
    boot.unmark(file)
    assert not boot.mark_of(file).exists()
