#!/usr/bin/env python3
"""Runs every test of Go: of this module, of examples/go, and of the programs in docs/go.md. Standard library only.

    test.py               builds libclusterkit with `cargo build -p ck-ffi`
    test.py --workspace   takes the one that the tests of the workspace are built with: nothing is built twice in `make test`

Prints what fails, and last `N passed, N failed`. What cannot be had, Go or pkg-config, is SKIPPED and said; where STRICT is set,
that is a failure.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXAMPLES = ROOT / "examples/go"
DOCUMENTS = [ROOT / "docs/go.md", HERE / "README.md"]
# What blocks of Go in them may use without saying so.
IMPORTS = ["context", "errors", "fmt", "log", "log/slog", "strconv", "testing", "time",
           "github.com/clusterkit/clusterkit-go/clustertest"]
OLDEST_GO = (1, 24)
TAG = "clusterkit_dynamic"
# With collections forced at every call, what mostly waits or looks up without end shows nothing more, and takes long.
NOT_UNDER_STRESS = "TestALossComesBeforeALaterGain|TestLookupsFromManyGoroutines|TestAStopThatAHookWaitsForGivesUp|TestANodeLeaves|TestAThousandNodesLeaveNothing"


class Tally:
    """What passed, and what failed."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def add(self, name: str, succeeded: bool) -> None:
        if succeeded:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}", flush=True)


def missing() -> str | None:
    """What of the tools is not there, in words; None when all is."""
    for tool in ("go", "pkg-config"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    found = re.search(r"go(\d+)\.(\d+)", subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True).stdout)
    if found is None or tuple(map(int, found.groups())) < OLDEST_GO:
        return f"Go {found.group(0) if found else '?'} is older than {'.'.join(map(str, OLDEST_GO))}"
    return None


def library(workspace: bool) -> pathlib.Path:
    """Builds the shared library, and says where it lies."""
    # Other packages want more of the same crates: a build of this one alone would be another.
    command = (["cargo", "test", "--workspace", "--exclude", "clusterkit", "--no-run"] if workspace
               else ["cargo", "build", "-p", "ck-ffi"])
    command += ["--locked", "--message-format=json-render-diagnostics"]
    print(f"-- {' '.join(command)}", flush=True)
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("the library does not build")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "ck_ffi" and not message["profile"]["test"]:
            for name in message["filenames"]:
                if name.endswith(".so"):
                    return pathlib.Path(name)
    sys.exit("cargo does not say where the library is")


def link_folder(shared: pathlib.Path) -> pathlib.Path:
    """A folder as `make install` makes one, of links: there pkg-config and the loader find the library and its header."""
    folder = shared.parent / "clusterkit-go"
    (folder / "lib/pkgconfig").mkdir(parents=True, exist_ok=True)
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    described = (ROOT / "packaging/clusterkit.pc.in").read_text().replace("@VERSION@", version)
    (folder / "lib/pkgconfig/clusterkit.pc").write_text(described)
    for link, target in (("lib/libclusterkit.so", shared), ("lib/libclusterkit.so.1", shared), ("include", ROOT / "include")):
        place = folder / link
        place.unlink(missing_ok=True)
        place.symlink_to(target)
    return folder


def environment(folder: pathlib.Path) -> dict[str, str]:
    """That of every command: nothing is fetched, no other Go is used than the one that is here."""
    return os.environ | {
        "CGO_ENABLED": "1",
        "GOFLAGS": "-buildvcs=false",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "PKG_CONFIG_PATH": str(folder / "lib/pkgconfig"),
    }


