"""What has to hold for the files of examples/deploy. Each rule returns what is wrong."""

from __future__ import annotations

import re

from dockerfile import docker_rules
from files import CHART, DEPLOY, Files, seconds
from schema import complaints, schema_complaints

# The longest stop of the server, in seconds: its queues (5), telling the others (2), files and hooks (5 each), its connections (2).
STOP_SECONDS = 20
# Variables of the key-value server that are no options of ClusterKit, as its README has them.
SERVER_VARIABLES = {"PARTITIONS", "KV_ADDR", "MODE", "STORE", "ASYNC_QUEUE"}
# Of the clusterkit command, and one that is there for others to refer to.
OTHER_VARIABLES = {"CLUSTERKIT_ADDR", "CLUSTERKIT_TOKEN_FILE", "POD_NAMESPACE"}
SECRET_VARIABLE = "CLUSTERKIT_CLUSTER_SECRET_FILE"


def readable(files: Files) -> list[str]:
    """Every YAML file is read, and PyYAML, where it is there, reads the same."""
    try:
        import yaml
    except ImportError:
        yaml = None
    wrong = []
    names = [name for name in files.names("**/*.y*ml") if "/templates/" not in name]
    for name in names:
        try:
            documents = files.yaml(name)
        except ValueError as error:
            wrong.append(f"{name}: {error}")
            continue
        if yaml and documents != [found for found in yaml.safe_load_all(files.text(name)) if found is not None]:
            wrong.append(f"{name}: PyYAML reads something else")
    return wrong if len(names) >= 5 else [*wrong, f"only {len(names)} files were found"]


def one_image(files: Files) -> list[str]:
    """All run one image, of the version of the workspace, built with the Rust that the project promises."""
    image = f"clusterkit/kv:{files.version}"
    chart = files.values["image"]["repository"] + ":" + (files.values["image"]["tag"] or files.chart["appVersion"])
    found = {f"compose, {name}": service["image"] for name, service in files.compose["services"].items()}
    found |= {"kv.yaml": files.container["image"], "the chart": chart}
    for name in (f"{DEPLOY}/docker/Dockerfile", f"{DEPLOY}/docker/docker-compose.yml", f"{DEPLOY}/kubernetes/kv.yaml"):
        found |= {f"{name}, {shown}": shown for shown in re.findall(r"clusterkit/kv:[\w.]+", files.text(name))}
    wrong = [f"{where}: the image is {shown}, not {image}" for where, shown in found.items() if shown != image]
    if f'image.version="{files.version}"' not in files.dockerfile:
        wrong.append(f"Dockerfile: its label has another version than {files.version}")
    if not re.search(rf"(?m)^ARG RUST_VERSION={re.escape(files.rust_version)}\.\d+$", files.dockerfile):
        wrong.append(f"Dockerfile: RUST_VERSION is no {files.rust_version}, which is rust-version in Cargo.toml")
    if files.chart["version"] != files.version:
        wrong.append(f"Chart.yaml: version is {files.chart['version']}, not {files.version}")
    return wrong


