#!/usr/bin/env python3
"""Checks the rules of the house (CONTRIBUTING.md) that no compiler checks. Standard library only.

Prints what is wrong, with file and line, and last `N passed, N failed`: one for each rule below.
"""

import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORE = "ck-core/src/"

# Longer than this: said, so that it can be thought about. Longer than the second: refused.
LONG, TOO_LONG = 500, 650

# What may not be named where: the arrows between the folders point one way. A pattern, and why.
PURE = r"\btokio\b|std::time::Instant\b|time::\{[^}]*\bInstant\b|SystemTime::now|std::(fs|net|thread)\b"
ARROWS = [
    ("model", PURE + r"|crate::(state|placement|routing|consensus|membership|rebalance|hooks|net|http|env|node)\b",
     "model is plain data and stands on nothing"),
    ("state", PURE + r"|crate::(placement|routing|consensus|membership|rebalance|hooks|net|http|env|node)\b",
     "state is pure and stands on model"),
    ("placement", PURE + r"|crate::(state|routing|consensus|membership|rebalance|hooks|net|http|env|node)\b",
     "placement is pure and stands on model"),
    ("routing", PURE + r"|crate::(state|placement|consensus|membership|rebalance|hooks|net|http|env|node)\b",
     "routing is pure and stands on model"),
    ("consensus", r"crate::(placement|membership|rebalance|hooks|http|node)\b",
     "consensus stands on state, net and env"),
    ("net", r"crate::(state|placement|routing|consensus|membership|rebalance|hooks|http|node)\b",
     "net carries bytes and does not know what is in them"),
    ("hooks", r"crate::(state|placement|consensus|membership|rebalance|net|http|node)\b",
     "hooks know events and nothing of where they come from"),
]
# Tests may stand anywhere: the simulator's runtime is openraft's.
TEST = re.compile(r"(^|/)tests(/|\.rs$)")
OPENRAFT = re.compile(r"\bopenraft(_\w+)?\b")
OPENRAFT_HOMES = ("consensus/", "env/")


