"""The files of examples/deploy, and what of the project they have to agree with, read once for all rules."""

from __future__ import annotations

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import plain_yaml  # noqa: E402

DEPLOY = "examples/deploy"
CHART = f"{DEPLOY}/helm/kv"
# What the rules look at: a broken copy consists of these.
READ = [DEPLOY, ".dockerignore", ".gitignore", "Cargo.toml", "docs/options.md", "docs/http.md", "docs/deployment.md",
        "examples/kv/README.md", "examples/cli/src/args.rs", "examples/cli/src/args"]


class Files:
    """The project's files below a folder."""

    def __init__(self, root: pathlib.Path):
        self.root = root

    def text(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def names(self, pattern: str) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in (self.root / DEPLOY).glob(pattern) if path.is_file())

    def yaml(self, name: str) -> list:
        return plain_yaml.load_all(self.text(name))

    # ---- Docker ----

    @property
    def dockerfile(self) -> str:
        return self.text(f"{DEPLOY}/docker/Dockerfile")

    @property
    def compose(self) -> dict:
        return self.yaml(f"{DEPLOY}/docker/docker-compose.yml")[0]

    # ---- Kubernetes ----

    @property
    def objects(self) -> list[dict]:
        """The objects of the plain manifests."""
        return self.yaml(f"{DEPLOY}/kubernetes/kv.yaml") + self.yaml(f"{DEPLOY}/kubernetes/network-policy.yaml")

    def object(self, kind: str, name: str = "kv") -> dict:
        return next(found for found in self.objects if (found["kind"], found["metadata"]["name"]) == (kind, name))

    @property
    def pod(self) -> dict:
        return self.object("StatefulSet")["spec"]["template"]["spec"]

    @property
    def container(self) -> dict:
        return self.pod["containers"][0]

    @property
    def pod_environment(self) -> dict[str, str | None]:
        """None for what comes from the pod itself."""
        return {entry["name"]: entry.get("value") for entry in self.container["env"]}

    @property
    def pre_stop(self) -> list[str]:
        return self.container["lifecycle"]["preStop"]["exec"]["command"]

    # ---- Helm ----

    @property
    def chart(self) -> dict:
        return self.yaml(f"{CHART}/Chart.yaml")[0]

    @property
    def values(self) -> dict:
        return self.yaml(f"{CHART}/values.yaml")[0]

    @property
    def schema(self) -> dict:
        return json.loads(self.text(f"{CHART}/values.schema.json"))

    def templates(self) -> dict[str, str]:
        names = [name for name in self.names("helm/kv/templates/**/*") if not name.endswith(".txt")]
        return {name: self.text(name) for name in names}

    # ---- systemd ----

    @property
    def unit(self) -> list[tuple[str, str]]:
        return settings(self.text(f"{DEPLOY}/systemd/kv.service"))

    @property
    def unit_environment(self) -> dict[str, str]:
        return dict(settings(self.text(f"{DEPLOY}/systemd/environment.example")))

    # ---- The project ----

    @property
    def version(self) -> str:
        return re.search(r'(?m)^version = "([^"]+)"', self.text("Cargo.toml"))[1]

    @property
    def rust_version(self) -> str:
        return re.search(r'(?m)^rust-version = "([^"]+)"', self.text("Cargo.toml"))[1]

    def option_variables(self) -> set[str]:
        """The variables in docs/options.md."""
        rows = re.findall(r"^\| `[\w.]+` \| ([^|]+) \|", self.text("docs/options.md"), re.MULTILINE)
        return {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    def command_words(self) -> tuple[set[str], set[str]]:
        """The commands of `clusterkit`, and the long flags of all of them but those of options."""
        source = "\n".join(path.read_text(encoding="utf-8") for path in
                           [self.root / "examples/cli/src/args.rs", *sorted((self.root / "examples/cli/src/args").glob("*.rs"))])
        variants = re.findall(r"(?m)^    ([A-Z]\w+)(?:\(\w+\)| \{|,)", source)
        commands = {re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower() for name in variants}
        fields = re.findall(
            r"#\[arg\(((?:(?!\)\]).)*?\blong\b.*?)\)\]\s*(?:///[^\n]*\n\s*|//[^\n]*\n\s*)*pub\(crate\) (\w+):",
            source, re.DOTALL)
        named = [re.search(r'long = "([\w-]+)"', attributes) for attributes, _ in fields]
        flags = {match[1] if match else field.replace("_", "-") for match, (_, field) in zip(named, fields)}
        return commands, flags

    def open_routes(self) -> set[str]:
        """The routes that need no token, in docs/http.md."""
        row = re.search(r"^\| none \| none \| ([^|]+) \|", self.text("docs/http.md"), re.MULTILINE)
        return set(re.findall(r"`(/[\w/]+)`", row[1])) if row else set()


def settings(text: str) -> list[tuple[str, str]]:
    """The lines NAME=VALUE of a unit or a file of variables."""
    lines = (line.strip() for line in text.splitlines())
    return [tuple(line.split("=", 1)) for line in lines if "=" in line and not line.startswith(("#", ";", "["))]


def seconds(text: str | int) -> float:
    """A duration as compose, ClusterKit and systemd write it: 30s, 1m30s, 500ms, 30."""
    text = str(text)
    if re.fullmatch(r"\d+", text):
        return float(text)
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration")
    return sum(int(number) * units[unit] for number, unit in parts)
