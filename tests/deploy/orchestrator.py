#!/usr/bin/env python3
"""Does to key-value servers what Kubernetes does with examples/deploy/kubernetes/kv.yaml, whose variables and preStop it takes.

    orchestrator.py --kv PROGRAM [--clusterkit PROGRAM] [--pods 10]

Pods are network namespaces; a small DNS server has the names of a headless service. All pods start at once, and one after the other
from the last; all are ended and come back under new addresses; an update ends one after the other by preStop and SIGTERM; one is
deleted without warning. Each time the cluster forms, and while clients write, nothing that was acknowledged is lost.

Without --clusterkit there is no secret, and the orchestrator looks itself whether copies are missing: that is not what a cluster
should run with. Linux, and root. Prints what it did, and last `N passed, N failed`; SKIPPED where there are no namespaces.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from files import Files, seconds  # noqa: E402
from pods import Network, Pod, Unavailable  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FORMS_WITHIN = 120
# For how long one key may not be written at most. A machine that runs all pods at once is slower than they would be.
OUTAGE = 20.0
KEYS = 100
CLIENTS = 4
# How long a pod that was deleted stays away.
AWAY = 3.0
REQUEST_TIMEOUT = 3.0


def ask(address: str, port: int, method: str, path: str, body: dict | None = None, timeout: float = REQUEST_TIMEOUT):
    """(status, answer); status 0 where there is none."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json"} if body is not None else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()


class Failed(Exception):
    """What was promised did not happen."""


def until(what: str, timeout: float, condition) -> float:
    """How long it took."""
    began = time.monotonic()
    while True:
        found = condition()
        if found is True:
            return time.monotonic() - began
        if time.monotonic() - began > timeout:
            raise Failed(f"{what}: not within {timeout:.0f} s; {found}")
        time.sleep(0.1)


