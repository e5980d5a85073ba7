//! HTTP: what clients ask, and what the other members do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use clusterkit::model::Role;
use clusterkit::{AsyncClusterKit, ClusterKit, ListenAddr};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::Tokens;
use crate::peers::{
    CallError, Check, CopyAnswer, FORWARDED, Fence, Finish, MAX_BODY, PAGE_ROWS, PageAnswer, Peers, Replicate,
};
use crate::replication::{Failure, Kv, WRITE_TIMEOUT};
use crate::sqlite::SqliteThread;
use crate::store::{Store, StoreError};
use crate::{Config, Mode, StartError};

const MAX_KEY_BYTES: usize = 512;
const MAX_VALUE_BYTES: usize = 1 << 20;
/// How many keys a list has at most.
const MAX_KEYS: usize = 10_000;
/// How long a server that is to end waits for its replicas, in the mode `async`.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a server looks after copies that no event is about.
const TEND_PERIOD: Duration = Duration::from_millis(500);

/// A server that runs.
pub struct Server {
    kv: Arc<Kv>,
    node: AsyncClusterKit,
    kv_addr: String,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
}

struct AppState {
    kv: Arc<Kv>,
    tokens: Tokens,
    started: Instant,
}

type App = State<Arc<AppState>>;

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
        let kv = Arc::new(Kv::new(ClusterKit::new(options)?, mode, store, peers));
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
        tokio::spawn(tend(Arc::downgrade(&kv)));
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

async fn tend(kv: std::sync::Weak<Kv>) {
    loop {
        tokio::time::sleep(TEND_PERIOD).await;
        let Some(kv) = kv.upgrade() else {
            return;
        };
        kv.tend().await;
    }
}

fn router(state: Arc<AppState>) -> Router {
    let members = Router::new()
        .route("/kv/replicate", post(replicate))
        .route("/kv/fence", post(fence))
        .route("/kv/finish", post(finish))
        .route("/kv/check", post(check))
        .route("/kv/migrate", get(migrate))
        .route_layer(middleware::from_fn_with_state(state.clone(), members_only));
    Router::new()
        .route("/kv/set", post(set))
        .route("/kv/get", get(read))
        .route("/kv/delete", post(delete))
        .route("/kv/list", get(list))
        .route("/kv/stats", get(stats))
        .merge(members)
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "there is no such path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

// ---- answers -----------------------------------------------------------------------------------------------------

/// An answer that says why not.
struct ApiError(StatusCode, String);

impl ApiError {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        ApiError(status, why.into())
    }

    fn unavailable(why: impl Into<String>) -> Self {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(why) => ApiError::unavailable(why),
            Failure::Unknown(why) => {
                ApiError::new(StatusCode::GATEWAY_TIMEOUT, format!("unknown outcome: {why}"))
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.0, &json!({ "error": self.1 }));
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

fn json_response(status: StatusCode, body: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_default();
    raw_response(status, body.into())
}

fn raw_response(status: StatusCode, body: Bytes) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

type Answer = Result<Response, ApiError>;
type Body = Result<Bytes, BytesRejection>;
type Parameters<T> = Result<Query<T>, QueryRejection>;

fn whole_body(body: Body) -> Result<Bytes, ApiError> {
    body.map_err(|error| ApiError(error.status(), error.body_text()))
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(wrong_json)
}

fn wrong_json(error: serde_json::Error) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("wrong JSON: {error}"))
}

fn parameters<T>(query: Parameters<T>) -> Result<T, ApiError> {
    match query {
        Ok(Query(parameters)) => Ok(parameters),
        Err(error) => Err(ApiError::new(StatusCode::BAD_REQUEST, error.body_text())),
    }
}

// ---- clients -----------------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Pair {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct Key {
    key: String,
    #[serde(default)]
    local: bool,
}

enum Operation {
    Set(String),
    Get { local: bool },
    Delete,
}

/// What of a request is passed on.
type Sent = (Method, Uri, HeaderMap);

