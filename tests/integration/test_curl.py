"""curl and openssl, as administrators use them, through the proxy."""

from __future__ import annotations

import subprocess
from typing import IO

import pytest

from .clients import curl, s_client
from .dovecot import Dovecot
from .site import BOB, Site, User
from .vestibule import Vestibule


def test_curl_lists_and_fetches_by_imap(site: Site, vestibule: Vestibule, s1: Dovecot, user: User) -> None:
    s1.deliver(user.name, b"Subject: from curl\r\n\r\nhello\r\n")
    url = f"imaps://{vestibule.address}:{vestibule.ports['imaps']}/INBOX"
    done = curl(f"{url};MAILINDEX=1", user.name, user.password, site.ca_file)
    assert b"Subject: from curl" in done.stdout, done.stderr


def test_curl_uploads_by_imap_after_starttls(site: Site, vestibule: Vestibule, user: User) -> None:
    url = f"imap://{vestibule.address}:{vestibule.ports['imap']}/INBOX"
    message = site.folder / "message"
    message.write_bytes(b"Subject: uploaded\r\n\r\n" + b"x" * 70 + b"\r\n")
    done = curl(url, user.name, user.password, site.ca_file, "--ssl-reqd", "--upload-file", str(message))
    assert done.returncode == 0, done.stderr
    done = curl(f"{url};MAILINDEX=1", user.name, user.password, site.ca_file, "--ssl-reqd")
    assert b"Subject: uploaded" in done.stdout, done.stderr


@pytest.mark.parametrize("options", [[], ["--login-options", "AUTH=PLAIN"], ["--login-options", "AUTH=LOGIN"]])
def test_curl_lists_by_pop3(site: Site, vestibule: Vestibule, s1: Dovecot, user: User, options: list[str]) -> None:
    s1.deliver(user.name, b"Subject: x\r\n\r\n")
    url = f"pop3s://{vestibule.address}:{vestibule.ports['pop3s']}/"
    done = curl(url, user.name, user.password, site.ca_file, *options)
    assert done.stdout.startswith(b"1 "), done.stderr


def test_curl_is_told_that_the_password_is_wrong(site: Site, vestibule: Vestibule) -> None:
    url = f"imaps://{vestibule.address}:{vestibule.ports['imaps']}/"
    assert curl(url, BOB.name, "wrong", site.ca_file).returncode == 67  # CURLE_LOGIN_DENIED


@pytest.mark.parametrize(
    ("port", "options", "typed", "expected"),
    [
        ("imaps", [], 'a LOGIN {user} "{password}"\nb LOGOUT\n', b"b OK"),
        ("imap", ["-starttls", "imap"], 'a LOGIN {user} "{password}"\nb LOGOUT\n', b"b OK"),
        ("pop3s", [], "USER {user}\nPASS {password}\nSTAT\nQUIT\n", b"+OK 0 0"),
        ("pop3", ["-starttls", "pop3"], "USER {user}\nPASS {password}\nSTAT\nQUIT\n", b"+OK 0 0"),
        ("sieves", [], 'CAPABILITY\nLOGOUT\n', b'"SASL" "PLAIN LOGIN"'),
        ("sieve", ["-starttls", "sieve"], 'CAPABILITY\nLOGOUT\n', b'"SASL" "PLAIN LOGIN"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_speaks_to_every_listener(
    site: Site,
    vestibule: Vestibule,
    user: User,
    port: str,
    options: list[str],
    typed: str,
    expected: bytes,
    version: str,
) -> None:
    lines = typed.format(user=user.name, password=user.password).encode()
    done = s_client(vestibule.address, vestibule.ports[port], site.ca_file, lines, [*options, version])
    assert expected in done.stdout, done.stderr


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_of_tls_are_refused(site: Site, vestibule: Vestibule, version: str) -> None:
    options = [version, "-cipher", "ALL:@SECLEVEL=0"]
    done = s_client(vestibule.address, vestibule.ports["imaps"], site.ca_file, b"a LOGOUT\n", options)
    assert done.returncode != 0
    assert b"* OK" not in done.stdout


def test_a_tls_key_update_is_survived_in_the_middle_of_a_session(site: Site, vestibule: Vestibule, user: User) -> None:
    """RFC 8446 section 4.6.3: after `K` openssl sends new keys and demands ours; bytes in both directions go on."""
    place = f"{vestibule.address}:{vestibule.ports['imaps']}"
    command = ["openssl", "s_client", "-crlf", "-tls1_3", "-connect", place, "-CAfile", str(site.ca_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        assert client.stdin is not None
        assert client.stdout is not None

        def say(line: str, answer: bytes) -> None:
            assert client.stdin is not None
            client.stdin.write(line.encode())
            client.stdin.flush()
            heard(client.stdout, answer)

        heard(client.stdout, b"* OK")
        say(f'a LOGIN {user.name} "{user.password}"\n', b"a OK")
        for number in range(3):
            say("K\n", b"KEYUPDATE")
            say(f"n{number} NOOP\n", b"n%d OK" % number)
        say("z LOGOUT\n", b"z OK")


def heard(stream: IO[bytes] | None, expected: bytes) -> None:
    """Read until it has been said; AssertionError when the stream ends first."""
    assert stream is not None
    said = b""
    while expected not in said:
        data = stream.read1(4096)  # type: ignore[attr-defined]
        assert data, said
        said += data
