"""The checker's own tests: histories that are and are not linearizable, and stores with planted faults."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import fake
import linearizable
from clients import Clients
from history import FAILED, OK, UNKNOWN, Call, by_key, lines
from linearizable import Losses, Troubles

# How often clients call a store with a planted fault: most are found the first time.
FAKE_SEEDS = 20


def histories(good: bool) -> dict[str, list[Call]]:
    """Histories of one key by hand: those that are linearizable, or those that are not."""
    def did(began: float, ended: float, action: str, value: str | None = None, outcome: str = OK) -> Call:
        return Call(0, action, "key", value, began, ended, outcome)

    def lost(began: float, action: str, value: str | None = None) -> Call:
        return Call(0, action, "key", value, began)

    if good:
        return {
            "one after the other": [
                did(0, 1, "get"), did(2, 3, "set", "a"), did(4, 5, "get", "a"), did(6, 7, "delete"), did(8, 9, "get")],
            "a read beside a write sees what was before": [did(0, 10, "set", "a"), did(1, 2, "get")],
            "a read beside a write sees the write": [did(0, 10, "set", "a"), did(1, 2, "get", "a")],
            "writes at the same time, in the order that a later read tells": [
                did(0, 10, "set", "a"), did(0, 10, "set", "b"), did(11, 12, "get", "a")],
            "writes at the same time, seen in between": [
                did(0, 10, "set", "a"), did(0, 10, "set", "b"), did(1, 4, "get", "a"), did(5, 6, "get", "b"),
                did(11, 12, "get", "b")],
            "an unknown write that is never seen": [did(0, 1, "set", "a"), lost(2, "set", "b"), did(3, 4, "get", "a")],
            "an unknown write that is seen later": [
                did(0, 1, "set", "a"), lost(2, "set", "b"), did(3, 4, "get", "a"), did(5, 6, "get", "b"), did(7, 8, "get", "b")],
            "an unknown write that comes after a later one": [
                lost(0, "set", "a"), did(1, 2, "set", "b"), did(3, 4, "get", "b"), did(5, 6, "get", "a")],
            "an unknown delete that is seen later": [
                did(0, 1, "set", "a"), lost(2, "delete"), did(3, 4, "get", "a"), did(5, 6, "get"), did(7, 8, "set", "b"),
                did(9, 9.5, "get", "b")],
            "two unknown deletes, seen one after the other": [
                did(0, 1, "set", "a"), lost(1.5, "delete"), lost(1.6, "delete"), did(2, 3, "get"), did(4, 5, "set", "b"),
                did(6, 7, "get", "b"), did(8, 9, "get")],
            "a write that has failed for sure": [did(0, 1, "set", "a"), did(2, 3, "set", "b", FAILED), did(4, 5, "get", "a")],
            "a read without an answer": [did(0, 1, "set", "a"), lost(2, "get"), did(3, 4, "get", "a")],
        }
    return {
        "a stale read": [did(0, 1, "set", "a"), did(2, 3, "set", "b"), did(4, 5, "get", "a")],
        "a lost write": [did(0, 1, "set", "a"), did(2, 3, "get")],
        "a write that is lost after it was seen": [did(0, 1, "set", "a"), did(2, 3, "get", "a"), did(4, 5, "get")],
        "a lost delete": [did(0, 1, "set", "a"), did(2, 3, "delete"), did(4, 5, "get", "a")],
        "a value that nobody has written": [did(0, 1, "set", "a"), did(2, 3, "get", "b")],
        "a value of a write that has failed for sure": [did(0, 1, "set", "a", FAILED), did(2, 3, "get", "a")],
        "a value before it was written": [did(0, 1, "get", "a"), did(2, 3, "set", "a")],
        "two reads that go back beside a write": [did(0, 100, "set", "a"), did(1, 2, "get", "a"), did(3, 4, "get")],
        "an unknown write that is seen, and no longer": [
            did(0, 1, "set", "a"), lost(2, "set", "b"), did(3, 4, "get", "b"), did(5, 6, "get", "a")],
        "an unknown write that happens twice": [
            lost(0, "set", "a"), did(1, 2, "get", "a"), did(3, 4, "set", "b"), did(5, 6, "get", "b"), did(7, 8, "get", "a")],
        "one unknown delete that happens twice": [
            did(0, 1, "set", "a"), lost(1.5, "delete"), did(2, 3, "get"), did(4, 5, "set", "b"), did(6, 7, "get", "b"),
            did(8, 9, "get")],
        "writes at the same time, seen in two orders": [
            did(0, 10, "set", "a"), did(0, 10, "set", "b"), did(1, 2, "get", "a"), did(3, 4, "get", "b"), did(5, 6, "get", "a")],
    }


def linearizable_ones_are_accepted() -> None:
    for name, history in histories(True).items():
        wrong = linearizable.check(history)
        assert wrong is None, f"{name}: {wrong.what}"


def others_are_refused() -> None:
    for name, history in histories(False).items():
        assert linearizable.check(history) is not None, name


def the_search_agrees_with_trying_every_order() -> None:
    """Short histories at random, most of which no order explains."""
    verdicts = []
    for seed in range(3000):
        dice = random.Random(seed)
        history: list[Call] = []
        values: list[str | None] = [None, None]
        for number in range(dice.randint(2, 6)):
            began = 10 * dice.random()
            action = dice.choices(("get", "set", "delete"), (5, 4, 1))[0]
            call = Call(number, action, "key", str(number) if action == "set" else None, began, began + 5 * dice.random(), OK)
            if action != "get" and dice.random() < 0.3:
                call.outcome, call.ended = UNKNOWN, float("inf")
            if action == "set":
                values.append(call.value)
            history.append(call)
        for call in history:
            if call.action == "get":
                call.value = dice.choice(values)
        verdicts.append(some_order_explains([call for call in history if call.outcome == OK or call.writes], None))
        assert (linearizable.check(history) is None) == verdicts[-1], f"seed {seed}:\n{lines(history)}"
    assert 600 < sum(verdicts) < 2400, sum(verdicts)


def some_order_explains(calls: list[Call], value: str | None) -> bool:
    """By trying all."""
    if all(call.outcome == UNKNOWN for call in calls):
        return True
    bound = min(call.ended for call in calls)
    for call in calls:
        if call.began <= bound and (call.writes or call.value == value):
            rest = [other for other in calls if other is not call]
            if some_order_explains(rest, call.value if call.writes else value):
                return True
    return False


def every_order_that_a_register_allows_is_accepted() -> None:
    """Histories made by a register, with every call's moment known to the maker; and each of them refused with one read changed."""
    for seed in range(60):
        dice = random.Random(seed)
        history = made(dice, 300, 8)
        wrong = linearizable.check(history)
        assert wrong is None, f"seed {seed}: {wrong.what}"
        # What is read is replaced by what was overwritten long before.
        sets = [call for call in history if call.action == "set" and call.outcome == OK]
        for read in history[-1:0:-1]:
            if read.action == "get" and read.outcome == OK:
                read.value = sets[5].value
                break
        assert linearizable.check(history) is not None, f"seed {seed}: a read of a write of long before"


