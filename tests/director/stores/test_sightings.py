"""Silent nodes are told from living ones whatever a store's clock does."""

from director.store import Node
from director.stores.sightings import Beat, Sightings


def test_at_first_a_node_is_as_old_as_the_store_says() -> None:
    assert Sightings().look([Beat("front1", "a", 7, 30.0)], 1000.0) == (Node("front1", "a", 30.0),)


def test_a_date_in_the_future_is_now() -> None:
    assert Sightings().look([Beat("front1", "a", 7, -300.0)], 1000.0) == (Node("front1", "a", 0.0),)


def test_a_node_whose_heartbeats_go_on_is_alive_whatever_the_date() -> None:
    sightings = Sightings()
    sightings.look([Beat("front1", "a", 7, 0.0)], 1000.0)
    assert sightings.look([Beat("front1", "a", 8, 600.0)], 1001.0) == (Node("front1", "a", 0.0),)


def test_a_node_without_new_heartbeats_grows_old_whatever_the_date() -> None:
    sightings = Sightings()
    sightings.look([Beat("front1", "a", 7, 2.0)], 1000.0)
    assert sightings.look([Beat("front1", "a", 7, -600.0)], 1003.0) == (Node("front1", "a", 5.0),)


def test_a_new_incarnation_is_a_heartbeat() -> None:
    sightings = Sightings()
    sightings.look([Beat("front1", "a", 1, 0.0)], 1000.0)
    assert sightings.look([Beat("front1", "b", 1, 60.0)], 1003.0) == (Node("front1", "b", 0.0),)


def test_who_is_gone_from_the_store_is_forgotten() -> None:
    sightings = Sightings()
    sightings.look([Beat("front1", "a", 1, 0.0)], 1000.0)
    assert sightings.look([], 1001.0) == ()
    assert sightings.look([Beat("front1", "a", 1, 9.0)], 1002.0) == (Node("front1", "a", 9.0),)
