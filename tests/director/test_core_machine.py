"""The director driven at random, on several nodes that share a store: whatever happens, and in whatever order, no user
has sessions on two backends that live."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from director.shards import Shards

from .world import SHARDS, World

USERS = ("ann", "bob", "cyd")
BACKENDS = ("a", "b", "c", "d")
HOMES = {"ann": "s1", "bob": "s1", "cyd": "s2"}

users = st.sampled_from(USERS)
backends = st.sampled_from(BACKENDS)
numbers = st.integers(0, 30)


class Director(RuleBasedStateMachine):
    """Two nodes with two workers each; the store never fails."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(nodes=2)
        self.world.run_dry()
        self.shards = dict(HOMES)

    def node(self, which: int):  # type: ignore[no-untyped-def]
        living = self.world.living()
        return living[which % len(living)]

    @rule(user=users, which=numbers)
    def somebody_logs_in(self, user: str, which: int) -> None:
        node = self.node(which)
        node.login(node.workers[which % 2], user, self.shards[user])

    @rule(which=numbers)
    def somebody_logs_out(self, which: int) -> None:
        node = self.node(which)
        worker = node.workers[which % 2]
        if worker.sessions:
            node.end(worker, sorted(worker.sessions)[which % len(worker.sessions)])

    @rule(which=numbers, times=st.integers(1, 20))
    def something_happens(self, which: int, times: int) -> None:
        for number in range(times):
            self.world.step(which + number)

    @rule()
    def everything_happens(self) -> None:
        self.world.run_dry()

    @rule(seconds=st.sampled_from((0.1, 1.0, 1.0, 3.0)))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(backend=backends)
    def a_backend_dies(self, backend: str) -> None:
        self.world.kill_backend(backend)

    @rule(backend=backends)
    def a_backend_returns(self, backend: str) -> None:
        self.world.backends[backend].up = True

    @rule()
    def workers_notice(self) -> None:
        self.world.notice_dead()

    @rule(user=users, which=numbers)
    def an_operator_moves_somebody(self, user: str, which: int) -> None:
        node = self.node(which)
        shard = node.core.fleet.find_shard(self.shards[user])
        assert shard is not None
        node.do(node.core.move(user, shard.backends[which % 2], node.now))

    @rule(backend=backends, which=numbers)
    def an_operator_drains(self, backend: str, which: int) -> None:
        node = self.node(which)
        _, wanted = node.core.drain(backend, node.now, dry=False)
        node.do(wanted)

    @rule(backend=backends, state=st.sampled_from(("online", "standby", "offline")), which=numbers)
    def an_operator_says(self, backend: str, state: str, which: int) -> None:
        node = self.node(which)
        node.do(node.core.set_admin(backend, state, node.now))

    @rule(user=users)
    def an_operator_kicks(self, user: str) -> None:
        node = self.node(0)
        node.do(node.core.kick(user, node.now)[1])

    @rule(user=users, shard=st.sampled_from(("s1", "s2")), preferred=st.sampled_from(("", *BACKENDS)))
    def the_directory_changes(self, user: str, shard: str, preferred: str) -> None:
        self.shards[user] = shard
        for node in self.world.living():
            node.do(node.core.route_changed(user, shard, preferred, node.now))

    @rule(which=numbers)
    def a_worker_dies(self, which: int) -> None:
        node = self.node(which)
        worker = node.workers[which % 2]
        worker.sessions.clear()
        worker.inbox.clear()
        node.do(node.core.left(worker.name, node.now))
        worker.name += "'"
        node.introduce(which % 2, worker)

    @rule(which=numbers)
    def a_director_is_replaced(self, which: int) -> None:
        self.node(which).start()

    @precondition(lambda self: len(self.world.living()) > 1)
    @rule(which=numbers)
    def a_node_dies(self, which: int) -> None:
        self.node(which).alive = False

    @invariant()
    def no_user_is_on_two_backends(self) -> None:
        for user in USERS:
            assert len(self.world.places(user)) <= 1, (user, self.world.places(user))

    def settle_down(self) -> None:
        """Everything that ails is mended, and time passes until nothing changes any more."""
        for node in self.world.living():
            node.cut = False
        self.world.run_dry()
        for backend in BACKENDS:
            self.world.backends[backend].up = True
            node = self.node(0)
            node.do(node.core.set_admin(backend, "online", node.now))
        for _ in range(60):
            self.world.notice_dead()
            self.world.pass_time(1.0)
            self.world.run_dry()

    def teardown(self) -> None:
        """In the end everybody who wants in gets in, to one place, and the store knows who is where."""
        world = self.world
        self.settle_down()
        for user in USERS:
            for node in world.living():
                node.login(node.workers[0], user, self.shards[user])
        world.run_dry()
        for user in USERS:
            places = world.places(user)
            assert len(places) == 1, (user, places)
            shard = next(shard for shard in SHARDS if shard.name == self.shards[user])
            assert places <= {backend.name for backend in shard.backend}
        for node in world.living():
            assert not node.core.roster.split
            for worker in node.workers:
                for number in list(worker.sessions):
                    node.end(worker, number)
        for _ in range(5):
            world.run_dry()
            world.pass_time(1.0)
        for node in world.living():
            assert not node.core.roster.where.get("x") and not any(node.core.roster.where.values())
            assert len(node.core.guard) == 0
            assert not node.core.roster.users, [vars_of(user) for user in node.core.roster.users.values()]
        for _, value in world.scan(""):
            from director.record import decode

            assert not decode(value).holds, value


def vars_of(user: object) -> dict[str, object]:
    """For the message of a test that fails."""
    return {name: getattr(user, name) for name in type(user).__slots__}  # type: ignore[attr-defined]


class WithLosses(Director):
    """The same when nodes lose the store, and the store loses what it has: then a user may for a while be on two
    backends, but not for longer than it takes to find out."""

    lost = False

    @rule(which=numbers)
    def a_node_loses_the_store(self, which: int) -> None:
        self.node(which).cut = True
        self.lost = True

    @rule(which=numbers)
    def a_node_finds_the_store(self, which: int) -> None:
        self.node(which).cut = False

    @rule()
    def the_store_forgets_everything(self) -> None:
        from director.stores.memory import MemoryStore

        self.world.store = MemoryStore(lambda: self.world.time)
        self.lost = True

    @invariant()
    def no_user_is_on_two_backends(self) -> None:
        if not self.lost:
            super().no_user_is_on_two_backends()

    def settle_down(self) -> None:
        super().settle_down()
        for user in USERS:
            assert len(self.world.places(user)) <= 1, (user, self.world.places(user))


@pytest.mark.parametrize("machine", [Director, WithLosses], ids=["while the store is there", "with store losses"])
def test_no_user_is_on_two_backends_whatever_happens(machine: type[Director]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=150,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


assert Shards
