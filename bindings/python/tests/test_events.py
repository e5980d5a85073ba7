"""Events that are read."""

import gc
import threading

import pytest
from conftest import TIMEOUT, wait_until

import clusterkit


def test_a_loop_reads_until_the_node_stops(make_node):
    node = make_node()
    everything, some = node.events(), node.events("node_join", clusterkit.EventType.LEADER_CHANGE)
    node.start()
    wait_until(lambda: all(map(node.is_primary, range(8))), "it is primary")
    node.stop()
    events = list(everything)
    assert [event.revision for event in events] == sorted(event.revision for event in events)
    assert len(events) >= 11
    assert [event.type for event in some] == ["node_join", "leader_change"]
    assert list(everything) == []
    assert everything.lost == 0


def test_a_reader_that_falls_behind_is_told_what_it_lost(make_node):
    node = make_node(partition_count=2000, replication_factor=1)
    events = node.events("partition_change")
    node.start()
    wait_until(lambda: node.hook_stats[0].calls >= 2003, "all is told")
    numbers = [next(events).number for _ in range(1024)]
    assert events.lost == 2000 - 1024
    assert sorted(numbers) == sorted(set(numbers))


def test_closing_a_queue_ends_its_readers(node):
    events = node.events()
    ended = threading.Event()

    def read():
        list(events)
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    events.close()
    assert ended.wait(TIMEOUT)
    thread.join()
    with node.events() as others:
        assert len(node.hook_stats) == 1
    del others
    gc.collect()
    assert node.hook_stats == ()


def test_a_queue_needs_names_of_events_and_a_node_that_runs(node):
    with pytest.raises(ValueError, match="not a valid EventType"):
        node.events("nothing")
    node.stop()
    with pytest.raises(clusterkit.StoppedError):
        node.events()
