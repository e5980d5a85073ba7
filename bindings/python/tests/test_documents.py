"""The programs in docs/python.md and README.md: each is a part of this file or of an example, and runs."""

import ast
import asyncio
import inspect
import logging
import re
import textwrap
import threading
import types
from datetime import timedelta

import pytest
from conftest import ROOT, TIMEOUT, wait_until

import clusterkit
from clusterkit import ABSENT, Client, ClusterKit, OptionSet, PartitionChangeEvent, RoleChange
from clusterkit.aio import AsyncClient, AsyncClusterKit

DOCUMENTS = [ROOT / "docs/python.md", ROOT / "bindings/python/README.md"]
SOURCES = [ROOT / "examples/python/quickstart.py", ROOT / "examples/python/service/service.py"]

# ---- what the documents show, from here on ----


def options_from_outside(path):
    options = OptionSet().load_file(path).load_env()  # CLUSTERKIT_NODE_ID, ...
    return ClusterKit.from_options(options)


def write(ck: ClusterKit, key: str, value: bytes, store) -> None:
    partition = ck.get_partition_number(key)
    epoch = ck.primary_epoch(partition)  # raises where another node is primary, or this one's lease has ended
    store(epoch, key, value)  # which refuses an epoch older than the newest that it has seen


def copy_partitions(ck: ClusterKit, fetch, drop) -> None:
    @ck.on_partition_change
    def copy(event: PartitionChangeEvent) -> None:
        if event.node_id != ck.node_id:
            return  # every node hears of every change
        match event.change:
            case RoleChange.GAINED_REPLICA:
                for source in event.copy_from_nodes:
                    fetch(source, event.partition_id)  # what it raises makes the copy fail: it is tried again
            case RoleChange.LOST_COPY:
                drop(event.partition_id)


def watch(ck: ClusterKit) -> None:
    for event in ck.events("node_join", "node_leave"):
        match event:
            case clusterkit.NodeJoinEvent(node=node):
                print(node.id, "joins at", node.ip)
            case clusterkit.NodeLeaveEvent(node=node, reason=reason):
                print(node.id, "leaves:", reason)


async def main(fetch) -> None:
    ck = AsyncClusterKit("node-1", "127.0.0.1:0", data_dir="")

    @ck.on_partition_change
    async def copy(event: PartitionChangeEvent) -> None:
        if event.node_id == ck.node_id and event.change is RoleChange.GAINED_REPLICA:
            await fetch(event)  # its end confirms the copy

    async with ck:
        async with asyncio.timeout(5):
            await ck.set_custom_data("config/limit", "10")
        if ck.is_primary_for_key("user:123"):  # never waits
            ...


def increment(ck: ClusterKit, key: str) -> None:
    while True:
        entry = ck.get_custom_data_entry(key)
        count, expect = (int(entry.value), entry.revision) if entry else (0, ABSENT)
        try:
            ck.set_custom_data(key, str(count + 1), expect=expect, timeout=timedelta(seconds=5))
            return
        except clusterkit.ConflictError:
            ck.read_barrier()  # somebody was faster: look again, once this node has seen it
        except clusterkit.NoLeaderError:
            ck.wait_for_leader()  # it was not written
        # A TimeoutError gets out: it may have been counted (error.ambiguous).


def request(addrs: list[str], key: str, ask) -> None:
    with Client(addrs) as client:  # any member will do; the others are learned from the first answer
        while True:
            owner = client.get_primary_node(key)  # at once, whatever becomes of the network
            if owner is not None and ask(owner.ip):
                return
            client.refresh()  # it is gone, or refuses what it does not own: the view is a moment old


async def follow(addrs: list[str], use) -> None:
    async with AsyncClient(addrs) as client:
        async for view in client.changes():
            use(view)


def logged() -> ClusterKit:
    logger = logging.getLogger("app.cluster")
    return ClusterKit("node-1", "127.0.0.1:8080", logger=logger, log_level="debug")


def test_a_primary_dies(clusterkit_cluster):
    def prepare(index, node):  # before each start: attach the program's own hooks
        node.on_partition_change(lambda event: None)

    cluster = clusterkit_cluster(nodes=3, partition_count=8, prepare=prepare)
    primary = cluster.primary_of("user:123")
    cluster.kill(primary)
    cluster.wait_for_primaries(60)  # on the cluster's clock: the test does not wait for it
    assert cluster.primary_of("user:123") not in (None, primary)


