#!/usr/bin/env python3
"""Packs what is published on npm: the package `clusterkit`, and one for each platform with the native part. Standard library only.

    pack.py OUT [PLATFORM=LIBRARY.node ...]

Without a platform, that of this machine, with the native part that lies beside package.json (scripts/native.mjs). The main package
names those of all platforms as optional dependencies: npm installs the one that fits. Prints the tarballs.
"""

import json
import pathlib
import platform
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Every platform that there is a package for: what npm compares with the machine.
PLATFORMS = {
    "linux-x64-gnu": {"os": ["linux"], "cpu": ["x64"], "libc": ["glibc"]},
    "linux-arm64-gnu": {"os": ["linux"], "cpu": ["arm64"], "libc": ["glibc"]},
}
# Of package.json, what is of no use to whoever installs the package.
PRIVATE = ["scripts", "devDependencies"]


def here() -> str:
    """The platform of this machine."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"linux-{machine}-gnu"


def described() -> dict:
    """package.json, as it is published."""
    package = json.loads((HERE / "package.json").read_text())
    package = {name: value for name, value in package.items() if name not in PRIVATE}
    package["optionalDependencies"] = {f"clusterkit-{name}": package["version"] for name in PLATFORMS}
    # The native part comes with the platform's package.
    package["files"] = [name for name in package["files"] if not name.endswith(".node")]
    return package


def licences(folder: pathlib.Path) -> None:
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        shutil.copy(ROOT / name, folder)


def pack(folder: pathlib.Path, out: pathlib.Path) -> None:
    packed = subprocess.run(["npm", "pack", "--json", "--ignore-scripts", "--pack-destination", str(out)], cwd=folder, check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    print(out / json.loads(packed)[0]["filename"], flush=True)


def main(words: list[str]) -> int:
    if not words:
        sys.exit(__doc__)
    out = pathlib.Path(words[0]).resolve()
    libraries = dict(word.split("=", 1) for word in words[1:]) or {here(): str(HERE / f"clusterkit.{here()}.node")}
    shutil.rmtree(out, ignore_errors=True)
    package = described()

    folder = out / "clusterkit"
    folder.mkdir(parents=True)
    for name in package["files"]:
        if (HERE / name).is_dir():
            shutil.copytree(HERE / name, folder / name)
    shutil.copy(HERE / "README.md", folder)
    licences(folder)
    (folder / "package.json").write_text(json.dumps(package, indent=2) + "\n")
    pack(folder, out)

    for name, library in libraries.items():
        folder = out / f"clusterkit-{name}"
        folder.mkdir()
        file = f"clusterkit.{name}.node"
        shutil.copy(library, folder / file)
        licences(folder)
        (folder / "README.md").write_text(f"The native part of [clusterkit](https://www.npmjs.com/package/clusterkit) for {name}.\n")
        kept = {key: package[key] for key in ("version", "license", "repository", "engines")}
        described_part = {"name": f"clusterkit-{name}", "description": f"The native part of clusterkit for {name}.", "main": file,
                          "files": [file, "LICENSE-*"], **PLATFORMS[name], **kept}
        (folder / "package.json").write_text(json.dumps(described_part, indent=2) + "\n")
        pack(folder, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
