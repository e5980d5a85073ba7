"""What other tools say of the files of examples/deploy. A tool that is not on this machine is skipped, and said."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable

import plain_yaml
from files import CHART, DEPLOY, Files

# An old one that the chart supports, and what `helm template` takes for the cluster otherwise depends on how it was built.
KUBERNETES_VERSION = "1.30.0"
# What the chart says of itself, which plain manifests do not.
OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version")
# Values that lead to every branch of the templates.
VARIANTS = [
    [],
    ["replicas=5", "bootstrapExpect=3", "ports.http=8090", "persistence.storageClass=fast", "secret.name=other"],
    ["networkPolicy.enabled=true", "podDisruptionBudget.enabled=false", "service.type=LoadBalancer", "image.tag=x",
     "extraEnv[0].name=LABELS", "extraEnv[0].value=x", "nodeSelector.disk=ssd", "podAnnotations.a=b",
     "imagePullSecrets[0].name=r", "tolerations[0].key=k", "service.annotations.a=b"],
]
# What the chart has to refuse.
REFUSED = ["mode=fast", "replicas=0", "preStop.waitSeconds=80", "unknown=1"]


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def said(done: subprocess.CompletedProcess) -> list[str]:
    return [] if done.returncode == 0 else [(done.stdout + done.stderr).strip() or f"exit code {done.returncode}"]


def rendered(files: Files, *settings: str) -> list[dict]:
    flags = [flag for setting in settings for flag in ("--set", setting)]
    done = run("helm", "template", "kv", str(files.root / CHART), "--kube-version", KUBERNETES_VERSION, *flags)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return plain_yaml.load_all(done.stdout)


def helm_lint(files: Files) -> list[str]:
    """helm lint finds nothing."""
    return said(run("helm", "lint", "--strict", str(files.root / CHART)))


def helm_template(files: Files) -> list[str]:
    """What the chart makes by default is what the plain manifests have."""
    made = {}
    for found in rendered(files, "networkPolicy.enabled=true"):
        for label in OF_HELM:
            found["metadata"].get("labels", {}).pop(label, None)
        if "helm.sh/hook" not in found["metadata"].get("annotations", {}):
            made[found["kind"], found["metadata"]["name"]] = found
    plain = {(found["kind"], found["metadata"]["name"]): found for found in files.objects}
    return [f"{' '.join(key)}: {made.get(key)} is not {plain.get(key)}"
            for key in sorted({*made, *plain}) if made.get(key) != plain.get(key)]


def helm_values(files: Files) -> list[str]:
    """Other values make YAML, too, and what is wrong is refused."""
    wrong = []
    for settings in VARIANTS:
        try:
            rendered(files, *settings)
        except ValueError as error:
            wrong.append(f"{settings}: {error}")
    for setting in REFUSED:
        try:
            rendered(files, setting)
            wrong.append(f"{setting} is taken")
        except ValueError:
            pass
    return wrong


def hadolint(files: Files) -> list[str]:
    """hadolint finds nothing."""
    return said(run("hadolint", str(files.root / DEPLOY / "docker/Dockerfile")))


def systemd(files: Files) -> list[str]:
    """systemd-analyze understands the unit, and calls it as closed as a service of its kind can be."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "kv.service"
        # A program that there is.
        copy.write_text(files.text(f"{DEPLOY}/systemd/kv.service").replace("/usr/local/bin/kv", shutil.which("true")))
        done = run("systemd-analyze", "verify", str(copy))
        wrong = [*said(done), *(line for line in done.stderr.splitlines() if "kv.service" in line)]
        # Tenths of the exposure level: 2.0 is "OK".
        return [*wrong, *said(run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(copy)))]


def kubeconform(files: Files) -> list[str]:
    """kubeconform finds nothing, by the schemas that Kubernetes publishes."""
    names = [str(files.root / DEPLOY / "kubernetes" / name) for name in ("kv.yaml", "network-policy.yaml")]
    return said(run("kubeconform", "-strict", "-kubernetes-version", KUBERNETES_VERSION, *names))


CHECKS: list[tuple[str, Callable[[Files], list[str]]]] = [
    ("helm", helm_lint), ("helm", helm_template), ("helm", helm_values), ("hadolint", hadolint),
    ("systemd-analyze", systemd), ("kubeconform", kubeconform),
]


def skipped(what: str) -> bool:
    """Says that something cannot be had here; True where that is a failure."""
    print(f"SKIPPED: {what}")
    return bool(os.environ.get("STRICT"))
