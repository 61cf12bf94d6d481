"""Loading a pair from memory leaves no file behind and no descriptor open."""

import os
import ssl
from pathlib import Path

import pytest

from tests.tls.peers import anybody, connected
from tls import CertificateFiles
from tls.loading import load_pair


def test_a_loaded_pair_is_served(files: CertificateFiles) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, files.chain.read_bytes(), files.key.read_bytes())
    with connected(context, anybody()) as connection:
        assert connection.names == {"imap.example"}


def test_no_descriptor_stays_open(files: CertificateFiles) -> None:
    before = os.listdir("/proc/self/fd")
    load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files.chain.read_bytes(), files.key.read_bytes())
    assert os.listdir("/proc/self/fd") == before


def test_what_openssl_refuses_is_an_ssl_error(files: CertificateFiles, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLError):
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), b"", files.key.read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["imap.key", "imap.pem"]
