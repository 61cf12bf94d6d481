"""Vestibule as it is measured: one worker, every other setting at its default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.compare.product import NotHere, Product, Running
from loadtest.compare.surroundings import ADDRESS, Surroundings
from loadtest.vestibule import Plan, VestibuleFailed, vestibule


@contextmanager
def _start(around: Surroundings, folder: Path, port: int) -> Iterator[Running]:
    plan = Plan(
        listeners={"imap": (ADDRESS, port)},
        shards=[("s1", [("mb1", ADDRESS, {"imap": around.imap}, 1)])],
        directory=f"ldap://{ADDRESS}:{around.ldap}",
    )
    try:
        with vestibule(folder, plan, around.certificate) as daemon:
            yield Running(port, (daemon.pid,))
    except VestibuleFailed as failure:
        raise NotHere(str(failure)) from None


VESTIBULE = Product(
    name="Vestibule",
    has="one worker; director, admin process and supervisor counted; LDAP search and bind, session log and metrics on",
    start=_start,
)
