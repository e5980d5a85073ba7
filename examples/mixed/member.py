"""A member of the mixed cluster, in Python: see README.md."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading
from dataclasses import dataclass, field

import clusterkit
from clusterkit import ClusterKit, Node, NodeStatus, PartitionChangeEvent, PartitionState, RoleChange

TIMEOUT = 5.0


@dataclass
class Copy:
    """What a member holds of one partition."""

    epoch: int = 0
    entries: dict[str, str] = field(default_factory=dict)


def ask(addr: str, line: str) -> list[str]:
    """Asks another member: the lines of its answer."""
    host, port = addr.rsplit(":", 1)
    with socket.create_connection((host, int(port)), TIMEOUT) as connection, connection.makefile("rw") as stream:
        print(line, file=stream, flush=True)
        return stream.read().splitlines()


def addrs_of(nodes: tuple[Node, ...]) -> list[str]:
    """Where members answer."""
    return [node.services["data"] for node in nodes if "data" in node.services]


class Member:
    """The storage of a member, and its node."""

    def __init__(self, node: ClusterKit) -> None:
        self.node = node
        self.lock = threading.Lock()
        self.copies: dict[int, Copy] = {}
        node.on_partition_change(self.on_partition_change)

    def on_partition_change(self, event: PartitionChangeEvent) -> None:
        """What its return means is that the data is here."""
        if event.node_id != self.node.node_id:
            return
        match event.change:
            case RoleChange.GAINED_REPLICA:
                copy = self.copied(event) if event.copy_from_nodes else Copy()
                with self.lock:
                    self.copies[event.number] = copy
            case RoleChange.GAINED_PRIMARY:
                with self.lock:
                    self.copies.setdefault(event.number, Copy())
            case RoleChange.LOST_COPY:
                with self.lock:
                    self.copies.pop(event.number, None)

    def copied(self, event: PartitionChangeEvent) -> Copy:
        """The data of a partition from a member that has it."""
        for addr in addrs_of(event.copy_from_nodes):
            with contextlib.suppress(OSError):
                first, *lines = ask(addr, f"get {event.number}")
                if first != "none":
                    return Copy(int(first.removeprefix("epoch ")), dict(line.split(" ", 1) for line in lines))
        raise OSError("no member that holds it answers")

    def put(self, partition: int, epoch: int, key: str, value: str) -> bool:
        """Writes to a copy, unless a later primary has written there."""
        with self.lock:
            copy = self.copies.get(partition)
            if copy is None or copy.epoch > epoch:
                return False
            copy.epoch = epoch
            copy.entries[key] = value
            return True

    def write(self, key: str, value: str) -> str:
        """Writes where this member is primary: here, and to every copy."""
        view = self.node.view()
        partition = view.partition_number(key)
        try:
            epoch = self.node.primary_epoch(-1 if partition is None else partition)
        except clusterkit.Error:
            return "not primary"
        if partition is None or not self.put(partition, epoch, key, value):
            return "not primary"
        written = 1
        for addr in addrs_of(view.replicas(partition)):
            with contextlib.suppress(OSError):
                written += ask(addr, f"put {partition} {epoch} {key} {value}") == ["ok"]
        return f"ok {written}"

    def get(self, partition: int) -> str:
        """Everything that it has of a partition."""
        with self.lock:
            copy = self.copies.get(partition)
            if copy is None:
                return "none"
            return "\n".join([f"epoch {copy.epoch}", *(f"{key} {value}" for key, value in copy.entries.items())])

    def read(self, key: str) -> str:
        """The value of a key, where it has one."""
        partition = self.node.get_partition_number(key)
        with self.lock:
            copy = self.copies.get(-1 if partition is None else partition)
            return f"value {copy.entries[key]}" if copy is not None and key in copy.entries else "none"

    def is_settled(self, members: int) -> bool:
        """True when it sees so many active members, and every partition where it should be."""
        view = self.node.view()
        active = sum(node.status is NodeStatus.ACTIVE for node in view.nodes)
        states = {partition.state for partition in view.partitions}
        return active == members and states == {PartitionState.OK}

    def answer(self, line: str) -> str:
        """What it answers to a line."""
        match line.split():
            case ["write", key, value]:
                return self.write(key, value)
            case ["put", partition, epoch, key, value]:
                return "ok" if self.put(int(partition), int(epoch), key, value) else "refused"
            case ["get", partition]:
                return self.get(int(partition))
            case ["read", key]:
                return self.read(key)
            case ["settled", members]:
                return "yes" if self.is_settled(int(members)) else "no"
            case ["primaries"]:
                return str(sum(map(self.node.is_primary, range(self.node.view().partition_count))))
        return "what?"


class Server(socketserver.ThreadingTCPServer):
    """Answers other members, a thread for each."""

    daemon_threads = True
    member: Member


class Handler(socketserver.StreamRequestHandler):
    """One connection: a line, and its answer."""

    def handle(self) -> None:
        """Answers."""
        assert isinstance(self.server, Server)
        line = self.rfile.readline().decode()
        # Whoever asks may be gone: it asks again.
        with contextlib.suppress(OSError):
            self.wfile.write(f"{self.server.member.answer(line)}\n".encode())


def main(node_id: str, data_dir: str, join: str) -> None:
    """Runs a member until its standard input ends."""
    with Server(("127.0.0.1", 0), Handler, bind_and_activate=True) as server:
        addr = f"127.0.0.1:{server.server_address[1]}"
        node = ClusterKit(
            node_id,
            "127.0.0.1:0",
            data_dir=data_dir,
            services={"data": addr},
            partition_count=24,
            replication_factor=3,
            rebalance_delay=1.0,
            join_addrs=[] if join == "-" else join.split(","),
        )
        server.member = Member(node)
        # Before it starts: others copy from it as soon as it is a member.
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with node:
            print(f"ready {node.http_addr} {addr}", flush=True)
            sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
