// Part of include/clusterkit.hpp: Error codes, errors, and the exception.
#pragma once

#include "prelude.hpp"

namespace clusterkit {

// ---- Errors.
// ----------------------------------------------------------------------------------------------------------

/// Why a call failed. The codes and their names are the same in every language; a later library may have more.
enum class ErrorCode : std::int32_t {
    /// No error.
    Ok = CK_OK,
    /// An argument of a call is outside what the call accepts.
    InvalidArgument = CK_ERROR_INVALID_ARGUMENT,
    /// An option is unknown, malformed or out of bounds, or two options contradict each other.
    InvalidOption = CK_ERROR_INVALID_OPTION,
    /// The call needs a started node.
    NotStarted = CK_ERROR_NOT_STARTED,
    /// The node was started before; a handle starts once.
    AlreadyStarted = CK_ERROR_ALREADY_STARTED,
    /// The node has stopped or is stopping. A write was not made.
    Stopped = CK_ERROR_STOPPED,
    /// The deadline passed before an answer came. A write may or may not have happened: the one code that says so.
    Timeout = CK_ERROR_TIMEOUT,
    /// No leader is known at present. A write was not made.
    NoLeader = CK_ERROR_NO_LEADER,
    /// The node that was asked is not the leader and could not reach it.
    NotLeader = CK_ERROR_NOT_LEADER,
    /// The node holds no valid lease, so it may not act as primary or leader.
    LeaseExpired = CK_ERROR_LEASE_EXPIRED,
    /// The named node, partition or key does not exist.
    NotFound = CK_ERROR_NOT_FOUND,
    /// The named thing exists already.
    AlreadyExists = CK_ERROR_ALREADY_EXISTS,
    /// The state moved on since the caller looked: a compare-and-set or a revision precondition failed.
    Conflict = CK_ERROR_CONFLICT,
    /// A member refused this node's request to join.
    JoinRefused = CK_ERROR_JOIN_REFUSED,
    /// No member could be joined before the deadline.
    JoinFailed = CK_ERROR_JOIN_FAILED,
    /// The disk failed. Nothing is acknowledged after a failed write.
    Io = CK_ERROR_IO,
    /// Stored data is damaged; the message names the file and the offset.
    Corrupt = CK_ERROR_CORRUPT,
    /// Another process uses the data directory.
    DataDirInUse = CK_ERROR_DATA_DIR_IN_USE,
    /// The listen address is in use or cannot be bound.
    AddressInUse = CK_ERROR_ADDRESS_IN_USE,
    /// The data directory or the peer belongs to another cluster.
    WrongCluster = CK_ERROR_WRONG_CLUSTER,
    /// A live node with the same id is a member already.
    DuplicateNode = CK_ERROR_DUPLICATE_NODE,
    /// An option that must agree in the whole cluster differs from the cluster's value.
    ClusterMismatch = CK_ERROR_CLUSTER_MISMATCH,
    /// A key, value, body or frame exceeds its bound.
    TooLarge = CK_ERROR_TOO_LARGE,
    /// The caller did not prove that it knows the cluster secret.
    Unauthenticated = CK_ERROR_UNAUTHENTICATED,
    /// The call would block and was made inside a hook.
    InHook = CK_ERROR_IN_HOOK,
    /// The process was forked after the library was used; the child cannot use it.
    Forked = CK_ERROR_FORKED,
    /// The peer cannot be reached.
    Unreachable = CK_ERROR_UNREACHABLE,
    /// The node was removed from the cluster by an administrator, or has left it.
    Removed = CK_ERROR_REMOVED,
    /// The request is refused because of the cluster's present condition; the message says which.
    Refused = CK_ERROR_REFUSED,
    /// Too many requests are under way; try again.
    Busy = CK_ERROR_BUSY,
    /// The peer, or the library that runs, speaks a version that this build does not know.
    Version = CK_ERROR_VERSION,
    /// A defect in ClusterKit. Please report it.
    Internal = CK_ERROR_INTERNAL,
};

/// The code's name, the same in every language, such as "NO_LEADER"; "UNKNOWN" for a number that is no code. Static.
inline std::string_view to_string(ErrorCode code) noexcept {
    const char *name = ck_error_code_name(static_cast<std::int32_t>(code));
    return name != nullptr ? std::string_view(name) : std::string_view("UNKNOWN");
}

/// Why a call failed: a code for programs, a message for people. A value.
class Error {
  public:
    /// An error of the application's own, for what returns a Result and is no call of the library.
    explicit Error(ErrorCode code, std::string message = {}, bool is_retriable = false,
                   bool is_ambiguous = false) noexcept
        : message_(std::move(message)), code_(code), is_retriable_(is_retriable), is_ambiguous_(is_ambiguous) {}

