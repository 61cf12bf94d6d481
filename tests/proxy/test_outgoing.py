"""The contexts of the connections that we open verify unless the operator has said otherwise."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from proxy.outgoing import directory_context, login_context
from proxy.sections import BackendLoginSettings
from tests.proxy.example import SMALLEST, good_settings


@pytest.mark.parametrize(("verify", "mode"), [(True, ssl.CERT_REQUIRED), (False, ssl.CERT_NONE)])
def test_backends_are_verified_as_configured(verify: bool, mode: ssl.VerifyMode) -> None:
    context = login_context(BackendLoginSettings(verify=verify))
    assert (context.verify_mode, context.check_hostname) == (mode, verify)


def test_only_a_directory_with_servers_needs_tls(tmp_path: Path) -> None:
    assert directory_context(good_settings().directory) is None
    text = SMALLEST.replace('kind = "ldif"', 'kind = "ldap"\nservers = ["ldaps://ldap.example.org"]\nbase = "dc=x"')
    context = directory_context(good_settings(text.replace('file = "users.ldif"\n', "")).directory)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