def ports(files: Files) -> list[str]:
    """Ports agree: what is exposed, listened on, published, dialled and probed."""
    exposed = {int(port) for line in re.findall(r"(?m)^EXPOSE (.*)$", files.dockerfile) for port in line.split()}
    http = int(re.search(r"\bHTTP_PORT=(\d+)", files.dockerfile)[1])
    wrong = [] if exposed == {http, http + 1000} else [f"Dockerfile: exposes {sorted(exposed)}, listens on {http}"]
    published = []
    for name, service in files.compose["services"].items():
        parts = [port.split(":") for port in service["ports"]]
        published += [part[-2] for part in parts]
        if {int(part[-1]) for part in parts} != exposed:
            wrong.append(f"compose, {name}: publishes other ports than {sorted(exposed)}")
        if any(part[0] != "127.0.0.1" for part in parts):
            wrong.append(f"compose, {name}: clients need no token, so its ports are for this machine only")
        if int(service["environment"]["HTTP_PORT"]) != http:
            wrong.append(f"compose, {name}: HTTP_PORT is not {http}")
    if len(set(published)) != len(published):
        wrong.append("compose: two services publish one port")
    named = {port["name"]: port["containerPort"] for port in files.container["ports"]}
    if set(named.values()) != exposed or files.pod_environment["HTTP_PORT"] != str(named["http"]):
        wrong.append(f"kv.yaml: the container's ports are {named}")
    for service in (files.object("Service"), files.object("Service", "kv-members")):
        for port in service["spec"]["ports"]:
            if named.get(port["targetPort"]) != port["port"]:
                wrong.append(f"kv.yaml, {service['metadata']['name']}: {port} is no port of the container")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if files.container[probe]["httpGet"]["port"] != "http":
            wrong.append(f"kv.yaml: {probe} asks another port than http")
    for name in ("ADVERTISE_ADDR", "JOIN_ADDR"):
        if not files.pod_environment[name].endswith(f":{named['http']}"):
            wrong.append(f"kv.yaml: {name} has another port than {named['http']}")
    if files.values["ports"] != named:
        wrong.append(f"values.yaml: ports are {files.values['ports']}")
    return wrong


def variables(files: Files) -> list[str]:
    """Every variable that is set is one that ClusterKit or the server knows."""
    known = files.option_variables() | SERVER_VARIABLES | OTHER_VARIABLES
    wrong = []
    found = {"Dockerfile": re.findall(r"\b([A-Z][A-Z_]+)=", " ".join(re.findall(r"(?m)^ENV (.*DATA_DIR.*)$", files.dockerfile)))}
    found |= {f"compose, {name}": list(service["environment"]) for name, service in files.compose["services"].items()}
    found["kv.yaml"] = list(files.pod_environment)
    for name, text in files.templates().items():
        found[name] = re.findall(r"(?m)^\s+- name: ([A-Z][A-Z_]+)$", text)
    found["kv.service"] = [value.split("=")[0] for name, value in files.unit if name == "Environment"]
    found["environment.example"] = list(files.unit_environment)
    for where, names in found.items():
        wrong += [f"{where}: nobody knows the variable {name}" for name in names if name not in known]
    for where in ("Dockerfile", "kv.yaml", "kv.service", "environment.example", f"{CHART}/templates/stateful-set.yaml"):
        if not found[where]:
            wrong.append(f"{where}: no variables were found")
    readme = files.root / "examples/kv/README.md"
    if readme.exists():
        text = readme.read_text(encoding="utf-8")
        wrong += [f"examples/kv/README.md: has no {name}" for name in sorted(SERVER_VARIABLES) if f"`{name}`" not in text]
    return wrong


def compose(files: Files) -> list[str]:
    """docker-compose.yml: nodes that are configured alike, find each other in any order, and keep their data."""
    services = files.compose["services"]
    wrong = ["compose: version is of the past"] if "version" in files.compose else []
    everyone = {f"{name}:{service['environment']['HTTP_PORT']}" for name, service in services.items()}
    first = next(iter(services.values()))
    for name, service in services.items():
        environment = service["environment"]
        if set(environment["JOIN_ADDR"].split(",")) != everyone:
            wrong.append(f"compose, {name}: JOIN_ADDR is not {sorted(everyone)}")
        if int(environment["BOOTSTRAP_EXPECT"]) != len(services):
            wrong.append(f"compose, {name}: BOOTSTRAP_EXPECT is not {len(services)}")
        if environment["NODE_ID"] != name or environment["ADVERTISE_ADDR"] not in everyone \
                or not environment["ADVERTISE_ADDR"].startswith(f"{name}:"):
            wrong.append(f"compose, {name}: NODE_ID or ADVERTISE_ADDR is another one's")
        own = {"NODE_ID", "ADVERTISE_ADDR"}
        if {k: v for k, v in environment.items() if k not in own} != {k: v for k, v in first["environment"].items() if k not in own}:
            wrong.append(f"compose, {name}: is configured otherwise than the first one")
        volumes = [volume.split(":") for volume in service["volumes"]]
        if environment["DATA_DIR"] not in [volume[1] for volume in volumes]:
            wrong.append(f"compose, {name}: DATA_DIR is on no volume")
        wrong += [f"compose, {name}: the volume {volume[0]} is not declared"
                  for volume in volumes if volume[0] not in files.compose["volumes"]]
        if "depends_on" in service:
            wrong.append(f"compose, {name}: depends_on makes an order where none is needed")
        if service["restart"] != "unless-stopped":
            wrong.append(f"compose, {name}: is not restarted when it found nobody")
        if not service["read_only"] or service["cap_drop"] != ["ALL"] or service["security_opt"] != ["no-new-privileges:true"]:
            wrong.append(f"compose, {name}: has more rights than it needs")
        test = service["healthcheck"]["test"]
        if test[:3] != ["CMD", "clusterkit", "health"]:
            wrong.append(f"compose, {name}: {test} is not in the image, which has no shell and no curl")
    mounted = [volume for service in services.values() for volume in service["volumes"]]
    if len(set(mounted)) != len(mounted):
        wrong.append("compose: two services share a volume")
    return wrong