    /// What an error of the C interface says. error: borrowed for the call, not NULL.
    static Error copy_of(const ck_error_t *error) {
        return Error(static_cast<ErrorCode>(ck_error_code(error)),
                     std::string(ck_error_message(error), ck_error_message_len(error)), ck_error_is_retriable(error),
                     ck_error_is_ambiguous(error));
    }

    /// The same, and frees it. error: consumed, not NULL.
    static Error take(ck_error_t *error) {
        struct Free {
            void operator()(ck_error_t *freed) const noexcept { ck_error_free(freed); }
        };
        const std::unique_ptr<ck_error_t, Free> owned(error);
        return copy_of(error);
    }

    /// The code: what a program decides by.
    ErrorCode code() const noexcept { return code_; }
    /// The code's name, such as "NO_LEADER". Static.
    std::string_view name() const noexcept { return to_string(code_); }
    /// For people: what was wrong, the value, what would be right. It may change between versions.
    const std::string &message() const & noexcept { return message_; }
    /// The same, which is yours then.
    std::string message() && noexcept { return std::move(message_); }
    /// True when the same call may succeed later without the caller changing anything.
    bool is_retriable() const noexcept { return is_retriable_; }
    /// True when the call may have had its effect all the same: a write may or may not have happened. After every other
    /// error of a write it has not.
    bool is_ambiguous() const noexcept { return is_ambiguous_; }

    /// True when the error has this code.
    friend bool operator==(const Error &error, ErrorCode code) noexcept { return error.code_ == code; }
    /// True when the error has another code.
    friend bool operator!=(const Error &error, ErrorCode code) noexcept { return error.code_ != code; }

  private:
    std::string message_;
    ErrorCode code_;
    bool is_retriable_;
    bool is_ambiguous_;
};

/// Code and message: "NO_LEADER: no leader is known".
inline std::string to_string(const Error &error) {
    std::string text(error.name());
    return error.message().empty() ? text : text + ": " + error.message();
}

/// What Result::value() throws: an Error as an exception. what() is its code and its message.
class CLUSTERKIT_VISIBLE Exception : public std::runtime_error {
  public:
    /// An exception that says what the error says.
    explicit Exception(const Error &error)
        : std::runtime_error(to_string(error)),
          code_(error.code()),
          is_retriable_(error.is_retriable()),
          is_ambiguous_(error.is_ambiguous()) {}

    /// As Error::code.
    ErrorCode code() const noexcept { return code_; }
    /// As Error::name.
    std::string_view name() const noexcept { return to_string(code_); }
    /// As Error::is_retriable.
    bool is_retriable() const noexcept { return is_retriable_; }
    /// As Error::is_ambiguous.
    bool is_ambiguous() const noexcept { return is_ambiguous_; }

  private:
    ErrorCode code_;
    bool is_retriable_;
    bool is_ambiguous_;
};

namespace detail {

/// Throws what the error says; without exceptions it ends the process.
[[noreturn]] inline void raise(const Error &error) {
#if CLUSTERKIT_HAS_EXCEPTIONS
    throw Exception(error);
#else
    static_cast<void>(error);
    std::abort();
#endif
}

/// What the error of a success is.
inline const Error &no_error() noexcept {
    static const Error none(ErrorCode::Ok);
    return none;
}

} // namespace detail

} // namespace clusterkit
