"""A mirror of one real OpenLDAP: everything that happens in it is seen, and nothing it does harms the mirror."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ldapmap.mirror.control import ask, changes
from ldapmap.mirror.errors import Unusable
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.generations import Generations
from ldapmap.mirror.store import Writer
from ldapmap.sections import ShardEntrySettings
from ldapmap.settings import Attributes, DomainSettings
from tls import backend_context

from . import slapd as slapd_module
from .mirrors import mirrored, mirroring_process, settings_for
from .processes import short_folder
from .slapd import Slapd

REASON = slapd_module.missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

USERS = 20


@pytest.fixture
def path() -> Iterator[Path]:
    folder = short_folder("vest-mirror")
    yield folder / "mirror"
    shutil.rmtree(folder)


@contextlib.contextmanager
def provider(**options: Any) -> Iterator[Slapd]:
    with Slapd(provider=True, **options) as server:
        for number in range(USERS):
            server.add_user(f"user{number}", "secret", mailHost="s1")
        yield server


def dn(user: str) -> str:
    return f"uid={user},{slapd_module.PEOPLE}"


async def test_everything_that_happens_in_the_directory_is_seen(path: Path) -> None:
    with provider() as server:
        async with mirrored(settings_for(server), path) as running:
            await running.follows()
            assert running.shard("user3") == "s1"
            assert running.routes.fresh
            assert running.mirror.status().users == USERS
            server.add_user("alice", "secret", mailHost="s1")
            await running.until(lambda: running.shard("alice") == "s1", "a new user")
            server.replace(dn("alice"), mailHost="s2")
            await running.until(lambda: running.shard("alice") == "s2", "another shard")
            server.admin().modify_dn(dn("alice"), "uid=bob")
            await running.until(lambda: running.shard("bob") == "s2" and not running.shard("alice"), "another name")
            server.delete(dn("bob"))
            await running.until(lambda: not running.shard("bob"), "a user who is gone")
            server.replace(dn("user1"), mailHost=[])
            await running.until(lambda: not running.shard("user1"), "a user without a route")
            status = running.mirror.status()
            assert (status.users, status.entries, status.unusable) == (USERS - 1, USERS, 1)
            assert (status.reloads, status.reconnects, status.purges_refused) == (1, 0, 0)


@pytest.mark.parametrize(("scheme", "starttls"), [("ldap", True), ("ldaps", False), ("ldapi", False)])
async def test_a_server_is_followed_over_every_transport(path: Path, scheme: str, starttls: bool) -> None:
    with provider() as server:
        settings = settings_for(server, servers=(getattr(server, scheme),), starttls=starttls)
        async with mirrored(settings, path, backend_context(server.ca_file, True)) as running:
            await running.follows()
            for number in range(USERS):
                server.replace(dn(f"user{number}"), mailHost="s2")
            await running.until(lambda: running.mirror.status().changes == USERS)
            assert running.shard("user3") == "s2"


async def test_several_bases_and_the_shards_are_followed_at_once(path: Path) -> None:
    other, shards = f"ou=other,{slapd_module.BASE}", f"ou=shards,{slapd_module.BASE}"
    with provider() as server:
        for base in (other, shards):
            server.add(base, ["organizationalUnit"], {})
        person = {"cn": "x", "sn": "x", "mailHost": "s7"}
        server.add(f"uid=user1,{other}", ["inetOrgPerson", "inetLocalMailRecipient"], person)
        server.add(f"cn=s7,{shards}", ["device"], {"description": "mb7 host=mb7.example"})
        settings = settings_for(
            server,
            domain=(DomainSettings(names=("other.example",), base=other),),
            shards=ShardEntrySettings(base=shards, filter="(objectClass=device)", backends="description"),
        )
        async with mirrored(settings, path) as running:
            await running.follows()
            assert (running.shard("user1"), running.shard("user1", base=1)) == ("s1", "s7")
            assert "mb7.example" in running.routes.shards()["s7"]
            async with told(path, 0) as changed:
                await anext(changed)
                server.replace(f"cn=s7,{shards}", description="mb7 host=mb8.example")
                assert (await anext(changed))["shard_entry"] == "s7"
            server.replace(f"uid=user1,{other}", mailHost="s8")
            await running.until(lambda: running.shard("user1", base=1) == "s8")
            assert running.shard("user1") == "s1"
        async with mirrored(settings, path) as running:
            await running.follows()
            assert running.mirror.status().received == 0


async def test_a_change_of_anything_in_the_entry_forgets_the_remembered_password(path: Path) -> None:
    with provider() as server:
        async with mirrored(settings_for(server), path) as running:
            await running.follows()
            assert running.forgotten == ["everybody"]
            running.forgotten.clear()
            server.replace(dn("user1"), userPassword=slapd_module.ssha("another"))
            await running.until(lambda: running.forgotten == ["user1"], "user1 forgotten")
            assert running.mirror.status().changes == 0


async def test_a_directory_that_tells_when_passwords_change_forgets_only_then(path: Path) -> None:
    with provider() as server:
        settings = settings_for(server, attributes=Attributes(password_changed="pwdChangedTime"))
        async with mirrored(settings, path) as running:
            await running.follows()
            running.forgotten.clear()
            server.replace(dn("user1"), description="harmless")
            server.replace(dn("user2"), mailHost="s2")
            await running.until(lambda: running.forgotten == ["user2"], "user2 forgotten")


async def test_a_process_that_is_killed_goes_on_where_it_was(path: Path) -> None:
    with provider() as server:
        settings = settings_for(server)
        with mirroring_process(settings, path):
            assert ask(path, "status")["received"] == USERS
        server.replace(dn("user1"), mailHost="s2")
        async with mirrored(settings, path) as running:
            await running.follows()
            assert running.shard("user1") == "s2"
            status = running.mirror.status()
            assert (status.received, status.reloads, status.generation) == (1, 0, 1)
        async with mirrored(settings, path) as running:
            await running.follows()
            assert running.mirror.status().received == 0


async def test_a_second_process_does_not_write_the_same_mirror(path: Path) -> None:
    with provider() as server:
        settings = settings_for(server)
        with mirroring_process(settings, path):
            async with mirrored(settings, path) as second:
                with pytest.raises(Unusable, match="another process"):
                    await second.task
                second.task = asyncio.ensure_future(asyncio.sleep(0))
            assert ask(path, "status")["state"] == "following"


async def test_what_was_deleted_unseen_is_purged_when_the_server_has_lost_its_session_log(path: Path) -> None:
    with provider() as server:
        settings = settings_for(server)
        async with mirrored(settings, path) as running:
            await running.follows()
        server.delete(dn("user7"))
        server.restart()
        async with mirrored(settings, path) as running:
            await running.follows()
            assert running.shard("user7") is None
            assert running.mirror.status().users == USERS - 1
            assert running.mirror.status().reloads == 0
            assert running.forgotten == ["user7"]


async def test_a_server_that_has_gone_back_after_a_power_failure_is_loaded_from_anew(path: Path) -> None:
    with provider(checkpoint="1000 10") as server:
        async with mirrored(settings_for(server), path) as running:
            await running.follows()
            server.delete(dn("user7"))
            await running.until(lambda: not running.shard("user7"))
            server.kill()
            await running.until(lambda: running.mirror.status().state == "disconnected")
            assert running.shard("user3") == "s1"
            server.start()
            await running.until(lambda: running.mirror.status().generation == 2, "a new generation")
            await running.follows()
            assert running.mirror.status().users == USERS - 1
            server.add_user("alice", "secret", mailHost="s1")
            await running.until(lambda: running.shard("alice") == "s1")


async def test_a_cookie_that_is_garbage_is_overcome(path: Path) -> None:
    with provider() as server:
        settings = settings_for(server)
        async with mirrored(settings, path) as running:
            await running.follows()
        current = Generations(path).current
        assert current is not None
        writer = Writer(current, fingerprint=fingerprint(settings))
        with writer.transaction() as change:
            change.set_cookie(settings.base, b"\xff garbage, rid=;csn=,,")
        writer.close(clean=True)
        server.replace(dn("user1"), mailHost="s2")
        async with mirrored(settings, path) as running:
            await running.follows()
            assert running.shard("user1") == "s2"
            assert running.mirror.status().users == USERS


async def test_a_mass_deletion_is_refused_until_an_operator_says_it_is_meant(path: Path) -> None:
    with provider() as server:
        settings = settings_for(server)
        async with mirrored(settings, path) as running:
            await running.follows()
        for number in range(15):
            server.delete(dn(f"user{number}"))
        server.restart()
        async with mirrored(settings, path) as running:
            await running.until(lambda: running.mirror.status().state == "refused")
            assert running.mirror.status().purges_refused >= 1
            assert "15 of 20" in running.mirror.status().message
            assert running.shard("user3") == "s1"
            assert await asyncio.to_thread(ask, path, "rebuild") == {"ordered": True}
            await running.follows()
            assert running.shard("user3") is None
            assert running.shard("user19") == "s1"
            assert (running.mirror.status().users, running.mirror.status().reloads) == (5, 1)


async def test_a_server_that_hangs_is_noticed_and_followed_again_when_it_answers(path: Path) -> None:
    with provider() as server:
        async with mirrored(settings_for(server), path) as running:
            await running.follows()
            server.pause()
            await running.until(lambda: running.mirror.status().state == "disconnected", "the heartbeat")
            assert "no answer" in running.mirror.status().message
            server.resume()
            await running.follows()
            assert running.mirror.status().received == USERS


async def test_a_server_that_hangs_from_the_beginning_is_only_waited_for_so_long(path: Path) -> None:
    with provider() as server:
        server.pause()
        async with mirrored(settings_for(server, connect_timeout=0.2), path) as running:
            await running.until(lambda: "not usable" in running.mirror.status().message)
            assert not running.routes.loaded
            server.resume()
            await running.follows()


async def test_a_wrong_password_of_the_service_identity_is_told_and_never_shown(path: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    with provider() as server:
        async with mirrored(settings_for(server, bind_password_file=wrong), path) as running:
            await running.until(lambda: "invalidCredentials" in running.mirror.status().message)
            assert running.mirror.status().state == "disconnected"
            assert "not the password" not in str(running.mirror.status())


async def test_a_server_without_content_synchronisation_is_told(path: Path) -> None:
    with Slapd() as server:  # without syncprov
        async with mirrored(settings_for(server), path) as running:
            await running.until(lambda: "unavailableCriticalExtension" in running.mirror.status().message)
            assert not list(path.glob("*.mdb"))


async def test_routes_stay_readable_without_any_server_and_are_not_fresh_any_more(path: Path) -> None:
    with provider() as server:
        async with mirrored(settings_for(server, trust=1.0), path) as running:
            await running.follows()
            server.kill()
            await running.until(lambda: running.shard("user3") and not running.routes.fresh, "staleness")
            assert running.routes.loaded
            server.start()
            await running.follows()
            await running.until(lambda: running.shard("user3") and running.routes.fresh)
            status = running.mirror.status()
            assert (status.reloads, status.reconnects, status.received) == (1, 1, USERS)


async def test_changes_are_told_to_those_who_ask(path: Path) -> None:
    with provider() as server:
        async with mirrored(settings_for(server), path) as running:
            await running.follows()
            async with told(path, 0) as first:
                begin = await anext(first)
                assert begin["reset"] is True
                server.replace(dn("user1"), mailHost="s2")
                change = await anext(first)
                assert change == {
                    "seq": begin["seq"] + 1,
                    "user": "user1",
                    "shard": "s2",
                    "preferred": "",
                    "was_shard": "s1",
                    "was_preferred": "",
                }
                server.delete(dn("user2"))
                assert (await anext(first))["shard"] == ""
                async with told(path, change["seq"]) as second:
                    assert (await anext(second))["user"] == "user2"
                    running.mirror.rebuild()
                    assert (await anext(first))["reset"] is True
                    assert (await anext(second))["reset"] is True


@contextlib.asynccontextmanager
async def told(path: Path, since: int) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with asyncio.timeout(20), contextlib.aclosing(changes(path, since)) as stream:
        yield stream


async def test_a_mirror_with_other_settings_is_loaded_anew(path: Path) -> None:
    with provider() as server:
        async with mirrored(settings_for(server), path) as running:
            await running.follows()
        settings = settings_for(server, attributes=Attributes(shard="mail"))
        async with mirrored(settings, path) as running:
            await running.follows()
            assert running.shard("user3") is None
            assert running.mirror.status().reloads == 1


async def test_a_mirror_that_is_interrupted_ends_without_leaving_its_socket(path: Path) -> None:
    with provider() as server, mirroring_process(settings_for(server), path) as process:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert not (path / "mirror.sock").exists()