def probes(files: Files) -> list[str]:
    """Probes ask routes that need no token, and readiness alone depends on the cluster."""
    open_routes = files.open_routes()
    wanted = {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}
    wrong = []
    for probe, path in wanted.items():
        asked = files.container[probe]["httpGet"]["path"]
        if asked != path:
            wrong.append(f"kv.yaml: {probe} asks {asked}, not {path}")
        if asked not in open_routes:
            wrong.append(f"kv.yaml: {probe} asks {asked}, which needs a token (docs/http.md)")
        if files.container[probe]["timeoutSeconds"] < 2:
            wrong.append(f"kv.yaml: {probe} gives a busy machine less than 2 s")
    return wrong


def stops(files: Files) -> list[str]:
    """Whoever ends a server gives it the time that it needs: preStop, its last question, and the stop."""
    wrong = []

    def flag(name: str) -> float:
        command = files.pre_stop
        return seconds(command[command.index(name) + 1]) if name in command else 0.0

    if files.pre_stop[:3] != ["clusterkit", "health", "--settled"]:
        wrong.append("kv.yaml: preStop does not wait for copies, so an update may take the last one")
    needed = flag("--wait") + flag("--timeout") + STOP_SECONDS
    if not flag("--wait") or not flag("--timeout"):
        wrong.append("kv.yaml: preStop may take any time")
    grace = files.pod["terminationGracePeriodSeconds"]
    if grace <= needed:
        wrong.append(f"kv.yaml: {grace} s are not more than the {needed:.0f} s of preStop and the stop")
    for name, service in files.compose["services"].items():
        if seconds(service.get("stop_grace_period", "10s")) <= STOP_SECONDS:
            wrong.append(f"compose, {name}: stop_grace_period is not more than {STOP_SECONDS} s")
    unit = dict(files.unit)
    if seconds(unit.get("TimeoutStopSec", "0")) <= STOP_SECONDS:
        wrong.append(f"kv.service: TimeoutStopSec is not more than {STOP_SECONDS} s")
    if unit.get("KillSignal", "SIGTERM") != "SIGTERM" or "STOPSIGNAL SIGTERM" not in files.dockerfile:
        wrong.append("another signal than SIGTERM ends the server out of order")
    if f"add (int .Values.preStop.waitSeconds) {STOP_SECONDS + 2}" not in files.text(f"{CHART}/templates/stateful-set.yaml"):
        wrong.append(f"the chart does not refuse less than preStop.waitSeconds and {STOP_SECONDS + 2} s")
    return wrong


