//! Connections whose far end is silent, through a relay that drops their state, as a firewall or a NAT may.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use super::*;
use crate::error::ErrorCode;

const REQUEST: Bytes = Bytes::from_static(b"ask");

/// Short enough for a test, long enough for a busy machine.
fn limits() -> NetLimits {
    NetLimits {
        max_silence: Duration::from_millis(800),
        ..NetLimits::default()
    }
}

/// Forwards connections to a server, until it drops their state.
struct Relay {
    addr: String,
    /// Connections with a lower number stay open, but nothing passes over them.
    first_live: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

impl Relay {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay {
            addr: listener.local_addr().unwrap().to_string(),
            first_live: Arc::default(),
            accepted: Arc::default(),
        };
        let (first_live, accepted) = (relay.first_live.clone(), relay.accepted.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let Ok(far) = TcpStream::connect(&server).await else {
                    continue;
                };
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                tokio::spawn(pass(number, first_live.clone(), near_read, far_write));
                tokio::spawn(pass(number, first_live.clone(), far_read, near_write));
            }
        });
        relay
    }

    fn drop_state(&self) {
        self.first_live
            .store(self.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

async fn pass(
    number: usize,
    first_live: Arc<AtomicUsize>,
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) {
    let mut buffer = vec![0; 4096];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if number < first_live.load(Ordering::SeqCst) {
            // Neither end is notified.
            std::future::pending::<()>().await;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_dead_connection_is_replaced_although_every_call_on_it_is_given_up_early() {
    let (_server, addr) = serve(echo()).await;
    let relay = Relay::to(addr).await;
    for lane in Lane::ALL {
        let client = client_with(limits());
        client
            .call(&relay.addr, lane, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap();
        relay.drop_state();
        let before = relay.accepted.load(Ordering::SeqCst);
        // As heartbeats do: each call is given up long before `max_silence`.
        eventually("a new connection", async || {
            client
                .call(&relay.addr, lane, REQUEST, limits().max_silence / 4)
                .await
                .is_ok()
        })
        .await;
        let after = relay.accepted.load(Ordering::SeqCst);
        assert!(after > before, "{lane:?}: the relay kept its state");
    }
}

#[tokio::test]
async fn a_dead_idle_connection_is_detected_before_it_is_used() {
    let (_server, addr) = serve(echo()).await;
    let relay = Relay::to(addr).await;
    let client = client_with(limits());
    client
        .call(&relay.addr, Lane::Control, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
    relay.drop_state();
    eventually("it is closed", async || client.connections() == 0).await;
    client
        .call(&relay.addr, Lane::Control, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_live_idle_connection_is_kept() {
    let (_server, addr) = serve(echo()).await;
    let relay = Relay::to(addr).await;
    let client = client_with(limits());
    client
        .call(&relay.addr, Lane::Control, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
    tokio::time::sleep(limits().max_silence * 3).await;
    client
        .call(&relay.addr, Lane::Control, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
    assert_eq!(relay.accepted.load(Ordering::SeqCst), 1, "it was redialled");
}

#[tokio::test]
async fn a_peer_that_accepts_connections_and_is_silent_is_retried() {
    // Accepts the first two connections and ignores them; the third reaches a server.
    let (_server, addr) = serve(echo()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut near, _)) = listener.accept().await {
            if silent.len() < 2 {
                silent.push(near);
                continue;
            }
            let mut far = TcpStream::connect(&addr).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let client = client();
    let answer = client.call(&front, Lane::Control, REQUEST, TEST_TIMEOUT).await;
    assert_eq!(
        answer.map_err(|error| error.code()),
        Ok::<Bytes, ErrorCode>(REQUEST)
    );
}
