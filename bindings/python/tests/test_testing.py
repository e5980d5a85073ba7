"""Test clusters."""

import datetime

import pytest

import clusterkit
from clusterkit.testing import DiskFault, TestCluster


def test_a_primary_dies_and_comes_back(clusterkit_cluster):
    cluster = clusterkit_cluster(nodes=3, partition_count=8)
    primary = cluster.primary_of("user:123")
    cluster.kill(primary)
    assert not cluster.is_running(primary)
    cluster.wait_for_primaries(60)
    heir = cluster.primary_of("user:123")
    assert heir not in (None, primary)
    with pytest.raises(clusterkit.StoppedError):
        cluster.node(primary).set_custom_data("key", b"")
    before = cluster.node(primary)
    after = cluster.restart(primary)
    assert after is cluster.node(primary)
    assert after is not before
    cluster.wait_settled()
    assert cluster.is_running(primary)


def test_networks_and_disks_fail(clusterkit_cluster):
    cluster = clusterkit_cluster(nodes=3, partition_count=8)
    leader = cluster.wait_for_leader()
    other = (leader + 1) % 3
    cluster.isolate(leader)
    cluster.wait_until("another leads", lambda: cluster.leader not in (None, leader))
    cluster.heal()
    cluster.wait_settled()
    cluster.cut(0, 1)
    cluster.restore(0, 1)
    cluster.cut_one_way(0, 1)
    cluster.split([2])
    cluster.heal()
    cluster.set_link(0, 1, delay=0.01, loss=0.1)
    cluster.set_link(0, 1)
    cluster.pause(other)
    assert cluster.is_paused(other)
    cluster.resume(other)
    cluster.fail_disk(other, DiskFault.FULL)
    cluster.mend_disk(other)
    cluster.wait_settled()
    cluster.stop(other)
    cluster.wipe(other)
    cluster.restart(other)
    cluster.wait_settled()
    with pytest.raises(clusterkit.InvalidArgumentError):
        cluster.set_link(0, 1, loss=2.0)
    with pytest.raises(clusterkit.InvalidArgumentError):
        cluster.fail_disk(0, "melts")
    with pytest.raises(clusterkit.NotFoundError):
        cluster.kill(17)
    with pytest.raises(clusterkit.RefusedError):
        cluster.restart(0)


def test_nodes_are_added(clusterkit_cluster):
    cluster = clusterkit_cluster(nodes=1, partition_count=4, replication_factor=2)
    assert cluster.add_node() == 1
    index = cluster.create_node()
    assert cluster.node_count == len(cluster.nodes) == 3
    assert cluster.index_of("node-2") == index == 2
    assert cluster.index_of("nobody") is None
    cluster.node(index).start()
    cluster.wait_settled()
    cluster.kill(index)
    cluster.recreate(index).start()
    cluster.wait_settled()
    with pytest.raises(clusterkit.NotFoundError):
        cluster.node(3)


def test_the_test_moves_the_clock(clusterkit_cluster):
    cluster = clusterkit_cluster(nodes=3, partition_count=4, manual_clock=True)
    before = cluster.now
    cluster.advance(datetime.timedelta(minutes=1))
    assert cluster.now - before == datetime.timedelta(minutes=1)
    victim = cluster.leader
    cluster.pause(victim)
    cluster.advance(60)
    assert not any(cluster.node(victim).is_primary(number) for number in range(4))


def test_options_differ_by_node(clusterkit_cluster):
    prepared = []

    def configure(index, options):
        options.set("zone", f"zone-{index}")

    cluster = clusterkit_cluster(
        nodes=2, configure=configure, prepare=lambda index, node: prepared.append((index, node.node_id)), partition_count=4
    )
    assert [node.zone for node in cluster.node(0).view().nodes] == ["zone-0", "zone-1"]
    assert prepared == [(0, "node-0"), (1, "node-1")]


def test_what_a_test_raises_gets_out():
    def configure(_index, _options):
        raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        TestCluster(nodes=1, configure=configure)
    with pytest.raises(clusterkit.InvalidOptionError, match="weight"):
        TestCluster(nodes=1, weight=-1)
    with pytest.raises(clusterkit.InvalidArgumentError):
        TestCluster(nodes=0)
    with TestCluster(nodes=1, partition_count=1) as cluster:

        def condition():
            raise RuntimeError("wrong")

        with pytest.raises(RuntimeError, match="wrong"):
            cluster.wait_until("nothing", condition)
        with pytest.raises(clusterkit.TimeoutError, match="the moon"):
            cluster.wait_until("the moon", lambda: False, 0.01)
    with pytest.raises(clusterkit.StoppedError):
        cluster.kill(0)
    cluster.close()
