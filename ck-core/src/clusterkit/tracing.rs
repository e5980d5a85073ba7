//! Log messages as events of `tracing`.

use std::sync::Arc;

use super::ClusterKit;
use crate::options::LogLevel;

impl ClusterKit {
    /// Sends this node's log messages to `tracing`, with the target `clusterkit` and the field `node`: in place of a
    /// callback of [`ClusterKit::on_log`]. The option `log_level` still decides which messages there are.
    ///
    /// Needs the feature `tracing`.
    pub fn log_to_tracing(&self) {
        let node = self.my_node_id().clone();
        self.on_log(Some(Arc::new(move |level, message| match level {
            LogLevel::Off => {}
            LogLevel::Error => tracing::error!(target: "clusterkit", %node, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "clusterkit", %node, "{message}"),
            LogLevel::Info => tracing::info!(target: "clusterkit", %node, "{message}"),
            LogLevel::Debug => tracing::debug!(target: "clusterkit", %node, "{message}"),
            LogLevel::Trace => tracing::trace!(target: "clusterkit", %node, "{message}"),
        })));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use parking_lot::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use crate::{ClusterKit, Options};

    /// Sends the text of every event of ours.
    struct Listener(Mutex<Sender<String>>);

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push_str(&format!("{}={value:?} ", field.name()));
        }
    }

    impl Subscriber for Listener {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "clusterkit"
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut text = Text(format!("{} ", event.metadata().level()));
            event.record(&mut text);
            let _ = self.0.lock().send(text.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn messages_reach_tracing_with_level_and_node() {
        let (sender, events) = channel();
        tracing::subscriber::set_global_default(Listener(Mutex::new(sender))).unwrap();
        let mut options = Options::new("traced", "127.0.0.1:0");
        options.data_dir = String::new();
        let node = ClusterKit::new(options).unwrap();
        node.log_to_tracing();
        node.start().unwrap();
        let listens = loop {
            let event = events.recv_timeout(Duration::from_secs(20)).unwrap();
            if event.contains("listens at") {
                break event;
            }
        };
        assert!(
            listens.starts_with("INFO ") && listens.contains("node=traced"),
            "{listens}"
        );
        node.stop().unwrap();
    }
}
