"""Async programs: asyncio, uvloop and trio."""

import asyncio
import contextlib
import gc
import sys
import threading
import time

import anyio
import anyio.lowlevel
import pytest
import trio
import uvloop
from conftest import TIMEOUT, wait_until

import clusterkit
from clusterkit import RoleChange
from clusterkit.aio import AsyncClient, AsyncClusterKit


def run_asyncio(main):
    return asyncio.run(main(), debug=True)


def run_uvloop(main):
    return uvloop.run(main())


def run_trio(main):
    return trio.run(main)


@pytest.fixture(params=[run_asyncio, run_uvloop, run_trio], ids=["asyncio", "uvloop", "trio"])
def run(request):
    """Runs an async function on each kind of loop."""
    return request.param


def make(node_id="node-1", **options):
    options = {"data_dir": "", "partition_count": 8, "replication_factor": 2} | options
    return AsyncClusterKit(node_id, "127.0.0.1:0", **options)


async def until(condition, what="it"):
    deadline = time.monotonic() + TIMEOUT
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what} has not come about"
        await anyio.sleep(0.005)
    return answer


def test_every_call_that_waits_is_awaited(run):
    async def main():
        async with make() as node:
            await node.wait_for_leader(5)
            await until(lambda: all(map(node.is_primary, range(8))))
            revision = await node.set_custom_data("key", "1", expect=clusterkit.ABSENT)
            await node.wait_for_revision(revision)
            assert node.get_custom_data("key") == b"1"
            with pytest.raises(clusterkit.ConflictError):
                await node.set_custom_data("key", "1", expect=clusterkit.ABSENT)
            await node.read_barrier()
            assert await node.delete_custom_data("key")
            assert await node.create_partitions() == 8
            assert await node.rebalance_partitions() == 0
            assert (await node.rebalance_status()).from_leader
            assert await node.migrations() == ()
            await node.wait_for_revision(await node.begin_maintenance("why"))
            await node.wait_for_revision(await node.end_maintenance())
            for refused in (node.step_down(), node.demote(1), node.promote("nobody"), node.remove_node("nobody"),
                            node.recover_partition(0, "nobody"), node.leave(1)):  # fmt: skip
                with pytest.raises((clusterkit.RefusedError, clusterkit.NotFoundError)):
                    await refused
            hook = node.on_node_join(lambda event: None)
            await node.remove_hook(hook)
            with pytest.raises(clusterkit.NotFoundError):
                await node.remove_hook(hook)
        with pytest.raises(clusterkit.StoppedError):
            await node.set_custom_data("key", b"")
        await node.close()

    run(main)


def test_the_loop_goes_on_meanwhile(run):
    async def main():
        longest, ticks, done = 0.0, 0, False

        async def tick():
            nonlocal longest, ticks
            while not done:
                began = time.monotonic()
                await anyio.sleep(0.001)
                longest = max(longest, time.monotonic() - began)
                ticks += 1

        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            async with make() as node:
                for number in range(50):
                    await node.set_custom_data(f"key-{number}", "value")
            done = True
        assert ticks > 10
        assert longest < 0.5

    run(main)


def test_many_calls_at_once(run):
    async def main():
        async with make() as node:
            revisions = []

            async def write(number):
                revisions.append(await node.set_custom_data(f"key-{number}", str(number)))

            async with anyio.create_task_group() as group:
                for number in range(200):
                    group.start_soon(write, number)
            assert len(set(revisions)) == 200
            await node.wait_for_revision(max(revisions))
            assert len(node.list_custom_data_keys("key-")) == 200

    run(main)


def test_a_call_that_is_cancelled_ends_at_once(run):
    async def main():
        async with make() as node:
            began = time.monotonic()
            with anyio.move_on_after(0.05) as scope:
                await node.wait_for_revision(1 << 40, 60)
            assert scope.cancelled_caught
            assert time.monotonic() - began < 5
            # The loop and the node are as before.
            await node.read_barrier()

    run(main)


def test_a_start_that_is_cancelled_leaves_nothing(run, tmp_path):
    async def main():
        with anyio.move_on_after(0.05) as scope:
            async with AsyncClusterKit("n", "127.0.0.1:0", data_dir=tmp_path, join_addrs="127.0.0.1:1", join_timeout=60):
                pytest.fail("nobody is there to join")
        assert scope.cancelled_caught

        async def is_free():
            try:
                async with AsyncClusterKit("n", "127.0.0.1:0", data_dir=tmp_path):
                    return True
            except clusterkit.DataDirInUseError:
                return False

        while not await is_free():
            await anyio.sleep(0.01)

    run(main)


def test_async_hooks_run_on_the_loop_and_their_end_confirms(run):
    # Where no loop runs yet.
    second = make("node-2", max_concurrent_migrations=8)
    seen = []
    release = None
    here = None

    @second.on_partition_change
    async def copy(event):
        seen.append((threading.get_ident(), event))
        if event.node_id == "node-2" and event.change is RoleChange.GAINED_REPLICA:
            await release.wait()

    async def main():
        nonlocal release, here
        release, here = anyio.Event(), threading.get_ident()
        async with make("node-1", max_concurrent_migrations=8) as first:
            other = AsyncClusterKit.from_options(
                clusterkit.OptionSet(data_dir="", join_addrs=first.http_addr)
                .set("node_id", "node-2")
                .set("http_addr", "127.0.0.1:0")
                .set("max_concurrent_migrations", 8)
            )
            other.on_partition_change(copy)
            async with other:
                await until(lambda: len({event.number for _, event in seen if event.copy_from_nodes}) == 8, "all at once")
                assert other.view().partitions_of("node-2") == ()
                release.set()
                await until(lambda: len(other.view().partitions_of("node-2")) == 8, "the copies count")
                # One that is registered on the loop.
                late = []

                async def later(event):
                    late.append(event)

                other.on_event(later)
                async with make("node-3", join_addrs=first.http_addr):
                    await until(lambda: late, "it observes")
        assert {thread for thread, _ in seen} == {here}

    run(main)
    second._native.close().wait()
    second._closed = True


