"""Records, errors and options: values."""

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import wait_until

import clusterkit
from clusterkit import _clusterkit
from clusterkit.testing import TestCluster


@pytest.fixture(scope="module")
def cluster():
    with TestCluster(nodes=3, partition_count=8, labels={"rack": "r1"}, zone="eu-1") as cluster:
        cluster.node(0).set_custom_data("a/key", b"\x00\xff")
        cluster.wait_settled()
        yield cluster


def records(cluster):
    node = cluster.node(0)
    events = []
    node.on_partition_change(events.append)
    wait_until(lambda: events)
    leader = cluster.node(cluster.leader)
    return [
        node.cluster(), node.view().my_node, node.get_partition("key"), node.lookup("key"), node.partition_stats, node.leader,
        node.consensus_stats, node.metrics, node.health_check(), node.node_health("node-1"), leader.rebalance_status(),
        node.get_custom_data_entry("a/key"), node.hook_stats[0], node.cluster().config, events[0],
        *clusterkit.options_table(), *clusterkit.client_options_table(),
    ]  # fmt: skip


def test_records_are_values(cluster):
    for record in records(cluster):
        assert isinstance(record, clusterkit.Record)
        assert repr(record).startswith(f"{type(record).__name__}(")
        again = pickle.loads(pickle.dumps(record))
        assert again == record == copy.deepcopy(record)
        assert hash(again) == hash(record)
        assert dataclasses.replace(record) == record
        name = dataclasses.fields(record)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, None)
        with pytest.raises((AttributeError, TypeError)):
            record.no_such_field = 1
        json.dumps(record.to_dict())


def test_to_dict_is_what_http_gives(cluster):
    node = cluster.node(0)

    def same():
        text, record = node.cluster_json(), node.cluster()
        wanted = json.loads(text)
        return wanted["revision"] == record.revision and (wanted, record)

    wanted, record = wait_until(same)
    assert record.to_dict() == wanted
    assert record.custom_data == {"a/key": b"\x00\xff"}
    assert record.nodes[0].last_seen.tzinfo is UTC
    wanted = json.loads(node.view().json())
    assert node.view().cluster().to_dict() == {**wanted, "leader": node.view().cluster().leader}


def test_records_match_by_their_fields(cluster):
    match cluster.node(0).lookup("key"):
        case clusterkit.Route(partition=number, primary=clusterkit.Node(id=node_id, labels={"rack": "r1"})):
            assert cluster.node(0).get_primary(number).id == node_id
        case other:
            pytest.fail(f"it is {other}")


def test_moments_and_spans_keep_their_milliseconds():
    moment = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
    health = clusterkit.HealthStatus(
        healthy=True, node_id="a", node_name="A", is_leader=False, node_count=1, partition_count=1, raft_state="",
        last_sync=moment, uptime="", delay=timedelta(milliseconds=7),
    )  # fmt: skip
    assert health.to_dict()["last_sync"] == "2026-01-02T03:04:05.006Z"
    assert health.to_dict()["delay_ms"] == 7


def test_every_error_code_has_its_exception():
    codes = _clusterkit.error_codes()
    assert [code for code, _, _ in codes] == [code.value for code in clusterkit.ErrorCode]
    by_code = {cls.code: cls for cls in clusterkit.Error.__subclasses__()}
    for code, _, retriable in codes:
        cls = by_code[clusterkit.ErrorCode(code)]
        assert cls.__name__ == "".join(map(str.capitalize, code.split("_"))) + "Error"
        assert getattr(clusterkit, cls.__name__) is cls
        assert cls.retriable == retriable
        assert cls.ambiguous == (code == "TIMEOUT")
        raised = pickle.loads(pickle.dumps(cls("words")))
        assert (type(raised), str(raised), raised.code) == (cls, "words", code)
    assert issubclass(clusterkit.TimeoutError, TimeoutError)
    assert issubclass(clusterkit.InvalidOptionError, ValueError)
    assert issubclass(clusterkit.NotFoundError, LookupError)


