"""Hooks: order, confirmation, failures, and what may be called inside."""

import contextlib
import gc
import sys
import threading
import time

import pytest
from conftest import TIMEOUT, Gate, wait_until

import clusterkit
from clusterkit import EventType, NodeJoinEvent, PartitionChangeEvent, RoleChange
from clusterkit.testing import TestCluster


@contextlib.contextmanager
def reported():
    """What is reported of exceptions that nobody can catch."""
    before, seen = sys.unraisablehook, []
    sys.unraisablehook = lambda unraisable: seen.append((unraisable.exc_value, unraisable.object))
    try:
        yield seen
    finally:
        sys.unraisablehook = before


def test_every_type_of_event_has_its_hook_and_its_class(clusterkit_cluster):
    seen = {}
    lock = threading.Lock()

    def prepare(index, node):
        def keep(event):
            with lock:
                seen.setdefault((index, event.type), []).append(event)

        for event_type in EventType:
            getattr(node, f"on_{event_type}")(keep)

    cluster = clusterkit_cluster(nodes=3, partition_count=8, prepare=prepare, rebalance_delay="1s")
    leader = cluster.leader
    others = [index for index in range(3) if index != leader]
    cluster.kill(others[0])
    cluster.wait_settled()
    cluster.restart(others[0])
    cluster.wait_settled()
    cluster.node(leader).step_down()
    cluster.wait_until("the leader hears of its end", lambda: (leader, EventType.LOSE_LEADERSHIP) in seen)
    heard = {event_type for _, event_type in seen}
    assert heard == set(EventType)
    for (_, event_type), events in seen.items():
        assert all(event.type is event_type for event in events)
        assert all(event.revision > 0 and event.timestamp.tzinfo is not None for event in events)
    joined = seen[0, EventType.NODE_JOIN]
    match joined[0]:
        case NodeJoinEvent(node=clusterkit.Node(id=node_id), is_bootstrap=True, cluster_size=1):
            assert node_id == "node-0"
        case other:
            pytest.fail(f"it is {other}")
    # `on_node_join` and its like are functions still.
    assert isinstance(joined[0], clusterkit.Event)


def test_a_copy_counts_when_its_hook_has_returned(make_node):
    first = make_node("node-1", max_concurrent_migrations=8)
    first.start()
    gates = {number: Gate() for number in range(8)}
    second = make_node("node-2", join_addrs=[first.http_addr], max_concurrent_migrations=8)

    @second.on_partition_change
    def copy(event: PartitionChangeEvent):
        if event.node_id == second.node_id and event.change is RoleChange.GAINED_REPLICA:
            assert [source.id for source in event.copy_from_nodes] == ["node-1"]
            assert event.copy_to_node.id == "node-2"
            assert event.is_gain
            assert event.role is clusterkit.Role.REPLICA
            gates[event.number](event)

    second.start()
    for number in range(8):
        assert gates[number].entered.wait(TIMEOUT)
    # All at once, each on a thread of its own, and none counts.
    assert second.view().partitions_of("node-2") == ()
    assert len(second.rebalance_status().migrations) == 8
    for gate in gates.values():
        gate.opened.set()
    wait_until(lambda: len(second.view().partitions_of("node-2")) == 8, "the copies count")


def test_a_hook_that_raises_fails_the_copy_and_is_called_again(make_node):
    first = make_node("node-1")
    first.start()
    second = make_node("node-2", join_addrs=[first.http_addr])
    calls = []

    @second.on_partition_change
    def copy(event):
        if event.node_id == "node-2" and event.change is RoleChange.GAINED_REPLICA and event.number == 0:
            calls.append(event)
            if len(calls) < 3:
                raise OSError("disk is full")

    with reported() as seen:
        second.start()
        wait_until(lambda: 0 in second.view().partitions_of("node-2"), "it is copied in the end")
    assert len(calls) == 3
    raised, hook = seen[0]
    assert str(raised) == "disk is full"
    assert hook is copy
    (stats,) = second.hook_stats
    assert stats.failures == stats.retries == 2
    assert stats.id == copy.id
    assert stats.events == ("partition_change",)


def test_the_words_of_a_failure_are_in_the_log(caplog, make_node):
    node = make_node()

    @node.on_node_join
    def fails(_event):
        raise ValueError("no such shelf")

    with reported():
        node.start()
        wait_until(lambda: "ValueError: no such shelf" in caplog.text, "it is told")


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt()])
def test_not_even_the_end_of_the_process_gets_out_of_a_hook(make_node, raised):
    node = make_node()
    node.on_node_join(lambda event: (_ for _ in ()).throw(raised))
    with reported() as seen:
        node.start()
        wait_until(lambda: seen, "it is reported")
    assert seen[0][0] is raised
    assert node.is_leader


