"""What an orchestrator gives to pods, out of what Linux has: a network namespace with a new address for each start, names that a small
DNS server answers as a headless service does, and volumes that outlast the pod. It takes root.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

# What Kubernetes appends to names, and from how many dots on it does not do so first.
SEARCH = "options ndots:5\nsearch test.svc.cluster.local svc.cluster.local cluster.local\n"
ZONE = "test.svc.cluster.local"
# How long a change takes until names show it: pods start and go faster than names follow.
PROPAGATION = 0.5


class Unavailable(Exception):
    """This machine, or this user, has no network namespaces."""


def ip(line: str) -> None:
    try:
        done = subprocess.run(["ip", *line.split()], capture_output=True, text=True)
    except OSError as error:
        raise RuntimeError(f"ip: {error}") from error
    if done.returncode:
        raise RuntimeError(f"ip {line}: {done.stderr.strip()}")


class Names:
    """A DNS server for one headless service. Names of pods that are not ready are there as well."""

    def __init__(self, address: str, service: str):
        self.service = f"{service}.{ZONE}"
        self.published: dict[str, str] = {}
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.socket.settimeout(0.2)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def publish(self, pod: str, address: str | None) -> None:
        """From soon on a pod has this address, or none."""
        threading.Timer(PROPAGATION, self.change, (pod, address)).start()

    def change(self, pod: str, address: str | None) -> None:
        with self.lock:
            self.published.pop(pod, None)
            if address:
                self.published[pod] = address

    def addresses(self, name: str) -> list[str] | None:
        """None where there is no such name."""
        with self.lock:
            if name == self.service:
                return list(self.published.values())
            pod = name.removesuffix(f".{self.service}")
            return [self.published[pod]] if pod in self.published else None

    def serve(self) -> None:
        while not self.ended.is_set():
            try:
                query, sender = self.socket.recvfrom(512)
            except socket.timeout:
                continue
            except OSError:
                return
            try:
                self.socket.sendto(self.answer(query), sender)
            except (OSError, IndexError, struct.error, UnicodeDecodeError):
                pass

    def answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("ascii"))
            at += 1 + query[at]
        question = query[12:at + 5]
        kind, = struct.unpack(">H", query[at + 1:at + 3])
        found = self.addresses(".".join(labels).lower())
        records = [socket.inet_aton(address) for address in found or []] if kind == 1 else []
        # An answer of an authority; code 3 is "no such name".
        flags = 0x8580 | (0 if found is not None else 3)
        head = query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
        return head + question + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + record for record in records)

    def close(self) -> None:
        self.ended.set()
        self.thread.join()
        self.socket.close()


class Network:
    """A bridge that all pods are on, and the server of their names."""

    def __init__(self, service: str):
        pid = os.getpid()
        # As the tests in Rust call theirs, which remove what a test has left that was killed.
        self.name = f"ck{pid:x}o"
        self.subnet = f"10.{64 + pid % 128}.{pid // 128 % 256}"
        self.started = 0
        self.spaces: list[str] = []
        try:
            ip(f"link add {self.name}br type bridge")
            ip(f"addr add {self.subnet}.254/24 dev {self.name}br")
            ip(f"link set {self.name}br up")
            # What cannot be done at all shows here.
            self.detach(self.attach()[0])
            self.names = Names(f"{self.subnet}.254", service)
        except (RuntimeError, OSError) as error:
            for space in list(self.spaces):
                self.detach(space)
            subprocess.run(["ip", "link", "del", f"{self.name}br"], capture_output=True)
            raise Unavailable(str(error)) from error

    def attach(self) -> tuple[str, str]:
        """A new namespace, and the address that nobody had before."""
        self.started += 1
        if self.started > 250:
            raise RuntimeError("there are no more addresses")
        space, address = f"{self.name}n{self.started}", f"{self.subnet}.{self.started}"
        link = f"{self.name}v{self.started}"
        ip(f"netns add {space}")
        self.spaces.append(space)
        ip(f"link add {link} type veth peer name e0 netns {space}")
        ip(f"link set {link} master {self.name}br up")
        ip(f"-n {space} addr add {address}/24 dev e0")
        ip(f"-n {space} link set lo up")
        ip(f"-n {space} link set e0 up")
        # What `ip netns exec` shows as /etc/resolv.conf.
        folder = pathlib.Path("/etc/netns") / space
        folder.mkdir(parents=True)
        (folder / "resolv.conf").write_text(f"nameserver {self.subnet}.254\n{SEARCH}")
        return space, address

    def detach(self, space: str) -> None:
        """The address is gone: what is sent there is lost."""
        number = space.removeprefix(f"{self.name}n")
        subprocess.run(["ip", "link", "del", f"{self.name}v{number}"], capture_output=True)
        subprocess.run(["ip", "netns", "del", space], capture_output=True)
        shutil.rmtree(pathlib.Path("/etc/netns") / space, ignore_errors=True)
        if space in self.spaces:
            self.spaces.remove(space)

    def close(self) -> None:
        self.names.close()
        for space in list(self.spaces):
            self.detach(space)
        subprocess.run(["ip", "link", "del", f"{self.name}br"], capture_output=True)
        parent = pathlib.Path("/etc/netns")
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


class Pod:
    """One place of the set: its name and its volume stay, process and address do not."""

    def __init__(self, network: Network, name: str, folder: pathlib.Path, environment: dict[str, str], program: list[str]):
        self.network, self.name, self.folder, self.program = network, name, folder, program
        self.environment = environment
        self.space = self.address = ""
        self.process: subprocess.Popen | None = None
        self.starts = 0
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        self.space, self.address = self.network.attach()
        self.starts += 1
        self.network.names.publish(self.name, self.address)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.space, *self.program], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC", **self.environment})

    def run(self, command: list[str], timeout: float) -> subprocess.CompletedProcess:
        """A command within the pod, as preStop is."""
        return subprocess.run(["ip", "netns", "exec", self.space, *command], capture_output=True, text=True, timeout=timeout,
                              env={"PATH": os.environ.get("PATH", ""), **self.environment})

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self, grace: float) -> float:
        """SIGTERM, and the time until the process has ended; SIGKILL after `grace`, and an error. Then the address goes."""
        began = time.monotonic()
        try:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(grace)
            if self.process.returncode != 0:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}; {self.last_words()}")
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"{self.name} did not end within {grace:.0f} s; {self.last_words()}") from None
        finally:
            self.gone()
        return time.monotonic() - began

    def kill(self) -> None:
        """Without warning: its connections are not even closed, because the network goes first."""
        self.network.detach(self.space)
        self.process.kill()
        self.process.wait()
        self.gone()

    def gone(self) -> None:
        self.network.names.publish(self.name, None)
        self.network.detach(self.space)
        self.space = self.address = ""

    def last_words(self) -> str:
        text = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return f"the end of its log:\n{text[-3000:]}"
