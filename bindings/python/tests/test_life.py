"""A node's life: start, stop, leave, close, and what comes at the wrong time."""

import gc
import logging
import threading
import weakref

import pytest
from conftest import TIMEOUT, wait_until

import clusterkit
from clusterkit import ClusterKit


def test_a_node_founds_a_cluster_and_stops(make_node):
    node = make_node()
    with pytest.raises(clusterkit.NotStartedError):
        _ = node.http_addr
    with pytest.raises(clusterkit.NotStartedError):
        node.set_custom_data("key", b"")
    node.start()
    assert node.http_addr.startswith("127.0.0.1:")
    assert node.node_id == node.get_my_node_id() == "node-1"
    assert node.wait_for_leader().leader_id == "node-1"
    with pytest.raises(clusterkit.AlreadyStartedError):
        node.start()
    node.stop()
    node.stop()
    with pytest.raises(clusterkit.StoppedError):
        node.set_custom_data("key", b"")
    node.close()
    node.close()


def test_a_with_statement_starts_and_stops(tmp_path):
    with ClusterKit("node-1", "127.0.0.1:0", data_dir=tmp_path, partition_count=4) as node:
        assert node.waiting_for is None
    with pytest.raises(clusterkit.StoppedError):
        node.start()
    # The directory is free again, and the node comes back to its cluster.
    with ClusterKit("node-1", "127.0.0.1:0", data_dir=tmp_path) as node:
        assert node.view().partition_count == 4


def test_a_start_that_fails_in_a_with_statement_leaves_nothing(tmp_path):
    with ClusterKit("node-1", "127.0.0.1:0", data_dir=tmp_path):
        with pytest.raises(clusterkit.DataDirInUseError) as raised, ClusterKit("node-2", "127.0.0.1:0", data_dir=tmp_path):
            pytest.fail("it must not start")
        assert str(tmp_path) in str(raised.value)


def test_three_nodes_form_a_cluster_and_one_leaves(make_node):
    nodes = [make_node("node-1")]
    nodes[0].start()
    for number in (2, 3):
        nodes.append(make_node(f"node-{number}", join_addrs=[nodes[0].http_addr]))
        nodes[-1].start()
    for node in nodes:
        wait_until(lambda node=node: len(node.view().nodes) == 3, "all are members")
    wait_until(lambda: not nodes[0].rebalance_status().running and nodes[2].view().partitions_of("node-3"), "it has partitions")
    nodes[2].leave()
    wait_until(lambda: [member.id for member in nodes[0].view().nodes] == ["node-1", "node-2"], "it has left")


def test_a_join_that_fails_names_every_address(make_node):
    node = make_node(join_addrs=["127.0.0.1:1"], join_timeout=0.2, bootstrap=False)
    with pytest.raises(clusterkit.JoinFailedError, match=r"127\.0\.0\.1:1") as raised:
        node.start()
    assert raised.value.retriable


def test_a_node_that_is_dropped_is_closed_with_a_warning(tmp_path):
    node = ClusterKit("node-1", "127.0.0.1:0", data_dir=tmp_path)
    node.start()
    with pytest.warns(ResourceWarning, match="node-1"):
        del node
        gc.collect()

    def is_free():
        try:
            with ClusterKit("node-1", "127.0.0.1:0", data_dir=tmp_path):
                return True
        except clusterkit.DataDirInUseError:
            return False

    wait_until(is_free, "the directory is free")


def test_a_node_whose_hooks_refer_to_it_is_collected():
    node = ClusterKit("node-1", "127.0.0.1:0", data_dir="")
    node.on_node_join(lambda event: node.node_id)
    node.on_event(lambda event: node.node_id)
    gone = weakref.ref(node)
    node = None
    gc.collect()
    assert gone() is None


def test_messages_go_to_logging(caplog):
    caplog.set_level(logging.DEBUG, logger="clusterkit")
    with ClusterKit("logged", "127.0.0.1:0", data_dir="", log_level="debug"):
        pass
    records = [record for record in caplog.records if record.name == "clusterkit"]
    assert any("listens at" in record.getMessage() and record.levelno == logging.INFO for record in records)
    assert all(getattr(record, "clusterkit.node.id") == "logged" for record in records)


def test_a_logger_of_ones_own_and_none(make_node):
    logger = logging.getLogger("mine")
    logger.setLevel(logging.INFO)
    messages = []

    class Keeps(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    logger.addHandler(Keeps())
    with ClusterKit("node-1", "127.0.0.1:0", data_dir="", logger=logger):
        pass
    assert messages
    with ClusterKit("node-1", "127.0.0.1:0", data_dir="", logger=None):
        pass


def test_many_threads_use_one_node(node):
    failures = []

    def work(number):
        try:
            for turn in range(20):
                revision = node.set_custom_data(f"key-{number}", str(turn))
                node.wait_for_revision(revision)
                assert node.get_custom_data(f"key-{number}") == str(turn).encode()
                assert node.is_primary_for_key(f"user:{turn}")
        except BaseException as raised:
            failures.append(raised)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert failures == []


def test_health_leadership_and_management(node):
    assert node.is_leader
    assert node.leader is not None
    assert node.leader.epoch == node.leader_epoch
    node.report_health("degraded", "disk is slow")
    wait_until(lambda: node.view().my_node.health_reason == "disk is slow", "it is known")
    assert node.health_check().node_id == "node-1"
    assert not node.node_health("node-1").healthy
    with pytest.raises(clusterkit.NotFoundError):
        node.node_health("nobody")
    revision = node.begin_maintenance("a new disk")
    node.wait_for_revision(revision)
    assert node.view().maintenance.reason == "a new disk"
    node.wait_for_revision(node.end_maintenance())
    assert node.view().maintenance is None
    assert node.create_partitions() == 8
    assert node.rebalance_partitions() == 0
    assert node.metrics.partition_count == 8
    assert node.consensus_stats.is_leader
    with pytest.raises(clusterkit.RefusedError):
        node.step_down()
    with pytest.raises(clusterkit.RefusedError):
        node.leave(1.0)
    with pytest.raises(clusterkit.NotFoundError):
        node.remove_node("nobody")
