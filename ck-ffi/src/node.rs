//! Members of the cluster as plain structs with borrowed strings.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ffi::c_char;
use std::ptr::null;
use std::sync::Arc;

use clusterkit::model::{Node, NodeHealthState, NodeStatus};

use crate::border::record::list;
use crate::border::text::CText;

/// A status that this header does not know.
pub const CK_NODE_STATUS_UNKNOWN: i32 = 0;
/// Admitted, and catching up with the log. Holds no partition yet.
pub const CK_NODE_JOINING: i32 = 1;
/// A full member.
pub const CK_NODE_ACTIVE: i32 = 2;
/// Handing its partitions over before it is removed.
pub const CK_NODE_LEAVING: i32 = 3;
/// Shut down in an orderly way; expected back.
pub const CK_NODE_STOPPED: i32 = 4;
/// Declared dead after too long without a heartbeat; may come back.
pub const CK_NODE_FAILED: i32 = 5;

/// A state of health that this header does not know.
pub const CK_HEALTH_UNKNOWN: i32 = 0;
/// All is well.
pub const CK_HEALTH_HEALTHY: i32 = 1;
/// It works, with something to look at.
pub const CK_HEALTH_DEGRADED: i32 = 2;
/// It cannot do its work.
pub const CK_HEALTH_FAILING: i32 = 3;

/// A name and a value. The library owns it. New fields go to the end.
#[repr(C)]
pub struct ck_pair_t {
    /// NUL-terminated UTF-8.
    pub name: *const c_char,
    /// NUL-terminated UTF-8.
    pub value: *const c_char,
}

/// A member of the cluster. The library owns it and its strings, which are NUL-terminated UTF-8; it is valid until
/// the view is released, or until the callback returns that it came with. New fields go to the end.
#[repr(C)]
pub struct ck_node_t {
    /// The name that the application gave it.
    pub id: *const c_char,
    /// A name for people.
    pub name: *const c_char,
    /// The "host:port" at which others reach it.
    pub ip: *const c_char,
    /// The failure zone; NULL when the operator named none.
    pub zone: *const c_char,
    /// The application's own endpoints: name to ":port" (the node's own host) or "host:port", sorted by name.
    pub services: *const *const ck_pair_t,
    /// How many services there are.
    pub service_count: usize,
    /// Free-form labels, sorted by name.
    pub labels: *const *const ck_pair_t,
    /// How many labels there are.
    pub label_count: usize,
    /// Grows with every start of the node's process: the revision at which the process was admitted.
    pub incarnation: u64,
    /// When the cluster last recorded contact with it, in milliseconds since 1970.
    pub last_seen_ms: u64,
    /// When it first joined, in milliseconds since 1970.
    pub joined_at_ms: u64,
    /// Where it is in its life: CK_NODE_*.
    pub status: i32,
    /// What the application last said of itself: CK_HEALTH_*.
    pub health: i32,
    /// Why, when it is not healthy; else empty.
    pub health_reason: *const c_char,
    /// Its share of the partitions relative to other nodes: 100 is usual, 0 takes no new ones.
    pub weight: u32,
    /// The port in ip.
    pub port: u16,
    /// True when it votes in elections.
    pub voter: bool,
}

/// Nodes for C to borrow, and everything that they point at. No boxes: whoever moves a box promises that no other pointer
/// leads into it.
#[derive(Default)]
pub(crate) struct Nodes {
    /// In the order in which they were given.
    nodes: Vec<ck_node_t>,
    /// Where each of them is.
    pointers: Vec<*const ck_node_t>,
    _owned: Vec<Owned>,
}

/// What one node points at: each on the heap, so that it stays where it is when this moves.
struct Owned {
    _texts: Vec<CText>,
    _pairs: [Pairs; 2],
}

struct Pairs {
    pointers: Vec<*const ck_pair_t>,
    _pairs: Vec<ck_pair_t>,
}

// SAFETY: the pointers lead to what the value itself owns, and nobody writes it after it was made.
unsafe impl Send for Nodes {}
// SAFETY: as above.
unsafe impl Sync for Nodes {}

