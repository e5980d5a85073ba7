#!/usr/bin/env python3
"""A cluster with one member in each language: it forms, takes writes through each, loses and regains each. Standard library only.

    run.py               builds the members
    run.py --workspace   takes what the tests of the workspace and of the bindings have built: nothing is built twice in `make test`

Prints what it sees, and last `N passed, N failed`. A language that cannot be had is SKIPPED and said; where STRICT is set, that is
a failure.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COPIES = 3
KEYS = [f"user:{number}" for number in range(60)]
# On a busy machine everything takes longer.
PATIENCE = float(os.environ.get("MIXED_PATIENCE", 120))
PAUSE = 0.05


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="clusterkit-mixed-") as folder:
        programs = build(pathlib.Path(folder), "--workspace" in sys.argv[1:])
        languages = ["Rust", "C", "C++", "Go", "Python", "Node.js"]
        missing = [language for language in languages if language not in programs]
        for language in missing:
            print(f"SKIPPED: a member in {language}: it cannot be built here")
        cluster = Mixed(pathlib.Path(folder), programs)
        passed = 0
        try:
            for step in (cluster.forms, cluster.takes_writes, *(cluster.loses_and_regains(language) for language in programs)):
                print(f"{step()}", flush=True)
                passed += 1
            cluster.stop()
        except (AssertionError, OSError) as error:
            print(f"FAILED {error}")
            cluster.tell()
            print(f"{passed} passed, 1 failed")
            return 1
        finally:
            cluster.kill()
    print(f"{passed} passed, {len(missing) if os.environ.get('STRICT') else 0} failed")
    return 0


# ---- Building the members. ----


def build(folder: pathlib.Path, workspace: bool) -> dict[str, list[str]]:
    """The command of a member in each language that can be had."""
    rust, library = cargo(workspace)
    link(folder, library)
    flags = ["-O1", "-pthread", f"-I{ROOT / 'include'}", f"-L{folder}", "-lclusterkit", f"-Wl,-rpath,{folder}"]
    programs = {"Rust": [str(rust)]}
    for language, compiler, standard, source in (("C", "cc", "-std=c11", "member.c"), ("C++", "c++", "-std=c++17", "member.cpp")):
        if shutil.which(compiler):
            program = folder / source.replace(".", "-")
            subprocess.run([compiler, standard, str(HERE / source), "-o", str(program), *flags], check=True)
            programs[language] = [str(program)]
    if shutil.which("go") and shutil.which("pkg-config"):
        command = ["go", "build", "-tags=clusterkit_dynamic", f"-ldflags=-r {folder}", "-o", str(folder / "member-go"), "."]
        environment = os.environ | {"GOFLAGS": "-buildvcs=false", "GOPROXY": "off", "GOWORK": "off", "GOTOOLCHAIN": "local",
                                    "PKG_CONFIG_PATH": str(folder)}
        subprocess.run(command, cwd=HERE / "go", env=environment, check=True)
        programs["Go"] = [str(folder / "member-go")]
    # Their tests have put the native half where the package finds it, and otherwise their test programs do.
    python = ROOT / "bindings/python/python"
    if list((python / "clusterkit").glob("_clusterkit*.so")) or runs(["bindings/python/test.py", "-k", "test_there_are_scripts"]):
        programs["Python"] = [sys.executable, str(HERE / "member.py")]
        os.environ["PYTHONPATH"] = str(python)
    node = ROOT / "bindings/node"
    if shutil.which("node") and (list(node.glob("*.node")) or runs(["bindings/node/test.py", "version"])):
        # Where Node.js looks for packages from the folder of the program.
        modules = folder / "node_modules"
        modules.mkdir()
        (modules / "clusterkit").symlink_to(node)
        shutil.copy(HERE / "member.mjs", folder)
        programs["Node.js"] = ["node", str(folder / "member.mjs")]
    return programs


def runs(command: list[str]) -> bool:
    """Runs a program of the tests for what it builds."""
    return subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0


def cargo(workspace: bool) -> tuple[pathlib.Path, pathlib.Path]:
    """The member in Rust, and the library for C."""
    what = ["test", "--workspace", "--exclude", "clusterkit", "--no-run"] if workspace else ["build", "-p", "ck-ffi", "-p", "clusterkit-example-rust"]
    command = ["cargo", *what, "--locked", "--message-format=json-render-diagnostics"]
    print(f"-- {' '.join(command)}", flush=True)
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, pathlib.Path] = {}
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") != "compiler-artifact" or message["profile"]["test"]:
            continue
        if message["target"]["name"] == "member":
            found["member"] = pathlib.Path(message["executable"])
        elif message["target"]["name"] == "ck_ffi":
            found["library"] = next(pathlib.Path(name) for name in message["filenames"] if name.endswith(".so"))
    return found["member"], found["library"]


def link(folder: pathlib.Path, library: pathlib.Path) -> None:
    """The library by the names that linkers and loaders look for."""
    for name in ("libclusterkit.so", "libclusterkit.so.1"):
        (folder / name).symlink_to(library)
    lines = ["Name: clusterkit", "Description: for the mixed cluster", "Version: 0", f"Libs: -L{folder} -lclusterkit",
             f"Cflags: -I{ROOT / 'include'}"]
    (folder / "clusterkit.pc").write_text("\n".join(lines) + "\n")


# ---- The cluster. ----


@dataclasses.dataclass
class Member:
    """A process, and where it answers."""

    language: str
    process: subprocess.Popen[str]
    http: str = ""
    addr: str = ""

    def ask(self, line: str) -> str:
        """Its answer to a line; an error where it does not answer."""
        host, port = self.addr.split(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(f"{line}\n".encode())
            return connection.makefile().read().rstrip("\n")


class Mixed:
    """The members, and what was written."""

    def __init__(self, folder: pathlib.Path, programs: dict[str, list[str]]) -> None:
        self.folder = folder
        self.programs = programs
        self.members: dict[str, Member] = {}
        self.written: dict[str, str] = {}
        self.writes: collections.Counter[str] = collections.Counter()

    def start(self, language: str) -> None:
        """Starts a member, in the folder that it had before, and waits until it is one."""
        name = language.lower().replace("+", "p").replace(".", "")
        data = self.folder / name
        join = ",".join(member.http for member in self.members.values()) or "-"
        errors = open(self.folder / f"{name}.log", "a")
        process = subprocess.Popen([*self.programs[language], name, str(data), join],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        errors.close()
        member = self.members[language] = Member(language, process)
        assert process.stdout is not None
        ready, *addrs = process.stdout.readline().split() or [""]
        assert ready == "ready", f"the member in {language} says nothing, and has ended with {process.wait(10)}"
        member.http, member.addr = addrs

    def until(self, what: str, holds: collections.abc.Callable[[], bool], tell: collections.abc.Callable[[], object] = str) -> None:
        """Waits for something; `tell` says what there is instead."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"not in time: {what} {tell()}"
            time.sleep(PAUSE)

    def settle(self) -> None:
        """Every member sees all others, and every partition where it should be."""
        def settled() -> bool:
            return all(member.ask(f"settled {len(self.members)}") == "yes" for member in self.members.values())
        self.until(f"{len(self.members)} members are settled", settled)

    def write(self, key: str, value: str) -> None:
        """Writes through whoever is primary: one of them."""
        def is_written() -> bool:
            answers = {language: member.ask(f"write {key} {value}") for language, member in self.members.items()}
            taken = [language for language, answer in answers.items() if answer != "not primary"]
            assert len(taken) <= 1, f"more than one is primary of {key}: {answers}"
            if not taken or answers[taken[0]] != f"ok {COPIES}":
                return False
            self.writes[taken[0]] += 1
            return True
        self.until(f"{key} is written to {COPIES} copies", is_written)
        self.written[key] = value

    def check(self) -> None:
        """Every key is on as many members as there are copies, with what was written last, and nothing else is anywhere."""
        for key, value in self.written.items():
            def is_everywhere(key: str = key, value: str = value) -> bool:
                answers = {language: member.ask(f"read {key}") for language, member in self.members.items()}
                found = [answer for answer in answers.values() if answer != "none"]
                assert set(found) == {f"value {value}"}, f"{key} was written as {value}, and members say {answers}"
                # Whoever loses a copy drops it in its hook, which may come a little later.
                return len(found) == COPIES
            self.until(f"{key} is on {COPIES} members", is_everywhere,
                       lambda key=key: {language: member.ask(f"read {key}") for language, member in self.members.items()})

    def forms(self) -> str:
        """All of them come together."""
        for language in self.programs:
            self.start(language)
        self.settle()
        def each_takes_writes() -> bool:
            counts = [int(member.ask("primaries")) for member in self.members.values()]
            return sum(counts) == 24 and min(counts) > 0
        self.until("each is primary of something", each_takes_writes)
        return f"{len(self.members)} members, one each in {', '.join(self.members)}, share 24 partitions"

    def takes_writes(self) -> str:
        """Each member is primary of some keys."""
        for key in KEYS:
            self.write(key, "first")
        self.check()
        assert set(self.writes) == set(self.members), f"some member took no write: {self.writes}"
        return f"{len(KEYS)} keys written to {COPIES} copies each, through {', '.join(f'{language} {count}' for language, count in self.writes.items())}"

    def loses_and_regains(self, language: str) -> collections.abc.Callable[[], str]:
        """A member is killed, its copies are made elsewhere by the others' hooks, and it comes back."""
        def step() -> str:
            member = self.members.pop(language)
            member.process.kill()
            member.process.wait()
            self.settle()
            self.check()
            for key in KEYS[::7]:
                self.write(key, f"without-{member.process.pid}")
            self.start(language)
            self.settle()
            self.check()
            for key in KEYS[::5]:
                self.write(key, f"with-{member.process.pid}")
            self.check()
            return f"{language}: killed, and back; every key is on {COPIES} members"
        return step

    def stop(self) -> None:
        """Each stops when its standard input ends."""
        for member in self.members.values():
            assert member.process.stdin is not None
            member.process.stdin.close()
            code = member.process.wait(PATIENCE)
            assert code == 0, f"the member in {member.language} has ended with {code}"

    def kill(self) -> None:
        """None is left."""
        for member in self.members.values():
            member.process.kill()
            member.process.wait()

    def tell(self) -> None:
        """What they wrote on their standard error."""
        for log in sorted(self.folder.glob("*.log")):
            print(f"{log.stem}: {log.read_text()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
