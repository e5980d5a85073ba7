//! The text of the state files: JSON that people can read, with one line for each node and partition.

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::error::{Error, Result};
use crate::model::{ClusterConfig, Maintenance, Node, NodeId, StoredData, partition_id};
use crate::routing::ClusterView;

/// Values that are nested deeper are written on one line.
const DEPTH: usize = 3;

/// A cluster as `GET /cluster` shows it, without its data. Partitions are serialized one after the other: tens of
/// thousands of records at once would take more memory than everything else of the node.
#[derive(Serialize)]
struct MapFile<'a> {
    id: &'a str,
    name: &'a str,
    nodes: &'a [Arc<Node>],
    partition_map: MapOf<'a>,
    config: &'a ClusterConfig,
    revision: u64,
    leader: NodeId,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance: Option<&'a Maintenance>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lost_partitions: Vec<String>,
}

#[derive(Serialize)]
struct MapOf<'a> {
    partitions: Partitions<'a>,
}

struct Partitions<'a>(&'a ClusterView);

impl Serialize for Partitions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.partition_count() as usize))?;
        for partition in self.0.partitions() {
            let record = partition.record();
            map.serialize_entry(&record.id, &record)?;
        }
        map.end()
    }
}

/// The text of `cluster-state.json`: members and partitions.
pub(super) fn of_map(view: &ClusterView, hears_leader: bool) -> Result<Vec<u8>> {
    let topology = view.topology();
    let leader = view.leader().filter(|_| hears_leader);
    let map = MapFile {
        id: &topology.cluster_id,
        name: &topology.config.cluster_name,
        nodes: view.nodes(),
        partition_map: MapOf {
            partitions: Partitions(view),
        },
        config: &topology.config,
        revision: view.revision(),
        leader: leader.map_or_else(|| "".into(), |node| node.id.clone()),
        epoch: topology.leader_epoch,
        maintenance: topology.maintenance.as_ref(),
        lost_partitions: topology.lost().map(partition_id).collect(),
    };
    text(&map)
}

/// The text of `custom-data.json`: the replicated store.
pub(super) fn of_data(data: &StoredData) -> Result<Vec<u8>> {
    text(data)
}

fn text(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Lines::default());
    value
        .serialize(&mut serializer)
        .map_err(|error| Error::internal(format!("encode a state file: {error}")))?;
    text.push(b'\n');
    Ok(text)
}

/// Indents the outer levels, and writes each value inside them on one line.
#[derive(Default)]
struct Lines {
    depth: usize,
    outside: PrettyFormatter<'static>,
}

macro_rules! by_depth {
    ($self:ident, $depth:expr, $call:ident ( $($argument:expr),* )) => {
        if $depth <= DEPTH {
            $self.outside.$call($($argument),*)
        } else {
            CompactFormatter.$call($($argument),*)
        }
    };
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        by_depth!(self, self.depth, begin_array(writer))
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let depth = self.depth;
        self.depth -= 1;
        by_depth!(self, depth, end_array(writer))
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        by_depth!(self, self.depth, begin_array_value(writer, first))
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        by_depth!(self, self.depth, end_array_value(writer))
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        by_depth!(self, self.depth, begin_object(writer))
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let depth = self.depth;
        self.depth -= 1;
        by_depth!(self, depth, end_object(writer))
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        by_depth!(self, self.depth, begin_object_key(writer, first))
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        by_depth!(self, self.depth, begin_object_value(writer))
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        by_depth!(self, self.depth, end_object_value(writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NodeStatus, Partition, Topology};

    #[test]
    fn the_map_is_what_the_api_shows_a_line_for_each_partition() {
        let mut topology = Topology {
            cluster_id: "c".to_owned(),
            leader: Some("a".into()),
            maintenance: Some(Maintenance {
                reason: "\"[{".to_owned(),
                automatic: false,
            }),
            ..Topology::default()
        };
        let node = Node {
            status: NodeStatus::Active,
            ..Node::sample("a")
        };
        topology.nodes.insert("a".into(), Arc::new(node));
        let mut lost = Partition::sample(12);
        lost.copies.clear();
        topology.partitions = (0..12)
            .map(Partition::sample)
            .chain([lost])
            .map(Arc::new)
            .collect();
        let view = ClusterView::new(Arc::new(topology), 7, "a");
        let text = of_map(&view, true).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, serde_json::to_value(view.cluster(None)).unwrap());
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("\"primary_node\""))
            .collect();
        assert_eq!(lines.len(), 13, "{text}");
        assert!(
            lines[0].starts_with("      \"partition-0\": {\"id\":\"partition-0\","),
            "{text}"
        );
        let alone = of_map(&view, false).unwrap();
        let alone: serde_json::Value = serde_json::from_slice(&alone).unwrap();
        assert_eq!((&read["leader"], &alone["leader"]), (&"a".into(), &"".into()));
    }
}
