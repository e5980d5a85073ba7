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

# The arrows between the folders of ck-core point one way: what each stands on. A folder that is not here is refused.
# error, planted and catch_panic stand on nothing, and everything may stand on them; fuzz is for fuzz targets only.
BASE = {"error", "planted", "catch_panic", "fuzz"}
STANDS_ON = {
    "model": set(),
    "options": {"model"},
    "env": {"model"},
    "state": {"model"},
    "placement": {"model"},
    "routing": {"model"},
    "logger": {"env", "options"},
    "net": {"env", "logger", "model", "options"},
    "rpc": {"model", "net", "state"},
    "raft": {"env", "model", "net", "options", "routing", "rpc", "state"},
    "membership": {"env", "model", "net", "options", "raft", "rpc", "state"},
    "leader": {"env", "logger", "membership", "model", "net", "options", "placement", "raft", "rpc", "state"},
    "hooks": {"env", "logger", "model", "raft", "rpc", "state"},
    "http": {"env", "logger", "model", "net", "options", "routing", "state"},
    "node": {"env", "hooks", "http", "leader", "logger", "membership", "model", "net", "options", "raft", "routing",
             "rpc", "state"},
    "clusterkit": {"env", "hooks", "logger", "model", "net", "node", "options", "raft", "routing", "state"},
    "client": {"clusterkit", "env", "logger", "model", "net", "options", "routing"},
    "prelude": {"client", "hooks", "model", "options"},
    # For the tests of applications.
    "testing": {"clusterkit", "env", "hooks", "http", "model", "net", "node", "options", "raft", "routing"},
    # For tests: whole nodes in the simulator, and the fuzz targets.
    "sim": {"env", "hooks", "http", "logger", "model", "net", "node", "options", "raft", "routing", "rpc", "state"},
    "fuzz": {"client", "env", "http", "membership", "model", "net", "options", "raft", "rpc", "sim", "state"},
}
# What these may not name: they do no I/O, read no clock and spawn nothing.
PURE = ("model", "state", "placement", "routing")
IMPURE = re.compile(
    r"\btokio\b|std::time::Instant\b|time::\{[^}]*\bInstant\b|SystemTime::now|std::(fs|net|thread)\b")
NAMED = re.compile(r"\bcrate::(\w+)|\buse crate::\{([^}]*)\}")
# Words that the code had once, and the field's word for each.
OLD = {
    r"[Ss]teward": "membership reconciler",
    r"[Cc]ourier": "proposal forwarder",
    r"[Pp]acer": "election timeout tuner",
    r"LeaseTable|lease_table": "LeaseManager",
    r"Detector(?=::)": "FailureDetector",
    r"Admission(?=::)": "MembershipService",
    r"[Pp]ardon\w*": "cancel_revocation",
    r"[Cc]ondemn\w*": "expire",
    r"[Ss]ay_goodbye|[Ff]arewell": "notify_leader_of_stop",
    r"[Qq]uietly": "catch_panic",
    r"[Ff]reshen\w*": "await_consistency",
    r"throw_away|[Ff]orsake\w*": "discard, drain, drop",
    r"OwedBody": "HeldBody",
    r"LargeAnswers": "LargeResponses",
    r"Ctx": "AppState",
    r"Guarded": "LingeringStream",
    r"keeps_back": "withholds",
    r"Crowd": "EvictionQueue",
    r"Dialler": "TcpDialler",
    r"PeerInfo": "PeerConnection",
    r"is_of_use": "protect",
    r"leads_to": "resolves_to",
    r"next_or_long": "next_or_needs_grant",
    r"more_telling": "more_specific",
    r"[Pp]atiently": "retry_on_shortage",
    r"starting_threads": "with_signals_blocked",
    r"resume_by_and_by": "resume_staggered",
    r"jump_wall": "shift_wall_clock",
    r"may_found_alone": "may_bootstrap_alone",
    r"asked_failure_timeout": "requested_failure_timeout",
    r"see_to_thread": "ensure_thread",
    r"is_told": "is_delivered",
    r"SPARSELY|Sparse": "MIN_LOG_INTERVAL, LogRateLimiter",
    r"unremembered": "without_session",
    r"is_anybodys": "is_open_to_members",
    r"held_by_alone": "held_only_by",
    r"MAX_OF_ONE": "MAX_SESSIONS_PER_PROCESS",
    r"(DESIGN|FIELD) \d[\d.]*": "what it says, not where",
    r"(defect|trap)_\d+\w*": "a name that says the scenario",
}
OLD_WORDS = re.compile(r"\b(?:" + "|".join(OLD) + r")\b")
# A constant's name says of what it is the limit, the pause or the timeout.
BARE_CONSTANT = re.compile(
    r"\bconst (AGAIN|ATTEMPTS?|CHECK|FOR_GOOD|FRESH|GRACE|LIMIT|LINGER|LONG|LONGEST|LOOK|MAX|MIN|MOST|PATIENCE|PAUSE"
    r"|RETRY|SHORT|SHORTEST|SOON|TIMEOUT|WAIT):")
# Tests may stand anywhere: the simulator's runtime is openraft's.
TEST = re.compile(r"(^|/)tests(/|\.rs$)|/testing\.rs$|/src/scenarios\.rs$")
OPENRAFT = re.compile(r"\bopenraft(_\w+)?\b")
OPENRAFT_HOMES = ("raft/", "env/")


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


