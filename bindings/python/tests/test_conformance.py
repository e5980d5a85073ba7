"""The conformance scripts of the repository, run in Python: tests/conformance/README.md says what their commands do."""

import queue
import re
import sys
import threading
from collections import Counter
from urllib.parse import unquote_to_bytes

import pytest
from conftest import ROOT

import clusterkit
from clusterkit import ABSENT, Client, ClusterKit, OptionSet, RoleChange, _values
from clusterkit.testing import TestCluster

SCRIPTS = sorted((ROOT / "tests/conformance/scripts").glob("*.txt"))
# Of the clock of the test cluster, or of the real one.
CALL_TIMEOUT = 60.0


def decoded(word):
    return b"" if word == "-" else unquote_to_bytes(word)


def text(word):
    return decoded(word).decode()


def encoded(value):
    return "".join(chr(b) if 0x20 < b < 0x7F and b != 0x25 else f"%{b:02X}" for b in value) or "-"


def members(view):
    return "\n".join(sorted(f"{node.id} {node.status}" for node in view.nodes))


def row(table, name):
    (spec,) = (spec for spec in table if spec.name == name)
    default = "-" if spec.is_required or spec.default is None else spec.default
    return f"{spec.type}, default {default}, {spec.bounds}"


def described(event):
    words = [event.type, event.node.id]
    if isinstance(event, clusterkit.NodeLeaveEvent):
        words.append(event.reason)
    return " ".join(words)


class Copies:
    """A hook that copies, and what it has done."""

    def __init__(self, node_id, failures_left):
        self.node_id = node_id
        self.lock = threading.Lock()
        self.partitions = set()
        self.failures = 0
        self.failures_left = failures_left

    def __call__(self, event):
        if event.node_id != self.node_id or event.change is not RoleChange.GAINED_REPLICA:
            return
        with self.lock:
            if self.failures_left:
                self.failures_left -= 1
                self.failures += 1
                raise OSError("no space")
            self.partitions.add(event.number)


def fault(name):
    """The command of a fault of a node of the test cluster."""

    def command(runner, index):
        getattr(runner.cluster, name)(int(index))
        return "done"

    return command