async fn set(State(app): App, method: Method, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    let body = whole_body(body)?;
    // By way of an object: an array of two would do for a struct.
    let object: serde_json::Map<String, Value> = parse(&body)?;
    let Pair { key, value } = Pair::deserialize(Value::Object(object)).map_err(wrong_json)?;
    if value.len() > MAX_VALUE_BYTES {
        let why = format!("a value has {MAX_VALUE_BYTES} bytes at most");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    on_key(&app.kv, (method, uri, headers), body, key, Operation::Set(value)).await
}

async fn read(
    State(app): App,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    query: Parameters<Key>,
) -> Answer {
    let Key { key, local } = parameters(query)?;
    on_key(
        &app.kv,
        (method, uri, headers),
        Bytes::new(),
        key,
        Operation::Get { local },
    )
    .await
}

async fn delete(
    State(app): App,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    query: Parameters<Key>,
) -> Answer {
    let Key { key, .. } = parameters(query)?;
    on_key(
        &app.kv,
        (method, uri, headers),
        Bytes::new(),
        key,
        Operation::Delete,
    )
    .await
}

/// Does it here, where this node is the key's primary; else passes it on to the primary, once.
async fn on_key(kv: &Arc<Kv>, sent: Sent, body: Bytes, key: String, operation: Operation) -> Answer {
    if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
        let why = format!("a key has 1 to {MAX_KEY_BYTES} bytes");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, why));
    }
    let number = kv.node.partition_number(key.as_bytes());
    let number = number.ok_or_else(|| ApiError::unavailable("this node is no member yet"))?;
    let local = matches!(operation, Operation::Get { local: true });
    match kv.node.should_handle_key(key.as_bytes()) {
        Some(Role::Primary) => perform(kv, number, key, operation).await,
        Some(Role::Replica) if local => found(&key, kv.local(number, key.clone()).await?),
        _ => {
            let is_write = !matches!(operation, Operation::Get { .. });
            forward(kv, sent, body, &key, is_write).await
        }
    }
}

async fn perform(kv: &Arc<Kv>, number: u32, key: String, operation: Operation) -> Answer {
    match operation {
        Operation::Get { .. } => found(&key, kv.read(number, key.clone()).await?),
        Operation::Set(value) => {
            let row = kv.write(number, key, Some(value)).await?;
            Ok(json_response(
                StatusCode::OK,
                &json!({ "status": "success", "key": row.key, "version": row.version }),
            ))
        }
        Operation::Delete => {
            let row = kv.write(number, key, None).await?;
            Ok(json_response(
                StatusCode::OK,
                &json!({ "status": "deleted", "key": row.key, "version": row.version }),
            ))
        }
    }
}

fn found(key: &str, row: Option<crate::store::Row>) -> Answer {
    match row {
        Some(row) if row.value.is_some() => Ok(json_response(StatusCode::OK, &row)),
        _ => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no key {key:?}"),
        )),
    }
}

async fn forward(
    kv: &Arc<Kv>,
    (method, uri, headers): Sent,
    body: Bytes,
    key: &str,
    is_write: bool,
) -> Answer {
    if headers.contains_key(FORWARDED) {
        return Err(ApiError::unavailable(
            "this node is not the primary, and the request was passed on to it",
        ));
    }
    let view = kv.node.view();
    let primary = view
        .primary_node(key.as_bytes())
        .filter(|node| node.id != *view.my_id());
    let peer = primary.and_then(|node| kv.peer(node));
    let peer = peer.ok_or_else(|| ApiError::unavailable("the key has no primary at present"))?;
    drop(view);
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let timeout = 2 * WRITE_TIMEOUT + Duration::from_secs(1);
    match peer.forward(method, path, body, timeout).await {
        Ok((StatusCode::SERVICE_UNAVAILABLE, body)) => {
            let retry = [
                (header::RETRY_AFTER, "1"),
                (header::CONTENT_TYPE, "application/json"),
            ];
            Ok((StatusCode::SERVICE_UNAVAILABLE, retry, body).into_response())
        }
        Ok((status, body)) => Ok(raw_response(status, body)),
        Err(CallError::Lost(why)) if is_write => Err(Failure::Unknown(why).into()),
        Err(error) => Err(ApiError::unavailable(format!(
            "{}: {}",
            peer.id,
            String::from(error)
        ))),
    }
}

async fn list(State(app): App) -> Answer {
    let keys = app.kv.store.run(|copies| copies.keys(MAX_KEYS)).await;
    let (keys, count) = keys.map_err(failed)?;
    Ok(json_response(
        StatusCode::OK,
        &json!({ "keys": keys, "count": count }),
    ))
}

async fn stats(State(app): App) -> Answer {
    let mut stats = app.kv.stats().await.map_err(failed)?;
    stats["uptime_seconds"] = app.started.elapsed().as_secs().into();
    Ok(json_response(StatusCode::OK, &stats))
}

fn failed(error: StoreError) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}"))
}

// ---- members -----------------------------------------------------------------------------------------------------

async fn members_only(State(app): App, request: Request, next: Next) -> Response {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes());
    match app.tokens.accept(shown) {
        true => next.run(request).await,
        false => ApiError::new(StatusCode::UNAUTHORIZED, "only members may call this").into_response(),
    }
}

