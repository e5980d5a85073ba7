//! Tests over real loopback sockets, on ports that the system gives.

mod connections;
mod counted_proofs;
mod frames;
mod handshakes;
mod proofs;
mod relay;
mod round_trips;
mod silence;
mod tls;
mod unproven_connections;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// A deadline that is reached only if something is broken.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Answers with the request.
fn echo() -> Handler {
    handler(|request, _| async move { request })
}

/// Answers with the request, and marks every connection as proven.
fn echo_to_members() -> Handler {
    handler(|request, connection| async move {
        connection.mark_proven();
        request
    })
}

fn handler<F>(answer: impl Fn(Bytes, Arc<PeerConnection>) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Bytes> + Send + 'static,
{
    Arc::new(move |request, connection| answer(request, connection).boxed())
}

/// A server of the cluster "test" on a port of its own, and its address.
async fn serve(handler: Handler) -> (PeerServer, String) {
    // Unproven connections have the limits of proven ones, so that handlers need not prove them.
    let limits = NetLimits {
        max_requests_unproven: NetLimits::default().max_requests,
        ..NetLimits::default()
    };
    serve_at("127.0.0.1:0", handler, limits).await
}

async fn serve_at(addr: &str, handler: Handler, limits: NetLimits) -> (PeerServer, String) {
    let listener = bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = plain_server("test", handler, limits);
    server.listen(listener);
    (server, addr)
}

fn client() -> TcpTransport {
    TcpTransport::plaintext("test")
}

fn client_with(limits: NetLimits) -> TcpTransport {
    TcpTransport::new("test", limits, Security::none())
}

/// A server of a cluster without a secret.
fn plain_server(cluster: &str, handler: Handler, limits: NetLimits) -> PeerServer {
    PeerServer::new(cluster, handler, limits, Security::none(), Arc::default())
}

/// The length of a frame's header without a proof.
const PLAIN_HEADER_LEN: usize = 20;

/// Waits until a condition holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(TEST_TIMEOUT, all).await.is_ok(),
        "never: {what}"
    );
}

/// A connection whose handshake is complete, to send any bytes on.
async fn raw_peer(addr: &str, lane: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "GET /peer HTTP/1.1\r\nhost: {addr}\r\nconnection: upgrade\r\nupgrade: clusterkit/1\r\n\
         clusterkit-cluster: test\r\nclusterkit-lane: {lane}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

/// Waits for the other end to close, and returns what it sent until then.
async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let reading = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut received)).await;
    // A reset is a close too.
    let _ = reading.expect("the connection is still open");
    received
}
