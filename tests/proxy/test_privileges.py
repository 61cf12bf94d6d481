"""Rights are given up for good, by those who have any."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import privileges
from proxy.settings import NodeSettings

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
NOBODY = pwd.getpwnam("nobody")


def in_a_child(life: Callable[[], bool]) -> bool:
    """What `life` says in a process of its own."""
    pid = os.fork()
    if not pid:
        verdict = 1
        try:
            verdict = 0 if life() else 1
        finally:
            os._exit(verdict)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@needs_root
def test_root_becomes_the_named_user_with_its_main_group_and_no_other() -> None:
    def life() -> bool:
        privileges.drop(NodeSettings(user="nobody"))
        return (os.getresuid(), os.getresgid(), os.getgroups()) == (
            (NOBODY.pw_uid,) * 3,
            (NOBODY.pw_gid,) * 3,
            [],
        )

    assert in_a_child(life)


@needs_root
def test_there_is_no_way_back() -> None:
    def life() -> bool:
        privileges.drop(NodeSettings(user="nobody"))
        for back in (os.setuid, os.seteuid, os.setgid, os.setegid):
            try:
                back(0)
            except PermissionError:
                continue
            return False
        return True

    assert in_a_child(life)


@needs_root
def test_a_group_may_be_named() -> None:
    group = grp.getgrnam("daemon")

    def life() -> bool:
        privileges.drop(NodeSettings(user="nobody", group="daemon"))
        return os.getresgid() == (group.gr_gid,) * 3

    assert in_a_child(life)


@needs_root
def test_an_account_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError):
        privileges.drop(NodeSettings(user="no-such-account"))
    with pytest.raises(KeyError):
        privileges.drop(NodeSettings(user="nobody", group="no-such-group"))
    assert os.geteuid() == 0


@needs_root
def test_a_file_of_roots_is_given_to_the_named_user(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        privileges.give(log.fileno(), NodeSettings(user="nobody"))
        status = os.fstat(log.fileno())
        assert (status.st_uid, status.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)


def test_without_a_name_everybody_stays_what_they_are(tmp_path: Path) -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()
    privileges.drop(NodeSettings(user=""))
    with (tmp_path / "log").open("w") as log:
        privileges.give(log.fileno(), NodeSettings(user=""))
        assert os.fstat(log.fileno()).st_uid == os.geteuid()
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


def test_who_has_no_rights_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    before = os.getresuid()
    privileges.drop(NodeSettings(user="no-such-account"))
    assert os.getresuid() == before
