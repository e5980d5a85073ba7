"""Real key-value servers in one cluster on this machine: started, killed, asked. Standard library only.

What examples/kv/run.py and the checker here have in common.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import http.client
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator

# On a busy machine everything takes longer; nothing below waits for longer than this.
PATIENCE = float(os.environ.get("KV_PATIENCE", 60))
POLL_PAUSE = 0.05


class Failed(Exception):
    """What was found, for people."""


# ---- Calls over HTTP. ----


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of a call: status 0 is no answer. `sent` is false where the server surely has not got the call."""

    status: int
    body: dict
    sent: bool = True

    @property
    def done(self) -> bool:
        return self.status == 200

    @property
    def surely_not_done(self) -> bool:
        """No effect now or later: refused, or nobody owns the key now. What is neither this nor done may still happen."""
        return not self.sent or (400 <= self.status < 500 and self.status != 408) or self.status == 503

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} {self.body.get('error', '')}".strip()


class Caller:
    """Calls with connections of its own, which are kept. For one thread."""

    def __init__(self, timeout: float = 5.0) -> None:
        self.timeout = timeout
        self.connections: dict[str, http.client.HTTPConnection] = {}

    def call(self, address: str, method: str, path: str, body: object = None) -> Answer:
        connection = self.connections.get(address)
        # What is idle is closed by a server after a while, which is no answer to this call.
        if connection and connection.sock and select.select([connection.sock], [], [], 0)[0]:
            self.forget(address)
            connection = None
        try:
            if connection is None:
                connection = http.client.HTTPConnection(address, timeout=self.timeout)
                connection.connect()
                self.connections[address] = connection
        except OSError as error:
            return Answer(0, {"error": f"cannot connect: {error}"}, sent=False)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {} if sent is None else {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
            if response.will_close:
                self.forget(address)
            parsed = json.loads(content) if content else {}
            return Answer(response.status, parsed if isinstance(parsed, dict) else {"answer": parsed})
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.forget(address)
            return Answer(0, {"error": f"{type(error).__name__}: {error}"})

    def forget(self, address: str) -> None:
        if connection := self.connections.pop(address, None):
            connection.close()

    def get(self, address: str, path: str) -> dict:
        """The body of a successful answer; empty where there is none."""
        answer = self.call(address, "GET", path)
        return answer.body if answer.done else {}

    # The interface of the store.

    def read(self, address: str, key: str) -> Answer:
        return self.call(address, "GET", f"/kv/get?key={urllib.parse.quote(key)}")

    def write(self, address: str, key: str, value: str) -> Answer:
        return self.call(address, "POST", "/kv/set", {"key": key, "value": value})

    def delete(self, address: str, key: str) -> Answer:
        return self.call(address, "POST", f"/kv/delete?key={urllib.parse.quote(key)}")


def until(what: str, holds: Callable[[], object], tell: Callable[[], object] = str, patience: float = PATIENCE) -> None:
    """Waits for something; `tell` says what there is instead."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(f"not within {patience:.0f} s: {what}. {tell()}")
        time.sleep(POLL_PAUSE)


# ---- The cluster. ----


@dataclasses.dataclass(frozen=True)
class Program:
    """What starts a server."""

    command: list[str]
    environment: dict[str, str]


# Reads the ids of processes, `+ID` and `-ID`, until whoever writes them is gone, and ends those that are left.
GUARD = """
import os, signal, sys
left = set()
for line in sys.stdin:
    (left.add if line[0] == "+" else left.discard)(int(line[1:]))
for pid in left:
    try: os.kill(pid, signal.SIGKILL)
    except OSError: pass
"""


@dataclasses.dataclass
class Node:
    """A server, running or not."""

    name: str
    language: str
    http: str
    kv: str
    process: subprocess.Popen[bytes] | None = None
    incarnation: int = 0
    """That of the process before this one."""
    left: bool = False
    """It has been removed from the cluster."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all servers are started with."""

    mode: str = "sync"
    store: str = "memory"
    partitions: int = 64
    copies: int = 3
    timing: str = "lan"


class Map:
    """The cluster at one moment, as a node has it."""

    def __init__(self, answer: dict) -> None:
        cluster = answer["cluster"]
        self.nodes: dict[str, dict] = {node["id"]: node for node in cluster["nodes"]}
        partitions = cluster["partition_map"]["partitions"].values()
        self.partitions: list[dict] = sorted(partitions, key=lambda partition: partition["number"])
        self.leader: str = cluster.get("leader") or ""
        self.modulo: int = answer["hash_config"]["modulo"]

    def partition(self, key: str) -> dict:
        """The partition of a key. A node that is no member yet knows of none, and of no primary."""
        if len(self.partitions) < max(self.modulo, 1):
            return {"primary_node": ""}
        return self.partitions[int.from_bytes(hashlib.md5(key.encode()).digest()[:4], "big") % self.modulo]

    def holders(self, partition: dict) -> list[str]:
        names = [partition["primary_node"], *partition["replica_nodes"], *partition["pending"]]
        return [name for name in dict.fromkeys(names) if name]

    def copies(self, name: str) -> int:
        return sum(name in self.holders(partition) for partition in self.partitions)

    def primaries(self, name: str) -> int:
        return sum(partition["primary_node"] == name for partition in self.partitions)

    def at_rest(self, names: set[str]) -> bool:
        """These are the active members, and every partition is where it should be."""
        active = {name for name, node in self.nodes.items() if node["status"] == "active"}
        return bool(self.leader) and active == names and len(self.partitions) == self.modulo and all(
            partition["state"] == "ok" and not partition["pending"] for partition in self.partitions)


class Cluster:
    """Real servers on this machine."""

    def __init__(self, folder: pathlib.Path, servers: dict[str, Program], settings: Settings,
                 show: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self.servers = servers
        self.settings = settings
        self.show = show
        self.nodes: dict[str, Node] = {}
        self.caller = Caller()
        self.languages = itertools.cycle(servers)
        # Bound and never listened on: what keeps a port for a server while it is down.
        self.ports: list[socket.socket] = []
        self.guard = subprocess.Popen([sys.executable, "-c", GUARD], stdin=subprocess.PIPE, text=True, start_new_session=True)

    def address(self) -> str:
        port = socket.socket()
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", 0))
        self.ports.append(port)
        return f"127.0.0.1:{port.getsockname()[1]}"

    def add(self) -> Node:
        """A further node, which is not started."""
        name = f"node-{len(self.nodes) + 1}"
        node = self.nodes[name] = Node(name, next(self.languages), self.address(), self.address())
        return node

    def start(self, node: Node) -> None:
        """Starts a server, with the data that it had before; does not wait for it."""
        settings, program = self.settings, self.servers[node.language]
        data = self.folder / node.name
        others = [other.http for other in self.nodes.values() if other is not node and not other.left]
        first = node is next(iter(self.nodes.values())) and not data.exists()
        environment = {
            "NODE_ID": node.name, "NODE_NAME": f"{node.name} ({node.language})", "HTTP_ADDR": node.http, "KV_ADDR": node.kv,
            "DATA_DIR": str(data), "CLUSTER_NAME": "kv", "MODE": settings.mode, "STORE": settings.store, "TIMING": settings.timing,
            "PARTITIONS": str(settings.partitions), "REPLICATION_FACTOR": str(settings.copies),
            **({"BOOTSTRAP": "true"} if first else {"JOIN_ADDR": ",".join(others)}),
        }
        with open(self.folder / f"{node.name}.log", "ab") as log:
            # In a session of its own: Ctrl-C in a terminal is for the driver.
            node.process = subprocess.Popen(
                program.command, env=os.environ | program.environment | environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.note(f"+{node.process.pid}")

    def note(self, line: str) -> None:
        assert self.guard.stdin is not None
        self.guard.stdin.write(f"{line}\n")
        self.guard.stdin.flush()

    def signal(self, node: Node, number: int) -> None:
        assert node.process is not None
        node.process.send_signal(number)

    def ended(self, node: Node, patience: float = PATIENCE) -> int:
        """Waits until it has ended, and says with what."""
        assert node.process is not None
        try:
            code = node.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failed(f"{node.name} has not ended {patience:.0f} s after it was told to") from None
        self.note(f"-{node.process.pid}")
        node.process = None
        return code

    def kill(self, node: Node) -> float:
        """As by kill -9. When that was."""
        self.remember(node)
        now = time.monotonic()
        self.signal(node, signal.SIGKILL)
        self.ended(node)
        return now

    def stop(self, node: Node) -> None:
        """In order, by SIGTERM."""
        self.remember(node)
        self.signal(node, signal.SIGTERM)
        if code := self.ended(node):
            raise Failed(f"{node.name} was stopped, and has ended with {code}")

    def remember(self, node: Node) -> None:
        for other in self.running():
            if answer := self.caller.get(other.http, "/cluster"):
                node.incarnation = max(node.incarnation, Map(answer).nodes.get(node.name, {}).get("incarnation", 0))

    def running(self) -> list[Node]:
        return [node for node in list(self.nodes.values()) if node.process is not None]

    def map(self) -> Map:
        """What the first node knows that answers."""
        for asked in self.running():
            if answer := self.caller.get(asked.http, "/cluster"):
                return Map(answer)
        raise Failed("nobody says what it knows of the cluster")

    def member(self, node: Node) -> None:
        """Waits until it is a member by the process that runs now, and its store answers."""
        def is_member() -> bool:
            if node.process is None or node.process.poll() is not None:
                raise Failed(f"{node.name} has ended by itself; its log says: {self.log(node)}")
            answer = self.caller.get(node.http, "/cluster")
            own = Map(answer).nodes.get(node.name, {}) if answer else {}
            return own.get("incarnation", 0) > node.incarnation and bool(self.caller.get(node.kv, "/kv/stats"))
        until(f"{node.name} is a member, and its store answers", is_member, lambda: self.log(node))

    def settle(self) -> Map:
        """Waits until every node sees the others, and every partition where it should be; shows the migrations meanwhile."""
        names = {node.name for node in self.running()}
        def settled() -> bool:
            maps = [self.caller.get(node.http, "/cluster") for node in self.running()]
            status = self.caller.get(self.running()[0].http, "/rebalance")
            self.progress(status)
            return not status.get("running", True) and all(answer and Map(answer).at_rest(names) for answer in maps)
        until(f"{len(names)} nodes are at rest", settled, self.unsettled)
        return self.map()

    def progress(self, status: dict) -> None:
        states = collections.Counter(migration["state"] for migration in status.get("migrations", []))
        if states:
            what = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(states.items()))
            self.show(f"migrations: {status.get('moved', 0)} of {status.get('partitions_to_move', 0)} done, {what}")

    def lateness(self) -> tuple[float, float]:
        """By how much the cluster has stretched its timeouts because this machine is busy, and how late timers are, in seconds."""
        said = [self.caller.get(node.http, "/health/detailed") for node in self.running()]
        return max(health.get("election_stretch", 1) for health in said), max(health.get("delay_ms", 0) for health in said) / 1000

    def behind(self, node: Node) -> float:
        """In async mode, by how many seconds the replicas are behind a node."""
        replicas = self.caller.get(node.kv, "/kv/stats").get("replicas", [])
        return max((replica["behind_ms"] / 1000 for replica in replicas), default=0)

    def unsettled(self) -> str:
        """What is not at rest, for people."""
        status = self.caller.get(self.running()[0].http, "/rebalance")
        lines = [str(migration) for migration in status.get("migrations", [])[:5]]
        for node in self.running():
            answer = self.caller.get(node.http, "/cluster")
            if not answer:
                lines.append(f"{node.name} does not answer")
                continue
            seen = Map(answer)
            away = [name for name, other in seen.nodes.items() if other["status"] != "active"]
            wrong = [f"{partition['id']} {partition['state']}" for partition in seen.partitions if partition["state"] != "ok"]
            if away or wrong:
                lines.append(f"{node.name} sees {away} away, and {', '.join(wrong[:4])} ({len(wrong)} partitions)")
        return "\n  ".join(["", *lines])

    def in_step(self) -> tuple[int, int]:
        """Every holder of a partition has the same rows, and the digest that it states is theirs. Partitions and rows."""
        seen, rows = self.map(), 0
        for partition in seen.partitions:
            found: dict[str, tuple[int, str]] = {}
            def are_equal(partition: dict = partition, found: dict = found) -> bool:
                found.update((name, self.copy(self.nodes[name], partition["id"])) for name in seen.holders(partition))
                return len(set(found.values())) == 1 and min(found.values()) >= (0, "")
            until(f"the holders of {partition['id']} have the same rows", are_equal, found.items)
            rows += next(iter(found.values()))[0]
        return len(seen.partitions), rows

    def copy(self, node: Node, partition: str) -> tuple[int, str]:
        """Count and digest of a node's copy: those that it states, which have to be those of the rows that it shows."""
        total, rows, after = 0, 0, ""
        while True:
            page = self.caller.get(node.kv, f"/kv/migrate?partition={partition}&after={urllib.parse.quote(after)}")
            if not page:
                return -1, "no answer"
            for key, version in page["versions"].items():
                total += crc(f"{key}\0{version}\0v{page['keys'][key]}")
            for key, version in page.get("deleted", {}).items():
                total += crc(f"{key}\0{version}\0d")
            rows += len(page["versions"].keys() | page.get("deleted", {}).keys())
            after = page.get("next") or ""
            if not after:
                break
        stated, found = (page["count"], page["digest"]), (rows, f"{total % 2**64:016x}")
        return stated if stated == found else (-2, f"states {stated} and shows {found}")

    def log(self, node: Node) -> str:
        file = self.folder / f"{node.name}.log"
        return file.read_text(errors="replace")[-1500:] if file.exists() else ""

    def close(self) -> None:
        """Ends everything that was started here."""
        for node in self.running():
            assert node.process is not None
            node.process.kill()
            node.process.wait()
        if self.guard.stdin:
            self.guard.stdin.close()
        self.guard.wait()
        for port in self.ports:
            port.close()


def crc(text: str) -> int:
    return zlib.crc32(text.encode())


@contextlib.contextmanager
def cluster(servers: dict[str, Program], settings: Settings, show: Callable[[str], None] = lambda _: None) -> Iterator[Cluster]:
    """A cluster without nodes, whose processes end with the block. After a failure its folder, with the logs, is kept."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="clusterkit-kv-"))
    made = Cluster(folder, servers, settings, show)
    kept = False
    try:
        yield made
    except Exception:
        kept = True
        print(f"the logs of the servers are in {folder}", flush=True)
        raise
    finally:
        made.close()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def end_by_signals() -> None:
    """What ends this process leaves time to end the servers: SIGTERM and SIGHUP are as Ctrl-C."""
    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
