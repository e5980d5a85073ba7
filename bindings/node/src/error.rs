//! Errors of the library as JavaScript sees them: the front turns them into `ClusterKitError` by their code. Other modules call
//! this one `js`: napi knows a function that may fail by the word `Result`.

use clusterkit::{Error, ErrorCode};

/// The result of a native function. The status becomes the property `code` of what is thrown.
pub(crate) type Result<T> = napi::Result<T, String>;

/// An error of the library, to be thrown.
pub(crate) fn thrown(error: &Error) -> napi::Error<String> {
    napi::Error::new(error.code().name().to_owned(), error.message())
}

/// What a call on a closed handle answers.
pub(crate) fn closed() -> napi::Error<String> {
    thrown(&Error::new(ErrorCode::Stopped, "the handle is closed"))
}

/// An argument that the front lets through only where it has a defect.
pub(crate) fn invalid(message: impl Into<String>) -> napi::Error<String> {
    thrown(&Error::new(ErrorCode::InvalidArgument, message))
}

/// What Node-API has refused, of which a program can mend nothing.
pub(crate) fn refused(error: &napi::Error) -> napi::Error<String> {
    thrown(&Error::new(ErrorCode::Internal, error.to_string()))
}
