"""The main rules of hadolint, and a few of our own, for a Dockerfile."""

from __future__ import annotations

import json
import re

from files import Files


def instructions(text: str) -> list[tuple[str, str]]:
    """(NAME, rest) of each, lines that continue joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name.upper(), rest.strip()) for name, _, rest in found]


def stages(found: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The instructions before the first FROM, and those of each stage."""
    split: list[list[tuple[str, str]]] = [[]]
    for one in found:
        if one[0] == "FROM":
            split.append([])
        split[-1].append(one)
    return split


def expanded(text: str, arguments: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments.get(match[1], ""), text)


def docker_rules(files: Files) -> list[str]:
    """The Dockerfile: pinned bases, no shell and no root where it runs, programs in exec form, nothing that is left over."""
    before, *built = stages(instructions(files.dockerfile))
    arguments = dict(rest.split("=", 1) for name, rest in before if name == "ARG" and "=" in rest)
    wrong = []
    names = set()
    for stage in built:
        image, _, alias = stage[0][1].partition(" AS ")
        image = expanded(image, arguments)
        tag = image.rsplit("/", 1)[-1].partition("@")[2] or image.rsplit("/", 1)[-1].partition(":")[2]
        if image not in names and (not tag or tag == "latest"):
            wrong.append(f"DL3006, DL3007: {image} is not pinned")
        names.add(alias)
        for name, rest in stage:
            if name == "RUN":
                wrong += run_rules(rest)
            if name == "ADD":
                wrong.append(f"DL3020: COPY, not ADD {rest}")
            if name == "MAINTAINER":
                wrong.append("DL4000: MAINTAINER is of the past")
            if name == "WORKDIR" and not rest.startswith("/"):
                wrong.append(f"DL3000: {rest} is not absolute")
            if name == "COPY" and "--from=" in rest and re.search(r"--from=(\S+)", rest)[1] not in names:
                wrong.append(f"DL3022: COPY {rest} from a stage that there is not")
    if len(built) < 2:
        return [*wrong, "what builds is in the image"]
    final = built[-1]
    counts = {name: sum(1 for one, _ in final if one == name) for name, _ in final}
    for name in ("CMD", "ENTRYPOINT", "HEALTHCHECK", "USER"):
        if counts.get(name, 0) > 1:
            wrong.append(f"DL4003, DL4004, DL3012: {name} comes {counts[name]} times")
    for name in ("ENTRYPOINT", "HEALTHCHECK", "USER", "STOPSIGNAL", "VOLUME", "LABEL"):
        if not counts.get(name):
            wrong.append(f"there is no {name}")
    if counts.get("RUN"):
        wrong.append("RUN in an image that has no shell")
    order = [name for name, _ in final]
    if "USER" in order:
        user = dict(final)["USER"]
        if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
            wrong.append(f"DL3002: the user is {user}, not a number other than 0")
        if "COPY" in order[order.index("USER"):]:
            wrong.append("COPY after USER: programs belong to root, who alone may replace them")
    for name, rest in final:
        form = rest[rest.find("["):] if name == "HEALTHCHECK" else rest
        if name in ("ENTRYPOINT", "CMD", "HEALTHCHECK") and not is_exec_form(form):
            wrong.append(f"DL3025: {name} {rest} needs a shell")
        if name == "HEALTHCHECK" and re.search(r"\b(curl|wget)\b", rest):
            wrong.append("HEALTHCHECK with what the image has not")
    volumes = [rest for name, rest in final if name == "VOLUME"]
    if f"DATA_DIR={volumes[0] if volumes else ''}" not in dict(final).get("ENV", ""):
        wrong.append("DATA_DIR is on no volume")
    return wrong


def is_exec_form(text: str) -> bool:
    try:
        parts = json.loads(text)
    except ValueError:
        return False
    return isinstance(parts, list) and all(isinstance(part, str) for part in parts)


def run_rules(command: str) -> list[str]:
    wrong = []
    if re.search(r"\bsudo\b", command):
        wrong.append("DL3004: sudo")
    if re.search(r"\bapt(-get)? install\b", command):
        if "--no-install-recommends" not in command:
            wrong.append("DL3015: apt-get without --no-install-recommends")
        if "rm -rf /var/lib/apt/lists" not in command:
            wrong.append("DL3009: apt-get without cleaning up")
        if not re.search(r"\b-y\b|--yes", command):
            wrong.append("DL3014: apt-get without -y")
    if re.search(r"(^|&&|;)\s*cd\s", command):
        wrong.append("DL3003: WORKDIR, not cd")
    if "cargo build" in command and "--locked" not in command:
        wrong.append("cargo build without --locked: other versions than the tests'")
    if re.search(r"[^|]\|[^|]", command) and "pipefail" not in command:
        wrong.append("DL4006: a pipe without pipefail")
    return wrong
