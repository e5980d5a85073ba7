//! Records on their way to JavaScript: as JSON, which V8 reads faster than objects are made through Node-API, in one call.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// The largest whole number that a `Number` holds exactly.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// JSON whose whole numbers beyond [`MAX_SAFE_INTEGER`] are strings: `JSON.parse` would round them. Fields that may have such
/// a number are made a `bigint` by the front, of either form.
struct ExactNumbers;

impl Formatter for ExactNumbers {
    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value <= MAX_SAFE_INTEGER {
            return CompactFormatter.write_u64(writer, value);
        }
        write!(writer, "\"{value}\"")
    }
}

/// A record as JSON text.
pub(crate) fn json<T: Serialize + ?Sized>(record: &T) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, ExactNumbers);
    // Records are plain data, and memory takes every byte: it cannot fail.
    if record.serialize(&mut serializer).is_err() {
        return "null".to_owned();
    }
    String::from_utf8(text).unwrap_or_else(|_| "null".to_owned())
}