def test_an_async_hook_that_raises_fails_and_is_reported(run):
    async def main():
        calls = []
        async with make("node-1") as first:
            second = make("node-2", join_addrs=first.http_addr)

            @second.on_partition_change
            async def copy(event):
                if event.node_id == "node-2" and event.change is RoleChange.GAINED_REPLICA and event.number == 0:
                    calls.append(event)
                    if len(calls) == 1:
                        raise OSError("disk is full")

            before, seen = sys.unraisablehook, []
            sys.unraisablehook = lambda unraisable: seen.append((unraisable.exc_value, unraisable.object))
            try:
                async with second:
                    await until(lambda: 0 in second.view().partitions_of("node-2"), "it is copied in the end")
                    assert second.hook_stats[0].failures == 1
            finally:
                sys.unraisablehook = before
            assert str(seen[0][0]) == "disk is full"
            assert seen[0][1] is copy
            assert len(calls) == 2

    run(main)


def test_events_are_read_in_order_until_the_node_stops(run):
    async def main():
        node = make()
        seen = []

        async def read():
            async with node.events() as events:
                async for event in events:
                    seen.append(event)
                assert events.lost == 0

        async def read_some():
            async for event in node.events("become_leader"):
                assert event.type == "become_leader"
                return

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(read_some)
            await anyio.lowlevel.checkpoint()
            async with node:
                await until(lambda: len(seen) >= 11)
        revisions = [event.revision for event in seen]
        assert revisions == sorted(revisions)
        with pytest.raises(clusterkit.StoppedError):
            node.events()

    run(main)


def test_a_stop_does_not_wait_for_async_hooks_which_may_await_it(run):
    async def main():
        node = make()
        stopped, ended = anyio.Event(), anyio.Event()

        @node.on_become_leader
        async def stops(_event):
            await node.stop()
            stopped.set()
            await anyio.sleep(0.01)
            ended.set()

        with contextlib.suppress(clusterkit.StoppedError):
            # It may hear of that before its start has returned.
            await node.start()
        await stopped.wait()
        await node.close()
        # It goes on to its end, which counts no more.
        await ended.wait()

    run(main)


def test_a_node_of_a_test_cluster_may_be_used_by_async_code(run, clusterkit_cluster):
    cluster = clusterkit_cluster(nodes=3, partition_count=4)
    copies = []

    async def main():
        node = AsyncClusterKit.of(cluster.node(0))

        @node.on_partition_change
        async def copy(event):
            copies.append(event)

        revision = await node.set_custom_data("key", "value")
        await AsyncClusterKit.of(cluster.node(1)).wait_for_revision(revision)
        await until(lambda: copies, "it hears of what it holds")

    run(main)


def test_a_loop_that_is_gone_fails_its_hooks(make_node):
    first = make_node()
    first.start()
    node = make_node("node-2", join_addrs=[first.http_addr])

    async def register():
        @node.on_partition_change
        async def copy(_event):
            pytest.fail("its loop is gone")

    asyncio.run(register())
    gc.collect()
    node.start()
    wait_until(lambda: node.hook_stats[0].failures > 0, "it fails")


def test_another_handle_of_the_same_node(node):
    async def main():
        other = AsyncClusterKit.of(node)
        revision = await other.set_custom_data("key", "value")
        node.wait_for_revision(revision)
        assert other.is_leader
        await other.close()
        assert node.is_leader

    asyncio.run(main())


def test_without_a_loop_nothing_is_awaited(node):
    other = AsyncClusterKit.of(node)
    with pytest.raises(RuntimeError, match="no event loop"):
        other.read_barrier().send(None)


def test_a_client_follows(run):
    async def main():
        async with make() as node, AsyncClient(node.http_addr) as client:
            await until(lambda: client.view().partition_count == 8)
            assert client.get_primary_node("user:1").id == "node-1"
            assert [holder.id for holder in client.get_nodes_for_key("user:1")] == ["node-1"]
            revision = await node.set_custom_data("key", "value")
            await client.wait_for_revision(revision)
            assert await client.refresh() >= revision
            assert await client.read_barrier() >= revision
            views = []

            async def follow():
                async for view in client.changes():
                    views.append(view.revision)

            async with anyio.create_task_group() as group:
                group.start_soon(follow)
                await until(lambda: views)
                revision = await node.begin_maintenance("why")
                await until(lambda: views[-1] >= revision, "it hears of the change")
                await client.close()
            assert views == sorted(set(views))

    run(main)


def test_unawaited_calls_do_no_harm():
    async def main():
        async with make() as node:
            with contextlib.suppress(RuntimeError):
                task = asyncio.create_task(node.wait_for_revision(1 << 40, 0.05))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.1)

    asyncio.run(main(), debug=True)
