"""A layer that changes nothing."""

from ldapmap.directory import Directory
from ldapmap.layer import Layer
from tests.ldapmap.scripted import ALICE, ScriptedDirectory


async def test_whatever_a_layer_is_asked_it_asks_the_directory_below() -> None:
    inner = ScriptedDirectory()
    layer: Directory = Layer(inner)
    await layer.start()
    assert layer.healthy
    inner.up = False
    assert not layer.healthy
    assert await layer.find("alice", fresh=True) == ALICE
    await layer.verify(ALICE, b"secret")
    assert layer.describe("alice") == [("typed name", "alice")]
    assert layer.status() == inner.status()
    await layer.close()
    assert (inner.searched, inner.verified, inner.life) == (["alice"], [b"secret"], ["start", "close"])
