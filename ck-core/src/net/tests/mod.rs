//! Tests over real loopback sockets, on ports that the system gives.

mod connections;
mod crowding;
mod frames;
mod handshakes;
mod round_trips;
mod silence;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// A deadline that is never reached unless something is broken.
const LONG: Duration = Duration::from_secs(20);

/// Answers with the request.
fn echo() -> Handler {
    handler(|request, _| async move { request })
}

/// Answers with the request, and takes everybody for a member.
fn echo_to_members() -> Handler {
    handler(|request, info| async move {
        info.connection.prove();
        request
    })
}

fn handler<F>(answer: impl Fn(Bytes, PeerInfo) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Bytes> + Send + 'static,
{
    Arc::new(move |request, info| answer(request, info).boxed())
}

/// A server of the cluster "test" on a port of its own; gives its address.
async fn serve(handler: Handler) -> (PeerServer, String) {
    // Who asks is taken for a peer, whatever the handler thinks of it.
    let limits = NetLimits {
        max_requests_unproven: NetLimits::default().max_requests,
        ..NetLimits::default()
    };
    serve_at("127.0.0.1:0", handler, limits).await
}

async fn serve_at(addr: &str, handler: Handler, limits: NetLimits) -> (PeerServer, String) {
    let listener = bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = PeerServer::new("test", handler, limits, Arc::new(Plaintext));
    server.listen(listener);
    (server, addr)
}

fn client() -> TcpTransport {
    TcpTransport::plaintext("test")
}

fn client_with(limits: NetLimits) -> TcpTransport {
    TcpTransport::new("test", limits, Arc::new(Plaintext))
}

/// Waits until something holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, all).await.is_ok(), "never: {what}");
}

/// A connection past its handshake, with nothing behind it that keeps to the protocol.
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

/// Waits for the other end to close, and tells what it sent until then.
async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let reading = tokio::time::timeout(LONG, stream.read_to_end(&mut received)).await;
    // A reset is a close too.
    let _ = reading.expect("the connection is still open");
    received
}
