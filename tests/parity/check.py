#!/usr/bin/env python3
"""Checks calls.txt: every call has a name in every language, and every name that is written there exists. Standard library only.

The last line is `N passed, N failed`: one for each call in the table, and one for each thing that is missing from it.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# Where Rust's public methods are, whose are to be in the table one by one.
RUST = {
    "ClusterKit": ["clusterkit.rs", "clusterkit/hooks.rs", "clusterkit/life.rs", "clusterkit/readiness.rs",
                   "clusterkit/recovery.rs", "clusterkit/tracing.rs"],
    "Client": ["client/handle.rs"],
    "ClusterView": ["routing/cluster_view.rs", "routing/records.rs"],
    "PartitionRef": ["routing/partition_ref.rs"],
    "TestCluster": ["testing/mod.rs", "testing/lifecycle.rs", "testing/waits.rs"],
    "TestClusterBuilder": ["testing/builder.rs"],
}
# Rust, C, C++, Go, Python, Node.js.
LANGUAGES = 6
METHOD = re.compile(r"((?:^[ \t]*(?://.*|#\[.*\])\n)*)^[ \t]*pub (?:async )?(?:const )?fn (\w+)", re.MULTILINE)


def text(*paths: str) -> str:
    return "\n".join((ROOT / path).read_text(encoding="utf-8") for path in paths)


def rust_methods() -> set[str]:
    methods = set()
    for owner, files in RUST.items():
        source = text(*(f"ck-core/src/{file}" for file in files))
        methods |= {f"{owner}::{name}" for attributes, name in METHOD.findall(source) if "doc(hidden)" not in attributes}
    return methods


def c_functions() -> set[str]:
    header = re.sub(r"\n\s+", " ", text("include/clusterkit.h"))
    return set(re.findall(r"^CK_API [^\n]*?\b(ck_\w+)\(", header, re.MULTILINE))


def rows() -> list[tuple[str, list[list[str]]]]:
    found = []
    for line in text("tests/parity/calls.txt").splitlines():
        if not line or line.startswith("#"):
            continue
        what, *languages = (part.strip() for part in line.split("|"))
        if len(languages) != LANGUAGES:
            sys.exit(f"calls.txt: {line!r} has not {LANGUAGES} languages")
        found.append((what, [[name for name in names.split() if name != "-"] for names in languages]))
    return found


def main() -> int:
    rust, c = rust_methods(), c_functions()
    if len(rust) < 100 or len(c) < 200:
        sys.exit(f"only {len(rust)} methods of Rust and {len(c)} functions of C were found")
    core = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "ck-core/src").rglob("*.rs")))
    cpp = text("include/clusterkit.hpp")
    go = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "bindings/go").rglob("*.go")))

    node = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "bindings/node/types").glob("*.d.ts")))

    def in_node(name: str) -> bool:
        owner, _, member = name.rpartition(".")
        if not owner:
            return re.search(rf"(?m)^export (?:declare )?(?:class|const|function|interface|type) {member}\b", node) is not None
        # A class may have a second body, the typed forms of an emitter's methods, and another that it extends.
        bodies = re.findall(rf"(?ms)^export (?:declare )?(?:abstract )?(?:class|interface) {owner}\b.*?^\}}", node)
        bases = re.findall(rf"(?m)^export (?:declare )?(?:abstract )?class {owner} extends (\w+)", node)
        here = any(re.search(rf"(?m)^    (?:readonly |static |get )*{member}\b", body) for body in bodies)
        return here or any(in_node(f"{base}.{member}") for base in bases)

    def in_rust(name: str) -> bool:
        member = name.rpartition("::")[2]
        return name in rust or re.search(rf"\b(?:pub (?:async |const )?fn|table as) {member}\b", core) is not None

    def in_cpp(name: str) -> bool:
        owner, _, member = name.rpartition("::")
        has_owner = not owner or re.search(rf"\b(?:class|struct)\b[^;{{]*\b{owner}\b", cpp) is not None
        return has_owner and re.search(rf"\b{member}\b", cpp) is not None

    def in_go(name: str) -> bool:
        owner, _, member = name.rpartition(".")
        if owner:
            return re.search(rf"(?m)^func \(\w* ?\*?{owner}\) {member}\b", go) is not None
        return re.search(rf"(?m)^(?:func|type) {member}\b", go) is not None

    passed, wrong = 0, []
    seen_rust, seen_c = set(), set()
    for what, (in_table_rust, in_table_c, in_table_cpp, in_table_go, _, in_table_node) in rows():
        missing = [f"Rust has no {name}" for name in in_table_rust if not in_rust(name)]
        missing += [f"C has no {name}" for name in in_table_c if name not in c]
        missing += [f"C++ has no {name}" for name in in_table_cpp if not in_cpp(name)]
        missing += [f"Go has no {name}" for name in in_table_go if not in_go(name)]
        missing += [f"Node.js has no {name}" for name in in_table_node if not in_node(name)]
        wrong += [f"{what}: {message}" for message in missing]
        passed += not missing
        seen_rust.update(in_table_rust)
        seen_c.update(in_table_c)
    wrong += [f"calls.txt has no {name}, a public method of Rust" for name in sorted(rust - seen_rust)]
    wrong += [f"calls.txt has no {name}, a function of C" for name in sorted(c - seen_c)]
    for message in wrong:
        print(message)
    print(f"{passed} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