class Runner:
    """The commands, and what they work on."""

    def __init__(self):
        self.cluster = None
        self.alone = None
        self.client = None
        # The revision of the last write.
        self.last = 0
        self.watched = {}
        self.copies = {}
        self.answers = {}

    def close(self):
        for ends in (self.client, self.alone, self.cluster):
            if ends is not None:
                ends.close()

    def print(self, line):
        words = line.split()
        only_code = words[0] == "code"
        if only_code:
            words = words[1:]
        command = getattr(self, "do_" + words[0].replace("-", "_"))
        try:
            return str(command(*words[1:]))
        except clusterkit.Error as error:
            return error.code if only_code else f"{error.code}: {error}"

    def node(self, word):
        return self.alone if word == "alone" else self.cluster.node(int(word))

    def running(self):
        return [self.cluster.node(index) for index in range(self.cluster.node_count) if self.cluster.is_running(index)]

    def expect(self, word):
        return {"any": None, "absent": ABSENT, "last": self.last}[word] if not word.isdigit() else int(word)

    # ---- the library ----

    def do_partition(self, key, count):
        return clusterkit.partition_for(decoded(key), int(count))

    def do_number(self, id):
        try:
            return _values._partition_number(id)
        except clusterkit.InvalidArgumentError:
            return "none"

    def do_duration(self, written):
        try:
            return round(clusterkit.parse_duration(text(written)).total_seconds() * 1000)
        except clusterkit.InvalidArgumentError:
            return "none"

    def do_option(self, name):
        return row(clusterkit.options_table(), name)

    def do_client_option(self, name):
        return row(clusterkit.client_options_table(), name)

    def do_node(self, *settings):
        options = OptionSet()
        for setting in settings:
            name, _, value = setting.partition("=")
            options.set(name, text(value))
        node = ClusterKit.from_options(options)
        if self.alone is not None:
            self.alone.close()
        self.alone = node
        return "made"

    def do_check_client(self, *settings):
        options = {"addrs": ""} | {name: text(value) for name, _, value in (setting.partition("=") for setting in settings)}
        Client(**options).close()
        return "right"

    # ---- test clusters ----

    def do_cluster(self, nodes, partitions, copies):
        if self.cluster is not None:
            self.cluster.close()
        self.last = 0
        self.cluster = TestCluster(int(nodes), partition_count=int(partitions), replication_factor=int(copies))
        return "settled"

    def do_settle(self):
        self.cluster.wait_settled(CALL_TIMEOUT)
        return "settled"

    def do_create(self):
        return self.cluster.create_node()

    do_kill, do_restart, do_pause = fault("kill"), fault("restart"), fault("pause")
    do_resume, do_isolate = fault("resume"), fault("isolate")

    def do_heal(self):
        self.cluster.heal()
        return "done"

    def do_holders(self, key):
        roles = Counter(node.should_handle_key(decoded(key)) for node in self.running())
        return f"{roles[clusterkit.Role.PRIMARY]} primary, {roles[clusterkit.Role.REPLICA]} replica"

    def do_epochs(self, key):
        nodes = self.running()
        partition = nodes[0].get_partition_number(decoded(key))

        def has_epoch(node):
            try:
                node.primary_epoch(partition)
            except clusterkit.Error:
                return False
            return True

        return f"{sum(map(has_epoch, nodes))} of {len(nodes)}"

    def do_leaders(self):
        nodes = self.running()
        return f"{sum(node.is_leader for node in nodes)} of {len(nodes)}"

    def do_await(self, node, id, status):
        def has_status():
            member = self.node(node).view().node(id)
            return ("gone" if member is None else member.status) == status

        self.cluster.wait_until(f"{id} is {status}", has_status, CALL_TIMEOUT)
        return "so it is"

    def do_powerless(self, word):
        node = self.node(word)
        partitions = range(node.view().partition_count)

        def is_powerless():
            return not node.is_leader and not any(node.is_primary(partition) for partition in partitions)

        self.cluster.wait_until("it is primary of nothing", is_powerless, CALL_TIMEOUT)
        return "primary of nothing"

    # ---- one node ----

    def do_start(self, node):
        self.node(node).start()
        return "started"

    def do_stop(self, node):
        self.node(node).stop()
        return "stopped"

    def do_leave(self, node):
        self.node(node).leave(CALL_TIMEOUT)
        return "left"

    def do_remove(self, node, id):
        self.node(node).remove_node(id, timeout=CALL_TIMEOUT)
        return "removed"

    def do_members(self, node):
        return members(self.node(node).view())

    def do_view(self, node):
        view = self.node(node).view()
        return f"{len(view.nodes)} members, {view.partition_count} partitions, {view.replication_factor} copies of each"

    def do_states(self, node):
        states = Counter(str(partition.state) for partition in self.node(node).view().partitions)
        return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))

    def do_set(self, node, key, value, expect):
        expect = self.expect(expect)
        self.last = self.node(node).set_custom_data(text(key), decoded(value), expect=expect, timeout=CALL_TIMEOUT)
        return "written"

    def do_get(self, word, key):
        node = self.node(word)
        node.wait_for_revision(self.last, CALL_TIMEOUT)
        value = node.get_custom_data(text(key))
        return "none" if value is None else encoded(value)

    def do_delete(self, node, key, expect):
        existed = self.node(node).delete_custom_data(text(key), expect=self.expect(expect), timeout=CALL_TIMEOUT)
        return "deleted" if existed else "there was none"

    def do_keys(self, word, prefix, after, limit):
        node = self.node(word)
        node.wait_for_revision(self.last, CALL_TIMEOUT)
        keys = node.list_custom_data_keys(text(prefix), after=text(after), limit=int(limit))
        return "\n".join(encoded(key.encode()) for key in keys)

    def do_barrier(self, node):
        self.node(node).read_barrier(CALL_TIMEOUT)
        return "read"

    # ---- hooks ----

    def do_watch(self, node, *types):
        self.watched[node] = events = queue.Queue()
        self.node(node).on(*types)(events.put)
        return "watching"

    def do_next(self, node):
        return described(self.watched[node].get(timeout=CALL_TIMEOUT))

    def do_copy(self, node, how):
        self.copies[node] = Copies(self.node(node).node_id, 1 if how == "fail-once" else 0)
        self.node(node).on_partition_change(self.copies[node])
        return "added"

    def do_copied(self, node):
        copies = self.copies[node]
        with copies.lock:
            return f"{len(copies.partitions)} partitions after {copies.failures} failures"

    def do_ask_in_hook(self, word, call):
        node = self.node(word)
        self.answers[word] = answers = queue.Queue()
        calls = {
            "set": lambda: node.set_custom_data("in-hook", "v", timeout=CALL_TIMEOUT),
            "barrier": lambda: node.read_barrier(CALL_TIMEOUT),
            "leave": lambda: node.leave(CALL_TIMEOUT),
        }

        @node.on_node_join
        def ask(_event):
            try:
                calls[call]()
                answers.put("it may")
            except clusterkit.Error as error:
                answers.put(f"{error.code}: {error}")

        return "added"

    def do_answer(self, node):
        return self.answers[node].get(timeout=CALL_TIMEOUT)

    # ---- the client ----

    def do_client(self, node):
        self.client = Client(self.node(node).http_addr)
        self.client.wait_ready(CALL_TIMEOUT)
        return "ready"

    def do_client_partition(self, key):
        return self.client.view().partition_number(decoded(key))

    def do_client_members(self):
        return members(self.client.view())

    def do_client_barrier(self):
        self.client.read_barrier(CALL_TIMEOUT)
        return "read"

    def do_client_close(self):
        self.client.close()
        return "closed"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_prints_what_it_says(path, monkeypatch):
    # Where Python tells of the hook that fails.
    monkeypatch.setattr(sys, "unraisablehook", lambda _unraisable: None)
    script = path.read_text()
    runner = Runner()
    written = []
    try:
        for line in script.splitlines():
            if line.startswith("> "):
                written += [line, *runner.print(line[2:]).split("\n")]
            elif not line or line.startswith("#"):
                written.append(line)
    finally:
        runner.close()
    assert "\n".join(written) + "\n" == script


def test_there_are_scripts():
    assert {path.stem for path in SCRIPTS} >= {"library", "alone", "cluster"}
    assert all(re.search("^> ", path.read_text(), re.MULTILINE) for path in SCRIPTS)
