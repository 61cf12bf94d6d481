"""The director driven at random, on several nodes that share a store: whatever happens, and in whatever order, no user
has sessions on two backends that live."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from director.door import LINGER
from director.record import decode
from tests.director.world import SHARDS, Node, World

USERS = ("ann", "bob", "cyd")
BACKENDS = ("a", "b", "c", "d")
HOMES = {"ann": "s1", "bob": "s1", "cyd": "s2"}

users = st.sampled_from(USERS)
backends = st.sampled_from(BACKENDS)
numbers = st.integers(0, 30)


class Director(RuleBasedStateMachine):
    """Nodes with two workers each, whose clocks are minutes apart; the store never fails."""

    nodes = 2
    near = False

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.nodes, near=self.near)
        self.shards = dict(HOMES)

    def node(self, which: int) -> Node:
        living = self.world.living()
        return living[which % len(living)]

    @rule(user=users, which=numbers)
    def somebody_logs_in(self, user: str, which: int) -> None:
        self.node(which).login(user, self.shards[user], worker=which % 2)

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

    @rule(backend=backends, which=numbers)
    def a_node_does_not_reach_a_backend(self, backend: str, which: int) -> None:
        self.node(which).unreachable ^= {backend}

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
        node.arrive()
        node.crash(node.workers[which % 2])

    @rule(which=numbers)
    def a_worker_loses_its_connection(self, which: int) -> None:
        node = self.node(which)
        node.arrive()
        worker = node.workers[which % 2]
        node.disconnect(worker)
        node.arriving.append(worker)

    @rule(which=numbers)
    def a_director_is_replaced(self, which: int) -> None:
        self.node(which).start()

    @precondition(lambda self: len(self.world.living()) > 1)
    @rule(which=numbers)
    def a_node_dies(self, which: int) -> None:
        self.node(which).alive = False
        self.world.judge_votes()

    @invariant()
    def no_user_is_on_two_backends(self) -> None:
        for user in USERS:
            assert len(self.world.places(user) - self.world.given_up) <= 1, (user, self.world.places(user))

    def settle_down(self) -> None:
        """Everything that ails is mended, and time passes until nothing changes any more: then nobody is on two."""
        for node in self.world.living():
            node.cut = node.asleep = False
            node.unreachable.clear()
        self.world.run_dry()
        for backend in BACKENDS:
            self.world.backends[backend].up = True
            node = self.node(0)
            node.do(node.core.set_admin(backend, "online", node.now))
        for _ in range(60):
            self.world.notice_dead()
            self.world.pass_time(1.0)
            self.world.run_dry()
        for user in USERS:
            assert len(self.world.places(user)) <= 1, (user, self.world.places(user))

    def teardown(self) -> None:
        """In the end everybody who wants in gets in, to one place, and nothing stays of those who have left."""
        self.settle_down()
        if len(self.world.node.done) % 2:
            self.everybody_leaves()
        self.everybody_gets_in()
        self.everybody_leaves()

    def everybody_gets_in(self) -> None:
        world = self.world
        for user in USERS:
            for node in world.living():
                node.login(user, self.shards[user])
        world.run_dry()
        for user in USERS:
            places = world.places(user)
            assert len(places) == 1, (user, places)
            shard = next(shard for shard in SHARDS if shard.name == self.shards[user])
            assert places <= {backend.name for backend in shard.backend}
        assert not any(node.core.roster.split or node.core.roster.unsure for node in world.living())

    def everybody_leaves(self) -> None:
        world = self.world
        for node in world.living():
            for worker in node.workers:
                for number in list(worker.sessions):
                    node.end(worker, number)
        for _ in range(5 + int(LINGER)):
            world.run_dry()
            world.pass_time(1.0)
        for node in world.living():
            assert not any(node.core.roster.where.values())
            assert len(node.core.guard) == 0
            assert not node.core.roster.users
        for _, value in world.scan(""):
            assert not any(self.is_heard_of(hold.node) for hold in decode(value).holds), value

    def is_heard_of(self, life: str) -> bool:
        """Whether anybody knows that this life of a node has ever been, and clears up after it."""
        return True


class ThreeNodes(Director):
    """The same with three nodes: two of them agree on what the third does not see."""

    nodes = 3


class OneNode(Director):
    """The same with a node that is alone: its store is in the director's process."""

    nodes = 1
    near = True


class WithLosses(Director):
    """The same when nodes lose the store or sleep for a while, and the store loses what it has: then a user may for a
    while be on two backends, but not for longer than it takes to find out."""

    lost = False

    @rule(which=numbers)
    def a_node_loses_the_store(self, which: int) -> None:
        self.node(which).cut = True
        self.lost = True

    @rule(which=numbers)
    def a_node_finds_the_store(self, which: int) -> None:
        self.node(which).cut = False

    @rule(which=numbers)
    def a_node_falls_asleep(self, which: int) -> None:
        self.node(which).asleep = True
        self.lost = True

    @rule(which=numbers)
    def a_node_wakes_up(self, which: int) -> None:
        self.node(which).asleep = False

    @rule(silent=st.booleans())
    def hints_are_lost_or_heard(self, silent: bool) -> None:
        self.world.silent = silent

    @rule()
    def the_store_forgets_everything(self) -> None:
        self.world.forget()
        self.lost = True

    @invariant()
    def no_user_is_on_two_backends(self) -> None:
        if not self.lost:
            super().no_user_is_on_two_backends()

    def is_heard_of(self, life: str) -> bool:
        """Not of one that wrote into an emptied store, and died before its first heartbeat there, if whoever knew it
        has been replaced since: its hold stays until the user's next login, which waits `node_timeout` at most."""
        known = [node.core.nodes for node in self.world.living()]
        return any(nodes.is_known(life) or life in nodes._dead for nodes in known)


@pytest.mark.machine
@pytest.mark.parametrize(
    ("machine", "examples"),
    [(Director, 100), (WithLosses, 100), (ThreeNodes, 60), (OneNode, 60)],
    ids=["while the store is there", "with losses", "on three nodes", "on one node"],
)
def test_no_user_is_on_two_backends_whatever_happens(machine: type[Director], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            suppress_health_check=list(HealthCheck),
        ),
    )
