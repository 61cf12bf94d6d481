"""The simulated site as a whole."""

from __future__ import annotations

import imaplib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from loadtest.content import Certificate, certify, compose, first_mail
from loadtest.simulated import Endpoint, SimulatedBackend, Site, SiteFailed, simulated
from loadtest.simulated.site import shared_out

USER = "user0000001"
PAIR = (SimulatedBackend("a", "s1"), SimulatedBackend("b", "s1", "127.0.0.2"))


@contextmanager
def client(endpoint: Endpoint, user: str = USER) -> Iterator[imaplib.IMAP4]:
    imap = imaplib.IMAP4(endpoint.address, endpoint.ports["imap"], timeout=30)
    try:
        imap.login(user, "any")
        imap.select()
        yield imap
    finally:
        imap.shutdown()


def mail(endpoint: Endpoint, user: str = USER) -> list[bytes]:
    with client(endpoint, user) as imap:
        return [part[1] for part in imap.fetch("1:*", "(BODY.PEEK[])")[1] if isinstance(part, tuple)]


def test_backends_are_shared_out_and_what_shares_mail_stays_together() -> None:
    backends = [SimulatedBackend(f"{shard}{replica}", shard) for shard in ("s1", "s2", "s3") for replica in "ab"]

    def names(processes: int, *, replicated: bool) -> list[list[str]]:
        return [[backend.name for backend in group] for group in shared_out(backends, processes, replicated)]

    assert names(1, replicated=True) == [["s1a", "s1b", "s2a", "s2b", "s3a", "s3b"]]
    assert names(2, replicated=True) == [["s1a", "s1b", "s3a", "s3b"], ["s2a", "s2b"]]
    assert names(9, replicated=True) == [["s1a", "s1b"], ["s2a", "s2b"], ["s3a", "s3b"]]
    assert names(4, replicated=False) == [["s1a", "s3a"], ["s1b", "s3b"], ["s2a"], ["s2b"]]


def test_a_site_is_there_inside_the_block_and_gone_behind_it() -> None:
    with simulated(PAIR, processes=2, users=10) as site:
        assert set(site.pids) == {"backends 1", "backends 2", "directory"}
        assert site.directory.startswith("ldap://127.0.0.1:")
        assert [(each.name, each.shard, each.address) for each in site.backends.values()] == [
            ("a", "s1", "127.0.0.1"),
            ("b", "s1", "127.0.0.2"),
        ]
        for endpoint in site.backends.values():
            assert mail(endpoint) == first_mail(USER)
        seen = site.presence()
        assert [(each.user, each.backend, each.protocol) for each in seen if each.came] == [
            (USER, "a", "imap"),
            (USER, "b", "imap"),
        ]
        assert [each.at for each in seen] == sorted(each.at for each in seen)
        assert site.served() == {"a": 1, "b": 1}
    assert sum(not each.came for each in [*seen, *site.presence()]) == 2
    for pid in site.pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def pushed(site: Site) -> Certificate:
    """The first message that arrives while a client idles."""
    with client(site.backends["a"]) as imap:
        imap.send(b"x IDLE\r\n")
        while not imap.readline().endswith(b" EXISTS\r\n"):
            pass
        imap.send(b"DONE\r\n")
        while not imap.readline().startswith(b"x OK"):
            pass
        newest = imap.fetch("*", "(BODY.PEEK[])")[1][0]
        assert isinstance(newest, tuple)
        certificate = certify(newest[1])
        assert certificate is not None
        return certificate


def test_mail_arrives_at_whoever_idles() -> None:
    with simulated(PAIR[:1], directory=False, pushes=50.0) as site:
        assert site.directory == ""
        certificate = pushed(site)
        came = site.presence()[0].at
    assert certificate.intact
    assert came < certificate.sent


def test_mail_survives_its_server_and_is_at_the_replica() -> None:
    message = compose(USER, 77, 3000)
    with simulated(PAIR, processes=2, directory=False, replicated=True) as site:
        with client(site.backends["a"]) as imap:
            assert imap.append("INBOX", None, None, message)[0] == "OK"
        site.kill("a")
        with pytest.raises(ConnectionRefusedError):
            mail(site.backends["a"])
        assert mail(site.backends["b"]) == [*first_mail(USER), message]
        site.revive("a")
        assert mail(site.backends["a"]) == [*first_mail(USER), message]


def test_backends_that_do_not_replicate_each_other_have_their_own_mail() -> None:
    with simulated(PAIR, directory=False) as site:
        with client(site.backends["a"]) as imap:
            imap.append("INBOX", None, None, compose(USER, 77, 3000))
        assert mail(site.backends["b"]) == first_mail(USER)


def test_an_address_that_cannot_be_used_is_no_site() -> None:
    wanted = [SimulatedBackend("a", "s1", "192.0.2.1")]
    with pytest.raises(SiteFailed, match="assign requested address"), simulated(wanted, directory=False):
        pass