def check(tally: Tally, name: str, command: list[str], where: pathlib.Path, env: dict[str, str]) -> bool:
    """One command that is one test: it succeeds, and prints nothing."""
    done = subprocess.run(command, cwd=where, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    succeeded = done.returncode == 0 and not done.stdout.strip()
    if not succeeded:
        print(done.stdout, end="")
    tally.add(name, succeeded)
    return succeeded


def go_test(tally: Tally, where: pathlib.Path, env: dict[str, str], tags: str, *arguments: str) -> None:
    """The tests of a module, each counted; the output of those that fail is shown."""
    command = ["go", "test", "-json", "-race", "-vet=off", "-timeout=300s", f"-tags={tags}", *arguments, "./..."]
    what = where.relative_to(ROOT)
    print(f"-- {' '.join(command)} in {what}", flush=True)
    process = subprocess.Popen(command, cwd=where, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output: dict[str, list[str]] = {}
    counted = failed = 0
    for line in process.stdout:
        if not line.startswith("{"):
            print(line, end="")
            continue
        event = json.loads(line)
        test = event.get("Test", "")
        # A part of a test counts as the whole.
        whole = test.split("/")[0]
        if event["Action"] in ("output", "build-output"):
            output.setdefault(whole, []).append(event["Output"])
        elif event["Action"] in ("pass", "fail") and test and test == whole:
            counted += 1
            failed += event["Action"] == "fail"
            if event["Action"] == "fail":
                print("".join(output[whole]), end="")
            tally.add(f"{what}: {test}", event["Action"] == "pass")
        elif event["Action"] == "skip" and test:
            print(f"{what}: {test} was skipped\n{''.join(output[whole])}", end="")
            tally.add(f"{what}: {test}: no test is skipped", False)
    if process.wait() != 0 and failed == 0:
        # It did not compile, or it crashed: what it said belongs to no test, or to one that has not ended.
        print("".join(sum(output.values(), [])), end="")
        tally.add(f"{what}: {' '.join(command)}", False)
    elif counted == 0:
        tally.add(f"{what}: there is no test", False)


def documented(folder: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A module with every block of Go in the documents: whole programs, functions, and statements. How many there are, too."""
    module = folder / "documents"
    shutil.rmtree(module, ignore_errors=True)
    module.mkdir()
    example = (EXAMPLES / "tour/go.mod").read_text().replace("../../../bindings", str(ROOT / "bindings"))
    (module / "go.mod").write_text(re.sub(r"^module .*", "module documents", example))
    count = 0
    for page in DOCUMENTS:
        for block in re.findall(r"^```go\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            count += 1
            place = module / f"{page.stem.lower()}{count}"
            place.mkdir()
            (place / "main.go").write_text(block if block.startswith("package ") else completed(block))
    return module, count


def completed(block: str) -> str:
    """A block of Go that is no whole program, as one: with the imports that it needs, and a function around statements."""
    # What a reader is left with is not used.
    used = [name for name in re.findall(r"^(\w+), err := ", block, re.MULTILINE) if not block.startswith("func ")]
    body = block if block.startswith("func ") else f"func example() {{\n{block}\n_, _ = {used[-1]}, err\n}}\n"
    imports = [f'"{path}"' for path in IMPORTS if re.search(rf"\b{path.split('/')[-1]}\.[A-Z]", block)]
    if re.search(r"\bclusterkit\.[A-Z]", block):
        imports.append('clusterkit "github.com/clusterkit/clusterkit-go"')
    return "package documented\n\nimport (\n" + "\n".join(imports) + "\n)\n\n" + body


def main() -> int:
    if (what := missing()) is not None:
        print(f"SKIPPED: the tests of Go: {what}")
        return 1 if os.environ.get("STRICT") else 0
    folder = link_folder(library("--workspace" in sys.argv[1:]))
    env = environment(folder)
    tally = Tally()
    examples = sorted(path.parent for path in EXAMPLES.glob("*/go.mod"))
    check(tally, "gofmt", ["gofmt", "-l", str(HERE), str(EXAMPLES)], ROOT, env)
    for module in [HERE, *examples]:
        check(tally, f"go vet in {module.relative_to(ROOT)}", ["go", "vet", f"-tags={TAG}", "./..."], module, env)
    module, count = documented(folder)
    if check(tally, "the programs in docs/go.md and README.md compile", ["go", "vet", f"-tags={TAG}", "./..."], module, env):
        print(f"{count} programs in the documents compile")
    go_test(tally, HERE, env, TAG)
    # Heavily loaded, the nodes of a test need longer timings.
    go_test(tally, HERE, env | {"CHECK_TIMING": "wan"}, f"{TAG},debug", f"-skip={NOT_UNDER_STRESS}")
    for module in examples:
        go_test(tally, module, env, TAG)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
