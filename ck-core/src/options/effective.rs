//! What a node makes of its options: each with the value that counts.

use super::{Options, format_duration, table};
use crate::error::Result;

impl Options {
    /// Every option with the value that a node uses, in the form that [`Options::set`] reads: as set, by default, or as
    /// derived from other options. The value is empty where there is none, and where only the running node knows it (its
    /// address, and the number of its threads).
    ///
    /// # Errors
    /// As [`Options::validate`]: options that contradict each other come to nothing.
    pub fn effective(&self) -> Result<Vec<(&'static str, String)>> {
        self.validate()?;
        let value = |name| {
            let set = self.get(name)?;
            Ok(if set.is_empty() { self.derived(name) } else { set })
        };
        table()
            .iter()
            .map(|spec| Ok((spec.name, value(spec.name)?)))
            .collect()
    }

    /// The value of an option that is not set.
    fn derived(&self, name: &str) -> String {
        let timing = self.timing.values();
        match name {
            "node_name" => self.effective_node_name(),
            "raft_addr" => self.http_addr.clone(),
            "bootstrap" => self.may_bootstrap_alone().to_string(),
            "partition_count" => self.bootstrap_partition_count().to_string(),
            "replication_factor" => self.bootstrap_replication_factor().to_string(),
            "sync_interval" => format_duration(self.effective_sync_interval()),
            "lease_ttl" => format_duration(self.effective_lease_ttl()),
            "health_check.interval" => format_duration(self.effective_health_interval()),
            "health_check.timeout" => format_duration(self.effective_health_timeout()),
            "timing.heartbeat" => format_duration(timing.heartbeat),
            "timing.election_min" => format_duration(timing.election_min),
            "timing.election_max" => format_duration(timing.election_max),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::options::{OptionDefault, Options, table};

    #[test]
    fn every_option_comes_to_what_the_node_uses() {
        let mut options = Options::new("node-7", "127.0.0.1:0");
        options.set("sync_interval", "100ms").unwrap();
        let effective = options.effective().unwrap();
        assert_eq!(effective.len(), table().len());
        let value = |name| &*effective.iter().find(|(found, _)| *found == name).unwrap().1;
        assert_eq!(
            (value("node_name"), value("sync_interval")),
            ("Server-7", "100ms")
        );
        assert_eq!(
            (value("partition_count"), value("raft_addr")),
            ("64", "127.0.0.1:0")
        );
        // What it comes to is the same when it is set so.
        for (name, value) in effective.iter().filter(|(_, value)| !value.is_empty()) {
            options.set(name, value).unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(options.effective().unwrap(), effective);
    }

    /// An option that is derived from others and missing above would be shown as nothing.
    #[test]
    fn only_what_the_running_node_finds_out_is_left_open() {
        let options = Options::new("node-1", "127.0.0.1:0");
        let open: Vec<_> = options.effective().unwrap();
        let open = open.iter().filter(|(_, value)| value.is_empty());
        let open: Vec<_> = open
            .map(|(name, _)| *name)
            .filter(|name| {
                let spec = table().iter().find(|spec| spec.name == *name).unwrap();
                matches!(spec.default, OptionDefault::Derived(_))
            })
            .collect();
        assert_eq!(open, ["advertise_addr", "runtime_threads"]);
    }

    #[test]
    fn options_that_are_invalid_come_to_nothing() {
        assert!(Options::default().effective().is_err());
    }
}
