"""What a process may do with the package in it: end in any state, fork, be interrupted, have other interpreters."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import TIMEOUT, wait_until

# How often a process ends in each state: make soak has more.
EXITS = int(os.environ.get("CLUSTERKIT_EXITS", "50"))

HEAD = """
import contextlib, os, sys, threading, time
import clusterkit
from clusterkit import ClusterKit
from clusterkit.testing import TestCluster

def make(node_id="node-1", **options):
    return ClusterKit(node_id, "127.0.0.1:0", **({"data_dir": "", "partition_count": 8} | options))
"""

# Each ends its process in another state, without having stopped the node.
ENDS = {
    "made": "node = make()",
    "started": "node = make(); node.start()",
    "in a cycle": "node = make(); node.start(); node.itself = node",
    "with hooks that run": """
        node = make(partition_count=200)
        node.on_partition_change(lambda event: time.sleep(0.001))
        node.on_event(lambda event: sum(range(1000)))
        node.start()
    """,
    "while a hook sleeps": """
        node = make()
        entered = threading.Event()
        node.on_become_leader(lambda event: (entered.set(), time.sleep(0.2)))
        node.start()
        entered.wait()
    """,
    "in another thread's call": """
        node = make(); node.start()
        def wait():
            with contextlib.suppress(clusterkit.StoppedError):
                node.wait_for_revision(1 << 40)
        threading.Thread(target=wait, daemon=True).start()
    """,
    "in the middle of a start": """
        node = make(join_addrs="127.0.0.1:1", bootstrap=False)
        def start():
            with contextlib.suppress(clusterkit.Error):
                node.start()
        threading.Thread(target=start, daemon=True).start()
    """,
    "with a client and a test cluster": """
        node = make(); node.start()
        client = clusterkit.Client(node.http_addr)
        client.on_change(lambda view: None)
        cluster = TestCluster(nodes=2, partition_count=4)
    """,
    "with an async node": """
        import asyncio
        from clusterkit.aio import AsyncClusterKit
        async def main():
            global node
            node = AsyncClusterKit("node-1", "127.0.0.1:0", data_dir="", partition_count=8)
            @node.on_partition_change
            async def copy(event): await asyncio.sleep(10)
            await node.start()
        asyncio.run(main())
    """,
    "by sys.exit": "node = make(); node.start(); sys.exit(0)",
    "by os._exit": "node = make(); node.start(); os._exit(0)",
    "by an exit inside a hook": """
        node = make()
        node.on_become_leader(lambda event: os._exit(0))
        node.start()
        time.sleep(30)
    """,
    "deleted": "node = make(); node.start(); node.close(); del node",
}


@pytest.mark.parametrize("state", ENDS)
def test_a_process_ends_in_every_state(state):
    program = HEAD + textwrap.dedent(ENDS[state])
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    for _ in range(max(1, EXITS // len(ENDS))):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_a_hook_that_never_returns_keeps_no_process(run_python):
    began = time.monotonic()
    run_python(
        HEAD
        + textwrap.dedent("""
        node = make()
        entered = threading.Event()
        node.on_become_leader(lambda event: (entered.set(), time.sleep(600)))
        node.start()
        entered.wait()
        """),
        env={"PYTHONWARNINGS": "ignore"},
    )
    assert time.monotonic() - began < 20


INTERRUPTED = {
    "start": ("node = make(join_addrs='127.0.0.1:1', bootstrap=False, join_timeout=60)", "node.start()"),
    "with": ("node = make(join_addrs='127.0.0.1:1', bootstrap=False, join_timeout=60)", "with node: pass"),
    "stop": (
        """
node = make()
node.on_become_leader(lambda event: time.sleep(2))
node.start()
""",
        "node.stop()",
    ),
    "a wait": ("node = make(); node.start()", "node.wait_for_revision(1 << 40, 60)"),
    "a client's wait": ("node = clusterkit.Client('127.0.0.1:1')", "node.wait_ready(60)"),
    "a loop over events": ("node = make(); node.start(); events = node.events()", "for event in events: pass"),
    "a test cluster's wait": (
        "node = TestCluster(nodes=1, partition_count=1)",
        "node.wait_until('the moon', lambda: time.sleep(0.01), 60)",
    ),
}


@pytest.mark.parametrize("what", INTERRUPTED)
def test_ctrl_c_ends_what_waits_at_once(what):
    before, call = INTERRUPTED[what]
    program = f"""{HEAD}
{before}
print("waits", flush=True)
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    node.close()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waits\n"
    # It may not wait yet.
    time.sleep(0.2)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert time.monotonic() - sent < 1
    _, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")


def test_a_handler_of_the_programs_own_runs_meanwhile(run_python):
    printed = run_python(
        HEAD
        + textwrap.dedent("""
        import signal
        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: seen.append(time.monotonic()))
        with make() as node:
            began = time.monotonic()
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            try:
                node.wait_for_revision(1 << 40, 1.0)
            except TimeoutError:
                pass
            print(seen[0] - began < 0.5, time.monotonic() - began >= 1)
        """)
    )
    assert printed == "True True\n"


