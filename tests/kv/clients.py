"""Clients that call a store at the same time, and keep a history of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

from history import FAILED, OK, UNKNOWN, Call
from servers import Answer, Caller

# Where a client sends a call about a key: the name of the node, and its address.
Choice = Callable[[random.Random, str], "tuple[str, str]"]
# Half of all calls are about so many keys, so that calls about one key are under way at the same time.
HOT_KEYS = 4


class Clients:
    """Threads that set, delete and get keys until they are ended."""

    def __init__(self, choose: Choice, keys: Sequence[str], count: int, seed: int, pause: float = 0.0,
                 timeout: float = 3.0) -> None:
        self.choose = choose
        self.keys = keys
        self.pause = pause
        self.timeout = timeout
        self.ended = threading.Event()
        self.histories: list[list[Call]] = [[] for _ in range(count)]
        self.failures: list[Exception] = []
        self.threads = [threading.Thread(target=self.guarded, args=(number, random.Random(f"{seed} {number}")), daemon=True)
                        for number in range(count)]
        for thread in self.threads:
            thread.start()

    def guarded(self, client: int, dice: random.Random) -> None:
        try:
            self.run(client, dice)
        except Exception as failure:  # It is raised where the clients are ended.
            self.failures.append(failure)

    def run(self, client: int, dice: random.Random) -> None:
        caller = Caller(self.timeout)
        history = self.histories[client]
        while not self.ended.wait(self.pause * dice.random()):
            key = dice.choice(self.keys[:HOT_KEYS] if dice.random() < 0.5 else self.keys)
            action = dice.choices(("get", "set", "delete"), (10, 9, 1))[0]
            name, address = self.choose(dice, key)
            history.append(call(caller, client, action, key, f"{client}.{len(history)}", name, address))

    def total(self) -> int:
        return sum(map(len, self.histories))

    def end(self) -> list[Call]:
        self.ended.set()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]
        return [call for history in self.histories for call in history]


def call(caller: Caller, client: int, action: str, key: str, value: str, name: str, address: str) -> Call:
    """One call, and what came of it."""
    made = Call(client, action, key, value if action == "set" else None, time.monotonic(), node=name)
    if action == "set":
        answer = caller.write(address, key, value)
    elif action == "delete":
        answer = caller.delete(address, key)
    else:
        answer = caller.read(address, key)
    ended = time.monotonic()
    made.outcome = outcome(action, answer)
    if made.outcome != UNKNOWN:
        made.ended = ended
    if made.outcome == OK and action == "get":
        made.value = answer.body.get("value") if answer.done else None
    if made.outcome != OK:
        made.note = f"{answer} ({ended - made.began:.3f} s)"
    return made


def outcome(action: str, answer: Answer) -> str:
    """Nothing is known of a call that was not answered. What is not there has been read, or is gone: 404."""
    if answer.done or (answer.status == 404 and action != "set"):
        return OK
    return FAILED if answer.surely_not_done else UNKNOWN