def named_folders(line: str) -> list[str]:
    """The folders of ck-core that a line of code names."""
    found = []
    for one, several in NAMED.findall(line):
        names = [one] if one else [part.strip().split("::")[0] for part in several.split(",")]
        # A name of the front door: an Error, a Result.
        found += [name for name in names if name and name[0].islower()]
    return found


def arrows() -> list[str]:
    """The folders of ck-core depend on each other one way."""
    wrong = []
    for name in files(f"{CORE}*.rs"):
        if TEST.search(name) or name == f"{CORE}lib.rs":
            continue
        folder = name.removeprefix(CORE).split("/")[0].removesuffix(".rs")
        if folder in BASE - {"fuzz"}:
            continue
        if folder not in STANDS_ON:
            wrong.append(f"{name}: {folder} is not in STANDS_ON (tests/house.py)")
            continue
        allowed = STANDS_ON[folder] | BASE | {folder}
        # What stands below is tests.
        body = "\n".join(code(name)).split("#[cfg(test)]\nmod tests {")[0]
        for number, line in enumerate(body.splitlines(), 1):
            wrong += [f"{name}:{number}: {folder} does not stand on {other}"
                      for other in named_folders(line) if other not in allowed]
            if folder in PURE and (found := IMPURE.search(line)):
                wrong.append(f"{name}:{number}: names {found.group(0)!r}; {folder} is pure")
    return wrong


def no_circles() -> list[str]:
    """No folder of ck-core stands on itself by way of others."""
    wrong = []
    for start in STANDS_ON:
        seen: set[str] = set()
        due = list(STANDS_ON[start])
        while due:
            folder = due.pop()
            if folder not in seen:
                seen.add(folder)
                due += STANDS_ON.get(folder, set())
        if start in seen:
            wrong.append(f"{start} stands on itself")
    return wrong


def openraft() -> list[str]:
    """openraft is named in raft/ and env/ only."""
    wrong = []
    for name in files(f"{CORE}*.rs"):
        if name.removeprefix(CORE).startswith(OPENRAFT_HOMES) or TEST.search(name):
            continue
        for number, line in enumerate(code(name), 1):
            if OPENRAFT.search(line):
                wrong.append(f"{name}:{number}: names openraft; only raft/ and env/ may")
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
        # Put together from the parts in bindings/cpp.
        if name == "include/clusterkit.hpp":
            continue
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
                       ("rpc/messages.rs", "MemberCall")]:
        body = re.search(rf"enum {enum} \{{\n(.*?)\n\}}", text(CORE + name), re.DOTALL)
        variants = re.findall(r"(?m)^    ([A-Z]\w*)", body.group(1)) if body else []
        if not variants:
            wrong.append(f"{name}: there is no enum {enum}")
        wrong += [f"docs/protocol.md does not describe {enum}::{variant}" for variant in variants
                  if f"`{variant}`" not in page]
    return wrong


def old_words() -> list[str]:
    """Each concept goes by one word: the one in docs/glossary.md."""
    wrong = []
    for name in files("*.rs", "docs/*.md", "README.md", "CONTRIBUTING.md", "*.h", "*.toml"):
        for number, line in enumerate(text(name).splitlines(), 1):
            for found in OLD_WORDS.finditer(line):
                better = next(better for old, better in OLD.items() if re.fullmatch(old, found.group(0)))
                wrong.append(f"{name}:{number}: {found.group(0)!r}; the word is {better!r}")
    return wrong


def constants() -> list[str]:
    """Constants carry their noun: RETRY_PAUSE, not PAUSE."""
    return [f"{name}:{number}: {found.group(1)} of what?"
            for name in files(f"{CORE}*.rs", "ck-ffi/*.rs", "examples/cli/*.rs", "bench/*.rs", "tests/*.rs")
            for number, line in enumerate(code(name), 1) if (found := BARE_CONSTANT.search(line))]


def kinds_of_files() -> list[str]:
    """Only text is committed: what was built, fetched or packed is not."""
    binary = (".whl", ".gz", ".zip", ".so", ".a", ".o", ".jar", ".node", ".bin", ".exe", ".img")
    return [f"{name} is no source" for name in files() if name.endswith(binary)]


def quick_start() -> list[str]:
    """The README's quick start in C, C++, Go, Python and Node.js is a part of the example that it names, which the tests build and run."""
    found = re.findall(r'<summary>[^<]*\(<a href="(examples/[^"]+)">.*?```\w+\n(.*?)```', text("README.md"), re.DOTALL)
    wrong = [] if len(found) == 5 else [f"README.md has {len(found)} such parts, not 5"]
    for example, shown in found:
        lines = [line.strip() for line in text(example).splitlines()]
        for part in shown.strip().split("\n\n"):
            wanted = [line.strip() for line in part.splitlines()]
            if not any(lines[at:at + len(wanted)] == wanted for at in range(len(lines))):
                wrong.append(f"README.md: what begins with {wanted[0]!r} is not in {example}")
    return wrong


def folders() -> list[str]:
    """CONTRIBUTING.md has a line for every folder of the project and of ck-core."""
    tops = {name.split("/")[0] for name in files() if "/" in name}
    inner = {name.removeprefix(CORE).split("/")[0] for name in files(f"{CORE}*/*")}
    house = text("CONTRIBUTING.md")
    return [f"CONTRIBUTING.md does not say what {name}/ is" for name in sorted(tops | inner)
            if not re.search(rf"(?m)^\s*{re.escape(name)}/", house)]


RULES = [arrows, no_circles, old_words, constants, openraft, threads, lengths, tests_do_not_hide, dependencies, links,
         calls, kinds_of_files, quick_start, folders]


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