def test_a_forked_child_is_told_so(run_python):
    printed = run_python(
        HEAD
        + textwrap.dedent("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        node = make(); node.start()
        client = clusterkit.Client(node.http_addr)
        client.wait_ready()
        view = node.view()
        child = os.fork()
        if child == 0:
            refused = 0
            for call in (node.view, client.view, node.stop, lambda: node.is_primary(0), lambda: make("node-2"),
                         lambda: node.set_custom_data("key", b""), lambda: TestCluster(nodes=1), lambda: node.events()):
                try:
                    call()
                except clusterkit.ForkedError:
                    refused += 1
            # What needs no threads is still there.
            print(refused, view.partition_count, clusterkit.partition_for("user:1", 64), flush=True)
            del node, client
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(node.set_custom_data("key", b"") > 0)
        client.close()
        node.close()
        """)
    )
    assert printed == "8 8 16\nTrue\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path, method):
    # A module of its own: children import it.
    (tmp_path / "program.py").write_text(
        textwrap.dedent("""
        import multiprocessing, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from clusterkit import ClusterKit

        def work(number):
            # The parent has only imported the package.
            with ClusterKit(f"node-{number}", "127.0.0.1:0", data_dir="", partition_count=4) as node:
                return node.view().partition_count

        if __name__ == "__main__":
            with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
                print(pool.map(work, range(4)))
        """)
    )
    done = subprocess.run(
        [sys.executable, "program.py", method], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[4, 4, 4, 4]\n"), done.stderr


SERVICE = """
import os
from clusterkit import ClusterKit

node = None

def start():
    global node
    node = ClusterKit(f"node-{os.getpid()}", "127.0.0.1:0", data_dir="", partition_count=4)
    node.start()

def answer():
    if node is None:
        start()
    return f"{node.node_id} {node.view().partition_count}".encode()

def wsgi(environ, respond):
    respond("200 OK", [("Content-Type", "text/plain")])
    return [answer()]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": answer()})
"""

# What is run: the arguments, and where it says that it listens.
SERVERS = {
    "gunicorn": ["gunicorn", "-w", "4", "-b", "127.0.0.1:{port}", "--preload", "service:wsgi"],
    "uvicorn": ["uvicorn", "--workers", "2", "--port", "{port}", "service:asgi"],
}


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_forks_its_workers(tmp_path, server):
    import httpx

    (tmp_path / "service.py").write_text(SERVICE)
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", *(argument.format(port=port) for argument in SERVERS[server])]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    workers = set()

    def ask():
        with contextlib.suppress(httpx.TransportError):
            workers.add(httpx.get(f"http://127.0.0.1:{port}/", timeout=10).text)
        return len(workers) >= 2

    try:
        wait_until(ask, "two workers answer, each with its node", 60)
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert all(worker.endswith(" 4") for worker in workers), workers
    assert "Traceback" not in output, output
    assert process.returncode in (0, -signal.SIGTERM), output


def test_other_interpreters_are_refused(run_python):
    printed = run_python("""
        import sys
        if sys.version_info >= (3, 13):
            import _interpreters
            interpreter = _interpreters.create()
            failed = _interpreters.run_string(interpreter, "import clusterkit")
            print("ImportError" in repr(failed.type.__name__), "interpreter" in failed.msg)
        else:
            import _xxsubinterpreters as interpreters
            interpreter = interpreters.create()
            try:
                interpreters.run_string(interpreter, "import clusterkit")
            except interpreters.RunFailedError as failed:
                print("ImportError" in str(failed), "interpreter" in str(failed))
        """)
    assert printed == "True True\n"


def test_the_command_runs_in_this_process():
    module = [sys.executable, "-m", "clusterkit"]
    node = subprocess.Popen(
        [*module, "serve", "--json", "--node-id", "node-1", "--http-addr", "127.0.0.1:0", "--data-dir", ""],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    import json

    address = json.loads(node.stdout.readline())["addr"]
    done = subprocess.run([*module, "status", "--addr", address, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)
    wrong = subprocess.run([*module, "no-such-command"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "no-such-command" in wrong.stderr
    node.send_signal(signal.SIGINT)
    node.communicate(timeout=TIMEOUT)
    assert node.returncode == 0
    nobody = subprocess.run([*module, "status", "--addr", address], capture_output=True, text=True)
    assert nobody.returncode == 3


def test_the_demo_starts_its_nodes_by_the_same_command():
    done = subprocess.run([sys.executable, "-m", "clusterkit", "demo", "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_threads_end_with_their_nodes(make_node):
    def native():
        names = set()
        for task in os.listdir("/proc/self/task"):
            try:
                with open(f"/proc/self/task/{task}/comm") as comm:
                    names.add(comm.read().strip())
            except FileNotFoundError:
                pass
        return {name for name in names if name.startswith("ck-")}

    node = make_node()
    node.on_event(lambda event: None)
    node.start()
    assert native()
    node.close()
    # The one that has closed it may be about to end.
    wait_until(lambda: not any(name.startswith(("ck-py", "ck-hooks")) for name in native()), "they have ended")
