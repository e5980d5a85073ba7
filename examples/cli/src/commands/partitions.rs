//! `partitions`: who holds what.

use clusterkit::model::PartitionState;

use crate::api::Api;
use crate::args::PartitionsArgs;
use crate::error::{CliError, Result};
use crate::layout::Layout;
use crate::output::{Align, Cell, Out, Table, Tone, map, plural};

/// Lists the partitions, or draws them.
pub(crate) fn run(args: &PartitionsArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    let answer = api.cluster()?;
    if let Some(id) = &args.node
        && answer.node(id).is_none()
    {
        let message = format!("the cluster has no node {id:?}");
        return Err(CliError::failed(clusterkit::ErrorCode::NotFound, message));
    }
    let mut records: Vec<_> = answer.cluster.partition_map.partitions.values().collect();
    records.sort_by_key(|record| record.number);
    let wanted = |record: &&clusterkit::model::PartitionRecord| {
        let holders = || {
            record
                .replica_nodes
                .iter()
                .chain(&record.pending)
                .chain([&record.primary_node])
        };
        args.node
            .as_deref()
            .is_none_or(|id| holders().any(|holder| &**holder == id))
            && args
                .state
                .as_deref()
                .is_none_or(|state| record.state.as_str() == state)
    };
    let shown: Vec<_> = records.into_iter().filter(wanted).collect();
    if out.json {
        let count = shown.len();
        return out
            .json(&serde_json::json!({ "partitions": shown, "count": count, "revision": answer.revision }));
    }
    if args.map {
        let layout = Layout::new(&answer.cluster);
        return out.text(map(&layout, None, out.styles, out.width));
    }
    let mut table = Table::new(&[
        ("partition", Align::Left),
        ("primary", Align::Left),
        ("replicas", Align::Left),
        ("pending", Align::Left),
        ("epoch", Align::Right),
        ("state", Align::Left),
    ]);
    for record in &shown {
        let primary = if record.primary_node.is_empty() {
            Cell::new("none", Tone::Bad)
        } else {
            (*record.primary_node).into()
        };
        table.row(vec![
            record.id.as_str().into(),
            primary,
            record.replica_nodes.join(" ").into(),
            Cell::new(record.pending.join(" "), Tone::Warn),
            record.epoch.to_string().into(),
            Cell::new(record.state.as_str(), state_tone(record.state)),
        ]);
    }
    if !table.is_empty() {
        out.text(table.render(out.styles))?;
    }
    let line = format!(
        "{} at revision {}{}",
        plural(shown.len(), "partition"),
        answer.revision,
        answer.age_note()
    );
    out.line(out.styles.paint(Tone::Dim, &line))
}

/// The colour of a partition's state.
pub(crate) fn state_tone(state: PartitionState) -> Tone {
    match state {
        PartitionState::Ok => Tone::Good,
        PartitionState::Moving | PartitionState::UnderReplicated => Tone::Warn,
        _ => Tone::Bad,
    }
}
