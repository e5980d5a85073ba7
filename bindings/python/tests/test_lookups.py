"""Keys to partitions to nodes."""

import array
import json
import subprocess
import sys

import numpy
import pyarrow
import pytest
from conftest import ROOT, wait_until

import clusterkit
from clusterkit import Role, partition_for, partitions_for_many
from clusterkit.testing import TestCluster

KEYS = [f"user:{number}" for number in range(5000)] + ["", "ü", "键", "x" * 300]


def expected(count):
    return [partition_for(key, count) for key in KEYS]


def test_the_mapping_is_the_published_one():
    vectors = json.loads((ROOT / "tests/vectors/keys.json").read_text())
    counts = vectors["partition_counts"]
    for key in vectors["keys"]:
        data = bytes.fromhex(key["hex"])
        assert [partition_for(data, count) for count in counts] == key["partitions"]
        if "text" in key:
            assert [partition_for(key["text"], count) for count in counts] == key["partitions"]
    for place, count in enumerate(counts):
        keys = [bytes.fromhex(key["hex"]) for key in vectors["keys"]]
        assert list(partitions_for_many(keys, count)) == [key["partitions"][place] for key in vectors["keys"]]


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        iter,
        lambda keys: [key.encode() for key in keys],
        lambda keys: [bytearray(key.encode()) for key in keys],
        lambda keys: numpy.array(keys),
        lambda keys: numpy.array(keys)[::-1][::-1],
        lambda keys: numpy.array(keys, dtype=object),
        lambda keys: numpy.array([key.encode() for key in keys]),
        lambda keys: pyarrow.array(keys),
        lambda keys: pyarrow.array(keys, pyarrow.large_string()),
        lambda keys: pyarrow.array([key.encode() for key in keys]),
        lambda keys: pyarrow.array(["not this one", *keys])[1:],
        lambda keys: pyarrow.chunked_array([keys[:10], keys[10:10], keys[10:]]),
    ],
    ids=["list", "tuple", "iterator", "bytes", "bytearrays", "numpy-U", "numpy-strides", "numpy-object", "numpy-S", "arrow",
         "arrow-large", "arrow-binary", "arrow-slice", "arrow-chunks"],
)  # fmt: skip
def test_many_keys_may_come_in_many_forms(form):
    for count in (1, 7, 64, 65536):
        numbers = partitions_for_many(form(KEYS), count)
        assert isinstance(numbers, array.array)
        assert numbers.itemsize == 4
        assert list(numbers) == expected(count)
    assert list(partitions_for_many(form(KEYS[:1]), 64)) == expected(64)[:1]


def test_numpy_takes_the_numbers_as_they_are():
    numbers = numpy.asarray(partitions_for_many(KEYS, 64))
    assert numbers.dtype == numpy.uint32
    assert numbers.tolist() == expected(64)


def test_no_keys_are_no_numbers():
    for keys in ([], numpy.array([], dtype="U5"), numpy.array([], dtype="S5"), pyarrow.array([], pyarrow.string())):
        assert list(partitions_for_many(keys, 64)) == []


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ([1], TypeError),
        (["a", None], TypeError),
        ("one key", TypeError),
        (b"one key", TypeError),
        (5, TypeError),
        (numpy.array([["a"]]), ValueError),
        (pyarrow.array(["a", None]), ValueError),
        (pyarrow.array([1]), ValueError),
        (["\ud800"], UnicodeEncodeError),
    ],
)
def test_what_is_no_key_is_refused(keys, wrong):
    with pytest.raises(wrong):
        partitions_for_many(keys, 64)


def test_what_is_no_number_of_partitions_is_refused():
    with pytest.raises(clusterkit.InvalidArgumentError):
        partition_for("key", 0)
    with pytest.raises(OverflowError):
        partition_for("key", -1)
    with pytest.raises(TypeError):
        partition_for(5, 64)
    with pytest.raises(UnicodeEncodeError):
        partition_for("\ud800", 64)


@pytest.fixture(scope="module")
def cluster():
    with TestCluster(nodes=3, partition_count=16, replication_factor=2, services={"kv": ":9080"}) as cluster:
        yield cluster


