"""The replicated store."""

from datetime import timedelta

import pytest

import clusterkit
from clusterkit import ABSENT


def test_values_are_written_read_and_deleted(node):
    revision = node.set_custom_data("config/limit", "10")
    node.wait_for_revision(revision, timedelta(seconds=5))
    assert node.get_custom_data("config/limit") == b"10"
    assert node.get_custom_data_entry("config/limit") == clusterkit.DataEntry(value=b"10", revision=revision)
    node.set_custom_data("config/name", b"\x00\xff")
    assert node.list_custom_data_keys("config/") == ["config/limit", "config/name"]
    assert node.list_custom_data_keys("config/", after="config/limit", limit=5) == ["config/name"]
    assert node.list_custom_data_keys(limit=1) == ["config/limit"]
    assert node.delete_custom_data("config/limit")
    assert not node.delete_custom_data("config/limit")
    node.read_barrier()
    assert node.get_custom_data("config/limit") is None


def test_a_write_may_have_a_condition(node):
    revision = node.set_custom_data("key", "1", expect=ABSENT)
    with pytest.raises(clusterkit.ConflictError):
        node.set_custom_data("key", "2", expect=ABSENT)
    with pytest.raises(clusterkit.ConflictError):
        node.set_custom_data("key", "2", expect=revision + 1)
    revision = node.set_custom_data("key", "2", expect=revision)
    with pytest.raises(clusterkit.ConflictError):
        node.delete_custom_data("key", expect=revision - 1)
    assert node.delete_custom_data("key", expect=revision)


def test_what_cannot_be_written_is_refused(node):
    with pytest.raises(clusterkit.TooLargeError):
        node.set_custom_data("key", bytes(1 << 20) + b"x")
    with pytest.raises(TypeError):
        node.set_custom_data("key", 5)
    with pytest.raises(clusterkit.InvalidArgumentError):
        node.set_custom_data("key", b"", timeout=-1.0)
    with pytest.raises(clusterkit.InvalidArgumentError):
        node.set_custom_data("key", b"", timeout=float("nan"))
    with pytest.raises(clusterkit.InvalidArgumentError):
        node.list_custom_data_keys(limit=-1)


def test_bytes_may_be_any_buffer(node):
    node.set_custom_data("key", bytearray(b"abc"))
    assert node.get_custom_data("key") == b"abc"
    node.set_custom_data("key", memoryview(b"xyz"))
    assert node.get_custom_data("key") == b"xyz"


def test_a_wait_that_is_in_vain_times_out(node):
    with pytest.raises(TimeoutError) as raised:
        node.wait_for_revision(1 << 40, 0.05)
    assert raised.value.code is clusterkit.ErrorCode.TIMEOUT
    assert raised.value.ambiguous
    # For ever is a long time, and no overflow.
    node.read_barrier(float("inf"))