impl Nodes {
    pub(crate) fn new(nodes: impl IntoIterator<Item = impl Borrow<Arc<Node>>>) -> Self {
        let (nodes, owned): (Vec<_>, Vec<_>) = nodes.into_iter().map(|node| convert(node.borrow())).unzip();
        let pointers = nodes.iter().map(std::ptr::from_ref).collect();
        Nodes {
            nodes,
            pointers,
            _owned: owned,
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> *const ck_node_t {
        self.nodes.get(index).map_or(null(), std::ptr::from_ref)
    }

    /// Where all of them are.
    pub(crate) fn pointers(&self) -> &[*const ck_node_t] {
        &self.pointers
    }
}

impl Pairs {
    fn new(map: &BTreeMap<String, String>, mut keep: impl FnMut(&str) -> *const c_char) -> Self {
        let pairs: Vec<_> = map
            .iter()
            .map(|(name, value)| ck_pair_t {
                name: keep(name),
                value: keep(value),
            })
            .collect();
        Pairs {
            pointers: pairs.iter().map(std::ptr::from_ref).collect(),
            _pairs: pairs,
        }
    }
}

fn convert(node: &Node) -> (ck_node_t, Owned) {
    let mut texts = Vec::new();
    let mut keep = |text: &str| {
        let text = CText::new(text);
        let pointer = text.as_ptr();
        texts.push(text);
        pointer
    };
    let pairs = [
        Pairs::new(&node.services, &mut keep),
        Pairs::new(&node.labels, &mut keep),
    ];
    let (services, service_count) = list(&pairs[0].pointers);
    let (labels, label_count) = list(&pairs[1].pointers);
    let converted = ck_node_t {
        id: keep(&node.id),
        name: keep(&node.name),
        ip: keep(&node.ip),
        zone: node.zone.as_deref().map_or(null(), &mut keep),
        services,
        service_count,
        labels,
        label_count,
        incarnation: node.incarnation,
        last_seen_ms: node.last_seen.as_millis(),
        joined_at_ms: node.joined_at.as_millis(),
        status: status_number(node.status),
        health: health_number(node.health),
        health_reason: keep(&node.health_reason),
        weight: node.weight,
        port: node.port,
        voter: node.voter,
    };
    let owned = Owned {
        _texts: texts,
        _pairs: pairs,
    };
    (converted, owned)
}

fn status_number(status: NodeStatus) -> i32 {
    match status {
        NodeStatus::Joining => CK_NODE_JOINING,
        NodeStatus::Active => CK_NODE_ACTIVE,
        NodeStatus::Leaving => CK_NODE_LEAVING,
        NodeStatus::Stopped => CK_NODE_STOPPED,
        NodeStatus::Failed => CK_NODE_FAILED,
        _ => CK_NODE_STATUS_UNKNOWN,
    }
}

fn health_number(health: NodeHealthState) -> i32 {
    match health {
        NodeHealthState::Healthy => CK_HEALTH_HEALTHY,
        NodeHealthState::Degraded => CK_HEALTH_DEGRADED,
        NodeHealthState::Failing => CK_HEALTH_FAILING,
        _ => CK_HEALTH_UNKNOWN,
    }
}

/// The state of health that C names.
pub(crate) fn health_state(number: i32) -> Option<NodeHealthState> {
    match number {
        CK_HEALTH_HEALTHY => Some(NodeHealthState::Healthy),
        CK_HEALTH_DEGRADED => Some(NodeHealthState::Degraded),
        CK_HEALTH_FAILING => Some(NodeHealthState::Failing),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, text_at};

    /// They are made, and then put where they stay.
    #[test]
    fn what_nodes_point_at_stays_where_it_is() {
        let plain = Node {
            zone: None,
            services: [].into(),
            ..node("plain")
        };
        let made = Nodes::new([Arc::new(node("full")), Arc::new(plain)]);
        let first = made.pointers().as_ptr();
        let nodes = Box::new(Some(made)).unwrap();
        assert_eq!(nodes.pointers().len(), 2);
        assert!(nodes.get(2).is_null());
        // SAFETY: `nodes` owns all of it and lives.
        unsafe {
            assert_eq!(*first, nodes.get(0));
            assert_eq!(*first.add(1), nodes.get(1));
            let full = &**first;
            assert_eq!((text_at(full.id), text_at(full.name)), ("full", "name of full"));
            assert_eq!((text_at(full.ip), text_at(full.zone)), ("10.0.0.1:8080", "eu-1"));
            let services = std::slice::from_raw_parts(full.services, full.service_count);
            let services: Vec<_> = services
                .iter()
                .map(|pair| (text_at((**pair).name), text_at((**pair).value)))
                .collect();
            assert_eq!(services, [("grpc", ":9000"), ("http", ":9001")]);
            assert_eq!((full.status, full.health), (CK_NODE_ACTIVE, CK_HEALTH_DEGRADED));
            let plain = &*nodes.get(1);
            assert_eq!(text_at(plain.id), "plain");
            assert!(plain.zone.is_null() && plain.services.is_null() && plain.service_count == 0);
        }
    }

    #[test]
    fn health_goes_both_ways() {
        for state in [
            NodeHealthState::Healthy,
            NodeHealthState::Degraded,
            NodeHealthState::Failing,
        ] {
            assert_eq!(health_state(health_number(state)), Some(state));
        }
        assert_eq!(health_state(CK_HEALTH_UNKNOWN), None);
        assert_eq!(health_state(4), None);
    }
}
