"""The programs in examples/python."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from conftest import ROOT, TIMEOUT, wait_until

EXAMPLES = ROOT / "examples/python"
KEYS = [f"user:{number}/näme" for number in range(30)]


def test_the_tour_prints_what_it_prints_everywhere():
    done = subprocess.run([sys.executable, EXAMPLES / "tour.py"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (ROOT / "examples/tour.txt").read_text()


def test_the_quickstart_runs():
    done = subprocess.run([sys.executable, EXAMPLES / "quickstart.py"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "I take its writes\n")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Instance:
    """One process of the service."""

    def __init__(self, number, join=None):
        self.id = f"node-{number}"
        self.api, self.http = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.api}"
        options = {
            "NODE_ID": self.id,
            "HTTP_ADDR": f"127.0.0.1:{self.http}",
            "SERVICES": f"kv=127.0.0.1:{self.api}",
            "REPLICATION_FACTOR": "2",
            "PARTITION_COUNT": "16",
            "REBALANCE_DELAY": "1s",
        }
        if join is not None:
            options["JOIN_ADDRS"] = f"127.0.0.1:{join.http}"
        environment = os.environ | {f"CLUSTERKIT_{name}": value for name, value in options.items()}
        command = [sys.executable, "-m", "uvicorn", "--port", str(self.api), "--log-level", "warning", "service:app"]
        self.process = subprocess.Popen(
            command, cwd=EXAMPLES / "service", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output = []
        # Read, so that it never waits for its reader.
        self.reader = threading.Thread(target=lambda: self.output.extend(self.process.stdout))
        self.reader.start()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def settled(self, members):
        """True when the partitions of the cluster are where they should be, on so many members."""
        with contextlib.suppress(httpx.TransportError):
            cluster = httpx.get(f"http://127.0.0.1:{self.http}/cluster").json()["cluster"]
            partitions = cluster["partition_map"]["partitions"].values()
            active = [node for node in cluster["nodes"] if node["status"] == "active"]
            wanted = "ok" if members > 1 else "under_replicated"
            return len(active) == members and len(partitions) == 16 and all(part["state"] == wanted for part in partitions)
        assert self.process.poll() is None, "".join(self.output)
        return False


@pytest.fixture
def instances():
    started = []

    def start(number):
        started.append(Instance(number, started[0] if started else None))
        wait_until(lambda: started[-1].settled(len(started)), f"{started[-1].id} has its partitions", 60)
        return started[-1]

    yield start
    for instance in started:
        instance.process.send_signal(signal.SIGTERM)
    for instance in started:
        with contextlib.suppress(subprocess.TimeoutExpired):
            instance.process.wait(TIMEOUT)
        instance.end()


class Load:
    """Writes and reads keys through any instance, and knows what each answer may be."""

    def __init__(self, instances):
        self.instances = list(instances)
        # None stands for no value.
        self.allowed = {key: {None} for key in KEYS}
        self.answered = {}
        self.reads = self.writes = self.refused = 0
        self.wrong = []
        self.ends = False

    async def ask(self, client, method, key, content=None):
        """The answer, or None where there was none, or it asked to try again."""
        instance = random.choice(self.instances)
        try:
            answer = await client.request(method, f"{instance.url}/kv/{httpx.URL(path='/' + key).path[1:]}", content=content)
        except httpx.TransportError:
            return None
        return None if answer.status_code == 503 else answer

    async def use(self, client, key):
        """One after the other, one key: so what a read may answer is known."""
        number = 0
        while not self.ends:
            number += 1
            value = f"{key}={number}"
            # A write that fails may have happened.
            self.allowed[key].add(value)
            answer = await self.ask(client, "PUT", key, value)
            if answer is None:
                self.refused += 1
                await asyncio.sleep(0.02)
            elif answer.status_code == 204:
                self.writes += 1
                self.allowed[key] = {value}
            else:
                self.wrong.append((key, answer.status_code, answer.text))
            answer = await self.ask(client, "GET", key)
            if answer is None:
                self.refused += 1
                continue
            read = answer.text if answer.status_code == 200 else None
            if answer.status_code not in (200, 404) or read not in self.allowed[key]:
                self.wrong.append((key, answer.status_code, answer.text, self.allowed[key]))
            self.reads += 1
            by = answer.headers["kv-node"]
            self.answered[by] = self.answered.get(by, 0) + 1

    async def run(self, during):
        async with httpx.AsyncClient(timeout=10) as client, asyncio.TaskGroup() as group:
            for key in KEYS:
                group.create_task(self.use(client, key))
            try:
                await during(self)
            finally:
                self.ends = True


def test_three_instances_and_no_wrong_answer_while_one_is_killed(instances):
    first, second, third = (instances(number) for number in (1, 2, 3))
    load = Load([first, second, third])

    async def reach(reads):
        """Waits until so many more keys were read."""
        wanted = load.reads + reads
        async with asyncio.timeout(60):
            while load.reads < wanted:
                assert load.wrong == []
                await asyncio.sleep(0.01)

    async def during(_load):
        await reach(300)
        assert set(load.answered) == {"node-1", "node-2", "node-3"}
        third.process.kill()
        load.instances.remove(third)
        await reach(300)
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(lambda: first.settled(2) and second.settled(2)):
                assert load.wrong == []
                await asyncio.sleep(0.05)
        load.answered.clear()
        await reach(300)
        assert set(load.answered) == {"node-1", "node-2"}

    asyncio.run(load.run(during))
    assert load.wrong == []
    # Every key has the value that was written last, or one that was tried since.
    for key in KEYS:
        answer = wait_until(lambda key=key: answered(second, key), "it answers")
        assert answer.text in load.allowed[key]
    # Ctrl-C ends an instance in order: the other takes over what it has.
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(TIMEOUT) == 0, "".join(first.output)
    wait_until(lambda: second.settled(1) or answered(second, KEYS[0]), "the last one serves")
    for instance in (first, second):
        assert "Traceback" not in "".join(instance.output), "".join(instance.output)


def answered(instance, key):
    answer = httpx.get(f"{instance.url}/kv/{key}")
    return answer if answer.status_code == 200 else None
