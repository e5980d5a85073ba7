//! Checks a joining node's description of itself against the bounds of its options.

use crate::error::{Error, ErrorCode, Result};
use crate::options::Options;
use crate::state::NodeSpec;

/// The longest explanation, in characters.
const MAX_SHOWN: usize = 300;

/// Refuses a description that no build of this version could have made: what is admitted is stored on every node's
/// disk, and appears in every page and message about the node.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`]: names the field, its value and what would be right.
pub(crate) fn check_spec(spec: &NodeSpec) -> Result<()> {
    let mut options = Options::default();
    let mut check = |field: &str, value: &str| {
        options.set(field, value).map_err(|error| {
            // The message may repeat the name of an entry, however long that is.
            let what: String = error.message().chars().take(MAX_SHOWN).collect();
            Error::new(
                ErrorCode::InvalidArgument,
                format!("a node that wants to join: {what}"),
            )
        })
    };
    check("node_id", &spec.id)?;
    check("node_name", &spec.name)?;
    for address in [&spec.ip, &spec.peer_addr] {
        if address.contains(',') || !address.contains(':') {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                "a node that wants to join: its address is no host:port",
            ));
        }
        check("join_addrs", address)?;
    }
    if let Some(zone) = &spec.zone {
        check("zone", zone)?;
    }
    check("weight", &spec.weight.to_string())?;
    for (group, entries) in [("services", &spec.services), ("labels", &spec.labels)] {
        for (key, value) in entries {
            check(&format!("{group}.{key}"), value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn spec() -> NodeSpec {
        NodeSpec {
            id: "node-1".into(),
            name: "node 1".to_owned(),
            ip: "10.0.0.1:8080".to_owned(),
            port: 8080,
            peer_addr: "node-1.db.example:9000".to_owned(),
            services: BTreeMap::from([("api".to_owned(), "10.0.0.1:80".to_owned())]),
            zone: Some("a".to_owned()),
            weight: 100,
            labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
            process: 1,
            raft_id: None,
        }
    }

    #[test]
    fn a_node_describes_itself_within_bounds() {
        check_spec(&spec()).unwrap();
        let long = "x".repeat(1_000_000);
        let change: [fn(&mut NodeSpec, &str); 9] = [
            |spec, _| spec.id = "n4\n\u{1b}[31m".into(),
            |spec, _| spec.id = "..".into(),
            |spec, long| spec.id = long.into(),
            |spec, long| spec.name = long.to_owned(),
            |spec, _| spec.ip = "nowhere".to_owned(),
            |spec, _| spec.peer_addr = "a:1,b:2".to_owned(),
            |spec, _| spec.weight = u32::MAX,
            |spec, long| drop(spec.labels.insert(long.to_owned(), "v".to_owned())),
            |spec, long| drop(spec.services.insert("k".to_owned(), long.to_owned())),
        ];
        for (number, change) in change.into_iter().enumerate() {
            let mut tested = spec();
            change(&mut tested, &long);
            let refused = check_spec(&tested).expect_err(&format!("change {number}"));
            assert_eq!(refused.code(), ErrorCode::InvalidArgument, "change {number}");
            assert!(refused.message().len() < 2000, "change {number}");
        }
    }
}
