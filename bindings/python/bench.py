#!/usr/bin/env python3
"""Measures the package that is installed: bench.py [--json]. Needs nothing else.

Times are of the loop's body, the least of several rounds, without the loop. Run it with the wheel as it is shipped, on a
machine that does nothing else.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

ROUNDS = 7
KEY = "user:12345678"
KEY_BYTES = KEY.encode()


def resident_kib() -> int:
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def per_call(statement: str, names: dict, calls: int = 200_000) -> float:
    """Nanoseconds of a statement, without the loop around it."""

    def least(code: str) -> float:
        scope = dict(names)
        exec(f"def run():\n    for _ in range({calls}):\n        {code}\n", scope)
        best = float("inf")
        for _ in range(ROUNDS):
            began = time.perf_counter_ns()
            scope["run"]()
            best = min(best, time.perf_counter_ns() - began)
        return best / calls

    return least(statement) - least("pass")


def import_ms() -> float:
    """Milliseconds of the import in a process of its own."""
    program = "import time; began = time.perf_counter(); import clusterkit; print((time.perf_counter() - began) * 1e3)"
    times = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
        for _ in range(ROUNDS)
    ]
    return min(times)


def main() -> None:
    results = {"python": sys.version.split()[0], "import_ms": import_ms(), "resident_before_kib": resident_kib()}
    import clusterkit

    results["resident_imported_kib"] = resident_kib()
    node = clusterkit.ClusterKit("node-1", "127.0.0.1:0", data_dir="", logger=None)
    node.start()
    while not all(map(node.is_primary, range(64))):
        time.sleep(0.001)
    results["resident_started_kib"] = resident_kib()
    keys = [f"user:{number}" for number in range(10_000)]
    view = node.view()
    names = {"node": node, "view": view, "md5": hashlib.md5, "KEY": KEY, "KEY_BYTES": KEY_BYTES, "keys": keys}
    for name, statement in {
        "hashlib.md5(bytes).digest()": "md5(KEY_BYTES).digest()",
        "hashlib.md5(str.encode()).digest()": "md5(KEY.encode()).digest()",
        "is_primary_for_key(str)": "node.is_primary_for_key(KEY)",
        "is_primary_for_key(bytes)": "node.is_primary_for_key(KEY_BYTES)",
        "should_handle_key(str)": "node.should_handle_key(KEY)",
        "get_partition_number(str)": "node.get_partition_number(KEY)",
        "get_primary_node(str)": "node.get_primary_node(KEY)",
        "is_primary(number)": "node.is_primary(5)",
        "primary_epoch(number)": "node.primary_epoch(5)",
        "view()": "node.view()",
        "view.primary_for_key(str)": "view.primary_for_key(KEY)",
        "lookup(str)": "node.lookup(KEY)",
    }.items():
        results[f"{name} ns"] = per_call(statement, names)
    results["partitions_for_keys of 10,000 str, each, ns"] = per_call("node.partitions_for_keys(keys)", names, 20) / len(keys)

    for kind in ("hook", "observer", "queue"):
        results[f"{kind}: events a second"] = events_a_second(clusterkit, kind)
    node.stop()
    node.close()
    results = {name: round(value, 1) if isinstance(value, float) else value for name, value in results.items()}
    if "--json" in sys.argv:
        print(json.dumps(results))
        return
    for name, value in results.items():
        print(f"{name:45} {value:>12,}" if not isinstance(value, str) else f"{name:45} {value:>12}")


def events_a_second(clusterkit, kind: str, count: int = 20_000) -> float:
    """From the first event to the last, of a node that gets so many partitions at once."""
    node = clusterkit.ClusterKit("node-1", "127.0.0.1:0", data_dir="", logger=None, partition_count=count, replication_factor=1)
    times, done = [], threading.Event()

    def seen(event) -> None:
        if isinstance(event, clusterkit.PartitionChangeEvent):
            times.append(time.perf_counter())
            if len(times) == count:
                done.set()

    reader = None
    if kind == "hook":
        node.on_partition_change(seen)
    elif kind == "observer":
        node.on_event(seen)
    else:
        events = node.events("partition_change")

        def read() -> None:
            for event in events:
                seen(event)
                if len(times) + events.lost >= count:
                    done.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
    node.start()
    assert done.wait(120), (kind, len(times))
    node.close()
    if reader:
        reader.join()
    return len(times) / (times[-1] - times[0])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