def post_fork(server, worker):  # in gunicorn.conf.py: a node for each worker, in the worker
    worker.ck = ClusterKit(f"worker-{worker.pid}", "127.0.0.1:0", data_dir="")
    worker.ck.start()


# ---- they run ----


def test_every_program_in_the_documents_is_one_that_runs():
    sources = [path.read_text() for path in [*SOURCES, ROOT / "bindings/python/tests/test_documents.py"]]
    count = 0
    for page in DOCUMENTS:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            count += 1
            ast.parse(block)
            for part in re.split(r"^# \.\.\.\n", block, flags=re.MULTILINE):
                # Imports at the beginning say where names come from.
                body = re.sub(r"\A(?:(?:from|import) .*\n|\n)*", "", part).rstrip()
                assert any(is_part(body, source) for source in sources), f"{page.name}: no test runs\n{body}"
    assert count >= 12


def is_part(body, source):
    """True when the lines are in the source, deeper or not."""
    return any(textwrap.indent(body, indent) in source for indent in ("", "    ", "        "))


def test_options_from_outside(tmp_path, monkeypatch):
    path = tmp_path / "options.json"
    path.write_text('{"http_addr": "127.0.0.1:0", "data_dir": ""}')
    monkeypatch.setenv("CLUSTERKIT_NODE_ID", "node-7")
    node = options_from_outside(path)
    assert node.node_id == "node-7"
    node.close()


def test_a_fenced_write(node):
    stored = []
    write(node, "key", b"value", lambda *what: stored.append(what))
    assert stored == [(node.lookup("key").epoch, "key", b"value")]


def test_copying(make_node):
    first = make_node()
    first.start()
    second = make_node("node-2", join_addrs=first.http_addr)
    fetched, dropped = [], []
    copy_partitions(second, lambda *what: fetched.append(what), dropped.append)
    second.start()
    wait_until(lambda: len(second.view().partitions_of("node-2")) == 8)
    assert {partition for _, partition in fetched} == {f"partition-{number}" for number in range(8)}


def test_watching(make_node, capsys):
    node = make_node()
    watcher = threading.Thread(target=watch, args=(node,))
    watcher.start()
    wait_until(lambda: node.hook_stats, "it watches")
    node.start()
    node.stop()
    watcher.join(TIMEOUT)
    assert capsys.readouterr().out.splitlines()[0].startswith("node-1 joins at 127.0.0.1:")


def test_an_async_node():
    asyncio.run(main(None))


def test_increments(node):
    for _ in range(3):
        increment(node, "count")
    assert node.get_custom_data("count") == b"3"


def test_requests(node):
    asked = []
    request([node.http_addr], "key", lambda address: asked.append(address) or len(asked) > 2)
    assert set(asked) == {node.http_addr}


def test_following(node):
    seen = []

    async def run():
        task = asyncio.create_task(follow([node.http_addr], seen.append))
        while not seen:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert seen[0].partition_count == 8


def test_a_logger():
    node = logged()
    assert node.node_id == "node-1"
    node.close()


def test_a_worker_of_gunicorn():
    worker = types.SimpleNamespace(pid=17)
    post_fork(None, worker)
    assert worker.ck.node_id == "worker-17"
    worker.ck.stop()
    worker.ck.close()


PUBLIC = [clusterkit, clusterkit.aio, __import__("clusterkit.testing").testing]


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_every_public_name_is_documented(module):
    bare = []
    assert module.__doc__
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            if not thing.__doc__ or thing.__doc__.startswith(f"{name}("):
                bare.append(name)
            for member, value in inspect.getmembers(thing):
                if member.startswith("_") or (isinstance(thing, type) and issubclass(thing, dict) and hasattr(dict, member)):
                    continue
                if member in vars(str) or member in vars(BaseException) or member in vars(tuple):
                    continue
                if (inspect.isfunction(value) or isinstance(value, property)) and not inspect.getdoc(value):
                    bare.append(f"{name}.{member}")
        elif inspect.isfunction(thing) and not thing.__doc__:
            bare.append(name)
    assert bare == []


def test_what_is_public_is_exported():
    public = {name for name in vars(clusterkit) if not name.startswith("_")} - {"aio", "testing", "pytest_plugin"}
    assert public == set(clusterkit.__all__)
