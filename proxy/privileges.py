"""Becoming an unprivileged user, for good."""

from __future__ import annotations

import grp
import os
import pwd

from proxy.settings import NodeSettings


def unprivileged(node: NodeSettings) -> tuple[int, int] | None:
    """User and group ids of `node.user`, if we are root and one is named; raises KeyError."""
    if os.geteuid() != 0 or not node.user:
        return None
    account = pwd.getpwnam(node.user)
    return account.pw_uid, grp.getgrnam(node.group).gr_gid if node.group else account.pw_gid


def drop(node: NodeSettings) -> None:
    """Become `node.user` if we are root and one is named; raises KeyError and OSError."""
    ids = unprivileged(node)
    if ids is None:
        return
    user, group = ids
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def give(descriptor: int, node: NodeSettings) -> None:
    """Let the unprivileged user own a file of ours, such as the log that its processes will open again."""
    ids = unprivileged(node)
    if ids is not None:
        os.fchown(descriptor, *ids)