def test_every_option_is_a_keyword():
    values = {
        "boolean": True,
        "integer": 3,
        "duration": 2.0,
        "list": ["10.0.0.1:1"],
        "map": {"a": ":1"},
        "address": "127.0.0.1:1",
    }
    special = {
        "timing": "fast", "log_level": "warn", "zone": "eu", "http_addr": ":1", "allowed_cidrs": ["10.0.0.0/8"],
        "cluster_secret": "hY3kPq8vWz1RtN5cXs7DfGj2LmB9aQeU4oKiT6yHwEn",
    }  # fmt: skip
    for spec in clusterkit.options_table():
        keyword = spec.name.replace(".", "_")
        assert keyword in clusterkit.Options.__annotations__ or keyword in ("node_id", "http_addr")
        value = special.get(spec.name, values.get(spec.type, "text"))
        if spec.default == "true":
            value = False
        options = clusterkit.OptionSet(**{keyword: value})
        assert options.get(spec.name) not in ("", spec.default)
        assert options.get(spec.name) == clusterkit.OptionSet().set(spec.name, value).get(spec.name)


def test_options_take_what_python_has():
    options = clusterkit.OptionSet(
        join_timeout=timedelta(seconds=90), rebalance_delay=0.5, services={"kv": ":9080", "api": ":9081"},
        join_addrs=["a:1", "b:2"], health_check_enabled=False, zone=None, lease_ttl="2s", data_dir=Path("/x"),
    )  # fmt: skip
    names = ("join_timeout", "rebalance_delay", "services", "join_addrs", "lease_ttl", "data_dir")
    assert [options.get(name) for name in names] == ["1m30s", "500ms", "api=:9081,kv=:9080", "a:1,b:2", "2s", "/x"]
    assert options.get("health_check.enabled") == "false"
    for wrong in ({"weight": -1}, {"weight": "heavy"}, {"no_such_option": 1}, {"timing": "slow"}):
        with pytest.raises(clusterkit.InvalidOptionError, match=next(iter(wrong))):
            clusterkit.OptionSet(**wrong)
    with pytest.raises(clusterkit.InvalidOptionError, match="partition_count"):
        clusterkit.ClusterKit("n", ":1", partitoin_count=5)
    with pytest.raises(clusterkit.InvalidArgumentError):
        clusterkit.OptionSet(weight=object())


def test_options_come_from_files_json_and_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "options.json"
    path.write_text('{"node_id": "from-file", "health_check": {"interval": "2s"}}')
    monkeypatch.setenv("CLUSTERKIT_ZONE", "eu-1")
    options = clusterkit.OptionSet().load_file(path).load_env().load_json('{"weight": 7}').set("http_addr", "127.0.0.1:0")
    options.set("data_dir", "").validate()
    assert [options.get(name) for name in ("node_id", "health_check.interval", "zone", "weight")] == [
        "from-file",
        "2s",
        "eu-1",
        "7",
    ]
    assert options.effective()["node_name"] == "from-file"
    node = clusterkit.ClusterKit.from_options(options, logger=None)
    assert node.node_id == "from-file"
    node.close()
    with pytest.raises(clusterkit.InvalidOptionError):
        options.load_json("{")
    with pytest.raises(clusterkit.IoError):
        options.load_file(tmp_path / "missing")


def test_durations_are_parsed():
    assert clusterkit.parse_duration("1m30s") == timedelta(seconds=90)
    assert clusterkit.parse_duration("250") == timedelta(milliseconds=250)
    with pytest.raises(clusterkit.InvalidArgumentError):
        clusterkit.parse_duration("soon")


def test_the_version_is_the_commands():
    printed = subprocess.run(
        [sys.executable, "-m", "clusterkit", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert printed == f"clusterkit {clusterkit.__version__}\n"
