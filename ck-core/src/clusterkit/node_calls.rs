//! The calls of a node that wait, each with its future behind a pointer.
//!
//! The code of an async function is compiled into every crate that names the type of its future, and with it everything
//! that it awaits, which here is most of this library. Whoever uses [`AsyncClusterKit`](super::AsyncClusterKit) names the
//! pointers of this module only, and so the library is compiled once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::Result;
use crate::model::{LeaderInfo, NodeId, RebalanceStatus};
use crate::node::Node;
use crate::state::Expect;

/// The future of a call of a node.
pub(super) type NodeCall<T> = BoxFuture<'static, Result<T>>;

macro_rules! calls {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty = |$node:ident| $call:expr;)+) => {$(
        #[inline(never)]
        pub(super) fn $name(node: Arc<Node> $(, $argument: $type)*) -> NodeCall<$answer> {
            Box::pin(async move {
                let $node = node;
                // Created where it runs: it may be larger than the caller's stack.
                Box::pin($call).await
            })
        }
    )+};
}

calls! {
    start() -> () = |node| node.start();
    stop() -> () = |node| node.stop();
    close_immediately() -> () = |node| node.close_immediately();
    leave(timeout: Duration) -> () = |node| node.leave(timeout);
    maintenance(reason: Option<String>, timeout: Duration) -> u64 = |node| node.maintenance(reason, timeout);
    remove_node(id: NodeId, force: bool, timeout: Duration) -> u64 = |node| node.remove_node(id, force, timeout);
    recover(number: u32, from: NodeId, force: bool, timeout: Duration) -> u64
        = |node| node.recover(number, from, force, timeout);
    create_partitions(timeout: Duration) -> (u64, usize) = |node| node.create_partitions(timeout);
    rebalance(timeout: Duration) -> (u64, usize) = |node| node.rebalance(timeout);
    rebalance_status(timeout: Duration) -> RebalanceStatus = |node| async { Ok(node.rebalance_status(timeout).await) };
    wait_for_leader(timeout: Duration) -> LeaderInfo = |node| node.wait_for_leader(timeout);
    step_down(successor: Option<NodeId>) -> NodeId = |node| node.step_down(successor);
    demote(cooldown: Duration) -> NodeId = |node| node.demote(None, Some(cooldown));
    set_data(key: String, value: Bytes, expect: Expect, timeout: Duration) -> u64
        = |node| node.set_data(key, value, expect, timeout);
    delete_data(key: String, expect: Expect, timeout: Duration) -> (u64, bool)
        = |node| node.delete_data(key, expect, timeout);
    wait_for_revision(revision: u64, timeout: Duration) -> () = |node| node.wait_for_revision(revision, timeout);
    read_barrier(timeout: Duration) -> u64 = |node| node.read_barrier(timeout);
}
