//! One error type for every call, with codes that every language shares.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the codes once: the constant, its number on the C ABI, its public name and its meaning.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $retriable:literal;)*) => {
        /// What went wrong, as a stable code. Numbers are part of the C ABI: never changed, never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(
                $(#[$doc])*
                #[serde(rename = $name)]
                $variant = $number,
            )*
        }

        impl ErrorCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code's name in every language and over HTTP, such as `NO_LEADER`.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// True when the same call may succeed later without the caller changing anything.
            pub const fn is_retriable(self) -> bool {
                match self { $(ErrorCode::$variant => $retriable,)* }
            }

            /// The code with this name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(ErrorCode::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// An argument of a call is outside what the call accepts.
    InvalidArgument = 1, "INVALID_ARGUMENT", false;
    /// An option is unknown, malformed or out of bounds, or two options contradict each other.
    InvalidOption = 2, "INVALID_OPTION", false;
    /// The call needs a started node.
    NotStarted = 3, "NOT_STARTED", false;
    /// The node was started before; a handle starts once.
    AlreadyStarted = 4, "ALREADY_STARTED", false;
    /// The node has stopped or is stopping. A write was not made.
    Stopped = 5, "STOPPED", false;
    /// The deadline passed before an answer came. A write may or may not have happened: the one code that says so.
    Timeout = 6, "TIMEOUT", true;
    /// No leader is known at present. A write was not made.
    NoLeader = 7, "NO_LEADER", true;
    /// The node that was asked is not the leader and could not reach it.
    NotLeader = 8, "NOT_LEADER", true;
    /// The node holds no valid lease, so it may not act as primary or leader.
    LeaseExpired = 9, "LEASE_EXPIRED", true;
    /// The named node, partition or key does not exist.
    NotFound = 10, "NOT_FOUND", false;
    /// The named thing exists already.
    AlreadyExists = 11, "ALREADY_EXISTS", false;
    /// The state moved on since the caller looked: a compare-and-set or a revision precondition failed.
    Conflict = 12, "CONFLICT", false;
    /// A member refused this node's request to join.
    JoinRefused = 13, "JOIN_REFUSED", false;
    /// No member could be joined before the deadline.
    JoinFailed = 14, "JOIN_FAILED", true;
    /// The disk failed. Nothing is acknowledged after a failed write.
    Io = 15, "IO", false;
    /// Stored data is damaged; the message names the file and the offset.
    Corrupt = 16, "CORRUPT", false;
    /// Another process uses the data directory.
    DataDirInUse = 17, "DATA_DIR_IN_USE", false;
    /// The listen address is in use or cannot be bound.
    AddressInUse = 18, "ADDRESS_IN_USE", false;
    /// The data directory or the peer belongs to another cluster.
    WrongCluster = 19, "WRONG_CLUSTER", false;
    /// A live node with the same id is a member already.
    DuplicateNode = 20, "DUPLICATE_NODE", false;
    /// An option that must agree in the whole cluster differs from the cluster's value.
    ClusterMismatch = 21, "CLUSTER_MISMATCH", false;
    /// A key, value, body or frame exceeds its bound.
    TooLarge = 22, "TOO_LARGE", false;
    /// The caller did not prove that it knows the cluster secret.
    Unauthenticated = 23, "UNAUTHENTICATED", false;
    /// The call would block and was made inside a hook.
    InHook = 24, "IN_HOOK", false;
    /// The process was forked after the library was used; the child cannot use it.
    Forked = 25, "FORKED", false;
    /// The peer cannot be reached.
    Unreachable = 26, "UNREACHABLE", true;
    /// The node was removed from the cluster by an administrator, or has left it.
    Removed = 27, "REMOVED", false;
    /// The request is refused because of the cluster's present condition; the message says which.
    Refused = 28, "REFUSED", false;
    /// Too many requests are under way; try again.
    Busy = 29, "BUSY", true;
    /// The peer speaks a protocol or state version that this build does not know.
    Version = 30, "VERSION", false;
    /// A defect in ClusterKit. Please report it.
    Internal = 31, "INTERNAL", false;
}

impl ErrorCode {
    /// The code's number on the C ABI; 0 is success and no code.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a call failed: a stable code and a message for people.
///
/// The message names what was wrong, the value, and what would be right. It may change between
/// versions; programs look at [`Error::code`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    code: ErrorCode,
    message: String,
    /// True when the call that failed never left this process. What others say of their calls is not believed.
    #[serde(skip)]
    unsent: bool,
}

impl Error {
    /// An error with a code and a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error {
            code,
            message: message.into(),
            unsent: false,
        }
    }

    /// The same error, of a call that never left this process.
    #[must_use]
    pub(crate) fn unsent(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// True when the call that failed never left this process: nothing has come of it, and nothing will.
    pub(crate) fn is_unsent(&self) -> bool {
        self.unsent
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The message, without the code.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// True when the same call may succeed later without the caller changing anything.
    pub fn is_retriable(&self) -> bool {
        self.code.is_retriable()
    }

    /// True when the call may have had its effect all the same: a write may or may not have happened. Every other error
    /// of a write says that it has not.
    pub fn is_ambiguous(&self) -> bool {
        self.code == ErrorCode::Timeout
    }

    /// The same error with words put before its message, to say what was being done.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorCode::Internal, message)
    }

    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Error::new(ErrorCode::Io, format!("{what}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

/// The result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_and_names_round_trip() {
        for (i, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(code.number() as usize, i + 1, "{code} breaks the numbering");
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.name()));
        }
    }

    #[test]
    fn context_keeps_the_code() {
        let error = Error::new(ErrorCode::Io, "no space").context("append");
        assert_eq!(error.code(), ErrorCode::Io);
        assert_eq!(error.to_string(), "IO: append: no space");
    }
}
