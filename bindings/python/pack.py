#!/usr/bin/env python3
"""Packs the package as it is published, and tries it: pack.py FOLDER. Standard library only.

FOLDER gets the wheel, which runs with glibc 2.17 and every Python from 3.11 on, and the source distribution. auditwheel,
abi3audit and twine look at them; the wheel is installed in an empty environment without Rust, where the tour has to print what
it prints everywhere. PACK_PROFILE=dev builds faster.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# What runs Python programs, and no compiler.
PLAIN_PATH = "/usr/bin:/bin"


def run(*command, **options):
    print(f"-- {' '.join(map(str, command))}", flush=True)
    return subprocess.run(command, check=True, **options)


def environment(folder: pathlib.Path, requirements: pathlib.Path) -> pathlib.Path:
    """An environment with what a file of requirements names; its folder of programs."""
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        run(folder / "bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirements)
        stamp.write_text(wanted)
    return folder / "bin"


def main(out: pathlib.Path) -> None:
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    tools = environment(target / "python-packaging", HERE / "requirements-packaging.txt")
    env = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "CARGO_TARGET_DIR": str(target)}
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    profile = os.environ.get("PACK_PROFILE", "wheel")
    build = ("maturin", "build", "--profile", profile, "--locked", "--zig", "--compatibility", "manylinux2014")
    run(*build, "--out", out, cwd=HERE, env=env)
    run("maturin", "sdist", "--out", out, cwd=HERE, env=env)
    (wheel,), (source,) = list(out.glob("*.whl")), list(out.glob("*.tar.gz"))
    complete(source)
    assert "-cp311-abi3-manylinux2014_" in wheel.name, wheel.name
    run(tools / "auditwheel", "show", wheel, env=env)
    run(tools / "abi3audit", "--strict", "--summary", wheel, env=env)
    run(tools / "twine", "check", "--strict", wheel, source, env=env)
    try_wheel(wheel, target / "python-empty")
    for path in (wheel, source):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def complete(source: pathlib.Path) -> None:
    """Adds the crates of third_party to the source distribution: maturin takes those that ours name, and none that replace
    others. Then cargo finds all that it needs there, in Cargo.lock too.
    """
    unpacked = source.parent / "unpacked"
    with tarfile.open(source) as archive:
        archive.extractall(unpacked, filter="data")
    (top,) = unpacked.iterdir()
    shutil.copytree(ROOT / "third_party", top / "third_party")
    # Without the network: what is not there is left out of Cargo.lock, and the rest stays.
    for how in ("--offline", "--locked"):
        run("cargo", "metadata", how, "--format-version=1", cwd=top, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with tarfile.open(source, "w:gz") as archive:
        archive.add(top, arcname=top.name, filter=anonymous)
    shutil.rmtree(unpacked)


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def try_wheel(wheel: pathlib.Path, folder: pathlib.Path) -> None:
    """Installs the wheel where there is nothing else, and runs what users run."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    env = {"PATH": f"{folder / 'bin'}:{PLAIN_PATH}", "HOME": str(folder)}
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel, env=env)
    done = run(python, ROOT / "examples/python/tour.py", env=env, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert done.stdout == (ROOT / "examples/tour.txt").read_text(), done.stdout
    run("clusterkit", "--version", env=env, cwd=folder)
    run(python, "-m", "clusterkit", "demo", "--json", env=env, cwd=folder, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
