#!/usr/bin/env python3
"""Packs the Go modules as they are published: a folder that GOPROXY=file://... is set to, or that any web server serves.

    pack.py FOLDER linux-amd64=LIBRARY.a linux-arm64=LIBRARY.a

Each library is what packaging/static.sh makes. `-` stands for one that is not there: its module then says nothing but its name, and
nothing can be linked for that platform. That is for trying the others; it is refused where STRICT is set. Standard library only.

The layout is that of a module proxy: MODULE/@v/list, VERSION.info, VERSION.mod, VERSION.zip. The same bytes come from the same
commit and libraries.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODULE = "github.com/clusterkit/clusterkit-go"
PLATFORMS = ("linux-amd64", "linux-arm64")
LICENCES = ("LICENSE-MIT", "LICENSE-APACHE")
# In the same folder as what includes it: a folder without Go in it would be left out by `go mod vendor`.
HEADER = "clusterkit.h"
HEADER_IN_REPOSITORY = " -I${SRCDIR}/../../include"
# The other packages of the module. The one for tests takes the header from the folder above, which it imports.
PACKAGES = ("clustertest", "internal/bridge")
FLAGS_OF_TESTS = "clustertest/clustertest.go"
HEADER_OF_TESTS = " -I${SRCDIR}/../../../include"


def version() -> str:
    found = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return f"v{found.group(1)}"


def time_of_commit() -> str:
    """When what is packed was committed, as a proxy writes it."""
    command = ["git", "log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"TZ": "UTC"}, check=True, capture_output=True, text=True).stdout.strip()


def without_replacements(text: str) -> str:
    """go.mod, without the lines that lead into this repository."""
    text = re.sub(r"\n// Here they lie beside.*\n", "\n", text)
    text = re.sub(r"\nreplace \(.*?\n\)\n", "\n", text, flags=re.DOTALL)
    if "replace" in text:
        sys.exit("go.mod still replaces modules")
    return text.rstrip() + "\n"


def root_module() -> dict[str, bytes]:
    """The files of the package, with the header that it is built with."""
    packed = {name: (ROOT / name).read_bytes() for name in LICENCES}
    for path in sorted(HERE.iterdir()):
        if path.suffix in (".go", ".c", ".h") or path.name == "README.md":
            packed[path.name] = path.read_bytes()
    for package in PACKAGES:
        for path in sorted((HERE / package).iterdir()):
            if path.suffix in (".go", ".c", ".h"):
                packed[f"{package}/{path.name}"] = path.read_bytes()
    packed["go.mod"] = without_replacements((HERE / "go.mod").read_text(encoding="utf-8")).encode()
    for name, there, here in (("cgo.go", HEADER_IN_REPOSITORY, ""), (FLAGS_OF_TESTS, HEADER_OF_TESTS, " -I${SRCDIR}/..")):
        flags = packed[name].decode()
        if there not in flags:
            sys.exit(f"{name} does not say{there}")
        packed[name] = flags.replace(there, here).encode()
    packed[HEADER] = (ROOT / "include" / HEADER).read_bytes()
    return packed


def library_module(platform: str, library: str) -> dict[str, bytes]:
    """A platform's module."""
    packed = {name: (ROOT / name).read_bytes() for name in LICENCES}
    for name in ("go.mod", "lib.go"):
        packed[name] = (HERE / "lib" / platform / name).read_bytes()
    if library != "-":
        packed["libclusterkit.a"] = pathlib.Path(library).read_bytes()
    return packed


def write(folder: pathlib.Path, module: str, files: dict[str, bytes]) -> None:
    """One module, where a proxy has it."""
    place = folder / module / "@v"
    place.mkdir(parents=True, exist_ok=True)
    number = version()
    (place / "list").write_text(number + "\n", encoding="utf-8")
    (place / f"{number}.info").write_text(json.dumps({"Version": number, "Time": time_of_commit()}) + "\n", encoding="utf-8")
    (place / f"{number}.mod").write_bytes(files["go.mod"])
    with zipfile.ZipFile(place / f"{number}.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in sorted(files.items()):
            # Without the time of its making.
            packed.writestr(zipfile.ZipInfo(f"{module}@{number}/{name}"), content, zipfile.ZIP_DEFLATED)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 + len(PLATFORMS):
        print(__doc__, file=sys.stderr)
        return 2
    folder = pathlib.Path(arguments[0])
    libraries = dict(argument.split("=", 1) for argument in arguments[1:])
    if sorted(libraries) != sorted(PLATFORMS):
        print(f"there have to be libraries for {' and '.join(PLATFORMS)}", file=sys.stderr)
        return 2
    if absent := [platform for platform in PLATFORMS if libraries[platform] == "-"]:
        print(f"SKIPPED: the library for {', '.join(absent)}")
        if os.environ.get("STRICT"):
            return 1
    write(folder, MODULE, root_module())
    for platform, library in libraries.items():
        write(folder, f"{MODULE}/lib/{platform}", library_module(platform, library))
    print(f"packed {MODULE} {version()} in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
