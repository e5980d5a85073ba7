//! Bounds the connections of a node by the number of files that its process may open.
//!
//! A connection is an open file, and so are the log's segments, the snapshot, and the files of the host application.
//! Invariant: connections never take the last free file, because a log that cannot open one cannot go on.

use rustix::process::{Resource, getrlimit};

use crate::http::HttpLimits;
use crate::net::NetLimits;

/// Open files that accepted connections leave free: for the log, the snapshot, connections to other members, and the
/// host application.
const RESERVED_FILES: usize = 160;
/// The lower bound on each kind of connection. Under a very low limit the connections take some of the reserved files.
const MIN_CONNECTIONS: usize = 16;

/// The number of files that this process may open at present; `None` where there is no limit.
pub(super) fn limit() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile).current?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The bounds on connections under this limit on open files: no more than the defaults, and together less than the
/// limit; but at least [`MIN_CONNECTIONS`] of each kind.
pub(super) fn bounds(limit: Option<usize>) -> (HttpLimits, NetLimits) {
    let (mut http, mut net) = (HttpLimits::default(), NetLimits::default());
    if let Some(limit) = limit {
        let room = limit.saturating_sub(RESERVED_FILES);
        http.max_connections = http.max_connections.min((room / 2).max(MIN_CONNECTIONS));
        http.reserved_connections = http.reserved_connections.min((room / 8).max(MIN_CONNECTIONS));
        let peers = u32::try_from((room / 4).max(MIN_CONNECTIONS)).unwrap_or(u32::MAX);
        net.max_connections = net.max_connections.min(peers);
    }
    (http, net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_the_last_files() {
        for limit in [256, 512, 1024, 4096, 20_000, 1 << 20] {
            let (http, net) = bounds(Some(limit));
            let all = http.max_connections + http.reserved_connections + net.max_connections as usize;
            assert!(all + RESERVED_FILES / 2 <= limit, "{limit}: {all}");
        }
    }

    #[test]
    fn where_there_is_room_the_bounds_are_the_usual_ones() {
        let usual = (HttpLimits::default(), NetLimits::default());
        assert_eq!(bounds(None), usual);
        assert_eq!(bounds(Some(20_000)), usual);
    }
}
