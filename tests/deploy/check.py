#!/usr/bin/env python3
"""Checks examples/deploy without a container engine, and that each check can fail. Standard library only.

    check.py            the rules, and for each of them copies of the files that it has to refuse
    check.py --tools    besides, what helm, hadolint, kubeconform and systemd-analyze say. A tool that is missing is SKIPPED,
                        which with STRICT set is a failure; tests/deploy/tools.sh installs those that registries have

Prints what is wrong, and last `N passed, N failed`.
"""

from __future__ import annotations

import pathlib
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from broken import BROKEN  # noqa: E402
from files import READ, Files  # noqa: E402
from rules import RULES  # noqa: E402
from tools import CHECKS, skipped  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def copied(folder: pathlib.Path) -> None:
    """Copies what the rules read."""
    for name in READ:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("secrets"))
        elif source.exists():
            shutil.copy(source, target)


def find(rule, files: Files) -> list[str]:
    """What a rule finds; a file in which it cannot find its way is wrong, too."""
    try:
        return rule(files)
    except (KeyError, TypeError, ValueError, StopIteration, IndexError, AttributeError) as error:
        return [f"{type(error).__name__}: {error}"]


class Count:
    passed = 0
    failed = 0

    def __call__(self, what: str, wrong: list[str]) -> None:
        for message in wrong:
            print(message)
        if wrong:
            print(f"FAILED {what}")
        self.passed += not wrong
        self.failed += bool(wrong)


def check_rules(count: Count) -> None:
    for rule in RULES:
        count(f"{rule.__name__}: {rule.__doc__}", find(rule, Files(ROOT)))
    by_name = {rule.__name__: rule for rule in RULES}
    tried = {name for name, *_ in BROKEN}
    count("every rule is tried", [f"no broken copy is for {name}" for name in sorted(by_name.keys() - tried)])
    for name, file, old, new in BROKEN:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            copied(root)
            text = (root / file).read_text(encoding="utf-8")
            (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")
            wrong = [f"{file} has no {old!r}"] if old not in text else []
            if not find(by_name[name], Files(root)):
                wrong.append(f"{name} finds nothing where {file} has {new!r} instead of {old!r}")
            count("a broken copy is refused", wrong)


def check_tools(count: Count) -> None:
    for tool, check in CHECKS:
        if not shutil.which(tool):
            count.failed += skipped(f"{check.__doc__} There is no {tool} here")
            continue
        if tool == "kubeconform" and not has_schemas():
            count.failed += skipped("kubeconform: the schemas of Kubernetes cannot be reached")
            continue
        count(f"{tool}: {check.__doc__}", find(check, Files(ROOT)))


def has_schemas() -> bool:
    import urllib.error
    import urllib.request
    schema = "https://raw.githubusercontent.com/yannh/kubernetes-json-schema/master/v1.30.0-standalone-strict/service-v1.json"
    try:
        with urllib.request.urlopen(schema, timeout=20) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def main(arguments: list[str]) -> int:
    count = Count()
    check_rules(count)
    if "--tools" in arguments:
        check_tools(count)
    print(f"{count.passed} passed, {count.failed} failed")
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
