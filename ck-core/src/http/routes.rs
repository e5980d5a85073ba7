//! The table of routes. The router and the counters are built from it, and the documentation is checked against it.

use axum::Router;

use super::AppState;
use super::access::Level;
use super::handlers::{admin, cluster, consensus, data, health, route};

/// One route of the REST API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET` (which includes HEAD), `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The path, with `{name}` for one segment and `{*name}` for the rest.
    pub path: &'static str,
    /// What a caller must be.
    pub level: Level,
    add: fn(Router<AppState>) -> Router<AppState>,
}

impl Route {
    pub(super) fn add_to(&self, router: Router<AppState>) -> Router<AppState> {
        (self.add)(router)
    }
}

// The level is a part of each row: a route without one does not compile.
macro_rules! routes {
    ($($level:ident $name:literal $verb:ident $path:literal => $handler:path;)*) => {
        /// Every route of the REST API.
        pub static ROUTES: &[Route] = &[$(Route {
            method: $name,
            path: $path,
            level: Level::$level,
            add: |router| router.route($path, axum::routing::$verb($handler)),
        }),*];
    };
}

routes! {
    None "GET" get "/health" => health::alive;
    None "GET" get "/ready" => health::ready;
    Read "GET" get "/health/detailed" => health::detailed;
    Read "GET" get "/cluster" => cluster::cluster;
    Read "GET" get "/nodes" => cluster::nodes;
    Operate "DELETE" delete "/nodes/{id}" => admin::remove_node;
    Read "GET" get "/partitions" => cluster::partitions;
    Operate "POST" post "/partitions" => admin::create_partitions;
    Operate "POST" post "/partitions/{id}/recover" => admin::recover;
    Read "GET" get "/partitions/stats" => cluster::partition_stats;
    Read "GET" get "/partitions/key" => cluster::partition_of_key;
    Read "GET" get "/route" => route::key;
    Read "POST" post "/route" => route::keys;
    Read "GET" get "/consensus/leader" => consensus::leader;
    Read "GET" get "/consensus/stats" => consensus::stats;
    Read "GET" get "/metrics" => consensus::metrics;
    Peer "POST" post "/join" => admin::join;
    Peer "POST" post "/sync" => admin::sync;
    Read "GET" get "/rebalance" => admin::rebalance_status;
    Operate "POST" post "/rebalance" => admin::rebalance;
    Operate "POST" post "/leave" => admin::leave;
    Operate "POST" post "/step-down" => admin::step_down;
    Operate "POST" post "/maintenance" => admin::begin_maintenance;
    Operate "DELETE" delete "/maintenance" => admin::end_maintenance;
    Read "GET" get "/data" => data::list;
    Read "GET" get "/data/{*key}" => data::get;
    Operate "PUT" put "/data/{*key}" => data::put;
    Operate "DELETE" delete "/data/{*key}" => data::delete;
}