def test_a_hook_may_call_what_does_not_wait_for_it(make_node):
    node = make_node()
    outcome = {}

    @node.on_leader_change
    def calls(_event):
        for what in (node.stop, node.leave, node.start):
            with pytest.raises(clusterkit.InHookError):
                what()
        outcome["lookup"] = node.view().nodes
        outcome["revision"] = node.set_custom_data("from", "a hook")
        outcome["removed"] = calls.remove()
        # Inside a hook it waits for nothing.
        outcome["hook"] = node.on_node_leave(lambda event: None)

    node.start()
    wait_until(lambda: "hook" in outcome, "the hook has returned")
    node.wait_for_revision(outcome["revision"])
    assert node.get_custom_data("from") == b"a hook"
    assert [stats.id for stats in node.hook_stats] == [outcome["hook"].id]


def test_a_node_may_be_closed_inside_a_hook(make_node):
    node = make_node()
    closed = threading.Event()

    @node.on_become_leader
    def closes(_event):
        node.close()
        closed.set()

    with contextlib.suppress(clusterkit.StoppedError):
        # It may hear of that before its start has returned.
        node.start()
    assert closed.wait(TIMEOUT)
    with pytest.raises(clusterkit.StoppedError):
        wait_until(lambda: node.waiting_for, "it has stopped")


def test_a_removal_waits_for_the_call_under_way(node):
    gate = Gate()
    hook = node.on_partition_change(gate)
    # It is told first what the node holds.
    assert gate.entered.wait(TIMEOUT)
    with pytest.raises(clusterkit.TimeoutError):
        hook.remove(0.05)
    gate.opened.set()
    with pytest.raises(clusterkit.NotFoundError):
        hook.remove()


def test_a_hook_that_comes_late_is_told_what_the_node_holds(node):
    seen = []
    node.on_partition_change(lambda event: seen.append(event.number))
    wait_until(lambda: set(seen) == set(range(8)), "it hears of all")


def test_several_types_share_a_hook(node):
    seen = []

    @node.on("node_leave", EventType.NODE_JOIN)
    def members(event):
        seen.append(event)

    assert members("as a function") is None
    assert seen == ["as a function"]
    assert repr(members) == f"<Hook members ({members.id})>"
    with pytest.raises(ValueError, match="'node_lost' is not a valid EventType"):
        node.on("node_lost")(print)
    with pytest.raises(clusterkit.InvalidArgumentError):
        node.on_node_join("no function")
    with pytest.raises(clusterkit.InvalidArgumentError, match="no event loop runs"):

        @node.on_node_join
        async def later(_event):
            pass


def test_a_stop_waits_for_hooks_and_no_hook_runs_afterwards(make_node):
    node = make_node()
    running = threading.Event()
    ended = []

    @node.on_become_leader
    def slow(_event):
        running.set()
        time.sleep(0.3)
        ended.append(True)

    seen = []
    node.on_event(seen.append)
    node.start()
    assert running.wait(TIMEOUT)
    node.stop()
    assert ended
    count = len(seen)
    assert count > 0
    time.sleep(0.1)
    assert len(seen) == count
    with pytest.raises(clusterkit.StoppedError):
        node.on_node_join(print)


def test_an_observer_holds_nothing_up_and_loses_nothing(make_node):
    node = make_node()
    gate = Gate()
    seen = []

    @node.on_event
    def slow(event):
        gate(event)
        seen.append(event.revision)

    node.start()
    assert gate.entered.wait(TIMEOUT)
    wait_until(lambda: all(map(node.is_primary, range(8))), "nothing waits for it")
    gate.opened.set()
    node.stop()
    assert len(seen) >= 11
    assert seen == sorted(seen)


def test_ten_thousand_events_while_the_main_thread_computes(make_node):
    node = make_node(partition_count=10_000, replication_factor=1)
    confirmed, observed = [], []
    by_number = {}

    @node.on_partition_change
    def copy(event):
        confirmed.append(event.number)

    @node.on_event
    def watch(event):
        observed.append(event.revision)
        if isinstance(event, PartitionChangeEvent):
            by_number.setdefault(event.number, []).append(event)

    node.start()
    total, deadline = 0, time.monotonic() + 60
    while len(confirmed) < 10_000 or len(by_number) < 10_000:
        # Computes, and gives the interpreter up only when that is asked for.
        total += sum(range(1000))
        assert time.monotonic() < deadline, (len(confirmed), len(by_number))
    assert sorted(confirmed) == list(range(10_000))
    assert observed == sorted(observed)
    numbers = [number for number, events in by_number.items() for event in events]
    assert len(numbers) == 10_000
    node.stop()


def test_hooks_of_a_node_that_is_gone_are_collected(clusterkit_cluster):
    cluster = clusterkit_cluster(nodes=1, partition_count=4)
    calls = []

    class Keeps:
        def __call__(self, event):
            calls.append(event)

    kept = Keeps()
    hook = cluster.node(0).on_partition_change(kept)
    hook.remove()
    count = sys.getrefcount(kept)
    del hook
    gc.collect()
    assert sys.getrefcount(kept) < count


def test_a_test_cluster_may_have_hooks_that_fail():
    def prepare(_index, _node):
        raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        TestCluster(nodes=1, prepare=prepare)
