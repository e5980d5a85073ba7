"""What users write, checked by mypy --strict and by pyright's strict mode. Never run."""

import asyncio
from datetime import timedelta
from typing import assert_type

import clusterkit
from clusterkit import ClusterKit, PartitionChangeEvent
from clusterkit.aio import AsyncClusterKit


def blocking() -> None:
    ck = ClusterKit("node-1", ":8080", join_addrs=["10.0.0.1:8080"], lease_ttl=timedelta(seconds=2), health_check_interval=0.5)

    @ck.on_partition_change
    def copy(event: PartitionChangeEvent) -> None:
        assert_type(event.change, clusterkit.RoleChange)

    @ck.on_node_join
    def joined(event: clusterkit.NodeJoinEvent) -> None:
        assert_type(event.node.services["kv"], str)

    with ck:
        assert_type(ck.is_primary_for_key("key"), bool)
        assert_type(ck.lookup(b"key").primary, clusterkit.Node | None)
        assert_type(ck.should_handle_key("key"), clusterkit.Role | None)
        assert_type(ck.set_custom_data("key", "value", expect=clusterkit.ABSENT, timeout=timedelta(seconds=1)), int)
        assert_type(ck.get_custom_data("key"), bytes | None)
        assert_type(ck.leader, clusterkit.LeaderInfo | None)
        for event in ck.events("node_join", clusterkit.EventType.NODE_LEAVE):
            assert_type(event, clusterkit.Event)
    copy.remove()
    assert_type(joined.id, int | None)
    # A word that is no option, or a value that is none of its type.
    ClusterKit("node-1", ":8080", partitoin_count=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ClusterKit("node-1", ":8080", timing="slow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def awaited() -> None:
    async with AsyncClusterKit("node-1", ":8080") as ck:

        @ck.on_partition_change
        async def copy(event: PartitionChangeEvent) -> None:
            await asyncio.sleep(0)

        assert_type(await ck.read_barrier(), int)
        async for event in ck.events():
            match event:
                case clusterkit.NodeLeaveEvent(reason=reason):
                    assert_type(reason, clusterkit.LeaveReason)
                case _:
                    pass
        await ck.remove_hook(copy)
    try:
        await ck.stop()
    except clusterkit.Error as error:
        assert_type(error.code, clusterkit.ErrorCode)