def forms(files: Files) -> list[str]:
    """On Kubernetes readiness never stands in the way of forming the cluster."""
    members, stateful, wrong = files.object("Service", "kv-members"), files.object("StatefulSet")["spec"], []
    if members["spec"].get("publishNotReadyAddresses") is not True:
        wrong.append("kv-members: without publishNotReadyAddresses pods find each other only when they are ready")
    if members["spec"].get("clusterIP") != "None":
        wrong.append("kv-members: is not headless, so pods have no names")
    if files.object("Service")["spec"].get("publishNotReadyAddresses"):
        wrong.append("kv: clients are sent to pods that are not ready")
    if stateful.get("podManagementPolicy") != "Parallel":
        wrong.append("the second pod waits until the first is ready, which waits for the second")
    name, environment = members["metadata"]["name"], files.pod_environment
    if stateful["serviceName"] != name:
        wrong.append(f"serviceName is not {name}")
    if environment["JOIN_ADDR"].split(".")[0] != name:
        wrong.append(f"JOIN_ADDR is not the name of {name}")
    if not environment["ADVERTISE_ADDR"].startswith(f"$(NODE_ID).{name}."):
        wrong.append("ADVERTISE_ADDR is not the pod's name: its address changes")
    if environment["BOOTSTRAP_EXPECT"] != str(stateful["replicas"]):
        wrong.append("BOOTSTRAP_EXPECT is not replicas")
    if "BOOTSTRAP" in environment:
        wrong.append("BOOTSTRAP: no pod is special")
    order = list(environment)
    for variable, value in environment.items():
        for used in re.findall(r"\$\((\w+)\)", value or ""):
            if used not in order[:order.index(variable)]:
                wrong.append(f"{variable} refers to {used}, which is not set before it")
    if files.object("PodDisruptionBudget")["spec"].get("maxUnavailable") != 1:
        wrong.append("the budget lets more than one pod be away")
    return wrong


def selectors(files: Files) -> list[str]:
    """Selectors select the pods of the set, and each claim and volume that is mounted is there."""
    stateful = files.object("StatefulSet")["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    selected = {"StatefulSet": stateful["selector"]["matchLabels"],
                "PodDisruptionBudget": files.object("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                "NetworkPolicy": files.object("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]}
    selected |= {f"Service {name}": files.object("Service", name)["spec"]["selector"] for name in ("kv", "kv-members")}
    selected |= {f"spread over {one['topologyKey']}": one["labelSelector"]["matchLabels"]
                 for one in files.pod["topologySpreadConstraints"]}
    wrong = [f"{what} selects {found}, not {labels}" for what, found in selected.items() if found != labels]
    peers = [one["podSelector"]["matchLabels"] for one in files.object("NetworkPolicy")["spec"]["ingress"][0]["from"]]
    if labels not in peers:
        wrong.append("NetworkPolicy: members do not reach each other")
    there = {one["name"] for one in files.pod["volumes"]}
    there |= {one["metadata"]["name"] for one in stateful["volumeClaimTemplates"]}
    mounted = {one["name"]: one["mountPath"] for one in files.container["volumeMounts"]}
    if set(mounted) != there:
        wrong.append(f"mounted is {sorted(mounted)}, there is {sorted(there)}")
    if mounted.get("data") != files.pod_environment["DATA_DIR"]:
        wrong.append("DATA_DIR is not on the claim")
    return wrong


def unprivileged(files: Files) -> list[str]:
    """Pods have no rights that they do not need, and write nowhere but in their volume."""
    pod, container = files.pod, files.container
    wanted = [(pod["securityContext"], "runAsNonRoot", True), (pod["securityContext"], "runAsUser", 65532),
              (pod["securityContext"], "fsGroup", 65532), (pod, "automountServiceAccountToken", False),
              (pod["securityContext"], "seccompProfile", {"type": "RuntimeDefault"}), (pod, "enableServiceLinks", False),
              (container["securityContext"], "allowPrivilegeEscalation", False),
              (container["securityContext"], "readOnlyRootFilesystem", True),
              (container["securityContext"], "capabilities", {"drop": ["ALL"]})]
    wrong = [f"kv.yaml: {name} is not {value}" for where, name, value in wanted if where.get(name) != value]
    user = re.findall(r"(?m)^USER (\d+):(\d+)$", files.dockerfile)
    if user != [("65532", "65532")]:
        wrong.append(f"Dockerfile: its user is {user}, that of the pods 65532")
    if "memory" not in container["resources"]["limits"] or "cpu" in container["resources"]["limits"]:
        wrong.append("kv.yaml: memory is limited, and processor time is not: a throttled node is late")
    return wrong