def test_lookups_agree_with_each_other(cluster):
    node = cluster.node(0)
    view = node.view()
    assert [member.id for member in view.nodes] == ["node-0", "node-1", "node-2"]
    assert view.node("node-1").services == {"kv": ":9080"}
    assert view.node("nobody") is None
    assert view.my_node == view.node("node-0")
    assert view.partition_count == len(view.partitions) == len(node.list_partitions()) == 16
    assert view.replication_factor == 2
    assert view.lease_ttl.total_seconds() > 0
    assert view.leader.id == node.leader.leader_id
    assert view.leader_epoch == node.leader.epoch
    assert view.leader_term == node.leader.term
    assert view.leader_elected_at == node.leader.elected_at
    for key in KEYS[:50]:
        number = partition_for(key, 16)
        assert node.get_partition_number(key) == view.partition_number(key) == number
        partition = view.partition(number)
        assert node.get_partition(key) == node.get_partition_for_key(key) == view.partition_for_key(key) == partition
        assert view.partition(partition.id) == partition
        primary = view.primary(number)
        assert primary.id == partition.primary_node
        assert primary == view.primary_for_key(key) == node.get_primary_node(key) == node.get_primary(number)
        replicas = view.replicas(number)
        assert tuple(replica.id for replica in replicas) == partition.replica_nodes
        assert replicas == node.get_replicas(number) == node.get_replica_nodes(key)
        holders = (primary, *replicas)
        assert holders == view.nodes_for_key(key) == node.get_nodes_for_key(key) == node.get_all_nodes_for_key(key)
        assert holders == node.get_nodes(number)
        assert view.pending(number) == ()
        route = node.lookup(key)
        assert (route.partition, route.epoch, route.primary, route.replicas) == (number, partition.epoch, primary, replicas)
        assert view.route(key).nodes == holders
        role = Role.PRIMARY if primary.id == "node-0" else Role.REPLICA if "node-0" in partition.replica_nodes else None
        assert role is node.role(number) is node.should_handle_key(key) is view.role(number) is view.role_for_key(key)
        assert route.role is view.route(key).role is role
        assert node.am_i_responsible_for(key) == (role, holders)
        assert node.is_primary(number) == node.is_primary_for_key(key) == (role is Role.PRIMARY)
        assert node.is_replica(partition.id) == node.is_replica_for_key(key) == (role is Role.REPLICA)
        if role is Role.PRIMARY:
            assert node.primary_epoch(number) == partition.epoch
        else:
            with pytest.raises(clusterkit.ConflictError):
                node.primary_epoch(number)
    assert list(node.partitions_for_keys(KEYS)) == list(view.partitions_for_keys(KEYS)) == expected(16)
    stats = node.partition_stats
    assert stats.total_partitions == 16
    for member in view.nodes:
        assert len(view.primaries_of(member.id)) == stats.partitions_per_node[member.id]
        assert len(node.get_partitions_for_node(member.id)) == len(view.partitions_of(member.id))
    assert view.partitions_of("nobody") == view.primaries_of("nobody") == ()


def test_members_are_shared_by_the_views_of_a_topology(cluster):
    node = cluster.node(0)
    assert node.view().node("node-1") is node.view().node("node-1")


def test_what_is_no_partition_is_not_found(cluster):
    node = cluster.node(0)
    with pytest.raises(clusterkit.NotFoundError):
        node.get_primary(16)
    with pytest.raises(clusterkit.NotFoundError):
        node.view().partition("partition-16")
    for wrong in ("partition", "partition-", "partition--1", "16", -1, 1 << 32):
        with pytest.raises(clusterkit.InvalidArgumentError):
            node.get_primary(wrong)
    assert not node.is_primary(16)
    with pytest.raises(TypeError):
        node.is_primary_for_key(5)


def test_before_the_start_there_is_nothing_to_find(make_node):
    node = make_node()
    with pytest.raises(clusterkit.NotStartedError):
        node.lookup("key")
    with pytest.raises(clusterkit.NotFoundError):
        node.get_partition("key")
    with pytest.raises(clusterkit.NotFoundError):
        node.partitions_for_keys(["key"])
    assert node.get_partition_number("key") is None
    assert node.get_primary_node("key") is None
    assert node.get_nodes_for_key("key") == ()
    assert not node.is_primary_for_key("key")
    assert not node.is_leased
    with pytest.raises(clusterkit.NotStartedError):
        _ = node.leader_epoch
    assert node.leader is None


def test_a_view_stays_as_it_is(node):
    view = node.view()
    node.wait_for_revision(node.set_custom_data("key", "value"))
    wait_until(lambda: node.view().revision > view.revision, "there is a newer view")
    text = view.json()
    assert json.loads(text)["revision"] == view.revision
    assert repr(view).startswith(f"<View of revision {view.revision}: 1 nodes, 8 partitions")


def test_importing_takes_no_asyncio_and_no_numpy():
    program = "import sys, clusterkit; print(*sorted(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "clusterkit" in printed
    for heavy in ("asyncio", "numpy", "trio", "pytest", "pyarrow"):
        assert heavy not in printed