def files(*patterns: str) -> list[str]:
    """Files of the project, committed or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    # What others wrote is kept as they wrote it.
    own = (name for name in listed if name and not name.startswith("third_party/"))
    return [name for name in own if (ROOT / name).is_file()]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code(name: str) -> list[str]:
    """The lines of a Rust file, without comments."""
    return [re.sub(r"//.*", "", line) for line in text(name).splitlines()]


def arrows() -> list[str]:
    """The folders of ck-core depend on each other one way."""
    wrong = []
    for folder, pattern, why in ARROWS:
        inside = [n for n in files(f"{CORE}{folder}/*.rs", f"{CORE}{folder}.rs") if not TEST.search(n)]
        for name in inside:
            for number, line in enumerate(code(name), 1):
                if found := re.search(pattern, line):
                    wrong.append(f"{name}:{number}: names {found.group(0)!r}; {why}")
    return wrong


def openraft() -> list[str]:
    """openraft is named in consensus/ and env/ only."""
    wrong = []
    for name in files(f"{CORE}*.rs"):
        if name.removeprefix(CORE).startswith(OPENRAFT_HOMES) or TEST.search(name):
            continue
        for number, line in enumerate(code(name), 1):
            if OPENRAFT.search(line):
                wrong.append(f"{name}:{number}: names openraft; only consensus/ and env/ may")
    return wrong


def threads() -> list[str]:
    """Threads of the library start where signals are blocked (env/threads.rs)."""
    homes = (f"{CORE}env/threads.rs", f"{CORE}env/runtime.rs")
    wrong = []
    for name in files(f"{CORE}*.rs", "ck-ffi/src/*.rs"):
        if name in homes or TEST.search(name):
            continue
        # What stands below is tests.
        body = "\n".join(code(name)).split("#[cfg(test)]\nmod tests {")[0]
        for number, line in enumerate(body.splitlines(), 1):
            if found := re.search(r"\bthread::(spawn|Builder)\b|\bspawn_blocking\b", line):
                wrong.append(f"{name}:{number}: {found.group(0)}; use env::spawn_thread or env::blocking")
    return wrong


def lengths() -> list[str]:
    """No source file is too long to be read at a sitting."""
    wrong = []
    for name in files("*.rs", "*.py", "*.c", "*.go", "*.hpp"):
        length = len(text(name).splitlines())
        if length > TOO_LONG:
            wrong.append(f"{name}: {length} lines; split it (over {TOO_LONG})")
        elif length > LONG:
            print(f"note: {name} has {length} lines (over {LONG})")
    return wrong


def tests_do_not_hide() -> list[str]:
    """No test is ignored, nothing is left to be done."""
    marks = re.compile(r"#\[ignore\b|\btodo!\(|\bunimplemented!\(|\bTODO\b|\bFIXME\b")
    wrong = []
    for name in files("*.rs", "*.c", "*.h", "*.go", "*.sh", ".ci/run", "Makefile"):
        for number, line in enumerate(text(name).splitlines(), 1):
            if found := marks.search(line):
                wrong.append(f"{name}:{number}: {found.group(0)!r}")
    return wrong


def dependencies() -> list[str]:
    """docs/dependencies.md says of every crate in [workspace.dependencies] why it is there."""
    workspace = tomllib.loads(text("Cargo.toml"))["workspace"]
    ours = {pathlib.PurePath(spec["path"]).name for spec in workspace["dependencies"].values()
            if isinstance(spec, dict) and "path" in spec}
    wanted = {name for name, spec in workspace["dependencies"].items()
              if not (isinstance(spec, dict) and "path" in spec)} - ours
    # The first cell of each row of a table; a row may be about several.
    rows = re.findall(r"^\| ([^|]+) \|", text("docs/dependencies.md"), re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    return ([f"docs/dependencies.md does not describe {name}" for name in sorted(wanted - described)]
            + [f"docs/dependencies.md describes {name}, which is not in Cargo.toml"
               for name in sorted(described - wanted)])


def links() -> list[str]:
    """Links between the documents lead somewhere."""
    wrong = []
    for name in files("*.md"):
        here = (ROOT / name).parent
        body = re.sub(r"^```.*?^```", "", text(name), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", body):
            target = target[0] or target[1]
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (here / path) if path else ROOT / name
            if not file.exists():
                wrong.append(f"{name}: there is no {target}")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                wrong.append(f"{name}: {path or name} has no heading #{anchor}")
    return wrong


def anchors(file: pathlib.Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def calls() -> list[str]:
    """docs/protocol.md says of every call between members what it may do."""
    page = text("docs/protocol.md")
    wrong = []
    for name, enum in [("raft/transport/wire.rs", "RaftCall"), ("raft/proposals/forward.rs", "ForwardCall"),
                       ("membership/wire.rs", "MemberCall")]:
        body = re.search(rf"enum {enum} \{{\n(.*?)\n\}}", text(CORE + name), re.DOTALL)
        variants = re.findall(r"(?m)^    ([A-Z]\w*)", body.group(1)) if body else []
        if not variants:
            wrong.append(f"{name}: there is no enum {enum}")
        wrong += [f"docs/protocol.md does not describe {enum}::{variant}" for variant in variants
                  if f"`{variant}`" not in page]
    return wrong


def kinds_of_files() -> list[str]:
    """Only text is committed: what was built, fetched or packed is not."""
    binary = (".whl", ".gz", ".zip", ".so", ".a", ".o", ".jar", ".node", ".bin", ".exe", ".img")
    return [f"{name} is no source" for name in files() if name.endswith(binary)]


def folders() -> list[str]:
    """CONTRIBUTING.md has a line for every folder of the project and of ck-core."""
    tops = {name.split("/")[0] for name in files() if "/" in name}
    inner = {name.removeprefix(CORE).split("/")[0] for name in files(f"{CORE}*/*")}
    house = text("CONTRIBUTING.md")
    return [f"CONTRIBUTING.md does not say what {name}/ is" for name in sorted(tops | inner)
            if not re.search(rf"(?m)^\s*{re.escape(name)}/", house)]


RULES = [arrows, openraft, threads, lengths, tests_do_not_hide, dependencies, links, calls, kinds_of_files, folders]


def main() -> int:
    passed = 0
    for rule in RULES:
        wrong = rule()
        for message in wrong:
            print(message)
        print(f"{'FAILED' if wrong else 'ok':7}{rule.__doc__}")
        passed += not wrong
    print(f"{passed} passed, {len(RULES) - passed} failed")
    return 0 if passed == len(RULES) else 1


if __name__ == "__main__":
    sys.exit(main())
