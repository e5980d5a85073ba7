//! The table of routes. The router and the counters are built from it, and the documentation is checked against it.

use axum::Router;

use super::AppState;
use super::handlers::{admin, cluster, consensus, data, health, route};

/// One route of the REST API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET` (which includes HEAD), `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The path, with `{name}` for one segment and `{*name}` for the rest.
    pub path: &'static str,
    add: fn(Router<AppState>) -> Router<AppState>,
}

impl Route {
    pub(super) fn add_to(&self, router: Router<AppState>) -> Router<AppState> {
        (self.add)(router)
    }
}

macro_rules! routes {
    ($($name:literal $verb:ident $path:literal => $handler:path;)*) => {
        /// Every route of the REST API.
        pub static ROUTES: &[Route] = &[$(Route {
            method: $name,
            path: $path,
            add: |router| router.route($path, axum::routing::$verb($handler)),
        }),*];
    };
}

routes! {
    "GET" get "/health" => health::alive;
    "GET" get "/ready" => health::ready;
    "GET" get "/health/detailed" => health::detailed;
    "GET" get "/cluster" => cluster::cluster;
    "GET" get "/nodes" => cluster::nodes;
    "DELETE" delete "/nodes/{id}" => admin::remove_node;
    "GET" get "/partitions" => cluster::partitions;
    "POST" post "/partitions" => admin::create_partitions;
    "POST" post "/partitions/{id}/recover" => admin::recover;
    "GET" get "/partitions/stats" => cluster::partition_stats;
    "GET" get "/partitions/key" => cluster::partition_of_key;
    "GET" get "/route" => route::key;
    "POST" post "/route" => route::keys;
    "GET" get "/consensus/leader" => consensus::leader;
    "GET" get "/consensus/stats" => consensus::stats;
    "GET" get "/metrics" => consensus::metrics;
    "POST" post "/join" => admin::join;
    "POST" post "/sync" => admin::sync;
    "GET" get "/rebalance" => admin::rebalance_status;
    "POST" post "/rebalance" => admin::rebalance;
    "POST" post "/leave" => admin::leave;
    "POST" post "/step-down" => admin::step_down;
    "POST" post "/maintenance" => admin::begin_maintenance;
    "DELETE" delete "/maintenance" => admin::end_maintenance;
    "GET" get "/data" => data::list;
    "GET" get "/data/{*key}" => data::get;
    "PUT" put "/data/{*key}" => data::put;
    "DELETE" delete "/data/{*key}" => data::delete;
}