/// 200 with what is known of the copy, or 409 with it where the copy refuses.
fn copy_answer(done: Result<crate::store::CopyState, StoreError>) -> Answer {
    match done {
        Ok(state) => Ok(json_response(StatusCode::OK, &CopyAnswer::from(state))),
        Err(StoreError::Refused(state)) => Ok(json_response(StatusCode::CONFLICT, &CopyAnswer::from(state))),
        Err(error) => Err(failed(error)),
    }
}

async fn replicate(State(app): App, body: Body) -> Answer {
    let Replicate {
        partition,
        epoch,
        rows,
        ..
    } = parse(&whole_body(body)?)?;
    known(&app.kv, partition)?;
    copy_answer(
        app.kv
            .store
            .run(move |copies| copies.merge(partition, epoch, &rows))
            .await,
    )
}

async fn fence(State(app): App, body: Body) -> Answer {
    let Fence {
        partition,
        epoch,
        pending,
    } = parse(&whole_body(body)?)?;
    known(&app.kv, partition)?;
    let fenced = app
        .kv
        .store
        .run(move |copies| match copies.fence(partition, epoch)? {
            _ if pending => copies.set_whole(partition, false),
            state => Ok(state),
        });
    copy_answer(fenced.await)
}

async fn finish(State(app): App, body: Body) -> Answer {
    let finish: Finish = parse(&whole_body(body)?)?;
    known(&app.kv, finish.partition)?;
    Ok(match app.kv.finish(finish).await? {
        Ok(copy) => json_response(StatusCode::OK, &copy),
        Err(copy) => json_response(StatusCode::CONFLICT, &copy),
    })
}

async fn check(State(app): App, body: Body) -> Answer {
    let check: Check = parse(&whole_body(body)?)?;
    known(&app.kv, check.partition)?;
    copy_answer(app.kv.check(check).await)
}

/// A partition that a member names exists: partitions are numbered from 0, and their number never changes.
fn known(kv: &Kv, number: u32) -> Result<(), ApiError> {
    match kv.node.view().partition_count() {
        0 => Err(ApiError::unavailable("this node is no member yet")),
        count if number < count => Ok(()),
        _ => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no partition-{number}"),
        )),
    }
}

#[derive(Deserialize)]
struct PageQuery {
    partition: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    limit: Option<usize>,
}

async fn migrate(State(app): App, query: Parameters<PageQuery>) -> Answer {
    let PageQuery {
        partition,
        after,
        limit,
    } = parameters(query)?;
    let number = partition.strip_prefix("partition-").unwrap_or(&partition).parse();
    let number =
        number.map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "partition is partition-3, or 3"))?;
    known(&app.kv, number)?;
    let limit = limit.unwrap_or(PAGE_ROWS).clamp(1, 2 * PAGE_ROWS);
    // Asked before and after: what is read between is complete.
    let epoch = app.kv.epoch_now(number);
    let page = app
        .kv
        .store
        .run(move |copies| copies.page(number, &after, limit))
        .await
        .map_err(failed)?;
    let epoch = epoch.filter(|epoch| app.kv.epoch_now(number) == Some(*epoch));
    Ok(json_response(
        StatusCode::OK,
        &PageAnswer::new(format!("partition-{number}"), page, epoch),
    ))
}

impl Kv {
    /// The epoch under which this node serves a partition at this moment.
    fn epoch_now(&self, number: u32) -> Option<u64> {
        let epoch = self.node.primary_epoch(number).ok()?;
        (*self.partition(number).ready.borrow() == epoch).then_some(epoch)
    }

    /// Looks after what no event is about.
    async fn tend(self: &Arc<Self>) {
        for number in 0..self.node.view().partition_count() {
            if let Ok(epoch) = self.node.primary_epoch(number)
                && self.epoch_now(number).is_none()
            {
                self.start_takeover(number, epoch);
            }
        }
        self.copy_unfinished().await;
    }

    async fn stats(&self) -> Result<Value, StoreError> {
        let live = self.store.run(|copies| Ok(copies.live())).await?;
        let view = self.node.view();
        let mut stats = json!({
            "local_keys": live,
            "cluster_nodes": view.nodes().len(),
            "partitions": view.partition_count(),
            "is_leader": self.node.is_leader(),
            "raft_state": self.node.consensus_stats().state,
        });
        if self.mode == Mode::Async {
            stats["replicas"] = self.peers.all().iter().map(|peer| peer.lag_json()).collect();
        }
        Ok(stats)
    }
}
