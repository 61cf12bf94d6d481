"""The folder of the mirror's files. The process is tried with real servers, in tests/integration."""

from __future__ import annotations

from pathlib import Path

from proxy.mirroring import make_folder
from proxy.settings import NodeSettings


def test_the_mirrors_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "mirror"
    for _ in range(2):
        make_folder(folder, NodeSettings(user=""))
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_mirrors_folder_belongs_to_the_unprivileged_user(tmp_path: Path) -> None:
    owner = (tmp_path.stat().st_uid, tmp_path.stat().st_gid)
    make_folder(tmp_path / "mirror", NodeSettings(user="nobody", group="nogroup"))
    made = tmp_path / "mirror"
    is_root = owner[0] == 0
    assert (made.stat().st_uid == owner[0]) is not is_root