def made(dice: random.Random, count: int, clients: int) -> list[Call]:
    """What a register does whose every call has a moment, between its beginning and its end or, of an unknown one, long after."""
    moments: list[tuple[float, Call]] = []
    free = [0.0] * clients
    for number in range(count):
        client = min(range(clients), key=lambda client: free[client])
        began = free[client] + dice.random()
        ended = began + 5 * dice.random()
        free[client] = ended
        action = dice.choices(("get", "set", "delete"), (5, 4, 1))[0]
        call = Call(client, action, "key", str(number) if action == "set" else None, began, ended, OK)
        moment = dice.uniform(began, ended)
        if dice.random() < 0.1:
            call.outcome, call.ended = UNKNOWN, float("inf")
            moment = began + dice.expovariate(0.02)
        if dice.random() < 0.05 and call.writes:
            call.outcome = FAILED
        else:
            moments.append((moment, call))
    value = None
    for _, call in sorted(moments, key=lambda pair: pair[0]):
        if call.writes:
            value = call.value
        else:
            call.value = value
    return sorted((call for _, call in moments), key=lambda call: call.began)


def a_minute_is_checked_in_seconds() -> None:
    """20,000 calls about 50 keys; and a history that nothing explains, which has to be found out in time, too."""
    dice = random.Random(1)
    whole = [made(dice, 400, 12) for _ in range(50)]
    # Of this process: the machine may be busy.
    began = time.process_time()
    for history in whole:
        assert linearizable.check(history) is None
    took = time.process_time() - began
    print(f"        {sum(map(len, whole))} calls about {len(whole)} keys are checked in {took:.2f} s")
    assert took < 20


