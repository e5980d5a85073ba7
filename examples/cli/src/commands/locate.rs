//! `locate`: where keys belong.

use serde::Serialize;

use super::read_keys;
use crate::api::{Api, ClusterAnswer};
use crate::args::LocateArgs;
use crate::error::{CliError, Result};
use crate::output::{Align, Cell, Out, Table, Tone};

#[derive(Debug, Serialize)]
struct Located<'a> {
    key: &'a str,
    partition: String,
    number: u32,
    primary: &'a str,
    primary_ip: &'a str,
    replicas: Vec<&'a str>,
}

/// Locates the keys of the command line, or of standard input.
pub(crate) fn run(args: &LocateArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    let keys = match args.keys.as_slice() {
        [] => read_keys("-")?,
        [dash] if dash == "-" => read_keys("-")?,
        keys => keys.to_vec(),
    };
    let answer = api.cluster()?;
    answer.hash_config.check()?;
    let located: Result<Vec<_>> = keys.iter().map(|key| locate(&answer, key)).collect();
    let located = located?;
    if out.json {
        return out.json(&serde_json::json!({ "revision": answer.revision, "keys": located }));
    }
    let mut table = Table::new(&[
        ("key", Align::Left),
        ("partition", Align::Left),
        ("primary", Align::Left),
        ("address", Align::Left),
        ("replicas", Align::Left),
    ]);
    for found in &located {
        let primary = if found.primary.is_empty() {
            Cell::new("none", Tone::Bad)
        } else {
            Cell::new(found.primary, Tone::Good)
        };
        table.row(vec![
            found.key.into(),
            found.partition.as_str().into(),
            primary,
            found.primary_ip.into(),
            found.replicas.join(" ").into(),
        ]);
    }
    out.text(table.render(out.styles))
}

fn locate<'a>(answer: &'a ClusterAnswer, key: &'a str) -> Result<Located<'a>> {
    let number = answer.hash_config.partition(key);
    let id = answer.hash_config.format.replace("%d", &number.to_string());
    let partitions = &answer.cluster.partition_map.partitions;
    let record = partitions.get(&id).ok_or_else(|| {
        CliError::failed(
            clusterkit::ErrorCode::NotFound,
            format!("the cluster has no {id} yet; it is still forming"),
        )
    })?;
    Ok(Located {
        key,
        partition: id,
        number,
        primary: &record.primary_node,
        primary_ip: answer.node(&record.primary_node).map_or("", |node| &node.ip),
        replicas: record.replica_nodes.iter().map(|id| &**id).collect(),
    })
}