def secrets(files: Files) -> list[str]:
    """The cluster's secret is in no file here, each server has one, and gets it as a file."""
    wrong = []
    for name in [*files.names("**/*"), ".dockerignore"]:
        for line in files.text(name).splitlines():
            if re.search(r"(?<![\w./-])[A-Za-z0-9_-]{43}(?![\w./-])", line):
                wrong.append(f"{name}: {line.strip()!r} may be a secret")
            if re.search(r"\bINSECURE\b|CLUSTER_SECRET['\"]?\s*[=:]", line):
                wrong.append(f"{name}: {line.strip()!r}")
    wrong += [f"{found['metadata']['name']}: a Secret in a file" for found in files.objects if found["kind"] == "Secret"]
    declared = files.compose["secrets"]
    for name, service in files.compose["services"].items():
        paths = [f"/run/secrets/{secret}" for secret in service["secrets"] if secret in declared]
        if service["environment"].get(SECRET_VARIABLE) not in paths:
            wrong.append(f"compose, {name}: {SECRET_VARIABLE} names no secret that it has")
    volume = next((one for one in files.pod["volumes"] if "secret" in one), None)
    mount = next((one for one in files.container["volumeMounts"] if volume and one["name"] == volume["name"]), None)
    paths = [f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]] if mount else []
    if files.pod_environment.get(SECRET_VARIABLE) not in paths or not mount.get("readOnly"):
        wrong.append(f"kv.yaml: {SECRET_VARIABLE} names no file of the secret")
    unit = files.unit
    credential = dict(unit).get("LoadCredential", ":").split(":")[0]
    if ("Environment", f"{SECRET_VARIABLE}=%d/{credential}") not in unit:
        wrong.append(f"kv.service: {SECRET_VARIABLE} names no credential")
    for ignored, pattern in ((".dockerignore", "**/secrets"), (".dockerignore", ".git"), (".dockerignore", "**/target"),
                             (".gitignore", f"/{DEPLOY}/docker/secrets")):
        if pattern not in files.text(ignored).splitlines():
            wrong.append(f"{ignored}: has no {pattern}")
    return wrong


def unit(files: Files) -> list[str]:
    """The systemd unit: restarted for ever, without rights, its data in a folder of its own, as many files as it needs, no core dump."""
    found = dict(files.unit)
    wanted = {"Type": "exec", "DynamicUser": "yes", "StateDirectory": "kv", "Restart": "always", "LimitCORE": "0",
              "StartLimitIntervalSec": "0", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": "",
              "ProtectHome": "yes", "UMask": "0077", "WantedBy": "multi-user.target", "ExecStart": "/usr/local/bin/kv"}
    wrong = [f"kv.service: {name} is {found.get(name)!r}, not {value!r}" for name, value in wanted.items() if found.get(name) != value]
    if int(found.get("LimitNOFILE", "0")) < 4096:
        wrong.append("kv.service: LimitNOFILE is less than a node needs")
    environment = files.unit_environment
    if ("Environment", f"DATA_DIR=%S/{found.get('StateDirectory')}") not in files.unit:
        wrong.append("kv.service: DATA_DIR is not its folder")
    members = environment.get("JOIN_ADDR", "").split(",")
    if environment.get("BOOTSTRAP_EXPECT") != str(len(members)):
        wrong.append("environment.example: BOOTSTRAP_EXPECT is not the number of members")
    return wrong


def values(files: Files) -> list[str]:
    """The schema of the chart's values is one, the values conform to it, and what is wrong does not."""
    wrong = [f"values.schema.json: {message}" for message in schema_complaints(files.schema)]
    wrong += [f"values.yaml: {message}" for message in complaints(files.schema, files.values)]
    for path, bad in (("replicas", 0), ("replicas", "three"), ("mode", "fast"), ("cluster", {"name": "kv"}), ("replica", 3),
                      ("terminationGracePeriodSeconds", 10), ("image", {"repository": ""}), ("secret", {"value": "x", "key": "k"})):
        if not complaints(files.schema, {**files.values, path: bad}):
            wrong.append(f"values.schema.json: takes {path}: {bad}")
    return wrong


