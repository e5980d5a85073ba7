"""What the tests share."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from clusterkit import ClusterKit

ROOT = Path(__file__).resolve().parent.parent.parent.parent
TIMEOUT = 30.0

pytest_plugins = ["clusterkit.pytest_plugin"]


def wait_until(condition, what="it", timeout=TIMEOUT):
    """Waits until a condition is true; what it answered."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what} has not come about"
        time.sleep(0.005)
    return answer


class Gate:
    """What a hook waits for, so that a test decides when it returns."""

    def __init__(self):
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _event):
        self.entered.set()
        assert self.opened.wait(TIMEOUT)


@pytest.fixture
def make_node():
    """Makes nodes in memory, and closes them after the test."""
    nodes = []

    def make(node_id="node-1", **options):
        options = {"data_dir": "", "partition_count": 8, "replication_factor": 2} | options
        node = ClusterKit(node_id, "127.0.0.1:0", **options)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def node(make_node):
    """A node that has founded a cluster."""
    node = make_node()
    node.start()
    wait_until(lambda: node.waiting_for is None and all(map(node.is_primary, range(8))), "the node is primary of all")
    return node


@pytest.fixture
def run_python():
    """Runs a program of Python's in a process of its own; what it printed. It must end by itself, with this exit code."""

    def run(program, *arguments, code=0, timeout=60, env=None):
        process = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program), *map(str, arguments)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            env=os.environ | (env or {}),
        )
        assert process.returncode == code, f"it ended with {process.returncode}:\n{process.stdout}{process.stderr}"
        return process.stdout

    return run
