//! docs/options.md, generated from the table.

use super::table;

const PAGE_HEAD: &str = "\
# Options

This page is generated from the table in `ck-core/src/options/table.rs`; a test fails when the two differ
(`UPDATE_DOCS=1 cargo test -p clusterkit options` regenerates it).

Options are set in code, by name (`set(\"health_check.interval\", \"1s\")`), from a JSON file, or from the environment.
Unknown names are errors that suggest the nearest name. In `clusterkit serve` flags override the environment, and the
environment overrides the file; values that are overridden are not read. `clusterkit serve --print-options` shows each value
and its source.

- **Durations** are written `\"5s\"`, `\"500ms\"`, `\"1m30s\"`, or as a number of milliseconds.
- **Choices** may be written in any case.
- **JSON** takes groups as objects (`\"health_check\": {\"interval\": \"1s\"}`) or dotted names, `services` and `labels` as
  objects, `join_addrs` as a string or an array. The names of go-cluster's files are understood where there is a
  counterpart (`clusterId`, `nodeId`, `election.leaseTtlMs`, `election.renewIntervalMs`); `nats` and `vip` are refused with
  a hint. A key that comes twice is an error, with line and column; a byte order mark is skipped.
- **Environment variables** that are set but empty count as not set (an in-memory node, with an empty `data_dir`, is
  asked for in code or JSON). Where several are named, the first that is set wins, and the others are not read. Other
  programs use the short names, too: Kubernetes sets `HTTP_PORT=tcp://10.3.104.46:80` beside a service that is called
  `http`, which counts as not set.
- One entry of a map is an option too: `services.kv`, `labels.rack`.

| option | environment | type | default | bounds | meaning |
|---|---|---|---|---|---|
";

const PAGE_TAIL: &str = "
## Options that depend on each other

A start refuses options that contradict each other:

- `timing.heartbeat` is less than half of `timing.election_min`, which is less than `timing.election_max`.
- `sync_interval` is at most a third of `lease_ttl`.
- `lease_ttl` is at least 2 x `timing.election_max` + `sync_interval`: a change of leader interrupts no primary.
- The failure timeout, `health_check.interval` x `health_check.failure_threshold`, exceeds `lease_ttl` by more than a
  tenth: a node that is cut off stops acting as primary before its partitions are given to other nodes.
- `health_check.timeout` is at most the failure timeout.
- `raft_addr` differs from `http_addr`, unless both leave the port to the system.
- A node in memory (`data_dir` empty) either has `join_addrs` or may bootstrap.

If they are not set, `lease_ttl` and `health_check.interval` follow `sync_interval` and `timing`, so that setting only those two
always gives options that fit.
";

/// The text of docs/options.md, generated from the table.
pub fn options_markdown() -> String {
    let mut text = PAGE_HEAD.to_string();
    for spec in table() {
        let env: Vec<String> = spec.env.iter().map(|variable| format!("`{variable}`")).collect();
        let aliases: Vec<String> = spec.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let also = if aliases.is_empty() {
            String::new()
        } else {
            format!(" Also named {}.", aliases.join(", "))
        };
        let cells = [
            format!("`{}`", spec.name),
            env.join(", "),
            spec.kind.type_name().to_string(),
            spec.default.text().to_string(),
            spec.kind.bounds(),
            format!("{}{also}", spec.help),
        ];
        text.push_str(&format!(
            "| {} |\n",
            cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
        ));
    }
    text.push_str(PAGE_TAIL);
    text
}
