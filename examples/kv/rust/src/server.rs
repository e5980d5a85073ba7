//! A server's life: what it starts, in which order, and how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use clusterkit::{AsyncClusterKit, ClusterKit, ListenAddr};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::answers::{ApiError, AppState};
use crate::auth::Tokens;
use crate::peers::{MAX_BODY, Peers};
use crate::replication::{Kv, WRITE_TIMEOUT};
use crate::sqlite::SqliteThread;
use crate::store::Store;
use crate::{Config, Mode, StartError, clients, members};

/// How long a server that is to end waits for its replicas, in the mode `async`.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that runs.
pub struct Server {
    kv: Arc<Kv>,
    node: AsyncClusterKit,
    kv_addr: String,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Starts a server. Returns when it is a member and serves.
    ///
    /// # Errors
    /// An address or a file cannot be used, or the cluster does not admit the node.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config {
            mut options,
            kv_addr,
            mode,
            database,
            async_queue,
            log,
        } = config;
        let store = match &database {
            Some(file) => Store::Sqlite(SqliteThread::open(file)?),
            None => Store::in_memory(),
        };
        let listener = bind(&kv_addr).await?;
        let port = listener.local_addr()?.port();
        let http_host = ListenAddr::parse(&options.http_addr)?.host().to_owned();
        let service = match kv_addr.is_wildcard() || kv_addr.host() == http_host {
            true => format!(":{port}"),
            false => format!("{}:{port}", kv_addr.host()),
        };
        options.services.insert("kv".to_owned(), service);
        let tokens = Tokens::new(&options)?;
        let peers = Peers::new(tokens.first().map(Into::into), async_queue);
        let node = ClusterKit::new(options)?;
        if log {
            node.on_log(Some(Arc::new(crate::status::log)));
        }
        let kv = Arc::new(Kv::new(node, mode, store, peers));
        crate::hooks::register(&kv)?;

        // Before the node starts: others copy from it as soon as it is a member.
        let state = Arc::new(AppState {
            kv: kv.clone(),
            tokens,
            started: Instant::now(),
        });
        let (stop, mut stopped) = watch::channel(false);
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let serving = axum::serve(listener, router(state.clone())).with_graceful_shutdown(async move {
            drop(stopped.wait_for(|stop| *stop).await);
        });
        let serving = tokio::spawn(serving.into_future());
        tokio::spawn(crate::hooks::tend(Arc::downgrade(&kv)));
        tokio::spawn(crate::status::print(Arc::downgrade(&kv)));
        let node = AsyncClusterKit::from(kv.node.clone());
        node.start().await?;
        let host = node.http_addr().unwrap_or_default();
        let host = host.rsplit_once(':').map_or("", |(host, _)| host);
        Ok(Server {
            kv,
            node,
            kv_addr: format!("{host}:{port}"),
            stop,
            serving,
        })
    }

    /// Where other nodes reach ClusterKit's API of this one.
    pub fn http_addr(&self) -> String {
        self.node.http_addr().unwrap_or_default()
    }

    /// Where clients reach this server.
    pub fn kv_addr(&self) -> &str {
        &self.kv_addr
    }

    /// ClusterKit's node.
    pub fn node(&self) -> &ClusterKit {
        &self.node
    }

    /// Stops in order: the node gives up its roles and says goodbye, then requests under way are answered.
    ///
    /// # Errors
    /// As ClusterKit's `stop`.
    pub async fn stop(self) -> clusterkit::Result<()> {
        self.kv.stopping.send_replace(true);
        // What was acknowledged is not lost because its primary ends in order.
        if self.kv.mode == Mode::Async {
            drop(tokio::time::timeout(DRAIN_TIMEOUT, self.kv.drain()).await);
        }
        let stopped = self.node.stop().await;
        self.stop.send_replace(true);
        let abort = self.serving.abort_handle();
        // Connections that clients keep open are not waited for.
        if tokio::time::timeout(WRITE_TIMEOUT, self.serving).await.is_err() {
            abort.abort();
        }
        stopped
    }
}

async fn bind(addr: &ListenAddr) -> std::io::Result<TcpListener> {
    match (
        TcpListener::bind((addr.bind_host(), addr.port())).await,
        addr.fallback_host(),
    ) {
        (Err(_), Some(host)) => TcpListener::bind((host, addr.port())).await,
        (bound, _) => bound,
    }
}

fn router(state: Arc<AppState>) -> Router {
    let between_members = Router::new()
        .route("/kv/replicate", post(members::replicate))
        .route("/kv/fence", post(members::fence))
        .route("/kv/finish", post(members::finish))
        .route("/kv/check", post(members::check))
        .route("/kv/migrate", get(members::migrate))
        .route_layer(middleware::from_fn_with_state(state.clone(), members::only));
    Router::new()
        .route("/kv/set", post(clients::set))
        .route("/kv/get", get(clients::read))
        .route("/kv/delete", post(clients::delete))
        .route("/kv/list", get(clients::list))
        .route("/kv/stats", get(clients::stats))
        .merge(between_members)
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "there is no such path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}
