"""A node that founds a cluster, copies what it gains, and says what it is to a key."""

from clusterkit import ClusterKit, PartitionChangeEvent, Role, RoleChange


def main() -> None:
    """Runs a node for a moment."""
    # A name, and where to listen: 0 takes any free port. `join_addrs` names members to join; without, it founds a cluster.
    ck = ClusterKit("node-1", "127.0.0.1:0", data_dir="")  # in memory; leave data_dir out to be durable

    @ck.on_partition_change
    def copy(event: PartitionChangeEvent) -> None:
        if event.node_id == ck.node_id and event.change is RoleChange.GAINED_REPLICA:
            pass  # copy the data from event.copy_from_nodes: when this returns, the cluster counts on the copy

    with ck:  # starts; and stops at the end
        match ck.should_handle_key("user:123"):
            case Role.PRIMARY:
                print("I take its writes")
            case Role.REPLICA:
                print("I hold a copy")
            case None:
                print("ask", ck.get_primary_node("user:123"))


if __name__ == "__main__":
    main()
