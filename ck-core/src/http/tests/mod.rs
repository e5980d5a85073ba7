//! The API over real sockets, answered by the real state machine.

mod access;
mod bounds;
mod cluster;
mod connections;
mod data;
mod docs;
mod fake_node;
mod freshness;
mod route;
mod safety;
mod shapes;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use fake_node::FakeNode;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Access, HttpLimits, RequestCounters, router, serve};
use crate::net::Security;

/// Longer than any step of these tests takes; a test that reaches it has failed.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of the server under test. It keeps its connections, and they end with it.
struct Client {
    addr: SocketAddr,
    inner: legacy::Client<HttpConnector, Body>,
}

/// A complete answer, whatever its status.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    fn new(addr: SocketAddr) -> Self {
        let inner = legacy::Client::builder(TokioExecutor::new()).build_http();
        Client { addr, inner }
    }

    /// The answer; None when there is none, because the connection was refused or broke.
    async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let uri = format!("http://{}{path}", self.addr);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let answer = async {
            let (head, body) = self.inner.request(request).await.ok()?.into_parts();
            Some(Answer {
                status: head.status,
                headers: head.headers,
                body: body.collect().await.ok()?.to_bytes(),
            })
        };
        let answer = tokio::time::timeout(TEST_TIMEOUT, answer).await;
        answer.expect("the server answers in time")
    }

    /// True when the server answers, and says that all is well.
    async fn is_served(&self) -> bool {
        let answer = self.request("GET", "/health", &[], b"").await;
        answer.is_some_and(|answer| answer.status == StatusCode::OK)
    }
}

struct Server {
    fake: Arc<FakeNode>,
    counters: Arc<RequestCounters>,
    addr: SocketAddr,
    client: Client,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::with(FakeNode::new(), HttpLimits::default(), None).await
    }

    async fn with_limits(change: impl FnOnce(&mut HttpLimits)) -> Self {
        let mut limits = HttpLimits::default();
        change(&mut limits);
        Self::with(FakeNode::new(), limits, None).await
    }

    async fn with(fake: Arc<FakeNode>, limits: HttpLimits, extra: Option<Router>) -> Self {
        Self::served(fake, limits, Arc::default(), extra, Security::none()).await
    }

    async fn with_access(
        fake: Arc<FakeNode>,
        limits: HttpLimits,
        access: Arc<Access>,
        extra: Option<Router>,
    ) -> Self {
        Self::served(fake, limits, access, extra, Security::none()).await
    }

    async fn secured(
        fake: Arc<FakeNode>,
        limits: HttpLimits,
        extra: Option<Router>,
        security: Security,
    ) -> Self {
        Self::served(fake, limits, Arc::default(), extra, security).await
    }

    async fn served(
        fake: Arc<FakeNode>,
        limits: HttpLimits,
        access: Arc<Access>,
        extra: Option<Router>,
        security: Security,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let counters = Arc::new(RequestCounters::new());
        let router = router(fake.clone(), limits.clone(), counters.clone(), access, extra);
        let (shutdown, stopped) = oneshot::channel::<()>();
        // As in a process: each connection is inspected before it is decided which runtime serves it.
        let clients = Some(tokio::runtime::Handle::current());
        let task = tokio::spawn(serve(listener, router, limits, security, clients, async move {
            let _ = stopped.await;
        }));
        Server {
            fake,
            counters,
            addr,
            client: Client::new(addr),
            shutdown: Some(shutdown),
            task,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = self.client.request(method, path, headers, body.as_bytes());
        answer.await.expect("the server answers")
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// The answer's status and JSON body.
    async fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let headers: &[(&str, &str)] = if body.is_empty() {
            &[]
        } else {
            &[("content-type", "application/json")]
        };
        let answer = self.send(method, path, headers, body).await;
        (answer.status.as_u16(), parsed(&answer))
    }

    /// Sends bytes as they are and reads until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        // This fails when the server has closed already; the answer below is still checked.
        let _ = stream.write_all(bytes).await;
        read_to_end(&mut stream).await
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer)).await;
    // A reset counts as the end too.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The path of a key's value.
fn data_path(key: &str) -> String {
    format!("/data/{}", utf8_percent_encode(key, NON_ALPHANUMERIC))
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{}: {error}: {:?}", answer.status, answer.body))
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer
        .headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// The code and the message in an error's body, which has no other field but, possibly, the revision for which it is
/// true.
fn error_of(body: &Value) -> (&str, &str) {
    let error = body["error"].as_object().expect("an error object");
    let revision = usize::from(body["revision"].is_u64());
    assert_eq!(body.as_object().unwrap().len(), 1 + revision, "{body}");
    assert_eq!(error.len(), 2, "{body}");
    (
        error["code"].as_str().unwrap(),
        error["message"].as_str().unwrap(),
    )
}
