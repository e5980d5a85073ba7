"""A store in this process, behind the interface of the real ones, in which one fault can be planted: it must be found."""

from __future__ import annotations

import http.server
import json
import random
import threading
import time
import urllib.parse

NODES = 3
# How late things happen, and how often.
LAG = 0.03
RARELY = 0.02

# Each fault, and what it is that a history has to show.
FAULTS = {
    "acknowledges-first": "a write is acknowledged, and stored a little later",
    "reads-replica": "one node answers reads from a copy that is behind",
    "forgets": "a write is acknowledged and never stored",
    "invents": "a read is answered with a value that nobody has written",
    "denies": "a write is refused for sure, and stored",
    "applies-twice": "a write with an unknown outcome is stored, and stored again later",
    "goes-back": "one node shows a write before it is stored, and others do not",
    "fails-over-behind": "a copy that is behind takes over",
}
# What a linearizable store may do.
HARMLESS = {
    "": "everything is as it should be",
    "late": "a write with an unknown outcome is stored later, once",
    "never": "a write with an unknown outcome is not stored",
}


class Fake:
    """A few nodes that share one register for each key."""

    def __init__(self, fault: str, seed: int) -> None:
        self.fault = fault
        self.dice = random.Random(seed)
        self.lock = threading.Lock()
        self.rows: dict[str, str | None] = {}
        # What was stored before LAG: when, and what.
        self.copy: dict[str, str | None] = {}
        self.behind: list[tuple[float, str, str | None]] = []
        # What is shown before it is stored.
        self.early: dict[str, str | None] = {}
        self.servers = [Server(("127.0.0.1", 0), self, number) for number in range(NODES)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def addresses(self) -> list[tuple[str, str]]:
        return [(f"fake-{number}", f"127.0.0.1:{server.server_address[1]}") for number, server in enumerate(self.servers)]

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def happens(self, *faults: str) -> bool:
        return self.fault in faults and self.dice.random() < RARELY

    def store(self, key: str, value: str | None) -> None:
        with self.lock:
            self.rows[key] = value
            self.behind.append((time.monotonic(), key, value))
            self.early.pop(key, None)

    def later(self, key: str, value: str | None) -> None:
        timer = threading.Timer(LAG, self.store, (key, value))
        timer.daemon = True
        timer.start()

    def write(self, key: str, value: str | None) -> tuple[int, dict]:
        done = 200, {"status": "success", "key": key}
        unknown = 504, {"error": "unknown outcome"}
        if self.happens("acknowledges-first"):
            self.later(key, value)
        elif self.happens("late"):
            self.later(key, value)
            return unknown
        elif self.happens("never"):
            return unknown
        elif self.happens("applies-twice"):
            self.store(key, value)
            self.later(key, value)
            return unknown
        elif self.happens("denies"):
            self.store(key, value)
            return 503, {"error": "nobody owns the key"}
        elif self.happens("goes-back"):
            self.early[key] = value
            time.sleep(LAG)
            self.store(key, value)
        elif not self.happens("forgets"):
            self.store(key, value)
        return done

    def read(self, node: int, key: str) -> tuple[int, dict]:
        value = self.rows.get(key)
        if self.fault == "reads-replica" and node == 1:
            self.catch_up()
            value = self.copy.get(key)
        elif node == 1 and key in self.early:
            value = self.early.get(key)
        elif value is not None and self.happens("invents"):
            value = f"{value}0"
        return (404, {"error": "there is no such key"}) if value is None else (200, {"key": key, "value": value})

    def catch_up(self) -> None:
        with self.lock:
            while self.behind and self.behind[0][0] < time.monotonic() - LAG:
                _, key, value = self.behind.pop(0)
                self.copy[key] = value

    def fail_over(self) -> float:
        """A copy that is behind takes over. When that was."""
        self.catch_up()
        with self.lock:
            now = time.monotonic()
            if self.fault == "fails-over-behind":
                self.rows = dict(self.copy)
                self.behind.clear()
        return now


class Server(http.server.ThreadingHTTPServer):
    """One node of it."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], fake: Fake, number: int) -> None:
        super().__init__(address, Handler)
        self.fake = fake
        self.number = number


class Handler(http.server.BaseHTTPRequestHandler):
    """/kv/set, /kv/delete and /kv/get."""

    protocol_version = "HTTP/1.1"
    # One packet for head and body.
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        self.answer(*self.server.fake.read(self.server.number, self.key()))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/kv/set"):
            asked = json.loads(body)
            self.answer(*self.server.fake.write(asked["key"], asked["value"]))
        else:
            self.answer(*self.server.fake.write(self.key(), None))

    def key(self) -> str:
        return urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["key"][0]

    def answer(self, status: int, body: dict) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