class Kubelet:
    """Asks the probes of the manifest as often as it says, and counts as it says."""

    def __init__(self, container: dict, pods: list[Pod], port: int):
        self.probe, self.liveness = container["readinessProbe"], container["livenessProbe"]
        self.pods, self.port = pods, port
        self.well: set[tuple[str, int]] = set()
        self.failures: dict[tuple[str, int], int] = {}
        self.restarts: list[str] = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.look, args=(pod,), daemon=True) for pod in pods]
        for thread in self.threads:
            thread.start()

    def is_ready(self, pod: Pod) -> bool:
        return pod.is_running() and bool(pod.address) and (pod.name, pod.starts) in self.well

    def asks(self, probe: dict, address: str) -> bool:
        return ask(address, self.port, "GET", probe["httpGet"]["path"], timeout=probe["timeoutSeconds"])[0] == 200

    def look(self, pod: Pod) -> None:
        alive_since = time.monotonic()
        while not self.ended.wait(self.probe["periodSeconds"]):
            start, address = (pod.name, pod.starts), pod.address
            if not pod.is_running() or not address:
                alive_since = time.monotonic()
                continue
            if self.asks(self.probe, address):
                self.failures[start] = 0
                self.well.add(start)
            else:
                self.failures[start] = self.failures.get(start, 0) + 1
                if self.failures[start] >= self.probe["failureThreshold"]:
                    self.well.discard(start)
            if self.asks(self.liveness, address) or not pod.is_running() or pod.address != address:
                alive_since = time.monotonic()
            elif time.monotonic() - alive_since > self.liveness["periodSeconds"] * self.liveness["failureThreshold"]:
                self.restarts.append(f"{pod.name} was not alive for a minute; {pod.last_words()}")

    def close(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()


class Set:
    """The StatefulSet."""

    def __init__(self, arguments: argparse.Namespace, folder: pathlib.Path):
        self.files = Files(ROOT)
        environment = {name: value for name, value in self.files.pod_environment.items() if value is not None}
        ports = {port["name"]: port["containerPort"] for port in self.files.container["ports"]}
        self.http, self.kv = ports["http"], ports["kv"]
        self.command, self.logs = arguments.clusterkit, arguments.logs
        self.grace = float(self.files.pod["terminationGracePeriodSeconds"])
        self.min_ready = float(self.files.object("StatefulSet")["spec"]["minReadySeconds"])
        self.network = Network(self.files.object("StatefulSet")["spec"]["serviceName"])
        environment |= {"POD_NAMESPACE": "test", "BOOTSTRAP_EXPECT": str(arguments.pods)}
        if self.command:
            secret = folder / "secret"
            secret.touch(0o600)
            secret.write_text(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="))
            environment["CLUSTERKIT_CLUSTER_SECRET_FILE"] = str(secret)
        else:
            del environment["CLUSTERKIT_CLUSTER_SECRET_FILE"]
            environment["INSECURE"] = "true"
        self.pods = []
        for place in range(arguments.pods):
            name = f"kv-{place}"
            own = environment | {"NODE_ID": name, "ZONE": f"zone-{place % 3}", "DATA_DIR": str(folder / name / "data")}
            own = {variable: expanded(value, own) for variable, value in own.items()}
            self.pods.append(Pod(self.network, name, folder / name, own, [arguments.kv]))
        self.kubelet = Kubelet(self.files.container, self.pods, self.http)

    def ready(self) -> list[Pod]:
        """Where clients are sent."""
        return [pod for pod in self.pods if self.kubelet.is_ready(pod)]

    def all_ready(self) -> bool | str:
        ended = [pod for pod in self.pods if not pod.is_running()]
        if ended:
            raise Failed(f"{ended[0].name} has ended; {ended[0].last_words()}")
        if self.kubelet.restarts:
            raise Failed(self.kubelet.restarts[0])
        ready = self.ready()
        return len(ready) == len(self.pods) or f"{len(ready)} of {len(self.pods)} pods are ready"

    def formed(self, what: str) -> None:
        """All are ready, and all are in one cluster."""
        took = until(what, FORMS_WITHIN, self.all_ready)

        def agree() -> bool | str:
            stats = [ask(pod.address, self.kv, "GET", "/kv/stats") for pod in self.pods]
            if any(status != 200 for status, _ in stats):
                return "one does not answer"
            members = {answer["cluster_nodes"] for _, answer in stats}
            leaders = sum(answer["is_leader"] for _, answer in stats)
            return (members == {len(self.pods)} and leaders == 1) or f"members {members}, {leaders} leaders"

        until(f"{what}: one cluster", 30, agree)
        print(f"  {what}: ready after {took:.1f} s", flush=True)

    def pre_stop(self, pod: Pod) -> float:
        """What the manifest has for a pod that is ended, and how long it took."""
        began = time.monotonic()
        if self.command:
            done = pod.run([self.command, *self.files.pre_stop[1:]], self.grace)
            if done.returncode:
                raise Failed(f"preStop of {pod.name}: {done.stdout}{done.stderr}")
        else:
            wait = seconds(self.files.pre_stop[self.files.pre_stop.index("--wait") + 1])
            until(f"{pod.name}: all copies are there", wait, lambda: self.settled(pod))
        return time.monotonic() - began

    def settled(self, pod: Pod) -> bool | str:
        status, answer = ask(pod.address, self.http, "GET", "/cluster")
        if status != 200 or answer.get("stale"):
            return f"status {status}"
        partitions = answer["cluster"]["partition_map"]["partitions"].values()
        whole = "ok" if len(self.pods) >= answer["cluster"]["config"]["replication_factor"] else "under_replicated"
        left = [one["id"] for one in partitions if one["state"] not in ("ok", whole) or one["pending"]]
        return not left or f"{len(left)} partitions are not settled"

    def delete_all(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(len(self.pods)) as pool:
            for took in pool.map(lambda pod: pod.end(self.grace), self.pods):
                if took > self.grace:
                    raise Failed("a pod was ended by force")

    def close(self) -> None:
        self.kubelet.close()
        for pod in self.pods:
            if pod.is_running():
                pod.process.kill()
                pod.process.wait()
        self.network.close()


def expanded(value: str, environment: dict[str, str]) -> str:
    for name, found in environment.items():
        value = value.replace(f"$({name})", found)
    return value


class Load:
    """Clients that write through pods that are ready, and keep book of what was acknowledged. One for each key at a time."""

    def __init__(self, pods: Set):
        self.pods = pods
        self.acknowledged: dict[str, int] = {}
        # Values whose write had no answer: they may be there.
        self.unknown: dict[str, set[int]] = {}
        self.writes = 0
        self.longest = 0.0
        # What was answered to the write that took longest: when, by whom, with which status.
        self.story: list[str] = []
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def client(self, number: int) -> None:
        value, chosen = 0, random.Random(number)
        while not self.ended.is_set():
            for key in (f"key-{at}" for at in range(number, KEYS, CLIENTS)):
                value += 1
                self.write(chosen, key, value)
                if self.ended.is_set():
                    return

    def write(self, chosen: random.Random, key: str, value: int) -> None:
        """Until it is acknowledged, or everything ends."""
        began = time.monotonic()
        story = []
        while True:
            ready = self.pods.ready()
            pod = chosen.choice(ready) if ready else None
            address = pod.address if pod else ""
            sent_after = time.monotonic() - began
            sent = {"key": key, "value": str(value)}
            # Nothing is sent where there is nobody.
            status, _ = ask(address, self.pods.kv, "POST", "/kv/set", sent) if address else (503, None)
            took = time.monotonic() - began
            story.append(f"{sent_after:.1f}-{took:.1f} s {pod.name if pod else 'nobody is ready'} {status}")
            with self.lock:
                if took > self.longest:
                    self.longest, self.story = took, [key, *story]
                if status == 200:
                    self.acknowledged[key] = value
                    self.unknown.pop(key, None)
                    self.writes += 1
                    return
                # 503 has written nothing.
                if status != 503:
                    self.unknown.setdefault(key, set()).add(value)
            if self.ended.is_set():
                return
            time.sleep(0.05)

    def check(self, what: str) -> None:
        """Every key has the value that was acknowledged last, or one whose outcome nobody knew."""
        lost = []
        for key, value in self.acknowledged.items():
            path = f"/kv/get?key={urllib.parse.quote(key)}"

            def read() -> bool | str:
                status, answer = ask(random.choice(self.pods.pods).address, self.pods.kv, "GET", path)
                if status == 200:
                    self.seen = int(answer["value"])
                    return True
                if status == 404:
                    self.seen = -1
                    return True
                return f"status {status}"

            until(f"{what}: {key} is read", 30, read)
            if self.seen != value and self.seen not in self.unknown.get(key, ()):
                lost.append(f"{key} is {self.seen}, not {value}")
        print(f"  {what}: {self.writes} writes, {len(lost)} of {len(self.acknowledged)} keys lost, "
              f"no key waited longer than {self.longest:.1f} s", flush=True)
        if self.pods.logs:
            print(f"  the longest: {self.story[:60]}", flush=True)
        if lost:
            raise Failed(f"{what}: {lost[:5]}")
        if not self.writes:
            raise Failed(f"{what}: nothing was written")
        if self.longest > OUTAGE:
            raise Failed(f"{what}: a key was not written for {self.longest:.1f} s: {self.story[:200]}")


def from_the_last(pods: Set) -> None:
    """Pods that start one after the other, from the last, form one cluster."""
    for pod in reversed(pods.pods):
        pod.start()
        time.sleep(0.3)
    pods.formed("in reverse order, empty volumes")


def at_once(pods: Set) -> None:
    """Pods that start at once form one cluster."""
    for pod in pods.pods:
        pod.start()
    pods.formed("all at once, empty volumes")


def moved(pods: Set) -> None:
    """A set that was ended as a whole forms again under new addresses, and has its data."""
    with Load(pods) as load:
        time.sleep(3)
    before = {pod.name: pod.address for pod in pods.pods}
    pods.delete_all()
    for pod in reversed(pods.pods):
        pod.start()
    pods.formed("all ended, all addresses new")
    if any(pod.address == before[pod.name] for pod in pods.pods):
        raise Failed("a pod has its old address")
    load.check("all ended, all addresses new")


def updated(pods: Set) -> None:
    """A rolling update by preStop loses nothing, and keys are served all the time."""
    longest = 0.0
    with Load(pods) as load:
        for pod in reversed(pods.pods):
            waited = pods.pre_stop(pod)
            stopped = pod.end(pods.grace - waited)
            longest = max(longest, waited + stopped)
            pod.start()
            until(f"{pod.name} is ready", FORMS_WITHIN, lambda: pod in pods.ready() or "it is not")
            time.sleep(pods.min_ready)
    print(f"  rolling update: preStop and stop took {longest:.1f} s at most, of {pods.grace:.0f} s", flush=True)
    pods.formed("rolling update")
    load.check("rolling update")


def deleted(pods: Set) -> None:
    """A pod that is deleted without warning costs nothing that was acknowledged, and comes back under a new address."""
    with Load(pods) as load:
        time.sleep(2)
        victim = random.choice(pods.pods)
        victim.kill()
        time.sleep(AWAY)
        victim.start()
        pods.formed(f"{victim.name} deleted without warning")
        time.sleep(2)
    load.check("one deleted without warning")


def played(arguments: argparse.Namespace, scenarios: list) -> tuple[int, int]:
    """Plays scenarios with one set, one after the other; how many passed and failed."""
    passed = 0
    with tempfile.TemporaryDirectory(prefix="clusterkit-pods-") as folder:
        pods = Set(arguments, pathlib.Path(folder))
        try:
            for scenario in scenarios:
                try:
                    scenario(pods)
                except (Failed, RuntimeError, subprocess.TimeoutExpired) as error:
                    print(f"FAILED {scenario.__doc__}\n{error}", flush=True)
                    for pod in pods.pods if arguments.logs else []:
                        print(f"{pod.name}: {pod.last_words()}")
                    # What follows stands on it.
                    return passed, len(scenarios) - passed
                print(f"ok     {scenario.__doc__}", flush=True)
                passed += 1
        finally:
            pods.close()
    return passed, 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kv", required=True, type=os.path.abspath, help="the server")
    parser.add_argument("--clusterkit", type=os.path.abspath, help="the clusterkit command")
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--logs", action="store_true", help="print the end of each log when something fails")
    arguments = parser.parse_args()
    # Whoever ends this ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        passed, failed = played(arguments, [from_the_last])
        more_passed, more_failed = played(arguments, [at_once, moved, updated, deleted])
    except Unavailable as error:
        print(f"SKIPPED: pods: no network namespaces here: {error}")
        return 1 if os.environ.get("STRICT") else 0
    passed, failed = passed + more_passed, failed + more_failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