def leaves(values: dict, path: str = "") -> set[str]:
    """The paths of values that are no mappings with something in them."""
    found = set()
    for name, value in values.items():
        found |= leaves(value, f"{path}.{name}") if isinstance(value, dict) and value else {f"{path}.{name}"}
    return found


def templates(files: Files) -> list[str]:
    """The chart uses every value that it has, has every value that it uses, and makes the objects of the plain manifests."""
    text = "\n".join([*files.templates().values(), files.text(f"{CHART}/templates/NOTES.txt")])
    used = {name for name in re.findall(r"\.Values((?:\.\w+)+)", text)}
    known = leaves(files.values)
    parents = {leaf[:at] for leaf in known for at in range(1, len(leaf)) if leaf[at] == "."}
    wrong = [f"the chart uses {name}, which values.yaml has not" for name in sorted(used - known - parents)]
    wrong += [f"nothing uses {leaf}" for leaf in sorted(known)
              if not any(leaf == name or leaf.startswith(f"{name}.") for name in used)]
    stateful = files.text(f"{CHART}/templates/stateful-set.yaml")
    names = set(re.findall(r"(?m)^\s+- name: ([A-Z][A-Z_]+)$", stateful)) - {"CLUSTERKIT_ADDR", "KV_ADDR"}
    if names != set(files.pod_environment):
        wrong.append(f"the chart sets other variables than kv.yaml: {sorted(names ^ set(files.pod_environment))}")
    kinds = sorted(re.findall(r"(?m)^kind: (\w+)$", "\n".join(
        text for name, text in files.templates().items() if "/tests/" not in name)))
    if kinds != sorted(found["kind"] for found in files.objects):
        wrong.append(f"the chart makes {kinds}")
    return wrong


def documents(files: Files) -> list[str]:
    """docs/deployment.md names the image, variables, commands and times that there are."""
    page = files.text("docs/deployment.md")
    commands, flags = files.command_words()
    known = files.option_variables() | SERVER_VARIABLES | OTHER_VARIABLES | {"CLUSTERKIT_TOKEN"}
    wrong = [f"deployment.md: there is no image {image}" for image in re.findall(r"clusterkit/kv:[\w.]+", page)
             if image != f"clusterkit/kv:{files.version}"]
    # Variables are in capitals and between backticks, or before an equals sign.
    names = re.findall(r"`([A-Z]{2,}_[A-Z_]+|ZONE|TIMING)[`=]", page) + re.findall(r"(?<![\w$])([A-Z]{2,}_[A-Z_]+)=", page)
    wrong += [f"deployment.md: nobody knows the variable {name}" for name in sorted(set(names) - known)]
    lines = [line for code in re.findall(r"(?s)```sh\n(.*?)```", page) for line in code.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]*\bclusterkit [^`\n]*)`", page)
    # An image with that program in place of its own.
    lines = [re.sub(r"--entrypoint clusterkit \S+", "clusterkit", line) for line in lines]
    calls = [call.split("#")[0] for line in lines for call in re.findall(r"(?<![\w/.-])clusterkit ((?:--)?[a-z][^|>)]*)", line)]
    for call in calls:
        words = call.split()
        if words[0] not in commands | {"help"}:
            wrong.append(f"deployment.md: there is no clusterkit {words[0]}")
        wrong += [f"deployment.md: clusterkit {words[0]} has no {word}" for word in words[1:]
                  if word.startswith("--") and word.strip("-").split("=")[0] not in flags]
    if len(calls) < 10 or len(set(names)) < 10:
        wrong.append(f"deployment.md: only {len(calls)} commands and {len(set(names))} variables were found")
    if f"takes {STOP_SECONDS} s at most" not in page or f"than the wait and {STOP_SECONDS + 2} s" not in page.replace("\n", " "):
        wrong.append(f"deployment.md: says another time than {STOP_SECONDS} s for a stop")
    return wrong


RULES = [readable, one_image, ports, variables, compose, probes, stops, forms, selectors, unprivileged, secrets, docker_rules,
         unit, values, templates, documents]
