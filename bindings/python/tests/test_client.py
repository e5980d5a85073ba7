"""The smart client."""

import gc
import threading

import pytest
from conftest import TIMEOUT, wait_until

import clusterkit
from clusterkit import Client


def test_a_client_follows_a_cluster(node):
    with Client([node.http_addr], update_interval=0.0) as client:
        wait_until(lambda: client.view().partition_count == 8, "it has the partitions")
        view = client.view()
        assert view.my_node is None
        assert client.get_primary_node("user:1") == view.primary_for_key("user:1")
        assert client.get_primary_node("user:1").id == "node-1"
        assert client.get_nodes_for_key("user:1") == view.nodes_for_key("user:1")
        assert list(client.partitions_for_keys(["a", "b"])) == list(node.partitions_for_keys(["a", "b"]))
        revision = node.set_custom_data("key", "value")
        client.wait_for_revision(revision)
        assert client.view().revision >= revision
        assert client.refresh() >= revision
        assert client.read_barrier() >= revision
        status = client.status
        assert status.connected == node.http_addr
        assert not status.is_stale
        assert status.addrs[0].is_given
        before = client.view().revision
        node.begin_maintenance("why")
        assert client.wait_for_change(before) > before
    assert client.status.is_closed
    assert client.view().partition_count == 8
    with pytest.raises(clusterkit.StoppedError):
        client.refresh()
    client.close()


def test_a_function_is_told_of_changes(node):
    with Client(node.http_addr) as client:
        revisions = []
        told = threading.Event()

        @client.on_change
        def changed(view):
            revisions.append(view.revision)
            told.set()

        assert told.wait(TIMEOUT)
        revision = node.begin_maintenance("why")
        wait_until(lambda: revisions[-1] >= revision, "it hears of it")
        assert revisions == sorted(set(revisions))
        client.on_change(None)
    with pytest.raises(clusterkit.StoppedError):
        client.on_change(changed)


def test_nobody_answers():
    client = Client("127.0.0.1:1")
    try:
        with pytest.raises(TimeoutError, match="no member has answered"):
            client.wait_ready(0.1)
        assert client.view().revision == 0
        assert client.get_primary_node("key") is None
        wait_until(lambda: client.status.last_error, "it says why")
    finally:
        client.close()


def test_options_of_a_client_are_checked():
    with pytest.raises(clusterkit.InvalidOptionError, match="poll_timeout"):
        Client("127.0.0.1:1", poll_timeout=3600.0)
    with pytest.raises(clusterkit.InvalidOptionError, match="addrs"):
        Client([])


def test_a_client_that_is_dropped_is_closed_with_a_warning():
    client = Client("127.0.0.1:1")
    with pytest.warns(ResourceWarning, match="Client"):
        del client
        gc.collect()
