//! `GET /metrics`: the Prometheus text format, and the choice between it and JSON.

use std::fmt::{Display, Write};
use std::time::Duration;

use axum::http::{HeaderMap, header};

use super::{Api, Contact, RequestCounters, SecurityReport};
use crate::model::{Metrics, NodeStatus, PartitionState};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the exposition: one family after the other, each with its help and type.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escape(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn unlabelled(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// All metrics in the Prometheus text format.
pub(super) fn text(
    api: &dyn Api,
    metrics: &Metrics,
    counters: &RequestCounters,
    security: &SecurityReport,
    contact: &Contact,
) -> String {
    let mut out = Exposition(String::with_capacity(4096));
    let health = api.health();
    let consensus = api.consensus_stats();
    out.family("clusterkit_info", "gauge", "What this is; always 1.");
    let labels = [
        ("node_id", &*health.node_id),
        ("node_name", &health.node_name),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    out.sample("clusterkit_info", &labels, 1);
    out.unlabelled(
        "clusterkit_healthy",
        "gauge",
        "1 when this node is a member, knows a leader and applies the log.",
        u8::from(health.healthy),
    );
    // Named by every node, so that alarms can be checked against any; a value only has a node with TLS.
    let name = "clusterkit_certificate_seconds_left";
    let help = "For how long the certificate of this node is still valid; negative once it has expired. Only with TLS.";
    out.family(name, "gauge", help);
    if let Some(left) = api.certificate_seconds_left() {
        out.sample(name, &[], left);
    }
    out.unlabelled(
        "clusterkit_nodes",
        "gauge",
        "Members of the cluster.",
        metrics.node_count,
    );
    out.unlabelled(
        "clusterkit_partitions",
        "gauge",
        "Partitions of the cluster.",
        metrics.partition_count,
    );
    out.unlabelled(
        "clusterkit_is_leader",
        "gauge",
        "1 when this node leads.",
        u8::from(metrics.is_leader),
    );
    out.family("clusterkit_raft_state", "gauge", "1 for the state Raft is in.");
    out.sample("clusterkit_raft_state", &[("state", &metrics.raft_state)], 1);
    out.unlabelled(
        "clusterkit_leader_known",
        "gauge",
        "1 when this node leads, or has heard of the leader within a lease.",
        u8::from(contact.leader_known),
    );
    // A node that has heard of no leader since it started reports the time since its start.
    let age = contact
        .last_contact
        .unwrap_or(Duration::from_secs(metrics.uptime_seconds));
    out.unlabelled(
        "clusterkit_last_contact_seconds",
        "gauge",
        "For how long this node has not heard of a leader; 0 where it leads, since its start where it never has.",
        format_args!("{:.3}", age.as_secs_f64()),
    );
    let leader_epoch = api.leader().map_or(0, |leader| leader.epoch);
    for (name, help, value) in [
        ("clusterkit_raft_term", "The Raft term.", consensus.term),
        (
            "clusterkit_raft_last_log_index",
            "The index of the last entry in the log.",
            consensus.last_log_index,
        ),
        (
            "clusterkit_raft_commit_index",
            "The last index known to be committed.",
            consensus.commit_index,
        ),
        (
            "clusterkit_raft_applied_index",
            "The last index applied on this node.",
            consensus.applied_index,
        ),
        (
            "clusterkit_raft_peers",
            "Other nodes that take part in Raft.",
            consensus.num_peers as u64,
        ),
        (
            "clusterkit_revision",
            "The revision that this node has applied.",
            api.revision(),
        ),
        (
            "clusterkit_leader_epoch",
            "The leader epoch; 0 when no leader is known.",
            leader_epoch,
        ),
        (
            "clusterkit_uptime_seconds",
            "Seconds since this node started.",
            metrics.uptime_seconds,
        ),
        (
            "clusterkit_election_stretch",
            "By how much election timeouts are stretched because timers and heartbeats come late; 1 is not at all.",
            u64::from(health.election_stretch),
        ),
        (
            "clusterkit_delay_milliseconds",
            "How late this node's timers and what it hears of the leader were lately.",
            health.delay_ms,
        ),
    ] {
        out.unlabelled(name, "gauge", help, value);
    }
    let name = "clusterkit_partitions_by_state";
    out.family(name, "gauge", "Partitions in each state.");
    let view = api.view();
    let counts = view.partition_counts();
    for state in PartitionState::ALL {
        out.sample(name, &[("state", state.as_str())], counts.in_state(state));
    }
    let name = "clusterkit_nodes_by_status";
    out.family(name, "gauge", "Members in each status, voters and others apart.");
    for status in NodeStatus::ALL {
        for (voter, label) in [(true, "true"), (false, "false")] {
            let nodes = view.nodes().iter();
            let count = nodes
                .filter(|node| node.status == status && node.voter == voter)
                .count();
            out.sample(name, &[("status", status.as_str()), ("voter", label)], count);
        }
    }
    for (name, help, value) in [
        (
            "clusterkit_copies_pending",
            "Copies of partitions that are being made.",
            counts.pending,
        ),
        (
            "clusterkit_log_failed",
            "1 when this node's log has failed: it writes nothing any more until it is restarted.",
            usize::from(api.log_has_failed()),
        ),
    ] {
        out.unlabelled(name, "gauge", help, value);
    }
    let silence = api.disk_silence().unwrap_or_default();
    out.unlabelled(
        "clusterkit_disk_silence_seconds",
        "gauge",
        "For how long the disk of this node's log has not answered; 0 where it does.",
        format_args!("{}.{:03}", silence.as_secs(), silence.subsec_millis()),
    );
    out.unlabelled(
        "clusterkit_log_messages_dropped_total",
        "counter",
        "Messages for people that were dropped because nobody read them in time.",
        api.log_messages_dropped(),
    );
    let last_sync = metrics.last_sync.as_millis();
    out.unlabelled(
        "clusterkit_last_sync_timestamp_seconds",
        "gauge",
        "When this node last heard from the leader, or led, in seconds since 1970.",
        format_args!("{}.{:03}", last_sync / 1000, last_sync % 1000),
    );
    let name = "clusterkit_http_requests_total";
    out.family(name, "counter", "HTTP requests answered by this node.");
    for count in counters.snapshot() {
        let labels = [
            ("method", count.method),
            ("path", count.path),
            ("status", count.class),
        ];
        out.sample(name, &labels, count.count);
    }
    out.unlabelled(
        "clusterkit_http_errors_total",
        "counter",
        "HTTP requests that were answered with a 4xx or 5xx status.",
        metrics.error_count,
    );
    let name = "clusterkit_security_mode";
    out.family(
        name,
        "gauge",
        "1 for what protects the node: open, insecure, secret, tls, secret+tls or rollout.",
    );
    out.sample(name, &[("mode", security.mode)], 1);
    let name = "clusterkit_security_key";
    let help = "1 for the key that the node uses, 0 for one that it accepts only.";
    out.family(name, "gauge", help);
    let keys: Vec<_> = security
        .keys
        .iter()
        .map(|key| (key.key_id.to_string(), key))
        .collect();
    for (id, key) in &keys {
        let is_used = security.key_in_use.as_ref() == Some(&key.key_id);
        out.sample(name, &[("key_id", id)], u8::from(is_used));
    }
    let name = "clusterkit_security_key_connections";
    out.family(
        name,
        "gauge",
        "Connections of peers under a key that this node serves.",
    );
    for (id, key) in &keys {
        out.sample(name, &[("key_id", id)], key.connections);
    }
    let name = "clusterkit_security_key_requests_total";
    let help = "HTTP requests with a token of a key since the node took that key.";
    out.family(name, "counter", help);
    for (id, key) in &keys {
        out.sample(name, &[("key_id", id)], key.requests);
    }
    out.unlabelled(
        "clusterkit_failed_proofs_total",
        "counter",
        "HTTP requests and peers that were refused because they proved nothing: no token or proof, or a wrong one.",
        security.failed_proofs,
    );
    out.0
}

/// Whether `Accept` prefers JSON to text. In doubt the answer is text, which scrapers expect.
pub(super) fn prefers_json(headers: &HeaderMap) -> bool {
    let accept: Vec<MediaRange> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(MediaRange::parse)
        .collect();
    let json = best(&accept, "application", &["json"]);
    let text = best(&accept, "text", &["plain"])
        .into_iter()
        .chain(best(&accept, "application", &["openmetrics-text"]))
        .max_by_key(|found| (found.quality, std::cmp::Reverse(found.position)));
    match (json, text) {
        (Some(json), _) if json.quality == 0 => false,
        (Some(json), Some(text)) if json.quality == text.quality => {
            // At equal quality JSON wins only if it is named itself, and text is not or comes later.
            json.exact && (!text.exact || json.position < text.position)
        }
        (Some(json), Some(text)) => json.quality > text.quality,
        (json, _) => json.is_some(),
    }
}

/// One media range of an `Accept` header.
struct MediaRange {
    kind: String,
    subtype: String,
    /// The quality value, in thousandths.
    quality: u16,
}

/// How much a media type is preferred.
struct Preference {
    quality: u16,
    /// The position of the range in the header.
    position: usize,
    /// True when the range names the type itself, not a wildcard.
    exact: bool,
}

impl MediaRange {
    fn parse(text: &str) -> Option<MediaRange> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut quality = 1000;
        for parameter in parts {
            if let Some(value) = parameter.strip_prefix("q=").or(parameter.strip_prefix("Q=")) {
                let number: f32 = value.parse().ok().filter(|number| (0.0..=1.0).contains(number))?;
                // The number is within its bounds as just checked; the cast loses only the fraction.
                quality = (number * 1000.0).round() as u16;
            }
        }
        Some(MediaRange {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            quality,
        })
    }
}

/// How much `kind/subtype` is preferred: the most specific range that covers it decides.
fn best(accept: &[MediaRange], kind: &str, subtypes: &[&str]) -> Option<Preference> {
    let specificity = |range: &MediaRange| {
        if range.kind == kind && subtypes.contains(&range.subtype.as_str()) {
            Some(2)
        } else if range.kind == kind && range.subtype == "*" {
            Some(1)
        } else if range.kind == "*" && range.subtype == "*" {
            Some(0)
        } else {
            None
        }
    };
    accept
        .iter()
        .enumerate()
        .filter_map(|(position, range)| Some((specificity(range)?, position, range)))
        .max_by_key(|(specificity, position, _)| (*specificity, std::cmp::Reverse(*position)))
        .map(|(specificity, position, range)| Preference {
            quality: range.quality,
            position,
            exact: specificity == 2,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_weighed() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("application/json", true),
            ("APPLICATION/JSON", true),
            ("application/json, */*;q=0.5", true),
            ("application/json, text/plain, */*", true),
            ("text/plain, application/json", false),
            ("text/plain;q=0.5, application/json;q=0.9", true),
            ("application/json;q=0.1, text/plain", false),
            ("application/json;q=0", false),
            ("application/json;q=0, */*", false),
            ("application/json;q=abc", false),
            ("application/*", false),
            ("image/png", false),
            (
                "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                false,
            ),
            ("garbage", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_json(&headers), expected, "{accept}");
        }
        assert!(!prefers_json(&HeaderMap::new()));
    }

    #[test]
    fn labels_are_escaped() {
        let mut out = Exposition(String::new());
        out.sample("x", &[("a", "q\"b\\c\nd"), ("b", "")], 1);
        assert_eq!(out.0, "x{a=\"q\\\"b\\\\c\\nd\",b=\"\"} 1\n");
    }
}
