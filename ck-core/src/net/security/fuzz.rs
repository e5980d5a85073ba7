//! Fuzz target: any text as a proof or a token, and any change of frames that carry codes.

use bytes::BytesMut;
use ring::aead::UnboundKey;

use super::{CODE_LEN, Keyring, Offer, Role, Token, answer};
use crate::fuzz::Input;
use crate::model::NodeId;
use crate::net::frame::{Decoded, FrameKind, decode, put_header};
use crate::net::frame_check::{FrameCheck, FrameMac, MAC_ALGORITHM};
use crate::net::{Hello, Lane, LocalIdentity};

const SECRET: &str = "fuzzed-secret-0123456789-abcdefghijklmnopqrs";
/// The longest body, in bytes.
const MAX_BODY: u32 = 1 << 16;
/// The number of frames that are changed.
const FRAMES: u64 = 4;

/// Flag: the text is put into the place of a part of a valid one.
const REPLACE_PART: u8 = 0;

/// An input is a text for each place where a stranger's text is read, and edits of a stream of frames. None of them is ever
/// taken for a proof; of the frames those before the first change are read, and no other.
pub(crate) fn proofs(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.flags();
    let place = usize::from(input.u8());
    let text = String::from_utf8_lossy(input.part()).into_owned();
    let Ok(keyring) = Keyring::new("fuzz", SECRET) else {
        return;
    };
    let identity = LocalIdentity::new(NodeId::from("node"));
    let hello = Hello::new("fuzz", Lane::Log, &identity);
    let put = |valid: &str| match flags.has(REPLACE_PART) {
        true => {
            let mut words: Vec<&str> = valid.split(' ').collect();
            let count = words.len();
            words[place % count] = &text;
            words.join(" ")
        }
        false => text.clone(),
    };

    let offer = Offer::new(&keyring);
    if let Ok((_, pending)) = answer(&keyring, &hello, "server", &put(&offer.header()), &[]) {
        let mut code = [0; CODE_LEN];
        code[..text.len().min(CODE_LEN)].copy_from_slice(&text.as_bytes()[..text.len().min(CODE_LEN)]);
        assert!(pending.check(&code).is_none(), "a made-up code was taken");
    }
    let (sent, _) = answer(&keyring, &hello, "server", &offer.header(), &[]).unwrap();
    let changed = put(&sent);
    let same = changed == sent;
    let checked = offer.check_answer(&hello, "server", &changed, &[]);
    assert_eq!(checked.is_ok(), same, "{changed}");

    let valid = Token::make(&keyring, Role::Read, "fuzz", Some(1 << 40)).unwrap();
    let mut changed = valid.clone().into_bytes();
    match flags.has(REPLACE_PART) {
        true => {
            let at = place % changed.len();
            changed[at] ^= text.len() as u8 & 0x7f;
        }
        false => changed = text.clone().into_bytes(),
    }
    if let Ok(changed) = String::from_utf8(changed) {
        let taken = Token::check(&keyring, &changed, 1).is_ok();
        assert_eq!(taken, changed == valid, "{changed}");
    }
    frames(input);
}

fn check() -> FrameCheck {
    let key = UnboundKey::new(MAC_ALGORITHM, &[7; 32]).unwrap();
    FrameCheck::Mac(Box::new(FrameMac::new(key)))
}

/// Changes a stream of frames as the input says, and reads it.
fn frames(mut input: Input<'_>) {
    let (mut stream, mut writing, mut ends) = (BytesMut::new(), check(), Vec::new());
    for id in 0..FRAMES {
        let body = [id as u8; 7];
        put_header(&mut stream, &mut writing, FrameKind::Request, id, &body);
        stream.extend_from_slice(&body);
        ends.push(stream.len());
    }
    let whole = stream.to_vec();
    let mut changed = whole.clone();
    while !input.is_empty() && !changed.is_empty() {
        let at = usize::from(input.u16()) % changed.len();
        match input.u8() % 4 {
            0 => changed[at] ^= input.u8(),
            1 => changed.truncate(at),
            2 => {
                let length = usize::from(input.u8()).min(changed.len() - at);
                let copy = changed[at..at + length].to_vec();
                changed.splice(at..at, copy);
            }
            _ => drop(
                changed.drain(
                    at..(at + usize::from(input.u8()))
                        .min(whole.len())
                        .min(changed.len())
                        .max(at),
                ),
            ),
        }
        changed.truncate(4 * whole.len());
    }
    let same = changed
        .iter()
        .zip(&whole)
        .take_while(|(changed, whole)| changed == whole)
        .count();
    let expected = ends.iter().filter(|end| **end <= same).count() as u64;
    let mut buffer = BytesMut::from(&changed[..]);
    let mut reading = check();
    let mut read = 0;
    while let Ok(Decoded::Frame(frame)) = decode(&mut buffer, MAX_BODY, &mut reading) {
        assert_eq!((frame.id, &frame.body[..]), (read, &[read as u8; 7][..]));
        read += 1;
    }
    assert_eq!(read, expected, "frames up to the first change, and no other");
}

/// Seed inputs: texts that look like proofs and tokens, and each kind of edit.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    use crate::fuzz::put_part;

    let input = |flags: u8, place: u8, text: &[u8], edits: &[u8]| {
        let mut input = vec![flags, place];
        put_part(&mut input, text);
        input.extend_from_slice(edits);
        input
    };
    vec![
        ("nothing", vec![]),
        (
            "an-offer",
            input(
                0,
                0,
                b"1 00000000,11111111 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                &[],
            ),
        ),
        ("an-answer", input(0, 0, b"1 00000000 AAAA AAAA", &[])),
        ("a-token", input(0, 0, b"ck1.read.00000000.0.name.AAAA", &[])),
        ("another-version", input(1, 0, b"2", &[])),
        ("another-key", input(1, 1, b"00000000", &[])),
        (
            "another-nonce",
            input(1, 2, b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &[]),
        ),
        ("a-flipped-bit", input(0, 0, b"", &[40, 0, 0, 1])),
        ("a-cut", input(0, 0, b"", &[50, 0, 1])),
        ("a-frame-twice", input(0, 0, b"", &[39, 0, 2, 39])),
        ("a-frame-left-out", input(0, 0, b"", &[39, 0, 3, 39])),
    ]
}
