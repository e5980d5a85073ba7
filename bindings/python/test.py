#!/usr/bin/env python3
"""Runs every test of Python: of this package, of examples/python, and of the programs in docs/python.md. Standard library only.

    test.py            with the interpreter that runs it: 3.11 or later
    test.py -k EXPR    arguments go to pytest; then only that runs
    test.py --workspace    builds it with what `cargo test --workspace` has built before: nothing is built twice

It builds the extension with `cargo build -p ck-python`, and makes an environment in the target folder with what
requirements-dev.txt names. Prints what fails, and last `N passed, N failed`. What cannot be had, a new enough interpreter or
what the tests need, is SKIPPED and said; where STRICT is set, that is a failure.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGE = HERE / "python/clusterkit"
OLDEST = (3, 11)
# pytest's last line: `3 failed, 120 passed in 80.2s`.
SUMMARY = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)")


class Tally:
    """What passed, and what failed."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def add(self, name, succeeded, count=1):
        if succeeded:
            self.passed += count
        elif count:
            self.failed += count
            print(f"FAILED {name}", flush=True)


def extension(workspace: bool) -> pathlib.Path:
    """Builds the extension, and says where it lies."""
    # By itself it would have a build of its own of everything that it stands on, because others want more of the same crates,
    # and tests want more than libraries: so one of them is named, too.
    all_libraries = ["--workspace", "--exclude", "clusterkit", "--lib", "--test", "conformance"]
    what = all_libraries if workspace else ["-p", "ck-python"]
    command = ["cargo", "build", *what, "--locked", "--message-format=json-render-diagnostics"]
    print(f"-- {' '.join(command)}", flush=True)
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("the extension does not build")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "_clusterkit":
            for name in message["filenames"]:
                if name.endswith(".so"):
                    return pathlib.Path(name)
    sys.exit("cargo does not say where the extension is")


def environment(target: pathlib.Path) -> pathlib.Path:
    """An environment of this interpreter's with what the tests need, and the package where it lies; its folder of programs."""
    folder = target / f"python-{sys.version_info.major}.{sys.version_info.minor}"
    requirements = HERE / "requirements-dev.txt"
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    programs = folder / "bin"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"-- {folder}: {requirements.name}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        install = ["pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(requirements)]
        subprocess.run([programs / "python", "-m", *install], check=True)
        stamp.write_text(wanted)
    packages = subprocess.run(
        [programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    link = pathlib.Path(packages) / "clusterkit"
    link.unlink(missing_ok=True)
    link.symlink_to(PACKAGE)
    return programs


def check(tally: Tally, name: str, command: list) -> None:
    """One command that is one test."""
    print(f"-- {' '.join(map(str, command))}", flush=True)
    # pyright finds an environment by its programs.
    env = os.environ | {"PATH": f"{command[0].parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(done.stdout, end="")
    tally.add(name, done.returncode == 0)


def pytest(tally: Tally, programs: pathlib.Path, arguments: list) -> None:
    command = [programs / "python", "-m", "pytest", "--durations=8", *arguments]
    print(f"-- {' '.join(map(str, command))}", flush=True)
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line if SUMMARY.search(line) else last
    counts = {what: int(count) for count, what in SUMMARY.findall(last)}
    passed = counts.pop("passed", 0)
    tally.add("pytest", True, passed)
    # Each of them was named above. What is skipped has not passed.
    tally.failed += sum(counts.values())
    if (process.wait() != 0 and not counts) or passed == 0:
        tally.add("pytest: it has not ended as it should", False)


def skipped(why: str) -> int:
    print(f"SKIPPED: the tests of Python: {why}")
    return 1 if os.environ.get("STRICT") else 0


def main(arguments: list) -> int:
    if sys.version_info < OLDEST:
        return skipped(f"{sys.version.split()[0]} is older than {'.'.join(map(str, OLDEST))}")
    workspace = "--workspace" in arguments
    arguments = [argument for argument in arguments if argument != "--workspace"]
    built = extension(workspace)
    # Not written over: a process that has it loaded would crash.
    copy = PACKAGE / "_clusterkit.abi3.so.new"
    shutil.copyfile(built, copy)
    copy.replace(PACKAGE / "_clusterkit.abi3.so")
    target = built.parent.parent
    try:
        programs = environment(target)
    except subprocess.CalledProcessError as failed:
        return skipped(f"what they need cannot be installed (python3-venv, the package index): {failed}")
    tally = Tally()
    if not arguments:
        python = programs / "python"
        check(tally, "the options are generated", [python, "generate.py", "--check"])
        check(tally, "ruff check", [programs / "ruff", "check", "--no-cache", ".", ROOT / "examples/python"])
        check(tally, "ruff format", [programs / "ruff", "format", "--no-cache", "--check", ".", ROOT / "examples/python"])
        check(tally, "mypy", [python, "-m", "mypy", f"--cache-dir={target / 'mypy'}"])
        pyright = [programs / "basedpyright"]
        check(tally, "pyright", [*pyright, "--level=error"])
        check(tally, "pyright: every public name has a type", [*pyright, "--verifytypes=clusterkit", "--ignoreexternal"])
        check(
            tally,
            "stubtest",
            [
                python,
                "-m",
                "mypy.stubtest",
                "clusterkit._clusterkit",
                "--mypy-config-file=pyproject.toml",
            ],
        )
    pytest(tally, programs, arguments)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
