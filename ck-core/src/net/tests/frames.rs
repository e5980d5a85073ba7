use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use crate::net::frame::{
    Decoded, Frame, FrameError, FrameKind, FrameReadError, FrameReader, decode, plain_frame as encoded,
};
use crate::net::frame_check::FrameCheck;
use crate::net::tests::PLAIN_HEADER_LEN;

const MAX_BODY: u32 = 4096;

fn any_kind() -> impl Strategy<Value = FrameKind> {
    prop::sample::select(vec![
        FrameKind::Request,
        FrameKind::Response,
        FrameKind::Error,
        FrameKind::Ping,
        FrameKind::Pong,
        FrameKind::Goodbye,
    ])
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

/// The frames and the error that a reader returns for some bytes, and the largest buffer that it had.
fn read_all(bytes: &[u8], limit: u32) -> (Vec<Frame>, Option<FrameReadError>, usize) {
    block_on(async {
        let mut reader = FrameReader::new(bytes, FrameCheck::Checksum, limit);
        let (mut frames, mut most) = (Vec::new(), 0);
        loop {
            let next = reader.next().await;
            most = most.max(reader.capacity());
            match next {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, None, most),
                Err(error) => return (frames, Some(error), most),
            }
        }
    })
}

proptest! {
    #[test]
    fn frames_survive_any_division(
        sent in prop::collection::vec(
            (any_kind(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..300)), 0..8),
        cuts in prop::collection::vec(1usize..200, 1..40),
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|(kind, id, body)| encoded(*kind, *id, body)).collect();
        let received = block_on(async {
            let (near, mut far) = tokio::io::duplex(64);
            let mut reader = FrameReader::new(near, FrameCheck::Checksum, MAX_BODY);
            let write = async {
                let mut rest = &bytes[..];
                for cut in cuts.iter().cycle() {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    far.write_all(piece).await.unwrap();
                    rest = after;
                    if rest.is_empty() {
                        break;
                    }
                }
                drop(far);
            };
            let read = async {
                let mut frames = Vec::new();
                while let Some(frame) = reader.next().await.unwrap() {
                    frames.push((frame.kind, frame.id, frame.body.to_vec()));
                }
                frames
            };
            futures_util::future::join(write, read).await.1
        });
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn arbitrary_bytes_give_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (frames, error, most) = read_all(&bytes, MAX_BODY);
        prop_assert!(frames.is_empty(), "a checksum was met by chance: {:?}", frames);
        prop_assert_eq!(error.is_some(), !bytes.is_empty());
        prop_assert!(most <= 64 << 10);
    }

    #[test]
    fn a_header_alone_gets_no_memory(length in any::<u32>(), limit in any::<u32>(), kind in any_kind()) {
        let mut bytes = encoded(kind, 7, b"");
        bytes[4..8].copy_from_slice(&length.to_be_bytes());
        let (frames, error, most) = read_all(&bytes, limit);
        // A header that promises gigabytes costs as little as any other.
        prop_assert!(most <= 64 << 10, "{} bytes", most);
        match error {
            Some(FrameReadError::Frame(FrameError::TooLarge { .. })) => prop_assert!(length > limit),
            Some(FrameReadError::Cut) => prop_assert!(length <= limit),
            Some(FrameReadError::Frame(FrameError::Checksum)) => prop_assert_eq!(length, 0),
            other => prop_assert!(length == 0 && other.is_none() && frames.len() == 1, "{:?}", other),
        }
    }

    #[test]
    fn a_flipped_bit_is_never_taken_for_a_frame(
        body in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let mut bytes = encoded(FrameKind::Request, 9, &body);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (frames, error, _) = read_all(&bytes, MAX_BODY);
        prop_assert!(frames.is_empty());
        prop_assert!(error.is_some());
    }
}

#[test]
fn a_frame_at_the_limit_passes_and_one_above_does_not() {
    let body = vec![7; MAX_BODY as usize];
    let mut buffer = BytesMut::from(&encoded(FrameKind::Request, 1, &body)[..]);
    let frame = Frame {
        kind: FrameKind::Request,
        id: 1,
        body: Bytes::from(body.clone()),
    };
    assert_eq!(
        decode(&mut buffer, MAX_BODY, &mut FrameCheck::Checksum),
        Ok(Decoded::Frame(frame))
    );
    assert_eq!(
        decode(&mut buffer, MAX_BODY, &mut FrameCheck::Checksum),
        Ok(Decoded::Missing(PLAIN_HEADER_LEN))
    );

    let mut buffer = BytesMut::from(&encoded(FrameKind::Request, 1, &body)[..]);
    let error = FrameError::TooLarge {
        length: MAX_BODY,
        limit: MAX_BODY - 1,
    };
    assert_eq!(
        decode(&mut buffer, MAX_BODY - 1, &mut FrameCheck::Checksum),
        Err(error)
    );
}

#[test]
fn the_memory_of_a_large_frame_is_given_back() {
    let large = vec![1; 8 << 20];
    let bytes = [
        encoded(FrameKind::Request, 1, &large),
        encoded(FrameKind::Ping, 2, b""),
    ]
    .concat();
    block_on(async {
        let mut reader = FrameReader::new(&bytes[..], FrameCheck::Checksum, 16 << 20);
        let frame = reader.next().await.unwrap().unwrap();
        assert_eq!(frame.body.len(), large.len());
        assert!(
            reader.capacity() < 1 << 20,
            "{} bytes are kept",
            reader.capacity()
        );
        assert_eq!(reader.next().await.unwrap().unwrap().kind, FrameKind::Ping);
        assert_eq!(reader.next().await.unwrap(), None);
    });
}
