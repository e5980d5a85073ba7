//! Somebody between two peers, who reads, keeps and changes what they send.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::net::bind;

/// The length of a frame's header that carries a code, and where its length stands.
pub(super) const SEALED_HEADER_LEN: usize = 32;

/// A message as the one between sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// The request to upgrade, with the blank line.
    Request,
    /// The answer to it.
    Answer,
    /// The caller's code.
    Code,
    /// The frame of the caller with this number, from 0.
    FrameOfCaller(usize),
    /// The frame of the server with this number.
    FrameOfServer(usize),
}

/// What becomes of a message: what is sent in its place, any number of times.
type Change = Arc<dyn Fn(Message, Vec<u8>) -> Vec<Vec<u8>> + Send + Sync>;

/// Everything that was received, in order, before it was changed.
type Seen = Arc<Mutex<Vec<(Message, Vec<u8>)>>>;

/// Relays connections to a server.
pub(super) struct Relay {
    pub(super) addr: String,
    pub(super) seen: Seen,
}

impl Relay {
    pub(super) async fn start(
        to: &str,
        change: impl Fn(Message, Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let seen = Seen::default();
        let (to, change, recorded): (_, Change, _) = (to.to_owned(), Arc::new(change), seen.clone());
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&to).await else {
                    return;
                };
                let (change, recorded) = (change.clone(), recorded.clone());
                tokio::spawn(async move {
                    let (from_caller, to_caller) = caller.into_split();
                    let (from_server, to_server) = server.into_split();
                    let there = pass(
                        from_caller,
                        to_server,
                        [Message::Request, Message::Code],
                        Message::FrameOfCaller,
                        (change.clone(), recorded.clone()),
                    );
                    let back = pass(
                        from_server,
                        to_caller,
                        [Message::Answer],
                        Message::FrameOfServer,
                        (change, recorded),
                    );
                    // The end of one direction ends the other, as a device on the way would do.
                    tokio::select! {
                        _ = there => {}
                        _ = back => {}
                    }
                });
            }
        });
        Relay { addr, seen }
    }

    /// What was received of this kind first.
    pub(super) fn first(&self, message: Message) -> Option<Vec<u8>> {
        let seen = self.seen.lock();
        let found = seen.iter().find(|(seen, _)| *seen == message);
        found.map(|(_, bytes)| bytes.clone())
    }
}

async fn pass<const N: usize>(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    before: [Message; N],
    frame: fn(usize) -> Message,
    (change, seen): (Change, Seen),
) -> Option<()> {
    let mut number = 0;
    let mut before = before.into_iter();
    loop {
        let message = before.next().unwrap_or_else(|| frame(number));
        let bytes = match message {
            Message::Request | Message::Answer => read_head(&mut from).await?,
            Message::Code => read(&mut from, 32).await?,
            Message::FrameOfCaller(_) | Message::FrameOfServer(_) => {
                number += 1;
                read_frame(&mut from).await?
            }
        };
        seen.lock().push((message, bytes.clone()));
        if message == Message::Answer && !bytes.starts_with(b"HTTP/1.1 101") {
            // A refusal, with a body.
            to.write_all(&bytes).await.ok()?;
            tokio::io::copy(&mut from, &mut to).await.ok()?;
            return None;
        }
        for bytes in change(message, bytes) {
            to.write_all(&bytes).await.ok()?;
        }
    }
}

async fn read(from: &mut OwnedReadHalf, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn read_head(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.ok()?);
    }
    Some(head)
}

async fn read_frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut frame = read(from, SEALED_HEADER_LEN).await?;
    let length = u32::from_be_bytes(frame[4..8].try_into().unwrap());
    frame.extend(read(from, length as usize).await?);
    Some(frame)
}
