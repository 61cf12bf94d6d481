"""Becoming an unprivileged user, for good."""

from __future__ import annotations

import grp
import os
import pwd

from proxy.settings import NodeSettings


def drop(node: NodeSettings) -> None:
    """Become `node.user` if we are root and one is named; raises KeyError and OSError."""
    if os.geteuid() != 0 or not node.user:
        return
    account = pwd.getpwnam(node.user)
    group = grp.getgrnam(node.group).gr_gid if node.group else account.pw_gid
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
