"""What is told about the servers."""

import dataclasses

import pytest

from ldapmap.status import DirectoryStatus, ServerStatus


def test_a_status_is_a_value_that_does_not_change() -> None:
    server = ServerStatus("ldap://a", False, 4, 2, 0, 7, 1)
    status = DirectoryStatus(servers=(server,))
    assert status == DirectoryStatus(servers=(dataclasses.replace(server),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        server.down = True  # type: ignore[misc]