def losses_within_the_window_are_excused() -> None:
    def history() -> list[Call]:
        return [Call(0, "set", "key", "a", 0, 1, OK), Call(0, "set", "key", "b", 2, 3, OK), Call(0, "get", "key", "a", 5, 6, OK)]

    def found(calls: list[Call], *faults: float) -> Losses:
        return linearizable.losses(calls, Troubles(list(faults)), 1.0)
    assert found(history(), 3.5).violation is None
    assert len(found(history(), 3.5).excused) == 1
    for faults in ([], [4.5], [1.5], [6.5]):
        assert found(history(), *faults).violation is not None, faults
    # A read of what was there all the time loses nothing, and one of nothing may be explained by a delete.
    assert not found(history()[:2]).excused
    gone = [*history()[:2], Call(0, "delete", "key", None, 2.5, 6, OK), Call(0, "get", "key", None, 5, 6, OK)]
    assert found(gone).violation is None
    assert found([*history()[:2], Call(0, "get", "key", None, 5, 6, OK)]).violation is not None


def what_is_old_while_a_role_moves_is_excused_until_all_is_at_rest() -> None:
    history = [Call(0, "set", "key", "a", 0, 1, OK), Call(0, "set", "key", "b", 2, 3, OK), Call(0, "get", "key", "a", 5, 6, OK)]
    cases = [((4.0, 5.0), 7.0, True), ((4.0, 5.0), 4.5, False), ((0.0, 1.0), 7.0, False), ((7.0, 8.0), 9.0, False)]
    for moves, at_rest, is_excused in cases:
        found = linearizable.losses(history, Troubles([], [moves], at_rest), 1.0)
        assert (found.violation is None) == is_excused, (moves, at_rest)


def calls_of(fault: str, count: int, seed: int = 1) -> tuple[list[Call], list[float]]:
    """So many calls of a store with that fault, and when it failed over meanwhile."""
    store = fake.Fake(fault, seed)
    try:
        nodes = store.addresses()
        clients = Clients(lambda dice, _: dice.choice(nodes), [f"key-{number}" for number in range(8)], 6, seed)
        faults: list[float] = []
        while clients.total() < count and not clients.failures:
            if clients.total() > (len(faults) + 1) * count / 4:
                faults.append(store.fail_over())
            clients.ended.wait(0.01)
        return clients.end(), faults
    finally:
        store.close()


def violations(history: list[Call]) -> list[linearizable.Violation]:
    return [found for found in map(linearizable.check, by_key(history).values()) if found]


def caught(fault: str) -> Callable[[], None]:
    def case() -> None:
        assert any(violations(calls_of(fault, 800, seed)[0]) for seed in range(FAKE_SEEDS)), "nothing was found"
    case.__name__ = f"a_store_is_caught_in_which_{fault.replace('-', '_')}"
    case.__doc__ = fake.FAULTS[fault]
    return case


def innocent(harmless: str) -> Callable[[], None]:
    def case() -> None:
        history, _ = calls_of(harmless, 1500)
        assert any(call.outcome == UNKNOWN for call in history) == bool(harmless)
        assert not violations(history), violations(history)[0].what
    case.__name__ = f"a_store_is_not_accused_in_which_{harmless or 'nothing'}"
    return case


def losses_of_a_fail_over_are_those_of_the_window() -> None:
    """A copy that is behind takes over: excused within the stated window, and not where that was, or nothing has failed."""
    def found(faults: list[float]) -> list[Losses]:
        # As long as a store on a busy machine may be behind.
        return [linearizable.losses(calls, Troubles(faults), 20 * fake.LAG, slack=0.05) for calls in by_key(history).values()]
    for seed in range(FAKE_SEEDS):
        history, faults = calls_of("fails-over-behind", 800, seed)
        excused = found(faults)
        assert not [each.violation.what for each in excused if each.violation]
        if any(each.excused for each in excused):
            assert any(each.violation for each in found([]))
            assert any(each.violation for each in found([fault - 100 for fault in faults]))
            return
    raise AssertionError("nothing was lost")


CASES = [
    linearizable_ones_are_accepted, others_are_refused, the_search_agrees_with_trying_every_order,
    every_order_that_a_register_allows_is_accepted, a_minute_is_checked_in_seconds, losses_within_the_window_are_excused,
    what_is_old_while_a_role_moves_is_excused_until_all_is_at_rest,
    *map(innocent, fake.HARMLESS), *map(caught, fake.FAULTS), losses_of_a_fail_over_are_those_of_the_window,
]
