//! Why a command failed, and the exit code that says so to programs.

use std::fmt;
use std::io;

/// The result of every fallible step of a command.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The command line, the environment or a file that it names is wrong.
    Usage(String),
    /// No node answered: wrong address, nobody listens, or the deadline passed. Nothing was changed by it.
    Unreachable(String),
    /// Nobody knows whether what was asked for has happened, or will: the node said so, or did not answer any more.
    Unknown(String),
    /// A node answered with an error, or the work itself failed.
    Failed {
        /// A stable code, as in `clusterkit::ErrorCode`.
        code: String,
        /// What happened, for people.
        message: String,
    },
    /// Ctrl-C or SIGTERM ended the command early.
    Interrupted,
    /// The reader of the output went away (`clusterkit nodes | head -1`): nothing is left to say.
    BrokenPipe,
}

impl CliError {
    /// A failure with a code of the C ABI.
    pub(crate) fn failed(code: clusterkit::ErrorCode, message: impl Into<String>) -> Self {
        CliError::Failed {
            code: code.name().to_string(),
            message: message.into(),
        }
    }

    /// An answer of a node that this program does not understand.
    pub(crate) fn bad_answer(what: impl fmt::Display) -> Self {
        CliError::failed(
            clusterkit::ErrorCode::Version,
            format!("the answer makes no sense: {what}"),
        )
    }

    /// A local file or stream that could not be read or written.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        CliError::failed(clusterkit::ErrorCode::Io, format!("{what}: {error}"))
    }

    /// The code that programs compare.
    pub(crate) fn code(&self) -> &str {
        match self {
            CliError::Usage(_) => clusterkit::ErrorCode::InvalidArgument.name(),
            CliError::Unreachable(_) => clusterkit::ErrorCode::Unreachable.name(),
            CliError::Unknown(_) => clusterkit::ErrorCode::Timeout.name(),
            CliError::Failed { code, .. } => code,
            CliError::Interrupted => "INTERRUPTED",
            CliError::BrokenPipe => clusterkit::ErrorCode::Io.name(),
        }
    }

    /// The process's exit code. Documented in `clusterkit --help`; scripts depend on it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CliError::BrokenPipe => 0,
            CliError::Failed { .. } => 1,
            CliError::Usage(_) => 2,
            CliError::Unreachable(_) => 3,
            CliError::Unknown(_) => 4,
            CliError::Interrupted => 130,
        }
    }

    /// `{"error": {"code", "message"}}`, the shape that the HTTP API uses too.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": self.code(), "message": self.message() } })
    }

    fn message(&self) -> &str {
        match self {
            CliError::Usage(message)
            | CliError::Unreachable(message)
            | CliError::Unknown(message)
            | CliError::Failed { message, .. } => message,
            CliError::Interrupted => "interrupted",
            CliError::BrokenPipe => "the reader of the output went away",
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Failed { code, message } => write!(f, "{message} ({code})"),
            CliError::Unknown(message) => write!(f, "{message} ({})", self.code()),
            other => f.write_str(other.message()),
        }
    }
}

impl From<clusterkit::Error> for CliError {
    /// A mistake in the options is the caller's, as a wrong flag is; everything else is a failure.
    fn from(error: clusterkit::Error) -> Self {
        match error.code() {
            clusterkit::ErrorCode::InvalidOption => CliError::Usage(error.message().to_string()),
            code => CliError::failed(code, error.message()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_documented_exit_code() {
        let failed = CliError::failed(clusterkit::ErrorCode::NotFound, "no such node");
        for (error, code) in [
            (failed, 1),
            (CliError::Usage("x".into()), 2),
            (CliError::Unreachable("x".into()), 3),
            (CliError::Unknown("x".into()), 4),
            (CliError::Interrupted, 130),
            (CliError::BrokenPipe, 0),
        ] {
            assert_eq!(error.exit_code(), code);
        }
    }

    #[test]
    fn a_wrong_option_is_a_usage_error_and_keeps_its_message() {
        let error = clusterkit::Options::default()
            .set("partitoin_count", "1")
            .unwrap_err();
        let error = CliError::from(error);
        assert!(
            matches!(&error, CliError::Usage(message) if message.contains("partition_count")),
            "{error}"
        );
    }
}
