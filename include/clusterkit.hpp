// ClusterKit for C++: this header over clusterkit.h, and nothing to link besides libclusterkit.
//
// Generated from bindings/cpp by ck-ffi/tests/cpp_header.rs; do not edit.
//
// C++17 is enough. C++20 adds `co_await` and the concepts of std::ranges, C++23 the conversion to std::expected. See
// docs/cpp.md for a guide, examples/cpp/ for programs, and clusterkit.h for what each call promises.
//
// ERRORS
//   A call that can fail returns a Result, which is its value or an Error, and which nobody may overlook
//   ([[nodiscard]]). Result::value() throws clusterkit::Exception where there is an Error. Nothing else here throws,
//   except that memory may run out (std::bad_alloc), and that a condition which a test waits for may. With
//   -fno-exceptions value() ends the process by std::abort() instead: ask first. Every call can fail with
//   ErrorCode::Internal, a defect in ClusterKit, and with ErrorCode::Forked. What was moved from is empty: calls on it
//   fail with ErrorCode::InvalidArgument, or give what they give where there is nothing.
//
// TEXT, TIME
//   Text that goes in is UTF-8 and goes in as std::string_view, which is read during the call. Keys of the application
//   are any bytes. Durations are those of std::chrono, points of time those of std::chrono::system_clock: see Duration
//   and TimePoint.
//
// OWNERSHIP
//   Classes that own something (Options, Cluster, Events, Text, ...) can be moved and not copied, and end it with their
//   destructor. A View is a share, which can be copied. What is read from a View, an Event or a Text (nodes, ranges,
//   std::string_view) is borrowed from it, costs no copy, and ends with it. Most such members cannot be called on a
//   temporary: keep the View in a variable.
//
// THREADS
//   Every function may be called from any thread, on one object by several at once, as long as none assigns to it,
//   moves it or destroys it. A hook may call everything, unless it says otherwise.
//
// CALLBACKS
//   Hooks, completions and log callbacks run on threads of the library. Any callable will do, std::function among them;
//   it need not be copyable. It is destroyed when no call of it runs or will, on any thread. No exception of theirs
//   ends the process:
//     hook                                the call has failed, with the exception's what() as its reason
//     configure and prepare (of tests)    the same
//     completion, log callback, changes   the exception is dropped, and nobody is told
//   What a destructor of a callable throws is dropped, too. No callback may end its thread (pthread_exit).
//
// ONE PROGRAM
//   All parts of a program see the same classes, whatever their -std, -fvisibility and -frtti. Compile them alike as to
//   exceptions: with and without them value() differs.

#ifndef CLUSTERKIT_HPP
#define CLUSTERKIT_HPP

#include "clusterkit.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#if __has_include(<version>)
#include <version>
#endif
#if defined(__cpp_impl_coroutine) && __has_include(<coroutine>)
#include <coroutine>
#define CLUSTERKIT_HAS_COROUTINES 1
#else
#define CLUSTERKIT_HAS_COROUTINES 0
#endif
#if defined(__cpp_lib_expected)
#include <expected>
#endif
#if defined(__cpp_lib_ranges)
#include <ranges>
#endif
#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define CLUSTERKIT_HAS_EXCEPTIONS 1
#else
#define CLUSTERKIT_HAS_EXCEPTIONS 0
#endif
#if defined(__SANITIZE_THREAD__)
#define CLUSTERKIT_HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CLUSTERKIT_HAS_TSAN 1
#endif
#endif
#if !defined(CLUSTERKIT_HAS_TSAN)
#define CLUSTERKIT_HAS_TSAN 0
#endif
#if CLUSTERKIT_HAS_TSAN
#include <sanitizer/tsan_interface.h>
#endif
// An exception that leaves a library has to be the same type in it and in its caller, whatever -fvisibility says.
#if defined(__GNUC__)
#define CLUSTERKIT_VISIBLE __attribute__((visibility("default")))
#else
#define CLUSTERKIT_VISIBLE
#endif

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

/// The outcome of a call that can fail: a T, or an Error. Test it, then take either.
///
///     if (auto view = cluster.view()) { use(*view); } else { log(view.error()); }
///     auto epoch = cluster.leader_epoch().value_or(0);
///     auto view = cluster.view().value(); // throws Exception
template <class T>
class [[nodiscard]] Result {
    static_assert(!std::is_reference_v<T> && !std::is_same_v<T, Error>, "a Result is of a value");

  public:
    using value_type = T;
    using error_type = Error;

    /// A success.
    Result(T value) noexcept(std::is_nothrow_move_constructible_v<T>)
        : outcome_(std::in_place_index<0>, std::move(value)) {}
    /// A failure.
    Result(Error error) noexcept : outcome_(std::in_place_index<1>, std::move(error)) {}

    /// True after a success.
    bool has_value() const noexcept { return outcome_.index() == 0; }
    /// True after a success.
    explicit operator bool() const noexcept { return has_value(); }

    /// The value. Throws Exception where there is none; with -fno-exceptions that ends the process.
    T &value() & {
        expect_value();
        return *std::get_if<0>(&outcome_);
    }
    /// The value. Throws Exception where there is none; with -fno-exceptions that ends the process.
    const T &value() const & {
        expect_value();
        return *std::get_if<0>(&outcome_);
    }
    /// The value, which is yours then. Throws Exception where there is none; with -fno-exceptions that ends the
    /// process.
    T value() && {
        expect_value();
        return std::move(*std::get_if<0>(&outcome_));
    }

    /// value() in short, with its check.
    T &operator*() & { return value(); }
    /// value() in short, with its check.
    const T &operator*() const & { return value(); }
    /// value() in short, with its check.
    T operator*() && { return std::move(*this).value(); }
    /// value() in short, with its check. Not of a temporary: what is borrowed from its value would end with it.
    T *operator->() & { return &value(); }
    /// value() in short, with its check.
    const T *operator->() const & { return &value(); }
    T *operator->() && = delete;

    /// The value, or another one after a failure.
    template <class U>
    T value_or(U &&otherwise) const & {
        return has_value() ? *std::get_if<0>(&outcome_) : static_cast<T>(std::forward<U>(otherwise));
    }
    /// The value, or another one after a failure.
    template <class U>
    T value_or(U &&otherwise) && {
        return has_value() ? std::move(*std::get_if<0>(&outcome_)) : static_cast<T>(std::forward<U>(otherwise));
    }

    /// The error; after a success one with ErrorCode::Ok and no message.
    const Error &error() const & noexcept {
        const Error *error = std::get_if<1>(&outcome_);
        return error != nullptr ? *error : detail::no_error();
    }
    /// The same, which is yours then.
    Error error() && {
        Error *error = std::get_if<1>(&outcome_);
        return error != nullptr ? std::move(*error) : detail::no_error();
    }
    /// The code of the error; ErrorCode::Ok after a success.
    ErrorCode code() const noexcept { return error().code(); }

    /// The next step, which is not taken after a failure: next(T) returns a Result.
    template <class Next>
    std::invoke_result_t<Next, const T &> and_then(Next &&next) const & {
        if (!has_value()) {
            return error();
        }
        return std::invoke(std::forward<Next>(next), *std::get_if<0>(&outcome_));
    }
    /// The next step, which is not taken after a failure: next(T) returns a Result.
    template <class Next>
    std::invoke_result_t<Next, T &&> and_then(Next &&next) && {
        if (!has_value()) {
            return std::move(*this).error();
        }
        return std::invoke(std::forward<Next>(next), std::move(*std::get_if<0>(&outcome_)));
    }

    /// Makes something else of the value: make(T) returns it, or nothing.
    template <class Make>
    auto map(Make &&make) const & -> Result<std::decay_t<std::invoke_result_t<Make, const T &>>> {
        if (!has_value()) {
            return error();
        }
        return mapped(std::forward<Make>(make), *std::get_if<0>(&outcome_));
    }
    /// Makes something else of the value: make(T) returns it, or nothing.
    template <class Make>
    auto map(Make &&make) && -> Result<std::decay_t<std::invoke_result_t<Make, T &&>>> {
        if (!has_value()) {
            return std::move(*this).error();
        }
        return mapped(std::forward<Make>(make), std::move(*std::get_if<0>(&outcome_)));
    }

#if defined(__cpp_lib_expected)
    /// The same as a std::expected.
    std::expected<T, Error> to_expected() const & {
        if (has_value()) {
            return *std::get_if<0>(&outcome_);
        }
        return std::unexpected<Error>(error());
    }
    /// The same as a std::expected.
    std::expected<T, Error> to_expected() && {
        if (has_value()) {
            return std::move(*std::get_if<0>(&outcome_));
        }
        return std::unexpected<Error>(std::move(*this).error());
    }
    operator std::expected<T, Error>() const & { return to_expected(); }
    operator std::expected<T, Error>() && { return std::move(*this).to_expected(); }
#endif

  private:
    void expect_value() const {
        if (!has_value()) {
            detail::raise(error());
        }
    }

    template <class Make, class Value>
    static auto mapped(Make &&make, Value &&value) -> Result<std::decay_t<std::invoke_result_t<Make, Value>>> {
        if constexpr (std::is_void_v<std::invoke_result_t<Make, Value>>) {
            std::invoke(std::forward<Make>(make), std::forward<Value>(value));
            return {};
        } else {
            return std::invoke(std::forward<Make>(make), std::forward<Value>(value));
        }
    }

    std::variant<T, Error> outcome_;
};

/// The outcome of a call that can fail and has nothing to tell when it succeeds.
template <>
class [[nodiscard]] Result<void> {
  public:
    using value_type = void;
    using error_type = Error;

    /// A success.
    Result() noexcept = default;
    /// A failure.
    Result(Error error) noexcept : error_(std::move(error)) {}

    /// True after a success.
    bool has_value() const noexcept { return !error_.has_value(); }
    /// True after a success.
    explicit operator bool() const noexcept { return has_value(); }

    /// Throws Exception after a failure; with -fno-exceptions that ends the process.
    void value() const {
        if (error_) {
            detail::raise(*error_);
        }
    }

    /// The error; after a success one with ErrorCode::Ok and no message.
    const Error &error() const & noexcept { return error_ ? *error_ : detail::no_error(); }
    /// The same, which is yours then.
    Error error() && { return error_ ? std::move(*error_) : detail::no_error(); }
    /// The code of the error; ErrorCode::Ok after a success.
    ErrorCode code() const noexcept { return error().code(); }

    /// The next step, which is not taken after a failure: next() returns a Result.
    template <class Next>
    std::invoke_result_t<Next> and_then(Next &&next) const {
        if (error_) {
            return *error_;
        }
        return std::invoke(std::forward<Next>(next));
    }

    /// Makes a value after a success: make() returns it, or nothing.
    template <class Make>
    auto map(Make &&make) const -> Result<std::decay_t<std::invoke_result_t<Make>>> {
        if (error_) {
            return *error_;
        }
        if constexpr (std::is_void_v<std::invoke_result_t<Make>>) {
            std::invoke(std::forward<Make>(make));
            return {};
        } else {
            return std::invoke(std::forward<Make>(make));
        }
    }

#if defined(__cpp_lib_expected)
    /// The same as a std::expected.
    std::expected<void, Error> to_expected() const {
        if (error_) {
            return std::unexpected<Error>(*error_);
        }
        return {};
    }
    operator std::expected<void, Error>() const { return to_expected(); }
#endif

  private:
    std::optional<Error> error_;
};

namespace detail {

/// The outcome of a call of C's that only can fail.
inline Result<void> outcome(ck_error_t *error) {
    if (error != nullptr) {
        return Error::take(error);
    }
    return {};
}

/// The outcome of a call of C's that gives a revision: call(out).
template <class Call>
Result<std::uint64_t> revision(const Call &call) {
    std::uint64_t revision = 0;
    if (ck_error_t *error = call(&revision)) {
        return Error::take(error);
    }
    return revision;
}

/// A deleter for a free function of C's.
template <auto Free>
struct Deleter {
    template <class Handle>
    void operator()(Handle *handle) const noexcept {
        Free(handle);
    }
};

/// What C gave to be freed.
template <class Handle, auto Free>
using Owned = std::unique_ptr<Handle, Deleter<Free>>;

/// Runs what belongs to the application. An exception goes no further: failed hears its what().
template <class Body, class Failed>
void guarded(Body &&body, Failed &&failed) noexcept {
#if CLUSTERKIT_HAS_EXCEPTIONS
    try {
        body();
    } catch (const std::exception &exception) {
        const char *what = exception.what();
        failed(std::string_view(what != nullptr ? what : ""));
    } catch (...) {
        failed(std::string_view("it threw something that is no std::exception"));
    }
#else
    static_cast<void>(failed);
    body();
#endif
}

/// Runs what belongs to the application and has nobody to be told of its exceptions.
template <class Body>
void guarded(Body &&body) noexcept {
    guarded(body, [](std::string_view) {});
}

/// A text of C's; empty for NULL.
inline std::string_view text(const char *text) noexcept {
    return text != nullptr ? std::string_view(text) : std::string_view();
}

/// A text of C's that may be missing.
inline std::optional<std::string_view> optional_text(const char *text) noexcept {
    return text != nullptr ? std::optional<std::string_view>(text) : std::nullopt;
}

/// True for a function pointer that is NULL, and for a std::function that is empty.
template <class Callable>
bool is_empty(const Callable &) noexcept {
    return false;
}
template <class Returned, class... Arguments>
bool is_empty(Returned (*const &function)(Arguments...)) noexcept {
    return function == nullptr;
}
template <class Signature>
bool is_empty(const std::function<Signature> &function) noexcept {
    return !function;
}

// What is given to the library is seen as it was by whoever the library calls with it. ThreadSanitizer does not see
// into the library, and is told.
#if CLUSTERKIT_HAS_TSAN
inline void give(void *callable) noexcept {
    __tsan_release(callable);
}
inline void receive(void *callable) noexcept {
    __tsan_acquire(callable);
}
#else
inline void give(void *) noexcept {}
inline void receive(void *) noexcept {}
#endif

/// What C called back with, for the length of the call.
template <class Callable>
class Received {
  public:
    explicit Received(void *callable) noexcept : callable_(static_cast<Callable *>(callable)) { receive(callable); }
    Received(const Received &) = delete;
    Received &operator=(const Received &) = delete;
    ~Received() { give(callable_); }

    Callable &operator*() const noexcept { return *callable_; }

  private:
    Callable *callable_;
};

/// Ends a callable that was given with a callback. What its destructor throws goes no further.
template <class Callable>
void destroy(void *callable) noexcept {
    receive(callable);
    guarded([&] { delete static_cast<Callable *>(callable); });
}

/// Gives a callable to C, which owns it then, unless the call of C's fails: call(data).
template <class Callable, class Given, class Call>
Result<void> hand_over(Given &&callable, const Call &call) {
    auto owned = std::make_unique<Callable>(std::forward<Given>(callable));
    give(owned.get());
    if (ck_error_t *error = call(owned.get())) {
        return Error::take(error);
    }
    // It may have been called, and destroyed, already.
    static_cast<void>(owned.release());
    return {};
}

} // namespace detail

// ---- Time.
// ------------------------------------------------------------------------------------------------------------

/// A point of time by a node's wall clock, to the millisecond. It converts to std::chrono::system_clock::time_point.
using TimePoint = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

/// A duration as the library takes it: milliseconds in 32 bits. Every duration of std::chrono converts to it: it is
/// rounded up, so that nothing waits for less than was asked for; what is negative is 0, and what is too long is 49
/// days.
class Duration {
  public:
    /// The same duration.
    template <class Rep, class Period>
    constexpr Duration(std::chrono::duration<Rep, Period> duration) noexcept : ms_(rounded(duration)) {}

    /// In milliseconds, as the C interface takes it.
    constexpr std::uint32_t count() const noexcept { return ms_; }

  private:
    template <class Rep, class Period>
    static constexpr std::uint32_t rounded(std::chrono::duration<Rep, Period> duration) noexcept {
        // In floating point nothing overflows, and up to 49 days a millisecond is exact.
        using Exact = std::chrono::duration<long double, std::milli>;
        constexpr std::uint32_t longest = (std::numeric_limits<std::uint32_t>::max)();
        const long double ms = std::chrono::duration_cast<Exact>(duration).count();
        // What is no number is not above zero.
        if (!(ms > 0.0L)) {
            return 0;
        }
        if (ms >= static_cast<long double>(longest)) {
            return longest;
        }
        const auto whole = static_cast<std::uint32_t>(ms);
        return static_cast<long double>(whole) < ms ? whole + 1 : whole;
    }

    std::uint32_t ms_;
};

namespace detail {

/// Milliseconds of C's; what is beyond 292 million years is that.
inline std::chrono::milliseconds milliseconds(std::uint64_t ms) noexcept {
    using Count = std::chrono::milliseconds::rep;
    constexpr Count longest = (std::numeric_limits<Count>::max)();
    return std::chrono::milliseconds(ms > static_cast<std::uint64_t>(longest) ? longest : static_cast<Count>(ms));
}

inline TimePoint time_point(std::uint64_t ms) noexcept {
    return TimePoint(milliseconds(ms));
}

/// A point of time that is not known where C says 0.
inline std::optional<TimePoint> optional_time_point(std::uint64_t ms) noexcept {
    return ms != 0 ? std::optional<TimePoint>(time_point(ms)) : std::nullopt;
}

} // namespace detail

// ---- Ranges and values.
// -----------------------------------------------------------------------------------------------

namespace detail {

/// Goes over what is reached by an index. It is as good as the range that it came from, and may outlive that.
template <class Source>
class IndexIterator {
  public:
    using value_type = typename Source::value_type;
    using reference = value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::random_access_iterator_tag;
    /// What an element is reached through: it is a value.
    class pointer {
      public:
        explicit pointer(value_type value) : value_(std::move(value)) {}
        const value_type *operator->() const noexcept { return &value_; }

      private:
        value_type value_;
    };

    IndexIterator() noexcept = default;
    IndexIterator(Source source, std::size_t index) noexcept
        : source_(source), index_(static_cast<difference_type>(index)) {}

    reference operator*() const { return source_.get(static_cast<std::size_t>(index_)); }
    pointer operator->() const { return pointer(**this); }
    reference operator[](difference_type distance) const { return *(*this + distance); }
    IndexIterator &operator++() noexcept { return *this += 1; }
    IndexIterator &operator--() noexcept { return *this -= 1; }
    IndexIterator operator++(int) noexcept {
        IndexIterator before = *this;
        ++*this;
        return before;
    }
    IndexIterator operator--(int) noexcept {
        IndexIterator before = *this;
        --*this;
        return before;
    }
    IndexIterator &operator+=(difference_type distance) noexcept {
        index_ += distance;
        return *this;
    }
    IndexIterator &operator-=(difference_type distance) noexcept {
        index_ -= distance;
        return *this;
    }
    friend IndexIterator operator+(IndexIterator from, difference_type distance) noexcept { return from += distance; }
    friend IndexIterator operator+(difference_type distance, IndexIterator from) noexcept { return from += distance; }
    friend IndexIterator operator-(IndexIterator from, difference_type distance) noexcept { return from -= distance; }
    friend difference_type operator-(const IndexIterator &a, const IndexIterator &b) noexcept {
        return a.index_ - b.index_;
    }
    friend bool operator==(const IndexIterator &a, const IndexIterator &b) noexcept { return a.index_ == b.index_; }
    friend bool operator!=(const IndexIterator &a, const IndexIterator &b) noexcept { return a.index_ != b.index_; }
    friend bool operator<(const IndexIterator &a, const IndexIterator &b) noexcept { return a.index_ < b.index_; }
    friend bool operator>(const IndexIterator &a, const IndexIterator &b) noexcept { return a.index_ > b.index_; }
    friend bool operator<=(const IndexIterator &a, const IndexIterator &b) noexcept { return a.index_ <= b.index_; }
    friend bool operator>=(const IndexIterator &a, const IndexIterator &b) noexcept { return a.index_ >= b.index_; }

  private:
    Source source_{};
    difference_type index_ = 0;
};

/// An array of pointers to records of C's, each as a Value.
template <class Record, class Value>
struct Pointers {
    using value_type = Value;
    const Record *const *pointers;
    Value get(std::size_t index) const { return Value(pointers[index]); }
};

/// An array of texts of C's.
struct Texts {
    using value_type = std::string_view;
    const char *const *texts;
    std::string_view get(std::size_t index) const noexcept { return text(texts[index]); }
};

} // namespace detail

/// A range over what the library holds: random access, no copy, and elements that are small values. It is borrowed, as
/// its elements are, from what it was asked of. In C++20 it is a view and a borrowed range.
template <class Source>
class Range {
  public:
    using value_type = typename Source::value_type;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using iterator = detail::IndexIterator<Source>;
    using const_iterator = iterator;

    Range() noexcept = default;
    Range(Source source, std::size_t size) noexcept : source_(source), size_(size) {}

    iterator begin() const noexcept { return iterator(source_, 0); }
    iterator end() const noexcept { return iterator(source_, size_); }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    /// The element at an index, which is less than size().
    value_type operator[](std::size_t index) const { return source_.get(index); }
    /// The first element of a range that is not empty.
    value_type front() const { return source_.get(0); }
    /// The last element of a range that is not empty.
    value_type back() const { return source_.get(size_ - 1); }

  private:
    Source source_{};
    std::size_t size_ = 0;
};

/// Elements that lie one after the other and belong to somebody else: std::span, for C++17. The two convert to each
/// other.
template <class T>
class Span {
  public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using iterator = T *;

    Span() noexcept = default;
    /// size elements at data.
    Span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    /// The elements of an array, a std::vector, a std::span and the like.
    template <class Elements,
              class = std::enable_if_t<!std::is_same_v<std::decay_t<Elements>, Span> &&
                                       std::is_convertible_v<decltype(std::data(std::declval<Elements &>())), T *>>>
    Span(Elements &&elements) noexcept : data_(std::data(elements)), size_(std::size(elements)) {}

    T *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    T *begin() const noexcept { return data_; }
    T *end() const noexcept { return data_ + size_; }
    /// The element at an index, which is less than size().
    T &operator[](std::size_t index) const { return data_[index]; }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace clusterkit

#if defined(__cpp_lib_ranges)
template <class Source>
inline constexpr bool std::ranges::enable_borrowed_range<clusterkit::Range<Source>> = true;
template <class Source>
inline constexpr bool std::ranges::enable_view<clusterkit::Range<Source>> = true;
template <class T>
inline constexpr bool std::ranges::enable_borrowed_range<clusterkit::Span<T>> = true;
template <class T>
inline constexpr bool std::ranges::enable_view<clusterkit::Span<T>> = true;
#endif

namespace clusterkit {

/// A text that the library made: UTF-8, which is freed with it.
class Text {
  public:
    /// No text.
    Text() noexcept = default;
    /// Owns a text of the C interface. text: consumed.
    explicit Text(ck_text_t *text) noexcept : text_(text) {}

    /// The text; valid as long as this.
    std::string_view view() const & noexcept {
        std::size_t size = 0;
        const char *data = ck_text_data(text_.get(), &size);
        return data != nullptr ? std::string_view(data, size) : std::string_view();
    }
    std::string_view view() const && = delete;
    /// The text; valid as long as this.
    operator std::string_view() const & noexcept { return view(); }
    operator std::string_view() const && = delete;
    /// The text, with a NUL at its end; valid as long as this.
    const char *c_str() const & noexcept {
        const char *data = ck_text_data(text_.get(), nullptr);
        return data != nullptr ? data : "";
    }
    const char *c_str() const && = delete;
    /// A copy of the text.
    std::string str() const { return std::string(view()); }

  private:
    detail::Owned<ck_text_t, ck_text_free> text_;
};

/// Texts that the library made: a range of std::string_view, which are freed with it.
class Strings {
    struct Source {
        using value_type = std::string_view;
        const ck_strings_t *strings;
        std::string_view get(std::size_t index) const noexcept {
            std::size_t size = 0;
            const char *data = ck_strings_get(strings, index, &size);
            return data != nullptr ? std::string_view(data, size) : std::string_view();
        }
    };

  public:
    using value_type = std::string_view;
    using iterator = detail::IndexIterator<Source>;
    using const_iterator = iterator;

    /// None.
    Strings() noexcept = default;
    /// Owns texts of the C interface. strings: consumed.
    explicit Strings(ck_strings_t *strings) noexcept : strings_(strings) {}

    iterator begin() const noexcept { return iterator(Source{strings_.get()}, 0); }
    iterator end() const noexcept { return iterator(Source{strings_.get()}, size()); }
    std::size_t size() const noexcept { return ck_strings_count(strings_.get()); }
    bool empty() const noexcept { return size() == 0; }
    /// The text at an index; empty where there is none. Valid as long as this.
    std::string_view operator[](std::size_t index) const noexcept { return Source{strings_.get()}.get(index); }

  private:
    detail::Owned<ck_strings_t, ck_strings_free> strings_;
};

/// Numbers that the library made, one after the other in memory, which is freed with it.
class Numbers {
  public:
    using value_type = std::uint32_t;
    using iterator = const std::uint32_t *;
    using const_iterator = iterator;

    /// None.
    Numbers() noexcept = default;
    /// Owns numbers of the C interface. numbers: consumed.
    explicit Numbers(ck_numbers_t *numbers) noexcept : numbers_(numbers) {}

    const std::uint32_t *data() const noexcept { return ck_numbers_data(numbers_.get(), nullptr); }
    std::size_t size() const noexcept {
        std::size_t size = 0;
        ck_numbers_data(numbers_.get(), &size);
        return size;
    }
    bool empty() const noexcept { return size() == 0; }
    const std::uint32_t *begin() const noexcept { return data(); }
    const std::uint32_t *end() const noexcept { return data() + size(); }
    /// The number at an index, which is less than size().
    std::uint32_t operator[](std::size_t index) const noexcept { return data()[index]; }

  private:
    detail::Owned<ck_numbers_t, ck_numbers_free> numbers_;
};

/// A value of the replicated store, and the revision that wrote it.
class Data {
  public:
    /// No value.
    Data() noexcept = default;
    /// Owns a value of the C interface. data: consumed.
    explicit Data(ck_data_t *data) noexcept : data_(data) {}

    /// The bytes; valid as long as this.
    std::string_view bytes() const & noexcept {
        std::size_t size = 0;
        const void *bytes = ck_data_value(data_.get(), &size);
        return bytes != nullptr ? std::string_view(static_cast<const char *>(bytes), size) : std::string_view();
    }
    std::string_view bytes() const && = delete;
    /// A copy of the bytes.
    std::string str() const { return std::string(bytes()); }
    /// The revision that wrote the value.
    std::uint64_t revision() const noexcept { return ck_data_revision(data_.get()); }

  private:
    detail::Owned<ck_data_t, ck_data_free> data_;
};

// ---- Names for numbers. A later library may have more: what is none of them prints as "unknown".
// -----------------------

/// What a node is to a partition.
enum class Role : std::int32_t {
    /// The node holds nothing of the partition, or may not act on what it holds.
    None = CK_ROLE_NONE,
    /// The node takes the writes.
    Primary = CK_ROLE_PRIMARY,
    /// The node holds a copy.
    Replica = CK_ROLE_REPLICA,
};

/// Where a node is in its life.
enum class NodeStatus : std::int32_t {
    /// A status that this header does not know.
    Unknown = CK_NODE_STATUS_UNKNOWN,
    /// Admitted, and catching up with the log. Holds no partition yet.
    Joining = CK_NODE_JOINING,
    /// A full member.
    Active = CK_NODE_ACTIVE,
    /// Handing its partitions over before it is removed.
    Leaving = CK_NODE_LEAVING,
    /// Shut down in an orderly way; expected back.
    Stopped = CK_NODE_STOPPED,
    /// Declared dead after too long without a heartbeat; may come back.
    Failed = CK_NODE_FAILED,
};

/// What an application says of its own health.
enum class Health : std::int32_t {
    /// A state of health that this header does not know.
    Unknown = CK_HEALTH_UNKNOWN,
    /// All is well.
    Healthy = CK_HEALTH_HEALTHY,
    /// It works, with something to look at.
    Degraded = CK_HEALTH_DEGRADED,
    /// It cannot do its work.
    Failing = CK_HEALTH_FAILING,
};

/// The condition of a partition.
enum class PartitionState : std::int32_t {
    /// There is no such partition, or its state is one that this header does not know.
    Unknown = CK_PARTITION_UNKNOWN,
    /// It has a primary, nothing moves, and as many nodes that are up hold the data as the replication factor requires.
    Ok = CK_PARTITION_OK,
    /// It has a primary and enough copies, and a copy or the primary role is moving to another node.
    Moving = CK_PARTITION_MOVING,
    /// It has a primary, and fewer nodes that are up hold the data than the replication factor requires.
    UnderReplicated = CK_PARTITION_UNDER_REPLICATED,
    /// The primary role is between two holders, or no node has it yet.
    NoPrimary = CK_PARTITION_NO_PRIMARY,
    /// No node that is up holds the data.
    Lost = CK_PARTITION_LOST,
};

/// What a step of a migration does.
enum class MigrationState : std::int32_t {
    /// A state that this header does not know.
    Unknown = CK_MIGRATION_UNKNOWN,
    /// The node has as many copies in progress as it may.
    Queued = CK_MIGRATION_QUEUED,
    /// The node has to copy the data.
    Copying = CK_MIGRATION_COPYING,
    /// The node has to copy the data, its hook has failed, and the hook is called again.
    Retrying = CK_MIGRATION_RETRYING,
    /// No node that is up has the data.
    NoSource = CK_MIGRATION_NO_SOURCE,
    /// The copy is there; the primary role is taken from its holder and given to the other node.
    HandingOver = CK_MIGRATION_HANDING_OVER,
};

/// What a node gains or loses in a partition.
enum class RoleChange : std::int32_t {
    /// A change that this header does not know.
    Unknown = CK_CHANGE_UNKNOWN,
    /// The node is to hold a copy: copy the data, and return success when it is there.
    GainedReplica = CK_CHANGE_GAINED_REPLICA,
    /// The node takes the writes from now on.
    GainedPrimary = CK_CHANGE_GAINED_PRIMARY,
    /// The node takes writes no longer; it still holds its copy.
    LostPrimary = CK_CHANGE_LOST_PRIMARY,
    /// The node holds the partition no longer, and may delete the data.
    LostCopy = CK_CHANGE_LOST_COPY,
};

/// Why a partition's holders changed.
enum class ChangeReason : std::int32_t {
    /// A reason that this header does not know.
    Unknown = CK_REASON_UNKNOWN,
    /// A node joined.
    NodeJoin = CK_REASON_NODE_JOIN,
    /// A node stopped, failed or was removed.
    NodeLeave = CK_REASON_NODE_LEAVE,
    /// A better distribution was found.
    Rebalance = CK_REASON_REBALANCE,
    /// It was asked for.
    Manual = CK_REASON_MANUAL,
};

/// Why a node left.
enum class LeaveReason : std::int32_t {
    /// A reason that this header does not know.
    Unknown = CK_LEAVE_UNKNOWN,
    /// It sent no heartbeat for too long.
    HealthCheckFailure = CK_LEAVE_HEALTH_CHECK_FAILURE,
    /// It stopped or left in an orderly way.
    GracefulShutdown = CK_LEAVE_GRACEFUL_SHUTDOWN,
    /// An administrator removed it.
    RemovedByAdmin = CK_LEAVE_REMOVED_BY_ADMIN,
};

/// What made partitions move.
enum class RebalanceTrigger : std::int32_t {
    /// A trigger that this header does not know, or none.
    Unknown = CK_TRIGGER_UNKNOWN,
    /// Nodes joined.
    NodeJoin = CK_TRIGGER_NODE_JOIN,
    /// A node left.
    NodeLeave = CK_TRIGGER_NODE_LEAVE,
    /// It was asked for.
    Manual = CK_TRIGGER_MANUAL,
};

/// How much a message matters.
enum class LogLevel : std::int32_t {
    /// What needs a human.
    Error = CK_LOG_ERROR,
    /// What may need one.
    Warn = CK_LOG_WARN,
    /// What an operator wants to see: joins, leaders, moves.
    Info = CK_LOG_INFO,
    /// What helps to find a fault.
    Debug = CK_LOG_DEBUG,
    /// Everything.
    Trace = CK_LOG_TRACE,
};

/// What happened. Several with | are an EventMask.
enum class EventKind : std::uint32_t {
    /// A node gained or lost a partition, or a role in it: PartitionChange.
    PartitionChange = CK_EVENT_PARTITION_CHANGE,
    /// A node that was never a member has joined: NodeJoin.
    NodeJoin = CK_EVENT_NODE_JOIN,
    /// A member is back, or has restarted: NodeRejoin.
    NodeRejoin = CK_EVENT_NODE_REJOIN,
    /// A member stopped, failed, or was removed: NodeLeave.
    NodeLeave = CK_EVENT_NODE_LEAVE,
    /// Partitions begin to move: Rebalance.
    RebalanceStart = CK_EVENT_REBALANCE_START,
    /// Every partition is where it should be: Rebalance.
    RebalanceComplete = CK_EVENT_REBALANCE_COMPLETE,
    /// The cluster's health changed: ClusterHealth.
    ClusterHealthChange = CK_EVENT_CLUSTER_HEALTH_CHANGE,
    /// This node leads now: Leadership. Told on this node only.
    BecomeLeader = CK_EVENT_BECOME_LEADER,
    /// This node leads no longer: Leadership. Told on this node only.
    LoseLeadership = CK_EVENT_LOSE_LEADERSHIP,
    /// Another node leads now: Leadership.
    LeaderChange = CK_EVENT_LEADER_CHANGE,
};

/// The name of a role: "primary", "replica", "none".
inline std::string_view to_string(Role role) noexcept {
    switch (role) {
    case Role::None: return "none";
    case Role::Primary: return "primary";
    case Role::Replica: return "replica";
    }
    return "unknown";
}

/// The name of a status, as over HTTP.
inline std::string_view to_string(NodeStatus status) noexcept {
    switch (status) {
    case NodeStatus::Joining: return "joining";
    case NodeStatus::Active: return "active";
    case NodeStatus::Leaving: return "leaving";
    case NodeStatus::Stopped: return "stopped";
    case NodeStatus::Failed: return "failed";
    case NodeStatus::Unknown: break;
    }
    return "unknown";
}

/// The name of a state of health, as over HTTP.
inline std::string_view to_string(Health health) noexcept {
    switch (health) {
    case Health::Healthy: return "healthy";
    case Health::Degraded: return "degraded";
    case Health::Failing: return "failing";
    case Health::Unknown: break;
    }
    return "unknown";
}

/// The name of a partition's state, as over HTTP.
inline std::string_view to_string(PartitionState state) noexcept {
    switch (state) {
    case PartitionState::Ok: return "ok";
    case PartitionState::Moving: return "moving";
    case PartitionState::UnderReplicated: return "under_replicated";
    case PartitionState::NoPrimary: return "no_primary";
    case PartitionState::Lost: return "lost";
    case PartitionState::Unknown: break;
    }
    return "unknown";
}

/// The name of a migration's state, as over HTTP.
inline std::string_view to_string(MigrationState state) noexcept {
    switch (state) {
    case MigrationState::Queued: return "queued";
    case MigrationState::Copying: return "copying";
    case MigrationState::Retrying: return "retrying";
    case MigrationState::NoSource: return "no_source";
    case MigrationState::HandingOver: return "handing_over";
    case MigrationState::Unknown: break;
    }
    return "unknown";
}

/// The name of a change, as over HTTP.
inline std::string_view to_string(RoleChange change) noexcept {
    switch (change) {
    case RoleChange::GainedReplica: return "gained_replica";
    case RoleChange::GainedPrimary: return "gained_primary";
    case RoleChange::LostPrimary: return "lost_primary";
    case RoleChange::LostCopy: return "lost_copy";
    case RoleChange::Unknown: break;
    }
    return "unknown";
}

/// The name of a reason, as over HTTP.
inline std::string_view to_string(ChangeReason reason) noexcept {
    switch (reason) {
    case ChangeReason::NodeJoin: return "node_join";
    case ChangeReason::NodeLeave: return "node_leave";
    case ChangeReason::Rebalance: return "rebalance";
    case ChangeReason::Manual: return "manual";
    case ChangeReason::Unknown: break;
    }
    return "unknown";
}

/// The name of a reason, as over HTTP.
inline std::string_view to_string(LeaveReason reason) noexcept {
    switch (reason) {
    case LeaveReason::HealthCheckFailure: return "health_check_failure";
    case LeaveReason::GracefulShutdown: return "graceful_shutdown";
    case LeaveReason::RemovedByAdmin: return "removed_by_admin";
    case LeaveReason::Unknown: break;
    }
    return "unknown";
}

/// The name of a trigger, as over HTTP.
inline std::string_view to_string(RebalanceTrigger trigger) noexcept {
    switch (trigger) {
    case RebalanceTrigger::NodeJoin: return "node_join";
    case RebalanceTrigger::NodeLeave: return "node_leave";
    case RebalanceTrigger::Manual: return "manual";
    case RebalanceTrigger::Unknown: break;
    }
    return "unknown";
}

/// The name of a level, as the option log_level takes it.
inline std::string_view to_string(LogLevel level) noexcept {
    switch (level) {
    case LogLevel::Error: return "error";
    case LogLevel::Warn: return "warn";
    case LogLevel::Info: return "info";
    case LogLevel::Debug: return "debug";
    case LogLevel::Trace: return "trace";
    }
    return "unknown";
}

/// The name of an event, as over HTTP.
inline std::string_view to_string(EventKind kind) noexcept {
    switch (kind) {
    case EventKind::PartitionChange: return "partition_change";
    case EventKind::NodeJoin: return "node_join";
    case EventKind::NodeRejoin: return "node_rejoin";
    case EventKind::NodeLeave: return "node_leave";
    case EventKind::RebalanceStart: return "rebalance_start";
    case EventKind::RebalanceComplete: return "rebalance_complete";
    case EventKind::ClusterHealthChange: return "cluster_health_change";
    case EventKind::BecomeLeader: return "become_leader";
    case EventKind::LoseLeadership: return "lose_leadership";
    case EventKind::LeaderChange: return "leader_change";
    }
    return "unknown";
}

/// A set of events.
class EventMask {
  public:
    /// One kind.
    constexpr EventMask(EventKind kind) noexcept : bits_(static_cast<std::uint32_t>(kind)) {}
    /// As the C interface has it: a sum of CK_EVENT_*, or CK_EVENT_ALL.
    constexpr explicit EventMask(std::uint32_t bits) noexcept : bits_(bits) {}
    /// Every event, kinds that later libraries add included.
    static constexpr EventMask all() noexcept { return EventMask(CK_EVENT_ALL); }

    /// As the C interface has it.
    constexpr std::uint32_t bits() const noexcept { return bits_; }
    /// True when the set has this kind.
    constexpr bool contains(EventKind kind) const noexcept { return (bits_ & static_cast<std::uint32_t>(kind)) != 0; }
    friend constexpr bool operator==(EventMask a, EventMask b) noexcept { return a.bits_ == b.bits_; }
    friend constexpr bool operator!=(EventMask a, EventMask b) noexcept { return a.bits_ != b.bits_; }

  private:
    std::uint32_t bits_;
};

/// Both sets.
constexpr EventMask operator|(EventMask a, EventMask b) noexcept {
    return EventMask(a.bits() | b.bits());
}
/// Both kinds.
constexpr EventMask operator|(EventKind a, EventKind b) noexcept {
    return EventMask(a) | EventMask(b);
}

/// Writes the name of a number that has one: an ErrorCode, a Role, ...
template <class Traits, class Named, class = std::enable_if_t<std::is_enum_v<Named>>,
          class = decltype(to_string(std::declval<Named>()))>
std::basic_ostream<char, Traits> &operator<<(std::basic_ostream<char, Traits> &out, Named value) {
    return out << to_string(value);
}

/// Writes code and message.
template <class Traits>
std::basic_ostream<char, Traits> &operator<<(std::basic_ostream<char, Traits> &out, const Error &error) {
    return out << to_string(error);
}

/// Writes the text.
template <class Traits>
std::basic_ostream<char, Traits> &operator<<(std::basic_ostream<char, Traits> &out, const Text &text) {
    return out << text.view();
}

// ---- The library that runs.
// -------------------------------------------------------------------------------------------

/// The version of the library that runs, as "major.minor.patch". Static. Works in a forked child.
inline std::string_view version() noexcept {
    return ck_version();
}

/// The same in one number that grows with every version, as CK_VERSION. Works in a forked child.
inline std::uint32_t version_number() noexcept {
    return ck_version_number();
}

/// The number of the ABI of the library that runs. Works in a forked child.
inline std::uint32_t abi_version() noexcept {
    return ck_abi_version();
}

/// Whether the library that runs is one that this header is for: its ABI is CK_ABI_VERSION, and it is not older than
/// the header. Options::create and Cluster::create ask it first, so that no program goes on with another one.
///
/// Errors: Version.
inline Result<void> check_abi() {
    if (abi_version() == CK_ABI_VERSION && version_number() >= CK_VERSION) {
        return {};
    }
    return Error(ErrorCode::Version, "this program was built for ABI " + std::to_string(CK_ABI_VERSION) +
                                         " of ClusterKit " + std::to_string(CK_VERSION_MAJOR) + "." +
                                         std::to_string(CK_VERSION_MINOR) + "." + std::to_string(CK_VERSION_PATCH) +
                                         " or later, and the library is " + std::string(version()) + " with ABI " +
                                         std::to_string(abi_version()));
}

// ---- Options.
// ---------------------------------------------------------------------------------------------------------

/// The value of an option: text, or what has a text form. Text is borrowed.
class OptionText {
  public:
    /// No text, which unsets what may be unset.
    OptionText() noexcept = default;
    /// A text.
    template <class Text, std::enable_if_t<std::is_convertible_v<const Text &, std::string_view>, int> = 0>
    OptionText(const Text &text) noexcept : given_(text) {}
    /// A number, or true or false.
    template <class Number, class = std::enable_if_t<std::is_integral_v<Number>>>
    OptionText(Number number) {
        if constexpr (std::is_same_v<Number, bool>) {
            given_ = number ? "true" : "false";
        } else {
            made_ = std::to_string(number);
        }
    }
    /// A duration, which is rounded up to milliseconds.
    template <class Rep, class Period>
    OptionText(std::chrono::duration<Rep, Period> duration)
        : made_(std::to_string(Duration(duration).count()) + "ms") {}

    /// The text form, borrowed.
    std::string_view get() const & noexcept { return made_.empty() ? given_ : std::string_view(made_); }
    std::string_view get() const && = delete;

  private:
    std::string_view given_;
    std::string made_;
};

/// An option's name and its value, both borrowed.
struct OptionValue {
    std::string_view name;
    OptionText value;
};

namespace detail {

/// Options with these values.
template <class Options>
Result<Options> with(Options options, std::initializer_list<OptionValue> values) {
    for (const OptionValue &option : values) {
        if (Result<void> set = options.set(option.name, option.value); !set) {
            return std::move(set).error();
        }
    }
    return options;
}

} // namespace detail

/// Options of a node, borrowed from whoever owns them: a pointer in size, valid as long as they.
class OptionsRef {
  public:
    /// No options; calls fail with InvalidArgument.
    OptionsRef() noexcept = default;
    /// Options of the C interface, borrowed.
    explicit OptionsRef(ck_options_t *options) noexcept : options_(options) {}

    /// Sets an option by its name, to a number, a duration, true or false, or from its text form: "5s", "true", "64",
    /// "10.0.0.1:8080,10.0.0.2:8080". "services.NAME" and "labels.NAME" set one entry. An empty value unsets what may
    /// be unset. On failure nothing changes.
    ///
    /// Errors: InvalidArgument; InvalidOption for an unknown name (the message suggests the nearest), and for a value
    /// that is malformed or out of bounds.
    Result<void> set(std::string_view name, const OptionText &value) {
        const std::string_view text = value.get();
        return detail::outcome(ck_options_set(get(), name.data(), name.size(), text.data(), text.size()));
    }

    /// Sets what a JSON object names and leaves the rest. On failure nothing changes.
    ///
    /// Errors: InvalidArgument, InvalidOption.
    Result<void> load_json(std::string_view json) {
        return detail::outcome(ck_options_load_json(get(), json.data(), json.size()));
    }
    /// Sets what a JSON file names and leaves the rest. On failure nothing changes. Blocks for as long as reading
    /// takes.
    ///
    /// Errors: InvalidArgument, InvalidOption; Io when the file cannot be read.
    Result<void> load_file(std::string_view path) {
        return detail::outcome(ck_options_load_file(get(), path.data(), path.size()));
    }
    /// Sets what environment variables name (CLUSTERKIT_NODE_ID and so on) and leaves the rest. On failure nothing
    /// changes. No other thread may change the environment meanwhile.
    ///
    /// Errors: InvalidArgument; InvalidOption, which names the variable.
    Result<void> load_env() { return detail::outcome(ck_options_load_env(get())); }

    /// The value of an option in its text form: what was set, or else the default where that is one value. Empty where
    /// nothing is set and the default is derived from other options or is none.
    ///
    /// Errors: InvalidArgument; InvalidOption for an unknown name.
    Result<Text> get(std::string_view name) const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_options_get(get(), name.data(), name.size(), &text)) {
            return Error::take(error);
        }
        return Text(text);
    }

    /// Checks the options as Cluster::create does: that what is required is set, and that no two contradict each other.
    ///
    /// Errors: InvalidArgument, InvalidOption.
    Result<void> validate() const { return detail::outcome(ck_options_validate(get())); }

    /// What the options come to, as a JSON object: every option by its name with the value that a node would use,
    /// derived ones included.
    ///
    /// Errors: InvalidArgument; InvalidOption as validate().
    Result<Text> effective() const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_options_effective(get(), &text)) {
            return Error::take(error);
        }
        return Text(text);
    }

    /// The options for the C interface, borrowed: valid as long as this.
    ck_options_t *get() const noexcept { return options_; }

  protected:
    ck_options_t *options_ = nullptr;
};

/// What a node is started with: every call is one of OptionsRef. docs/options.md lists every option with its default
/// and bounds. Nodes that were made from it have a copy.
class Options : public OptionsRef {
  public:
    /// No options; calls fail with InvalidArgument until others are moved here.
    Options() noexcept = default;
    /// Owns options of the C interface. options: consumed.
    explicit Options(ck_options_t *options) noexcept : OptionsRef(options) {}
    Options(Options &&other) noexcept : OptionsRef(other.release()) {}
    Options &operator=(Options &&other) noexcept {
        Options taken(std::move(other));
        std::swap(options_, taken.options_);
        return *this;
    }
    ~Options() { ck_options_free(options_); }

    /// Options with every default, and with these values: node_id and http_addr have no default.
    ///
    /// Errors: InvalidOption, Io; Version as check_abi().
    static Result<Options> create(std::initializer_list<OptionValue> values = {}) {
        if (Result<void> checked = check_abi(); !checked) {
            return std::move(checked).error();
        }
        ck_options_t *options = nullptr;
        if (ck_error_t *error = ck_options_new(&options)) {
            return Error::take(error);
        }
        return detail::with(Options(options), values);
    }

    /// Gives them away: free them with ck_options_free.
    [[nodiscard]] ck_options_t *release() noexcept { return std::exchange(options_, nullptr); }
};

/// An option that there is. All texts are static.
struct OptionInfo {
    /// What Options::set takes.
    std::string_view name;
    /// Its type in one word: text, address, list, map, boolean, integer, duration or choice.
    std::string_view type;
    /// The value that applies when it is not set, or in words where it comes from. None: it must be set, or is left
    /// out.
    std::optional<std::string_view> default_value;
    /// What it accepts, in words, such as "1 to 65536".
    std::string_view bounds;
    /// The environment variables that set it, separated by blanks; where several are set, the first counts. None set
    /// options of clients.
    std::string_view env;
    /// What it means, in a sentence or two.
    std::string_view help;
};

namespace detail {

struct OptionTable {
    using value_type = OptionInfo;
    OptionInfo get(std::size_t index) const noexcept {
        return {text(ck_option_name(index)),   text(ck_option_type(index)), optional_text(ck_option_default(index)),
                text(ck_option_bounds(index)), text(ck_option_env(index)),  text(ck_option_help(index))};
    }
};

} // namespace detail

/// Every option that there is.
inline Range<detail::OptionTable> option_table() noexcept {
    return {detail::OptionTable{}, ck_option_count()};
}

/// Reads a duration as options have it: "5s", "500ms", "1m30s", or a number of milliseconds.
///
/// Errors: InvalidArgument when it is no duration.
inline Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
    std::uint64_t ms = 0;
    if (ck_error_t *error = ck_parse_duration(text.data(), text.size(), &ms)) {
        return Error::take(error);
    }
    return detail::milliseconds(ms);
}

// ---- Members.
// ---------------------------------------------------------------------------------------------------------

/// A name and a value.
struct Pair {
    std::string_view name;
    std::string_view value;

    Pair() noexcept = default;
    /// A pair of the C interface.
    explicit Pair(const ck_pair_t *pair) noexcept : name(detail::text(pair->name)), value(detail::text(pair->value)) {}
};

/// A member of the cluster, borrowed from the view, the event or the range that it came from: valid as long as that. A
/// pointer in size, to be passed by value.
class Node {
  public:
    /// A node of the C interface, not NULL: borrowed.
    explicit Node(const ck_node_t *node) noexcept : node_(node) {}

    /// The name that the application gave it.
    std::string_view id() const noexcept { return detail::text(node_->id); }
    /// A name for people.
    std::string_view name() const noexcept { return detail::text(node_->name); }
    /// The "host:port" at which others reach it.
    std::string_view ip() const noexcept { return detail::text(node_->ip); }
    /// The port in ip().
    std::uint16_t port() const noexcept { return node_->port; }
    /// The failure zone, where the operator named one.
    std::optional<std::string_view> zone() const noexcept { return detail::optional_text(node_->zone); }
    /// The application's own endpoints: name to ":port" (the node's own host) or "host:port", sorted by name.
    Range<detail::Pointers<ck_pair_t, Pair>> services() const noexcept {
        return {{node_->services}, node_->service_count};
    }
    /// The endpoint of this name.
    std::optional<std::string_view> service(std::string_view name) const noexcept { return find(services(), name); }
    /// Free-form labels, sorted by name.
    Range<detail::Pointers<ck_pair_t, Pair>> labels() const noexcept { return {{node_->labels}, node_->label_count}; }
    /// The label of this name.
    std::optional<std::string_view> label(std::string_view name) const noexcept { return find(labels(), name); }
    /// Grows with every start of the node's process: the revision at which the process was admitted.
    std::uint64_t incarnation() const noexcept { return node_->incarnation; }
    /// When the cluster last recorded contact with it.
    TimePoint last_seen() const noexcept { return detail::time_point(node_->last_seen_ms); }
    /// When it first joined.
    TimePoint joined_at() const noexcept { return detail::time_point(node_->joined_at_ms); }
    /// Where it is in its life.
    NodeStatus status() const noexcept { return static_cast<NodeStatus>(node_->status); }
    /// What its application last said of itself.
    Health health() const noexcept { return static_cast<Health>(node_->health); }
    /// Why, when it is not healthy; else empty.
    std::string_view health_reason() const noexcept { return detail::text(node_->health_reason); }
    /// Its share of the partitions relative to other nodes: 100 is usual, 0 takes no new ones.
    std::uint32_t weight() const noexcept { return node_->weight; }
    /// True when it votes in elections.
    bool is_voter() const noexcept { return node_->voter; }

    /// The node of the C interface, borrowed as this.
    const ck_node_t *get() const noexcept { return node_; }

  private:
    static std::optional<std::string_view> find(Range<detail::Pointers<ck_pair_t, Pair>> pairs,
                                                std::string_view name) noexcept {
        for (const Pair pair : pairs) {
            if (pair.name == name) {
                return pair.value;
            }
        }
        return std::nullopt;
    }

    const ck_node_t *node_;
};

namespace detail {

/// A node of C's that may be missing.
inline std::optional<Node> optional_node(const ck_node_t *node) noexcept {
    return node != nullptr ? std::optional<Node>(node) : std::nullopt;
}

inline std::optional<std::uint32_t> optional_partition(std::uint32_t partition) noexcept {
    return partition != CK_NO_PARTITION ? std::optional<std::uint32_t>(partition) : std::nullopt;
}

/// How many keys are handed to C at once: 2 KiB of the stack.
inline constexpr std::size_t key_batch = 128;

/// Asks C about many keys, batch by batch, without allocating: ask(keys, count, out) is a call of C's.
template <class Keys, class Ask>
Result<void> ask_many(const Keys &keys, Span<std::uint32_t> out, Ask ask) {
    using Key = decltype(*std::begin(keys));
    static_assert(std::is_reference_v<Key> || std::is_same_v<std::decay_t<Key>, std::string_view>,
                  "keys must not be made while they are read: give std::string_view, or what is stored somewhere");
    static_assert(std::is_convertible_v<Key, std::string_view>, "keys are what converts to std::string_view");
    if (out.size() < std::size(keys)) {
        return Error(ErrorCode::InvalidArgument, "out has room for " + std::to_string(out.size()) +
                                                     " numbers, and there are " + std::to_string(std::size(keys)) +
                                                     " keys");
    }
    std::array<ck_bytes_t, key_batch> batch;
    std::size_t filled = 0;
    std::uint32_t *next = out.data();
    for (auto &&key : keys) {
        const std::string_view bytes = key;
        batch[filled++] = ck_bytes_t{bytes.data(), bytes.size()};
        if (filled == batch.size()) {
            if (ck_error_t *error = ask(batch.data(), filled, next)) {
                return Error::take(error);
            }
            next += filled;
            filled = 0;
        }
    }
    // Also where there is no key at all: it may have to fail.
    std::uint32_t nothing = 0;
    return outcome(ask(batch.data(), filled, filled > 0 ? next : &nothing));
}

} // namespace detail

/// The number in the public name of a partition, such as "partition-5"; none when it is no such name.
inline std::optional<std::uint32_t> partition_number(std::string_view name) noexcept {
    return detail::optional_partition(ck_partition_number(name.data(), name.size()));
}

/// The partition that a key belongs to among partition_count: the published mapping, for programs that are no member. 0
/// for a count of 0. Allocates nothing, works in a forked child.
inline std::uint32_t partition_for(std::string_view key, std::uint32_t partition_count) noexcept {
    return ck_partition_for(key.data(), key.size(), partition_count);
}

/// partition_for of many keys: any range of what converts to std::string_view, which has a size. out: filled on
/// success, as many as there are keys. Allocates nothing where it succeeds.
///
/// Errors: InvalidArgument where out is too short.
template <class Keys>
Result<void> partitions_for(const Keys &keys, std::uint32_t partition_count, Span<std::uint32_t> out) {
    return detail::ask_many(keys, out,
                            [partition_count](const ck_bytes_t *batch, std::size_t count, std::uint32_t *numbers) {
                                return ck_partitions_for(batch, count, partition_count, numbers);
                            });
}

/// Where a key belongs.
class KeyRoute {
  public:
    /// Nowhere.
    KeyRoute() noexcept : route_() { route_.primary_index = UINT32_MAX; }

    /// The revision of the cluster that the answer was taken from.
    std::uint64_t revision() const noexcept { return route_.revision; }
    /// Grows whenever the primary changes: the fencing token for the application's storage.
    std::uint64_t epoch() const noexcept { return route_.epoch; }
    /// The partition's number, from 0.
    std::uint32_t partition() const noexcept { return route_.partition; }
    /// What this node is to the partition.
    Role role() const noexcept { return static_cast<Role>(route_.role); }
    /// True when this node takes the writes.
    bool is_primary() const noexcept { return route_.role == CK_ROLE_PRIMARY; }
    /// How many other nodes hold the data.
    std::uint32_t replica_count() const noexcept { return route_.replica_count; }
    /// The node that takes the writes, valid as long as its view. None while there is none, and where no view was asked
    /// for.
    std::optional<Node> primary() const noexcept { return detail::optional_node(route_.primary); }
    /// The index of the primary in its view. None while there is none.
    std::optional<std::uint32_t> primary_index() const noexcept {
        return route_.primary_index != UINT32_MAX ? std::optional<std::uint32_t>(route_.primary_index) : std::nullopt;
    }

    /// The answer of the C interface.
    const ck_key_route_t &get() const noexcept { return route_; }

  private:
    friend class View;
    friend class ClusterRef;

    ck_key_route_t route_;
};

/// A partition in a view: valid as long as that. A number that is no partition's has no holder, epoch 0 and an unknown
/// state.
class Partition {
    struct Replicas {
        using value_type = Node;
        const ck_view_t *view;
        std::uint32_t partition;
        Node get(std::size_t index) const noexcept { return Node(ck_view_replica(view, partition, index)); }
    };
    struct Pending {
        using value_type = Node;
        const ck_view_t *view;
        std::uint32_t partition;
        Node get(std::size_t index) const noexcept { return Node(ck_view_pending(view, partition, index)); }
    };
    struct Holders {
        using value_type = Node;
        const ck_view_t *view;
        const ck_node_t *primary;
        std::uint32_t partition;
        Node get(std::size_t index) const noexcept {
            if (primary == nullptr) {
                return Node(ck_view_replica(view, partition, index));
            }
            return Node(index == 0 ? primary : ck_view_replica(view, partition, index - 1));
        }
    };

  public:
    /// A partition of a view of the C interface, borrowed.
    Partition(const ck_view_t *view, std::uint32_t number) noexcept : view_(view), number_(number) {}

    /// Its number, from 0.
    std::uint32_t number() const noexcept { return number_; }
    /// Its public name, such as "partition-5".
    std::string id() const { return "partition-" + std::to_string(number_); }
    /// Grows whenever its primary changes: the fencing token for the application's storage.
    std::uint64_t epoch() const noexcept { return ck_view_epoch(view_, number_); }
    /// What this node is to it by this view. Whether its lease lets it act on that is not known here: ask
    /// ClusterRef::role.
    Role role() const noexcept { return static_cast<Role>(ck_view_role(view_, number_)); }
    /// Its condition.
    PartitionState state() const noexcept {
        return static_cast<PartitionState>(ck_view_partition_state(view_, number_));
    }
    /// The node that takes its writes, while there is one.
    std::optional<Node> primary() const noexcept { return detail::optional_node(ck_view_primary(view_, number_)); }
    /// The nodes besides the primary that hold its data, by id.
    Range<Replicas> replicas() const noexcept {
        return {Replicas{view_, number_}, ck_view_replica_count(view_, number_)};
    }
    /// The nodes that are still copying its data and hold no role yet, by id.
    Range<Pending> pending() const noexcept { return {Pending{view_, number_}, ck_view_pending_count(view_, number_)}; }
    /// The nodes that hold its data: the primary first, where there is one, then the replicas.
    Range<Holders> nodes() const noexcept {
        const ck_node_t *primary = ck_view_primary(view_, number_);
        const std::size_t others = ck_view_replica_count(view_, number_);
        return {Holders{view_, primary, number_}, others + (primary != nullptr ? 1U : 0U)};
    }

  private:
    const ck_view_t *view_;
    std::uint32_t number_;
};

// ---- Views.
// -----------------------------------------------------------------------------------------------------------

/// Whether partitions may move.
enum class Maintenance : std::uint8_t {
    /// There is no maintenance.
    None,
    /// Somebody asked for it: no partitions are moved, and primaries still fail over.
    Requested,
    /// The cluster began it by itself, because more than half of its members had failed.
    Automatic,
};

/// The partitions that a member holds, by number.
struct NodePartitions {
    /// Those that it takes the writes of.
    Numbers primary;
    /// Those that it holds another copy of.
    Numbers replica;
};

/// The cluster at one revision. It never changes: all answers taken from one view agree with each other. Any number of
/// threads may use it at once, and it outlives the cluster that it came from. A copy is another share of the same view,
/// and costs a few nanoseconds; what is borrowed from a view is valid as long as any share of it.
class View {
    struct Nodes {
        using value_type = Node;
        const ck_view_t *view;
        Node get(std::size_t index) const noexcept { return Node(ck_view_node(view, index)); }
    };
    struct Partitions {
        using value_type = Partition;
        const ck_view_t *view;
        Partition get(std::size_t index) const noexcept { return {view, static_cast<std::uint32_t>(index)}; }
    };

  public:
    /// No view: one of nothing, for ClusterRef::refresh and ClusterRef::lookup to fill.
    View() noexcept = default;
    /// Owns a share of the C interface. view: consumed.
    explicit View(ck_view_t *view) noexcept : view_(view) {}
    View(const View &other) noexcept : view_(ck_view_ref(other.view_)) {}
    View(View &&other) noexcept : view_(std::exchange(other.view_, nullptr)) {}
    View &operator=(View other) noexcept {
        std::swap(view_, other.view_);
        return *this;
    }
    ~View() { ck_view_release(view_); }

    /// True when there is a view.
    explicit operator bool() const noexcept { return view_ != nullptr; }

    /// The revision that the view shows.
    std::uint64_t revision() const noexcept { return ck_view_revision(view_); }

    /// The members, by id.
    Range<Nodes> nodes() const & noexcept { return {Nodes{view_}, ck_view_node_count(view_)}; }
    Range<Nodes> nodes() const && = delete;
    /// The member at an index; none where there is none.
    std::optional<Node> node(std::size_t index) const & noexcept {
        return detail::optional_node(ck_view_node(view_, index));
    }
    std::optional<Node> node(std::size_t index) const && = delete;
    /// The member with an id; none where there is none.
    std::optional<Node> find_node(std::string_view id) const & noexcept {
        return detail::optional_node(ck_view_find_node(view_, id.data(), id.size()));
    }
    std::optional<Node> find_node(std::string_view id) const && = delete;
    /// This node, when it is a member.
    std::optional<Node> my_node() const & noexcept { return detail::optional_node(ck_view_my_node(view_)); }
    std::optional<Node> my_node() const && = delete;
    /// The member whose leadership was recorded last. Whether it leads at this moment is a matter of leases, which a
    /// view does not know: ask ClusterRef::leader.
    std::optional<Node> leader() const & noexcept { return detail::optional_node(ck_view_leader(view_)); }
    std::optional<Node> leader() const && = delete;
    /// The leader epoch of that leadership, a fencing token: it only grows. 0 before there was a leader.
    std::uint64_t leader_epoch() const noexcept { return ck_view_leader_epoch(view_); }
    /// The Raft term of that leadership; no fencing token.
    std::uint64_t leader_term() const noexcept { return ck_view_leader_term(view_); }
    /// When that leadership began, by the leader's wall clock. None before there was a leader.
    std::optional<TimePoint> leader_elected_at() const noexcept {
        return detail::optional_time_point(ck_view_leader_elected_at_ms(view_));
    }
    /// The number of copies that each partition should have. 0 before there is a cluster.
    std::uint32_t replication_factor() const noexcept { return ck_view_replication_factor(view_); }
    /// How long a lease lasts in this cluster.
    std::chrono::milliseconds lease_ttl() const noexcept { return detail::milliseconds(ck_view_lease_ttl_ms(view_)); }
    /// Whether there is maintenance.
    Maintenance maintenance() const noexcept {
        bool automatic = false;
        if (!ck_view_maintenance(view_, &automatic)) {
            return Maintenance::None;
        }
        return automatic ? Maintenance::Automatic : Maintenance::Requested;
    }
    /// The whole cluster as a JSON object, the same as "cluster" in the answer of GET /cluster, without custom data.
    /// Takes time in proportion to members and partitions.
    ///
    /// Errors: InvalidArgument.
    Result<Text> json() const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_view_json(view_, &text)) {
            return Error::take(error);
        }
        return Text(text);
    }

    /// How many partitions there are; 0 before they exist.
    std::uint32_t partition_count() const noexcept { return ck_view_partition_count(view_); }
    /// The partitions, by number.
    Range<Partitions> partitions() const & noexcept { return {Partitions{view_}, partition_count()}; }
    Range<Partitions> partitions() const && = delete;
    /// The partition with a number, which may be none.
    Partition partition(std::uint32_t number) const & noexcept { return {view_, number}; }
    Partition partition(std::uint32_t number) const && = delete;
    /// The partitions that a member holds. Takes time in proportion to the partitions.
    ///
    /// Errors: InvalidArgument; NotFound when there is no such member.
    Result<NodePartitions> partitions_of(std::string_view id) const {
        ck_numbers_t *primary = nullptr;
        ck_numbers_t *replica = nullptr;
        if (ck_error_t *error = ck_view_partitions_of(view_, id.data(), id.size(), &primary, &replica)) {
            return Error::take(error);
        }
        return NodePartitions{Numbers(primary), Numbers(replica)};
    }
    /// How many partitions the member at an index takes the writes of. Takes time in proportion to the partitions.
    std::size_t primaries_of(std::size_t index) const noexcept { return ck_view_primaries_of(view_, index); }
    /// How many partitions have lost their data: no node that is up holds it. Takes time in proportion to the
    /// partitions.
    std::size_t lost_count() const noexcept { return ck_view_lost_count(view_); }
    /// The number of one of the partitions that have lost their data, in ascending order. Takes time in proportion to
    /// the partitions.
    std::optional<std::uint32_t> lost(std::size_t index) const noexcept {
        return detail::optional_partition(ck_view_lost(view_, index));
    }

    /// The partition that a key belongs to; none before partitions exist. Allocates nothing.
    std::optional<std::uint32_t> partition_for_key(std::string_view key) const noexcept {
        return detail::optional_partition(ck_view_partition_for_key(view_, key.data(), key.size()));
    }
    /// What this node is to a key by this view. Whether its lease lets it act on that is not known here: ask
    /// ClusterRef::role_for_key. Allocates nothing.
    Role role_for_key(std::string_view key) const noexcept {
        return static_cast<Role>(ck_view_role_for_key(view_, key.data(), key.size()));
    }
    /// The node that takes the writes of a key, while there is one.
    std::optional<Node> primary_for_key(std::string_view key) const & noexcept {
        return detail::optional_node(ck_view_primary_for_key(view_, key.data(), key.size()));
    }
    std::optional<Node> primary_for_key(std::string_view key) const && = delete;
    /// The nodes that hold a key: the one that takes its writes first, where there is one, then the others by id. The
    /// nodes are borrowed as all others. (Partition::nodes tells the same without a vector.)
    std::vector<Node> nodes_for_key(std::string_view key) const & {
        std::vector<const ck_node_t *> found(4);
        std::size_t count = ck_view_nodes_for_key(view_, key.data(), key.size(), found.data(), found.size());
        if (count > found.size()) {
            found.resize(count);
            count = ck_view_nodes_for_key(view_, key.data(), key.size(), found.data(), found.size());
        }
        return std::vector<Node>(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count));
    }
    std::vector<Node> nodes_for_key(std::string_view key) const && = delete;
    /// Where a key belongs by this view. The role does not regard the lease: ask ClusterRef::lookup for that. Allocates
    /// nothing where it succeeds, but what all views of the same members share.
    ///
    /// Errors: InvalidArgument; NotFound before there are partitions.
    Result<KeyRoute> route(std::string_view key) const & {
        KeyRoute route;
        if (ck_error_t *error = ck_view_route_key(view_, key.data(), key.size(), &route.route_, sizeof route.route_)) {
            return Error::take(error);
        }
        return route;
    }
    Result<KeyRoute> route(std::string_view key) const && = delete;
    /// The partitions that many keys belong to: less than a quarter of the time per key, where the processor can. keys:
    /// any range of what converts to std::string_view, which has a size. out: filled on success, as many as there are
    /// keys. Allocates nothing where it succeeds.
    ///
    /// Errors: InvalidArgument, also where out is too short; NotFound before there are partitions.
    template <class Keys>
    Result<void> route_many(const Keys &keys, Span<std::uint32_t> out) const {
        return detail::ask_many(keys, out, [this](const ck_bytes_t *batch, std::size_t count, std::uint32_t *numbers) {
            return ck_view_route_many(view_, batch, count, numbers);
        });
    }
    /// The same, as numbers in the order of the keys.
    template <class Keys>
    Result<std::vector<std::uint32_t>> route_many(const Keys &keys) const {
        std::vector<std::uint32_t> numbers(std::size(keys));
        if (Result<void> routed = route_many(keys, Span<std::uint32_t>(numbers)); !routed) {
            return std::move(routed).error();
        }
        return numbers;
    }

    /// The view for the C interface, borrowed: valid as long as this.
    const ck_view_t *get() const noexcept { return view_; }
    /// Gives the share away: release it with ck_view_release.
    [[nodiscard]] ck_view_t *release() noexcept { return std::exchange(view_, nullptr); }

  private:
    friend class Client;
    friend class ClusterRef;

    ck_view_t *view_ = nullptr;
};

// ---- What a node knows of itself and others, as values.
// -----------------------------------------------------------------

/// The leader.
struct LeaderInfo {
    /// The leader's node id.
    std::string leader_id;
    /// Its name for people.
    std::string leader_name;
    /// The "host:port" at which others reach it.
    std::string leader_ip;
    /// The leader epoch, a fencing token: it only grows.
    std::uint64_t epoch = 0;
    /// The Raft term that it was elected in; no fencing token.
    std::uint64_t term = 0;
    /// When it was elected.
    TimePoint elected_at;
};

/// One step of a partition's migration.
struct Migration {
    /// The partition's number.
    std::uint32_t partition = 0;
    /// The state of the step.
    MigrationState state = MigrationState::Unknown;
    /// The nodes that it can be copied from, or the node that gives up the role.
    std::vector<std::string> from;
    /// The node that gets the copy or the role.
    std::string to;
    /// What the step waits for, or why its hook failed last; empty when it makes progress.
    std::string reason;
    /// How often the hook of the node that copies has failed.
    std::uint32_t attempts = 0;
    /// When the step began, by the leader's clock. None when it has not begun, and when the answer is not the leader's.
    std::optional<TimePoint> since;
};

/// A member that is away and keeps its copies for now.
struct AwayNode {
    /// The member.
    std::string node_id;
    /// When its absence began.
    TimePoint since;
    /// When its copies are made elsewhere. None when the answer is not the leader's.
    std::optional<TimePoint> replaced_after;
};

/// An abandoned copy, which is not planned on that node for a while.
struct AvoidedCopy {
    /// The node that failed to copy it.
    std::string node_id;
    /// The partition's number.
    std::uint32_t partition = 0;
    /// How often the copy was abandoned; each time the node is avoided for twice as long.
    std::uint32_t times = 0;
    /// The time until which the node is avoided.
    TimePoint until;
};

/// How partitions move.
struct RebalanceStatus {
    /// The node that this information comes from.
    std::string answered_by;
    /// True when that is the leader. Other nodes know neither times nor attempts nor avoided copies.
    bool from_leader = false;
    /// The revision of this information.
    std::uint64_t revision = 0;
    /// True while partitions are moving.
    bool running = false;
    /// What caused the rebalance; Unknown when nothing moves.
    RebalanceTrigger trigger = RebalanceTrigger::Unknown;
    /// The node that caused it; empty for one that was asked for, and when nothing moves.
    std::string trigger_node_id;
    /// When the rebalance began. None when none runs.
    std::optional<TimePoint> started_at;
    /// The number of partitions that were to change a holder or their primary.
    std::size_t partitions_to_move = 0;
    /// The number of those that are where they should be, or were given up.
    std::size_t moved = 0;
    /// The steps in progress, then the waiting ones: at most a thousand.
    std::vector<Migration> migrations;
    /// The number of all steps.
    std::size_t migrations_total = 0;
    /// The members that are away.
    std::vector<AwayNode> away;
    /// The abandoned copies, which are not tried again for a while.
    std::vector<AvoidedCopy> avoided;
    /// The reason of the maintenance during which nothing is moved, while there is one.
    std::optional<std::string> maintenance;
};

/// Raft statistics of this node.
struct ConsensusStats {
    /// "Leader", "Follower", "Candidate", "Learner" or "Shutdown".
    std::string state;
    /// The leader's node id; empty when none is known.
    std::string leader;
    /// True when this node leads.
    bool is_leader = false;
    /// The Raft term.
    std::uint64_t term = 0;
    /// The index of the last entry in the log.
    std::uint64_t last_log_index = 0;
    /// The term of that entry.
    std::uint64_t last_log_term = 0;
    /// The last index known to be committed.
    std::uint64_t commit_index = 0;
    /// The last index applied here.
    std::uint64_t applied_index = 0;
    /// The number of other nodes that take part in Raft.
    std::size_t num_peers = 0;
};

/// Counters and gauges of this node.
struct Metrics {
    /// The number of members.
    std::size_t node_count = 0;
    /// The number of partitions.
    std::size_t partition_count = 0;
    /// The number of HTTP requests answered by this node.
    std::uint64_t request_count = 0;
    /// The number of those that were answered with a 4xx or 5xx status.
    std::uint64_t error_count = 0;
    /// When this node last heard from the leader, or led. None before it has.
    std::optional<TimePoint> last_sync;
    /// How long ago this node started.
    std::chrono::seconds uptime{0};
    /// As in ConsensusStats.
    std::string raft_state;
    /// True when this node leads.
    bool is_leader = false;
};

/// The health of this node.
struct HealthStatus {
    /// True when it is a member, knows a leader and applies the log.
    bool healthy = false;
    /// Why it is not; empty when it is.
    std::string message;
    /// This node's id.
    std::string node_id;
    /// Its name for people.
    std::string node_name;
    /// As in ConsensusStats.
    std::string raft_state;
    /// True when it leads.
    bool is_leader = false;
    /// How long it has been running, such as "1h2m3.5s".
    std::string uptime;
    /// The number of members.
    std::size_t node_count = 0;
    /// The number of partitions.
    std::size_t partition_count = 0;
    /// When this node last heard from the leader, or led. None before it has.
    std::optional<TimePoint> last_sync;
    /// How late this node's timers and messages from the leader were recently.
    std::chrono::milliseconds delay{0};
    /// The factor by which the cluster stretches election timeouts: 1 on quiet machines.
    std::uint32_t election_stretch = 0;
};

/// The health of a member, which the leader knows best.
struct NodeHealth {
    /// The member.
    std::string node_id;
    /// True when it is up and healthy.
    bool healthy = false;
    /// When it was last heard from.
    TimePoint last_seen;
    /// The number of heartbeats missed in a row.
    std::uint32_t failures = 0;
};

/// Names a hook to ClusterRef::remove_hook.
enum class HookId : std::uint64_t {};

/// Statistics of one hook since it was added.
struct HookStats {
    /// The hook.
    HookId hook{};
    /// The events that it is called for.
    EventMask events = EventMask::all();
    /// Calls that have ended, however.
    std::uint64_t calls = 0;
    /// Ended calls that were no success.
    std::uint64_t failures = 0;
    /// Failed calls of hooks of other languages that ended with a panic.
    std::uint64_t panics = 0;
    /// Calls that were made again for a partition that this node gains.
    std::uint64_t retries = 0;
    /// Events that were removed before they were told, because a later one made them pointless.
    std::uint64_t coalesced = 0;
    /// Events that wait to be told.
    std::size_t queued = 0;
    /// Calls that run.
    std::size_t running = 0;
};

/// What creating partitions, or planning a rebalance, came to.
struct PlanOutcome {
    /// The revision of it.
    std::uint64_t revision = 0;
    /// How many partitions there are, or move.
    std::size_t partitions = 0;
};

/// What deleting a value came to.
struct Deletion {
    /// The revision of the deletion.
    std::uint64_t revision = 0;
    /// Whether there was a value.
    bool existed = false;
};

/// What a write expects to find.
class Expect {
  public:
    /// Write whatever is there.
    static constexpr Expect any() noexcept { return Expect(CK_EXPECT_ANY); }
    /// Write only where there is no such key.
    static constexpr Expect absent() noexcept { return Expect(CK_EXPECT_ABSENT); }
    /// Write only where this revision wrote the present value: compare and set.
    static constexpr Expect revision(std::uint64_t revision) noexcept { return Expect(revision); }

    /// As the C interface takes it.
    constexpr std::uint64_t get() const noexcept { return revision_; }

  private:
    constexpr explicit Expect(std::uint64_t revision) noexcept : revision_(revision) {}

    std::uint64_t revision_;
};

/// Whether a call goes on where data is lost by it.
enum class Force : bool { No = false, Yes = true };

/// What is known of one address of a client.
struct ClientAddr {
    /// The address, "host:port".
    std::string addr;
    /// Why it failed last. None once it has answered since, and where it was never asked.
    std::optional<std::string> last_error;
    /// The code of that error; ErrorCode::Ok where there is none.
    ErrorCode last_error_code = ErrorCode::Ok;
    /// The number of failures since it last answered.
    std::uint32_t failures = 0;
    /// True where the options name it, false where the cluster does.
    bool is_given = false;
};

/// How a client is connected, and how old its view may be.
struct ClientStatus {
    /// The address of the member that is followed at present. None while none is.
    std::optional<std::string> connected;
    /// The id of the cluster that is followed; empty before its first answer.
    std::string cluster_id;
    /// Its name; empty before its first answer.
    std::string cluster_name;
    /// What failed last, with the address; it stays when all is well again. None where nothing has.
    std::optional<std::string> last_error;
    /// The code of that error: WrongCluster where another cluster answers; ErrorCode::Ok where there is none.
    ErrorCode last_error_code = ErrorCode::Ok;
    /// Every address that may be asked, the given ones first.
    std::vector<ClientAddr> addrs;
    /// The revision of the view; 0 before the first answer.
    std::uint64_t revision = 0;
    /// The time since the last answer of a member that knew a leader: it grows up to the option poll_timeout while the
    /// cluster is quiet. None before the first.
    std::optional<std::chrono::milliseconds> last_contact;
    /// True when the view may be older than the cluster by more than a moment: no member is followed, the one that is
    /// has lost contact with the leader, or nothing was heard for longer than a poll and its answer may take.
    bool is_stale = false;
    /// True from Client::close on.
    bool is_closed = false;
};

namespace detail {

// What C's records say, as values.

inline LeaderInfo value_of(const ck_leader_info_t &leader) {
    LeaderInfo value;
    value.leader_id = text(leader.leader_id);
    value.leader_name = text(leader.leader_name);
    value.leader_ip = text(leader.leader_ip);
    value.epoch = leader.epoch;
    value.term = leader.term;
    value.elected_at = time_point(leader.elected_at_ms);
    return value;
}

inline Migration value_of(const ck_migration_t &migration) {
    Migration value;
    value.partition = migration.partition;
    value.state = static_cast<MigrationState>(migration.state);
    for (std::size_t i = 0; i < migration.from_count; i++) {
        value.from.emplace_back(text(migration.from[i]));
    }
    value.to = text(migration.to);
    value.reason = text(migration.reason);
    value.attempts = migration.attempts;
    value.since = optional_time_point(migration.since_ms);
    return value;
}

inline AwayNode value_of(const ck_away_node_t &away) {
    AwayNode value;
    value.node_id = text(away.node_id);
    value.since = time_point(away.since_ms);
    value.replaced_after = optional_time_point(away.replaced_after_ms);
    return value;
}

inline AvoidedCopy value_of(const ck_avoided_copy_t &avoided) {
    AvoidedCopy value;
    value.node_id = text(avoided.node_id);
    value.partition = avoided.partition;
    value.times = avoided.times;
    value.until = time_point(avoided.until_ms);
    return value;
}

/// A text of C's that may be missing, as one of our own.
inline std::optional<std::string> optional_string(const char *text) {
    return text != nullptr ? std::optional<std::string>(text) : std::nullopt;
}

inline ClientAddr value_of(const ck_client_addr_t &addr) {
    ClientAddr value;
    value.addr = text(addr.addr);
    value.last_error = optional_string(addr.last_error);
    value.last_error_code = static_cast<ErrorCode>(addr.last_error_code);
    value.failures = addr.failures;
    value.is_given = addr.is_given;
    return value;
}

/// Every record of an array of C's, as a value.
template <class Record>
auto values_of(const Record *const *records, std::size_t count) {
    std::vector<decltype(value_of(**records))> values;
    values.reserve(count);
    for (std::size_t i = 0; i < count; i++) {
        values.push_back(value_of(*records[i]));
    }
    return values;
}

inline RebalanceStatus value_of(const ck_rebalance_status_t &status) {
    RebalanceStatus value;
    value.answered_by = text(status.answered_by);
    value.from_leader = status.from_leader;
    value.revision = status.revision;
    value.running = status.running;
    value.trigger = static_cast<RebalanceTrigger>(status.trigger);
    value.trigger_node_id = text(status.trigger_node_id);
    value.started_at = optional_time_point(status.started_at_ms);
    value.partitions_to_move = status.partitions_to_move;
    value.moved = status.moved;
    value.migrations = values_of(status.migrations, status.migration_count);
    value.migrations_total = status.migrations_total;
    value.away = values_of(status.away, status.away_count);
    value.avoided = values_of(status.avoided, status.avoided_count);
    if (status.maintenance != nullptr) {
        value.maintenance = status.maintenance;
    }
    return value;
}

inline ConsensusStats value_of(const ck_consensus_stats_t &stats) {
    ConsensusStats value;
    value.state = text(stats.state);
    value.leader = text(stats.leader);
    value.is_leader = stats.is_leader;
    value.term = stats.term;
    value.last_log_index = stats.last_log_index;
    value.last_log_term = stats.last_log_term;
    value.commit_index = stats.commit_index;
    value.applied_index = stats.applied_index;
    value.num_peers = stats.num_peers;
    return value;
}

inline Metrics value_of(const ck_metrics_t &metrics) {
    Metrics value;
    value.node_count = metrics.node_count;
    value.partition_count = metrics.partition_count;
    value.request_count = metrics.request_count;
    value.error_count = metrics.error_count;
    value.last_sync = optional_time_point(metrics.last_sync_ms);
    value.uptime = std::chrono::seconds(static_cast<std::chrono::seconds::rep>(metrics.uptime_seconds));
    value.raft_state = text(metrics.raft_state);
    value.is_leader = metrics.is_leader;
    return value;
}

inline HealthStatus value_of(const ck_health_status_t &health) {
    HealthStatus value;
    value.healthy = health.healthy;
    value.message = text(health.message);
    value.node_id = text(health.node_id);
    value.node_name = text(health.node_name);
    value.raft_state = text(health.raft_state);
    value.is_leader = health.is_leader;
    value.uptime = text(health.uptime);
    value.node_count = health.node_count;
    value.partition_count = health.partition_count;
    value.last_sync = optional_time_point(health.last_sync_ms);
    value.delay = milliseconds(health.delay_ms);
    value.election_stretch = health.election_stretch;
    return value;
}

inline NodeHealth value_of(const ck_node_health_t &health) {
    NodeHealth value;
    value.node_id = text(health.node_id);
    value.healthy = health.healthy;
    value.last_seen = time_point(health.last_seen_ms);
    value.failures = health.failures;
    return value;
}

inline ClientStatus value_of(const ck_client_status_t &status) {
    ClientStatus value;
    value.connected = optional_string(status.connected);
    value.cluster_id = text(status.cluster_id);
    value.cluster_name = text(status.cluster_name);
    value.last_error = optional_string(status.last_error);
    value.last_error_code = static_cast<ErrorCode>(status.last_error_code);
    value.addrs = values_of(status.addrs, status.addr_count);
    value.revision = status.revision;
    if (status.last_contact_ms != UINT64_MAX) {
        value.last_contact = milliseconds(status.last_contact_ms);
    }
    value.is_stale = status.is_stale;
    value.is_closed = status.is_closed;
    return value;
}

inline HookStats value_of(const ck_hook_stats_t &stats) {
    HookStats value;
    value.hook = HookId{stats.hook};
    value.events = EventMask(stats.events);
    value.calls = stats.calls;
    value.failures = stats.failures;
    value.panics = stats.panics;
    value.retries = stats.retries;
    value.coalesced = stats.coalesced;
    value.queued = stats.queued;
    value.running = stats.running;
    return value;
}

/// Asks C for a record, and makes it a value: ask(&record) is a call of C's.
template <class Record, auto Free, class Ask>
auto fetch(Ask ask) -> Result<decltype(value_of(std::declval<const Record &>()))> {
    Record *raw = nullptr;
    if (ck_error_t *error = ask(&raw)) {
        return Error::take(error);
    }
    const Owned<Record, Free> record(raw);
    return value_of(*record);
}

} // namespace detail

// ---- Events.
// ----------------------------------------------------------------------------------------------------------

/// A node gained or lost a partition, or a role in it: EventKind::PartitionChange. Borrowed from its event.
class PartitionChange {
  public:
    /// A change of the C interface, not NULL: borrowed.
    explicit PartitionChange(const ck_partition_change_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<PartitionChange> of(const ck_event_t *event) noexcept {
        const ck_partition_change_t *told = ck_event_partition_change(event);
        return told != nullptr ? std::optional<PartitionChange>(told) : std::nullopt;
    }

    /// The partition's name, such as "partition-5".
    std::string_view partition_id() const noexcept { return detail::text(told_->partition_id); }
    /// The partition's number.
    std::uint32_t partition() const noexcept { return told_->partition; }
    /// The node that gains or loses: every node is told of everything, so compare it with your own id.
    std::string_view node_id() const noexcept { return detail::text(told_->node_id); }
    /// That node as a member, whether it gains or loses; none when it is none any more.
    std::optional<Node> node() const noexcept { return detail::optional_node(told_->node); }
    /// What it gains or loses.
    RoleChange change() const noexcept { return static_cast<RoleChange>(told_->change); }
    /// Why.
    ChangeReason reason() const noexcept { return static_cast<ChangeReason>(told_->reason); }
    /// Live nodes that hold the data, where the node has to copy it; none where it has nothing to copy.
    Range<detail::Pointers<ck_node_t, Node>> copy_from() const noexcept {
        return {{told_->copy_from}, told_->copy_from_count};
    }
    /// The primary before; empty when there was none.
    std::string_view old_primary() const noexcept { return detail::text(told_->old_primary); }
    /// The primary after; empty when there is none.
    std::string_view new_primary() const noexcept { return detail::text(told_->new_primary); }
    /// The partition's epoch after the change.
    std::uint64_t epoch() const noexcept { return told_->epoch; }

  private:
    const ck_partition_change_t *told_;
};

/// A node that was never a member has joined: EventKind::NodeJoin. Borrowed from its event.
class NodeJoin {
  public:
    /// A join of the C interface, not NULL: borrowed.
    explicit NodeJoin(const ck_node_join_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<NodeJoin> of(const ck_event_t *event) noexcept {
        const ck_node_join_t *told = ck_event_node_join(event);
        return told != nullptr ? std::optional<NodeJoin>(told) : std::nullopt;
    }

    /// The new member.
    Node node() const noexcept { return Node(told_->node); }
    /// The number of members, this one included.
    std::size_t cluster_size() const noexcept { return told_->cluster_size; }
    /// True for the first node of a new cluster.
    bool is_bootstrap() const noexcept { return told_->is_bootstrap; }

  private:
    const ck_node_join_t *told_;
};

/// A member is back, after an absence or a restart: EventKind::NodeRejoin. Borrowed from its event.
class NodeRejoin {
  public:
    /// A return of the C interface, not NULL: borrowed.
    explicit NodeRejoin(const ck_node_rejoin_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<NodeRejoin> of(const ck_event_t *event) noexcept {
        const ck_node_rejoin_t *told = ck_event_node_rejoin(event);
        return told != nullptr ? std::optional<NodeRejoin>(told) : std::nullopt;
    }

    /// The member, with its new address and incarnation.
    Node node() const noexcept { return Node(told_->node); }
    /// How long it was away.
    std::chrono::milliseconds offline() const noexcept { return detail::milliseconds(told_->offline_ms); }
    /// When it stopped or was last heard from.
    TimePoint last_seen_at() const noexcept { return detail::time_point(told_->last_seen_at_ms); }
    /// The numbers of the partitions that it held when it left.
    Span<const std::uint32_t> partitions() const noexcept { return {told_->partitions, told_->partition_count}; }

  private:
    const ck_node_rejoin_t *told_;
};

/// A member stopped, failed, or was removed: EventKind::NodeLeave. Borrowed from its event.
class NodeLeave {
  public:
    /// A leave of the C interface, not NULL: borrowed.
    explicit NodeLeave(const ck_node_leave_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<NodeLeave> of(const ck_event_t *event) noexcept {
        const ck_node_leave_t *told = ck_event_node_leave(event);
        return told != nullptr ? std::optional<NodeLeave>(told) : std::nullopt;
    }

    /// The member as it was.
    Node node() const noexcept { return Node(told_->node); }
    /// Why.
    LeaveReason reason() const noexcept { return static_cast<LeaveReason>(told_->reason); }
    /// The numbers of the partitions that it took the writes of.
    Span<const std::uint32_t> primaries() const noexcept { return {told_->primaries, told_->primary_count}; }
    /// The numbers of the partitions that it held another copy of.
    Span<const std::uint32_t> replicas() const noexcept { return {told_->replicas, told_->replica_count}; }

  private:
    const ck_node_leave_t *told_;
};

/// Partitions begin to move, or have moved: EventKind::RebalanceStart, EventKind::RebalanceComplete. Borrowed from its
/// event.
class Rebalance {
  public:
    /// A rebalance of the C interface, not NULL: borrowed.
    explicit Rebalance(const ck_rebalance_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<Rebalance> of(const ck_event_t *event) noexcept {
        const ck_rebalance_t *told = ck_event_rebalance(event);
        return told != nullptr ? std::optional<Rebalance>(told) : std::nullopt;
    }

    /// What caused it.
    RebalanceTrigger trigger() const noexcept { return static_cast<RebalanceTrigger>(told_->trigger); }
    /// The node that caused it; empty for one that was asked for.
    std::string_view trigger_node_id() const noexcept { return detail::text(told_->trigger_node_id); }
    /// The number of partitions that change a holder or their primary.
    std::size_t partitions_to_move() const noexcept { return told_->partitions_to_move; }
    /// The ids of the nodes that gain or lose something, sorted.
    Range<detail::Texts> nodes_affected() const noexcept {
        return {{told_->nodes_affected}, told_->nodes_affected_count};
    }
    /// How long it took; 0 at the start.
    std::chrono::milliseconds duration() const noexcept { return detail::milliseconds(told_->duration_ms); }

  private:
    const ck_rebalance_t *told_;
};

/// The health of the cluster: EventKind::ClusterHealthChange. Borrowed from its event.
class ClusterHealth {
  public:
    /// A state of health of the C interface, not NULL: borrowed.
    explicit ClusterHealth(const ck_cluster_health_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<ClusterHealth> of(const ck_event_t *event) noexcept {
        const ck_cluster_health_t *told = ck_event_cluster_health(event);
        return told != nullptr ? std::optional<ClusterHealth>(told) : std::nullopt;
    }

    /// "healthy", "degraded" (some members are not) or "critical" (more than half are not, or partitions are lost).
    std::string_view status() const noexcept { return detail::text(told_->status); }
    /// The number of members that are up and say that they are healthy.
    std::size_t healthy_nodes() const noexcept { return told_->healthy_nodes; }
    /// The number of the other members.
    std::size_t unhealthy_nodes() const noexcept { return told_->unhealthy_nodes; }
    /// The number of all members.
    std::size_t total_nodes() const noexcept { return told_->total_nodes; }
    /// The ids of the unhealthy members, sorted.
    Range<detail::Texts> unhealthy_node_ids() const noexcept {
        return {{told_->unhealthy_node_ids}, told_->unhealthy_nodes};
    }
    /// The numbers of the partitions of which no node that is up holds the data.
    Span<const std::uint32_t> lost_partitions() const noexcept {
        return {told_->lost_partitions, told_->lost_partition_count};
    }

  private:
    const ck_cluster_health_t *told_;
};

/// Leadership began, ended, or moved to another node: EventKind::BecomeLeader, LoseLeadership, LeaderChange. Borrowed
/// from its event.
class Leadership {
  public:
    /// A leadership of the C interface, not NULL: borrowed.
    explicit Leadership(const ck_leadership_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<Leadership> of(const ck_event_t *event) noexcept {
        const ck_leadership_t *told = ck_event_leadership(event);
        return told != nullptr ? std::optional<Leadership>(told) : std::nullopt;
    }

    /// A leader change: the new leader's node id. Else none: it is about this node.
    std::optional<std::string_view> node_id() const noexcept { return detail::optional_text(told_->node_id); }
    /// The leader epoch, a fencing token: it only grows.
    std::uint64_t epoch() const noexcept { return told_->epoch; }

  private:
    const ck_leadership_t *told_;
};

/// How a call of a hook ended: well, or not and why. A failed call is logged, and where this node gains a copy of a
/// partition it is made again later.
class [[nodiscard]] HookResult {
  public:
    /// It ended well.
    HookResult() noexcept = default;
    /// It failed with this error.
    HookResult(const Error &error) : words_(to_string(error)), is_ok_(false) {}
    /// It ended as this call did.
    template <class T>
    HookResult(const Result<T> &result) {
        if (!result) {
            *this = HookResult(result.error());
        }
    }
    /// It ended well.
    static HookResult ok() noexcept { return HookResult(); }
    /// It failed. words: why, for people.
    static HookResult failure(std::string words) noexcept {
        HookResult result;
        result.is_ok_ = false;
        result.words_ = std::move(words);
        return result;
    }

    /// True where it ended well.
    bool is_ok() const noexcept { return is_ok_; }
    /// Why it failed.
    const std::string &words() const noexcept { return words_; }

  private:
    std::string words_;
    bool is_ok_ = true;
};

/// Ends a call of a hook that has returned before its work was done: Event::defer. It may be moved to any thread and be
/// ended there. One that is destroyed without that ends the call as failed, so that nothing waits for ever.
class [[nodiscard]] Completion {
  public:
    /// Of no call.
    Completion() noexcept = default;
    /// Owns a completion of the C interface. completion: consumed.
    explicit Completion(ck_completion_t *completion) noexcept : completion_(completion) {}
    Completion(Completion &&other) noexcept : completion_(std::exchange(other.completion_, nullptr)) {}
    Completion &operator=(Completion other) noexcept {
        std::swap(completion_, other.completion_);
        return *this;
    }
    ~Completion() { fail("its completion was dropped"); }

    /// True while the call has not been ended by this.
    explicit operator bool() const noexcept { return completion_ != nullptr; }
    /// Ends the call. Does nothing where it has been ended, or where the node has stopped meanwhile. Never blocks.
    void end(const HookResult &result) noexcept {
        if (result.is_ok()) {
            succeed();
        } else {
            fail(result.words());
        }
    }
    /// Ends the call well: where this node gains a copy, the data is here.
    void succeed() noexcept { ck_completion_end(std::exchange(completion_, nullptr), 0, nullptr, 0); }
    /// Ends the call as failed. words: why.
    void fail(std::string_view words) noexcept {
        ck_completion_end(std::exchange(completion_, nullptr), 1, words.data(), words.size());
    }

    /// Gives it away: end it with ck_completion_end.
    [[nodiscard]] ck_completion_t *release() noexcept { return std::exchange(completion_, nullptr); }

  private:
    ck_completion_t *completion_ = nullptr;
};

/// One event. It is valid until the callback returns, or, of an event from a queue, until it is acknowledged; so is all
/// that is borrowed from it. It cannot be copied: copy what you keep. One from a queue that was acknowledged or moved
/// from tells nothing: it is of no kind, and of revision 0.
class Event {
  public:
    /// An event of the C interface, borrowed; NULL for none.
    explicit Event(const ck_event_t *event) noexcept : event_(event) {}
    Event &operator=(const Event &) = delete;

    /// The revision that brought it about.
    std::uint64_t revision() const noexcept { return event_ != nullptr ? event_->revision : 0; }
    /// When, by the wall clock of the node that proposed it.
    TimePoint timestamp() const noexcept { return detail::time_point(event_ != nullptr ? event_->timestamp_ms : 0); }
    /// What happened. A later library may have kinds that are none of EventKind.
    EventKind kind() const noexcept { return static_cast<EventKind>(event_ != nullptr ? event_->kind : 0); }
    /// Number of the call for this event, from 1: a failed copy is tried again.
    std::uint32_t attempt() const noexcept { return event_ != nullptr ? event_->attempt : 0; }

    /// What an EventKind::PartitionChange tells.
    std::optional<PartitionChange> partition_change() const noexcept { return PartitionChange::of(event_); }
    /// What an EventKind::NodeJoin tells.
    std::optional<NodeJoin> node_join() const noexcept { return NodeJoin::of(event_); }
    /// What an EventKind::NodeRejoin tells.
    std::optional<NodeRejoin> node_rejoin() const noexcept { return NodeRejoin::of(event_); }
    /// What an EventKind::NodeLeave tells.
    std::optional<NodeLeave> node_leave() const noexcept { return NodeLeave::of(event_); }
    /// What an EventKind::RebalanceStart or RebalanceComplete tells.
    std::optional<Rebalance> rebalance() const noexcept { return Rebalance::of(event_); }
    /// What an EventKind::ClusterHealthChange tells.
    std::optional<ClusterHealth> cluster_health() const noexcept { return ClusterHealth::of(event_); }
    /// What an EventKind::BecomeLeader, LoseLeadership or LeaderChange tells.
    std::optional<Leadership> leadership() const noexcept { return Leadership::of(event_); }
    /// The whole event as a JSON object, the same as over HTTP. Borrowed.
    std::string_view json() const noexcept {
        std::size_t size = 0;
        const char *json = ck_event_json(event_, &size);
        return json != nullptr ? std::string_view(json, size) : std::string_view();
    }

    /// Lets a hook return before its work is done: the call ends when the completion is, on any thread, and what the
    /// hook returns counts no more. Until then what must wait for the call waits, but no thread of the library does.
    /// When the node stops, the call ends without a result.
    ///
    /// Errors: InvalidArgument the second time.
    Result<Completion> defer() const {
        ck_completion_t *completion = nullptr;
        if (ck_error_t *error = ck_event_defer(event_, &completion)) {
            return Error::take(error);
        }
        return Completion(completion);
    }

    /// The event for the C interface, borrowed as this.
    const ck_event_t *get() const noexcept { return event_; }

  protected:
    Event(const Event &) noexcept = default;
    void reset(const ck_event_t *event) noexcept { event_ = event; }

  private:
    const ck_event_t *event_;
};

namespace detail {

/// Tells the library why a call is about to fail.
inline void tell_failure(const ck_event_t *event, std::string_view words) noexcept {
    if (words.empty()) {
        return;
    }
    ck_error_t *error = ck_event_set_failure(event, words.data(), words.size());
    if (error == nullptr) {
        return;
    }
    ck_error_free(error);
    // It is no UTF-8, as an exception's words need not be: what can be read of it is told.
    guarded([&] {
        std::string readable(words);
        for (char &byte : readable) {
            byte = static_cast<unsigned char>(byte) < 0x80 ? byte : '?';
        }
        ck_error_free(ck_event_set_failure(event, readable.data(), readable.size()));
    });
}

/// What a hook returns: a HookResult, a Result, or nothing, which is a success.
template <class Hook, class... Told>
HookResult call(Hook &hook, const Told &...told) {
    if constexpr (std::is_void_v<std::invoke_result_t<Hook &, const Told &...>>) {
        std::invoke(hook, told...);
        return HookResult();
    } else {
        return std::invoke(hook, told...);
    }
}

template <class Returned>
inline constexpr bool is_answer = std::is_void_v<Returned> || std::is_convertible_v<Returned, HookResult>;

template <class Enabled, class Hook, class... Told>
struct IsHook : std::false_type {};
template <class Hook, class... Told>
struct IsHook<std::enable_if_t<is_answer<std::invoke_result_t<Hook &, const Told &...>>>, Hook, Told...>
    : std::true_type {};
/// True for what can be called with this, and returns what a hook may return.
template <class Hook, class... Told>
inline constexpr bool is_hook = IsHook<void, Hook, Told...>::value;

/// Calls a hook for C: no exception gets out of it.
template <class Hook>
std::int32_t call_hook(const ck_event_t *event, void *hook) noexcept {
    std::int32_t returned = 0;
    const auto failed = [&](std::string_view words) {
        returned = 1;
        tell_failure(event, words);
    };
    const Received<Hook> received(hook);
    guarded(
        [&] {
            const HookResult result = call(*received, Event(event));
            if (!result.is_ok()) {
                failed(result.words());
            }
        },
        failed);
    return returned;
}

/// A hook for one kind of event: it is called with what that tells, and with the event too where it wants it.
template <class Told, class Hook>
struct TypedHook {
    Hook hook;

    HookResult operator()(const Event &event) {
        const std::optional<Told> told = Told::of(event.get());
        if (!told) {
            return HookResult();
        }
        if constexpr (is_hook<Hook, Told, Event>) {
            return call(hook, *told, event);
        } else {
            return call(hook, *told);
        }
    }
};

} // namespace detail

// ---- Queues of events.
// --------------------------------------------------------------------------------------------------

/// What acknowledging an event of a queue means.
enum class EventsMode : std::uint32_t {
    /// What the return of a hook means: for a gained partition, success confirms the copy.
    Confirm = 0,
    /// Nothing waits for the reader, and what it acknowledges confirms no copy; one that falls behind by 1024 events
    /// loses the
    /// oldest.
    Observe = CK_EVENTS_OBSERVE,
};

/// An event that was read from a queue, and is to be acknowledged. One that is destroyed without that is acknowledged
/// as failed. It keeps its queue open.
class [[nodiscard]] QueuedEvent : public Event {
  public:
    QueuedEvent(QueuedEvent &&other) noexcept : Event(other), queue_(std::move(other.queue_)) { other.reset(nullptr); }
    QueuedEvent &operator=(QueuedEvent &&other) noexcept {
        if (this != &other) {
            drop();
            reset(other.get());
            queue_ = std::move(other.queue_);
            other.reset(nullptr);
        }
        return *this;
    }
    ~QueuedEvent() { drop(); }

    /// An event of a queue is acknowledged instead, whenever its work is done.
    Result<Completion> defer() const = delete;

    /// True while the event has not been acknowledged: it tells nothing afterwards.
    explicit operator bool() const noexcept { return get() != nullptr; }

    /// Acknowledges the event: its call has ended. In a queue that observes it only frees the event. What was borrowed
    /// from the event ends. On any thread; never blocks.
    ///
    /// Errors: InvalidArgument the second time.
    Result<void> ack(const HookResult &result = HookResult()) {
        const ck_event_t *event = get();
        reset(nullptr);
        const std::string &words = result.words();
        return detail::outcome(ck_events_ack(queue_.get(), event, result.is_ok() ? 0 : 1, words.data(), words.size()));
    }

  private:
    friend class Events;

    QueuedEvent(const ck_event_t *event, std::shared_ptr<ck_events_t> queue) noexcept
        : Event(event), queue_(std::move(queue)) {}

    void drop() noexcept {
        if (get() != nullptr) {
            constexpr std::string_view words = "it was dropped without being acknowledged";
            ck_error_free(ck_events_ack(queue_.get(), get(), 1, words.data(), words.size()));
            reset(nullptr);
        }
    }

    std::shared_ptr<ck_events_t> queue_;
};

/// A queue of events: the pull form of hooks, for whoever does not want to be called (ClusterRef::open_events). It
/// closes when it and every event that was read from it are gone; events that were not acknowledged have failed then.
/// It may outlive its cluster.
class Events {
  public:
    /// No queue: reading from it fails.
    Events() noexcept = default;
    /// Owns a queue of the C interface. events: consumed.
    explicit Events(ck_events_t *events) : queue_(events, detail::Deleter<ck_events_close>()) {}
    Events(Events &&) noexcept = default;
    Events &operator=(Events &&) noexcept = default;

    /// Reads the next event; none when none came in time. Blocks for at most timeout; 0 asks without waiting. Several
    /// threads may read at once. Events that are no partition changes come one at a time: the next follows when the one
    /// before it is acknowledged.
    ///
    /// Errors: InvalidArgument; Stopped when the node has stopped and everything was read.
    Result<std::optional<QueuedEvent>> next(Duration timeout) const {
        const ck_event_t *event = nullptr;
        if (ck_error_t *error = ck_events_next(queue_.get(), timeout.count(), &event)) {
            return Error::take(error);
        }
        if (event == nullptr) {
            return std::optional<QueuedEvent>();
        }
        return std::optional<QueuedEvent>(QueuedEvent(event, queue_));
    }

    /// A descriptor that is readable while events wait to be read, and for good when the node has stopped: for poll,
    /// epoll, kqueue and whatever stands on them. It is level-triggered; nothing may be read from it or written to it,
    /// and it is not to be closed. -1 when the process has no more descriptors. Valid until the queue is closed.
    int fd() const noexcept { return ck_events_fd(queue_.get()); }
    /// How many events a queue that observes has lost since it was opened, because they were not read in time: look at
    /// a view then.
    std::uint64_t lost() const noexcept { return ck_events_lost(queue_.get()); }

    /// True when there is a queue.
    explicit operator bool() const noexcept { return queue_ != nullptr; }
    /// The queue for the C interface, borrowed.
    ck_events_t *get() const noexcept { return queue_.get(); }

  private:
    std::shared_ptr<ck_events_t> queue_;
};

// ---- Messages for people.
// -----------------------------------------------------------------------------------------------

/// A message for people, valid until the callback returns. It cannot be copied: copy what you keep.
class LogRecord {
  public:
    /// A message of the C interface, not NULL: borrowed.
    explicit LogRecord(const ck_log_record_t *record) noexcept : record_(record) {}
    LogRecord(const LogRecord &) = delete;
    LogRecord &operator=(const LogRecord &) = delete;

    /// The node that wrote it.
    std::string_view node_id() const noexcept { return detail::text(record_->node_id); }
    /// How much it matters.
    LogLevel level() const noexcept { return static_cast<LogLevel>(record_->level); }
    /// The message, without a line end.
    std::string_view message() const noexcept { return {record_->message, record_->message_len}; }

  private:
    const ck_log_record_t *record_;
};

namespace detail {

/// Calls a log callback for C: no exception gets out of it.
template <class Log>
void call_log(const ck_log_record_t *record, void *log) noexcept {
    const Received<Log> received(log);
    guarded([&] { std::invoke(*received, LogRecord(record)); });
}

} // namespace detail

// ---- Calls that do not wait.
// --------------------------------------------------------------------------------------------

namespace detail {

// What the outcome of a call that did not wait is as a value.

template <class T>
struct Told;
template <>
struct Told<std::uint64_t> {
    static Result<std::uint64_t> of(const ck_result_t &result) { return result.revision; }
};
template <>
struct Told<std::string> {
    static Result<std::string> of(const ck_result_t &result) { return std::string(text(result.node_id)); }
};
template <>
struct Told<PlanOutcome> {
    static Result<PlanOutcome> of(const ck_result_t &result) { return PlanOutcome{result.revision, result.count}; }
};
template <>
struct Told<Deletion> {
    static Result<Deletion> of(const ck_result_t &result) { return Deletion{result.revision, result.existed}; }
};
template <>
struct Told<void> {
    static Result<void> of(const ck_result_t &) { return {}; }
};
template <>
struct Told<LeaderInfo> {
    static Result<LeaderInfo> of(const ck_result_t &result) { return value_of(*result.leader); }
};
template <>
struct Told<RebalanceStatus> {
    static Result<RebalanceStatus> of(const ck_result_t &result) { return value_of(*result.rebalance_status); }
};

/// The outcome as a value: the record ends with the callback.
template <class T>
Result<T> told(const ck_result_t *result) noexcept {
    // Stands where there is no memory for the outcome: somebody waits for it.
    Result<T> outcome = Error(ErrorCode::Internal);
    guarded(
        [&] { outcome = result->error != nullptr ? Result<T>(Error::copy_of(result->error)) : Told<T>::of(*result); });
    return outcome;
}

/// Tells a completion the outcome for C, once: no exception gets out of it.
template <class T, class Done>
void call_done(const ck_result_t *result, void *data) noexcept {
    receive(data);
    guarded([&] { std::invoke(*static_cast<Done *>(data), told<T>(result)); });
    destroy<Done>(data);
}

inline Owned<ck_cluster_t, ck_cluster_free> share_of(ck_cluster_t *cluster) noexcept {
    return Owned<ck_cluster_t, ck_cluster_free>(ck_cluster_ref(cluster));
}
inline Owned<ck_client_t, ck_client_free> share_of(ck_client_t *client) noexcept {
    return Owned<ck_client_t, ck_client_free>(ck_client_ref(client));
}

/// Begins a call whose outcome done hears of, once, and which owns it then. Where it cannot begin, it gives the error,
/// done hears of nothing, and its owner stays.
template <class T, class Handle, class Done, class Begin>
Result<void> begin_call(Handle *handle, const Begin &begin, std::unique_ptr<Done> &done) {
    // The outcome may be told, and the last share of the node be freed by whoever hears it, before the call below
    // returns.
    const auto share = share_of(handle);
    give(done.get());
    if (ck_error_t *error = begin(handle, &call_done<T, Done>, done.get())) {
        return Error::take(error);
    }
    static_cast<void>(done.release());
    return {};
}

#if CLUSTERKIT_HAS_COROUTINES

/// Goes on where the outcome was told.
struct ResumeHere {
    void operator()(std::coroutine_handle<> coroutine) const { coroutine.resume(); }
};

/// What a coroutine that waits and the callback that wakes it share: either may be gone first.
template <class T, class Executor>
struct Waiting {
    enum State { Open, Told, Abandoned };

    Waiting(std::coroutine_handle<> waiter, Executor &&given) : coroutine(waiter), executor(std::move(given)) {}

    std::coroutine_handle<> coroutine;
    Executor executor;
    std::optional<Result<T>> outcome;
    std::atomic<State> state{Open};
};

/// Wakes a coroutine, unless it was destroyed meanwhile.
template <class T, class Executor>
struct Wake {
    std::shared_ptr<Waiting<T, Executor>> waiting;

    void operator()(Result<T> outcome) {
        waiting->outcome = std::move(outcome);
        if (waiting->state.exchange(Waiting<T, Executor>::Told) == Waiting<T, Executor>::Open) {
            waiting->executor(waiting->coroutine);
        }
    }
};

/// Waits for an outcome in a coroutine.
template <class T, class Handle, class Begin, class Executor>
class Awaiter {
  public:
    Awaiter(Handle *handle, Begin begin, Executor executor)
        : handle_(handle), begin_(std::move(begin)), executor_(std::move(executor)) {}
    Awaiter(const Awaiter &) = delete;
    Awaiter &operator=(const Awaiter &) = delete;
    ~Awaiter() {
        if (waiting_ != nullptr) {
            waiting_->state.exchange(Waiting<T, Executor>::Abandoned);
        }
    }

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> coroutine) {
        waiting_ = std::make_shared<Waiting<T, Executor>>(coroutine, std::move(executor_));
        const std::shared_ptr<Waiting<T, Executor>> waiting = waiting_;
        auto wake = std::make_unique<Wake<T, Executor>>(Wake<T, Executor>{waiting});
        if (Result<void> begun = begin_call<T>(handle_, begin_, wake); !begun) {
            waiting->outcome = std::move(begun).error();
            return false;
        }
        // The coroutine may have gone on, and this be gone.
        return true;
    }
    Result<T> await_resume() { return *std::move(waiting_->outcome); }

  private:
    Handle *handle_;
    Begin begin_;
    Executor executor_;
    std::shared_ptr<Waiting<T, Executor>> waiting_;
};

/// An operation with an executor, to be awaited at once.
template <class T, class Handle, class Begin, class Executor>
class [[nodiscard]] Resumed {
  public:
    Resumed(Handle *handle, Begin begin, Executor executor)
        : handle_(handle), begin_(std::move(begin)), executor_(std::move(executor)) {}
    Resumed(const Resumed &) = delete;
    Resumed &operator=(const Resumed &) = delete;

    Awaiter<T, Handle, Begin, Executor> operator co_await() && {
        return {handle_, std::move(begin_), std::move(executor_)};
    }

  private:
    Handle *handle_;
    Begin begin_;
    Executor executor_;
};

#endif

} // namespace detail

/// A call that does not wait, and has not begun: it does by then(), future() or co_await, one of them, in the
/// expression that made it, for what it was given is borrowed until then.
///
///     cluster.async().read_barrier(5s).then([](clusterkit::Result<std::uint64_t> revision) { ... });
///     std::future<clusterkit::Result<std::uint64_t>> revision = cluster.async().read_barrier(5s).future();
///     clusterkit::Result<std::uint64_t> revision = co_await cluster.async().read_barrier(5s);
///
/// Its outcome is told exactly once, also when the node is freed meanwhile. Nothing cancels a call that has begun:
/// whoever does not care any more ignores its outcome, drops the future, or destroys the coroutine that waits.
///
/// Outcomes are told on a thread of the library that does nothing else, one after the other for each node or client:
/// while one is being told, the others wait. Only where a call cannot begin at all (InvalidArgument, Io), its outcome
/// is told at once, by the thread that tried.
template <class T, class Handle, class Begin>
class [[nodiscard]] Operation {
  public:
    Operation(Handle *handle, Begin begin) : handle_(handle), begin_(std::move(begin)) {}
    Operation(const Operation &) = delete;
    Operation &operator=(const Operation &) = delete;

    /// Begins it. done: any callable that takes a Result<T>. It may call everything; one that blocks delays what others
    /// wait to hear. An exception that leaves it is dropped, and nobody is told.
    template <class Done>
    void then(Done &&done) && {
        using Callable = std::decay_t<Done>;
        static_assert(std::is_invocable_v<Callable &, Result<T>>,
                      "done is called with a Result of what the call tells");
        auto owned = std::make_unique<Callable>(std::forward<Done>(done));
        if (Result<void> begun = detail::begin_call<T>(handle_, begin_, owned); !begun) {
            detail::guarded([&] { std::invoke(*owned, Result<T>(std::move(begun).error())); });
        }
    }

    /// Begins it. The future is ready when the outcome is told. Dropping it waits for nothing.
    std::future<Result<T>> future() && {
        std::promise<Result<T>> promise;
        std::future<Result<T>> future = promise.get_future();
        std::move(*this).then(
            [promise = std::move(promise)](Result<T> outcome) mutable { promise.set_value(std::move(outcome)); });
        return future;
    }

#if CLUSTERKIT_HAS_COROUTINES
    /// Begins it and suspends the coroutine, which goes on with a Result<T>, on the thread that outcomes are told on:
    /// one that does much there delays what others wait to hear. See resume_on. Where the call cannot begin at all the
    /// coroutine goes on at once, on its own thread. The coroutine may be destroyed while it waits, by whoever knows
    /// that it has not been woken.
    detail::Awaiter<T, Handle, Begin, detail::ResumeHere> operator co_await() && {
        return {handle_, std::move(begin_), {}};
    }

    /// The same, to be awaited at once, with an executor: any callable that takes a std::coroutine_handle<> and sees to
    /// it that it is resumed, wherever it likes. It is called on the thread that outcomes are told on. It must not
    /// throw: the coroutine would wait for ever.
    template <class Executor>
    detail::Resumed<T, Handle, Begin, std::decay_t<Executor>> resume_on(Executor &&executor) && {
        static_assert(std::is_invocable_v<std::decay_t<Executor> &, std::coroutine_handle<>>,
                      "an executor is called with a std::coroutine_handle<>");
        return {handle_, std::move(begin_), std::forward<Executor>(executor)};
    }
#endif

  private:
    Handle *handle_;
    Begin begin_;
};

namespace detail {

/// An operation of a call of C's: begin(cluster, done, data).
template <class T, class Handle, class Begin>
Operation<T, Handle, Begin> operation(Handle *handle, Begin begin) {
    return {handle, std::move(begin)};
}

} // namespace detail

/// The calls of a node that would wait, begun without waiting: each is an Operation. Borrowed, as the ClusterRef that
/// it came from.
class AsyncRef {
  public:
    /// Those of a node of the C interface, borrowed.
    explicit AsyncRef(ck_cluster_t *cluster) noexcept : cluster_(cluster) {}

    /// ClusterRef::start. Operation<void>.
    auto start() const {
        return detail::operation<void>(cluster_, [](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_cluster_start_async(cluster, done, data);
        });
    }
    /// ClusterRef::stop, which takes a few seconds at most. Operation<void>.
    auto stop() const {
        return detail::operation<void>(cluster_, [](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_cluster_stop_async(cluster, done, data);
        });
    }
    /// ClusterRef::leave. Operation<void>.
    auto leave(Duration timeout) const {
        return detail::operation<void>(cluster_, [timeout](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_cluster_leave_async(cluster, timeout.count(), done, data);
        });
    }

    /// ClusterRef::wait_for_leader. Operation<LeaderInfo>.
    auto wait_for_leader(Duration timeout) const {
        return detail::operation<LeaderInfo>(cluster_, [timeout](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_wait_for_leader_async(cluster, timeout.count(), done, data);
        });
    }
    /// ClusterRef::step_down. Operation<std::string>.
    auto step_down() const {
        return detail::operation<std::string>(cluster_, [](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_step_down_async(cluster, done, data);
        });
    }
    /// ClusterRef::promote. Operation<std::string>.
    auto promote(std::string_view id) const {
        return detail::operation<std::string>(cluster_, [id](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_promote_async(cluster, id.data(), id.size(), done, data);
        });
    }
    /// ClusterRef::demote. Operation<std::string>.
    auto demote(Duration cooldown) const {
        return detail::operation<std::string>(cluster_, [cooldown](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_demote_async(cluster, cooldown.count(), done, data);
        });
    }

    /// ClusterRef::begin_maintenance. Operation<std::uint64_t>: the revision.
    auto begin_maintenance(std::string_view reason, Duration timeout) const {
        return detail::operation<std::uint64_t>(cluster_, [=](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            const char *words = reason.data() != nullptr ? reason.data() : "";
            return ck_maintenance_async(cluster, words, reason.size(), timeout.count(), done, data);
        });
    }
    /// ClusterRef::end_maintenance. Operation<std::uint64_t>: the revision.
    auto end_maintenance(Duration timeout) const {
        return detail::operation<std::uint64_t>(cluster_, [=](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_maintenance_async(cluster, nullptr, 0, timeout.count(), done, data);
        });
    }
    /// ClusterRef::remove_node. Operation<std::uint64_t>: the revision.
    auto remove_node(std::string_view id, Duration timeout, Force force = Force::No) const {
        return detail::operation<std::uint64_t>(cluster_, [=](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_remove_node_async(cluster, id.data(), id.size(), force == Force::Yes, timeout.count(), done,
                                        data);
        });
    }
    /// ClusterRef::recover_partition. Operation<std::uint64_t>: the revision.
    auto recover_partition(std::uint32_t partition, std::string_view from, Duration timeout,
                           Force force = Force::No) const {
        return detail::operation<std::uint64_t>(cluster_, [=](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_recover_partition_async(cluster, partition, from.data(), from.size(), force == Force::Yes,
                                              timeout.count(), done, data);
        });
    }
    /// ClusterRef::create_partitions. Operation<PlanOutcome>.
    auto create_partitions(Duration timeout) const {
        return detail::operation<PlanOutcome>(cluster_, [timeout](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_create_partitions_async(cluster, timeout.count(), done, data);
        });
    }
    /// ClusterRef::rebalance. Operation<PlanOutcome>.
    auto rebalance(Duration timeout) const {
        return detail::operation<PlanOutcome>(cluster_, [timeout](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_rebalance_async(cluster, timeout.count(), done, data);
        });
    }
    /// ClusterRef::rebalance_status. Operation<RebalanceStatus>.
    auto rebalance_status(Duration timeout) const {
        return detail::operation<RebalanceStatus>(
            cluster_, [timeout](ck_cluster_t *cluster, ck_done_fn done, void *data) {
                return ck_rebalance_status_async(cluster, timeout.count(), done, data);
            });
    }

    /// ClusterRef::set_custom_data. Operation<std::uint64_t>: the revision.
    auto set_custom_data(std::string_view key, std::string_view value, Duration timeout,
                         Expect expect = Expect::any()) const {
        return detail::operation<std::uint64_t>(cluster_, [=](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_custom_data_set_async(cluster, key.data(), key.size(), value.data(), value.size(), expect.get(),
                                            timeout.count(), done, data);
        });
    }
    /// ClusterRef::delete_custom_data. Operation<Deletion>.
    auto delete_custom_data(std::string_view key, Duration timeout, Expect expect = Expect::any()) const {
        return detail::operation<Deletion>(cluster_, [=](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_custom_data_delete_async(cluster, key.data(), key.size(), expect.get(), timeout.count(), done,
                                               data);
        });
    }
    /// ClusterRef::wait_for_revision. Operation<void>.
    auto wait_for_revision(std::uint64_t revision, Duration timeout) const {
        return detail::operation<void>(cluster_, [=](ck_cluster_t *cluster, ck_done_fn done, void *data) {
            return ck_wait_for_revision_async(cluster, revision, timeout.count(), done, data);
        });
    }
    /// ClusterRef::read_barrier. Operation<std::uint64_t>: the revision that is applied.
    auto read_barrier(Duration timeout) const {
        return detail::operation<std::uint64_t>(cluster_,
                                                [timeout](ck_cluster_t *cluster, ck_done_fn done, void *data) {
                                                    return ck_read_barrier_async(cluster, timeout.count(), done, data);
                                                });
    }

  private:
    ck_cluster_t *cluster_;
};

// ---- Being told.

/// What a node tells, and to whom: the calls of a ClusterRef that have to do with hooks, queues of events and messages
/// for people.
class HookCalls {
  public:
    // -- Hooks.
    //
    // hook: any callable, which the node owns then. It takes what its function says, and returns a HookResult, a
    // Result, or nothing, which is a success; an exception is a failure. It runs on threads of the library, for
    // partition changes on several at once, and may block. docs/hooks.md tells of order and concurrency. Register
    // before start(), and nothing is missed. A hook that needs its own node takes a ClusterRef: a share would keep
    // alive what keeps it alive. Errors of all: InvalidArgument, also for a std::function that is empty; Stopped.

    /// Adds a hook for every event of these kinds, in the order in which they happened: hook(const Event &).
    template <class Hook>
    Result<HookId> on(EventMask events, Hook &&hook) const {
        static_assert(detail::is_hook<std::decay_t<Hook>, Event>,
                      "a hook is called with a const Event &, and returns a HookResult, a Result or nothing");
        return add<std::decay_t<Hook>>(std::forward<Hook>(hook),
                                       [&](ck_hook_fn call, void *data, ck_destroy_fn destroy, std::uint64_t *id) {
                                           return ck_hook_add(cluster_, events.bits(), call, data, destroy, id);
                                       });
    }
    /// Adds a hook that observes every event from now on, one after the other, in order: hook(const Event &). Nothing
    /// waits for it, however long it takes: what it returns confirms no copy.
    template <class Hook>
    Result<HookId> observe(Hook &&hook) const {
        static_assert(detail::is_hook<std::decay_t<Hook>, Event>,
                      "a hook is called with a const Event &, and returns a HookResult, a Result or nothing");
        return add<std::decay_t<Hook>>(std::forward<Hook>(hook),
                                       [&](ck_hook_fn call, void *data, ck_destroy_fn destroy, std::uint64_t *id) {
                                           return ck_observer_add(cluster_, call, data, destroy, id);
                                       });
    }

    /// A node gained or lost a partition, or a role in it: hook(const PartitionChange &), or with a const Event & after
    /// it. Where this node gains a copy: copy the data from one of copy_from(), and return success when it is there;
    /// only then does the cluster count on it.
    template <class Hook>
    Result<HookId> on_partition_change(Hook &&hook) const {
        return on_kind<PartitionChange>(EventKind::PartitionChange, std::forward<Hook>(hook));
    }
    /// A node that was never a member has joined: hook(const NodeJoin &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_node_join(Hook &&hook) const {
        return on_kind<NodeJoin>(EventKind::NodeJoin, std::forward<Hook>(hook));
    }
    /// A member is back, or has restarted: hook(const NodeRejoin &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_node_rejoin(Hook &&hook) const {
        return on_kind<NodeRejoin>(EventKind::NodeRejoin, std::forward<Hook>(hook));
    }
    /// A member stopped, failed, or was removed: hook(const NodeLeave &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_node_leave(Hook &&hook) const {
        return on_kind<NodeLeave>(EventKind::NodeLeave, std::forward<Hook>(hook));
    }
    /// Partitions begin to move: hook(const Rebalance &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_rebalance_start(Hook &&hook) const {
        return on_kind<Rebalance>(EventKind::RebalanceStart, std::forward<Hook>(hook));
    }
    /// Every partition is where it should be: hook(const Rebalance &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_rebalance_complete(Hook &&hook) const {
        return on_kind<Rebalance>(EventKind::RebalanceComplete, std::forward<Hook>(hook));
    }
    /// The cluster's health changed: hook(const ClusterHealth &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_cluster_health_change(Hook &&hook) const {
        return on_kind<ClusterHealth>(EventKind::ClusterHealthChange, std::forward<Hook>(hook));
    }
    /// This node leads now: hook(const Leadership &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_become_leader(Hook &&hook) const {
        return on_kind<Leadership>(EventKind::BecomeLeader, std::forward<Hook>(hook));
    }
    /// This node leads no longer: hook(const Leadership &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_lose_leadership(Hook &&hook) const {
        return on_kind<Leadership>(EventKind::LoseLeadership, std::forward<Hook>(hook));
    }
    /// Another node leads now: hook(const Leadership &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_leader_change(Hook &&hook) const {
        return on_kind<Leadership>(EventKind::LeaderChange, std::forward<Hook>(hook));
    }

    /// Removes a hook, also one that observes. When it returns success, no call of the hook runs or will, and it is
    /// destroyed, unless this was called inside a hook of this node: then both are true when the call under way
    /// returns. A call that was deferred goes on to its end, and counts. Blocks until a call of the hook that is under
    /// way returns, for at most timeout. A hook may call it, for itself too, and is not waited for.
    ///
    /// Errors: NotFound when there is no such hook (any more); Timeout when a call has not returned: the hook is
    /// removed all the same, and destroyed when that returns.
    Result<void> remove_hook(HookId id, Duration timeout) const {
        return detail::outcome(ck_hook_remove(cluster_, static_cast<std::uint64_t>(id), timeout.count()));
    }

    /// Opens a queue of events of these kinds, for whoever reads instead of being called.
    ///
    /// Errors: InvalidArgument, Stopped.
    Result<Events> open_events(EventMask events, EventsMode mode = EventsMode::Confirm) const {
        ck_events_t *queue = nullptr;
        if (ck_error_t *error = ck_events_open(cluster_, events.bits(), static_cast<std::uint32_t>(mode), &queue)) {
            return Error::take(error);
        }
        return Events(queue);
    }

    // -- Messages for people.

    /// Sets where messages of this node go, those that the option log_level lets through: log(const LogRecord &). It
    /// replaces an earlier callback, and is told what waited for that. It is called one message after the other, on a
    /// thread that does nothing else; nothing in the node waits for it, and it may block. What does not fit into 1024
    /// messages or 1 MiB meanwhile is dropped, and a message says how many were. An exception that leaves it is
    /// dropped, and nobody is told. It may call everything, and end its own node.
    ///
    /// Errors: InvalidArgument.
    template <class Log>
    Result<void> set_log(Log &&log) const {
        using Callable = std::decay_t<Log>;
        static_assert(std::is_invocable_v<Callable &, const LogRecord &>,
                      "a log callback is called with a const LogRecord &");
        if (detail::is_empty(log)) {
            return set_log(nullptr);
        }
        return detail::hand_over<Callable>(std::forward<Log>(log), [&](void *data) {
            return ck_cluster_set_log(cluster_, &detail::call_log<Callable>, data, &detail::destroy<Callable>);
        });
    }
    /// Messages go nowhere from now on, as in the beginning.
    Result<void> set_log(std::nullptr_t) const {
        return detail::outcome(ck_cluster_set_log(cluster_, nullptr, nullptr, nullptr));
    }

  protected:
    HookCalls() noexcept = default;
    explicit HookCalls(ck_cluster_t *cluster) noexcept : cluster_(cluster) {}

    ck_cluster_t *cluster_ = nullptr;

  private:
    /// Gives a hook to C, which owns it then: add(call, data, destroy, id) is a call of C's.
    template <class Hook, class Given, class Add>
    static Result<HookId> add(Given &&hook, Add add) {
        if (detail::is_empty(hook)) {
            return Error(ErrorCode::InvalidArgument, "the hook is an empty function");
        }
        std::uint64_t id = 0;
        const Result<void> added = detail::hand_over<Hook>(std::forward<Given>(hook), [&](void *data) {
            return add(&detail::call_hook<Hook>, data, &detail::destroy<Hook>, &id);
        });
        return added.map([&] { return HookId{id}; });
    }

    template <class Told, class Hook>
    Result<HookId> on_kind(EventKind kind, Hook &&hook) const {
        using Callable = std::decay_t<Hook>;
        static_assert(detail::is_hook<Callable, Told> || detail::is_hook<Callable, Told, Event>,
                      "a hook is called with what the event tells, and the event where it takes that too, and returns "
                      "a HookResult, a Result or nothing");
        if (detail::is_empty(hook)) {
            return Error(ErrorCode::InvalidArgument, "the hook is an empty function");
        }
        return on(kind, detail::TypedHook<Told, Callable>{std::forward<Hook>(hook)});
    }
};

// ---- A node.
// ------------------------------------------------------------------------------------------------------------

class Cluster;

/// A node of a cluster, embedded in this process, borrowed from the Cluster that owns it: every call that there is. A
/// pointer in size, to be copied freely, into hooks above all, which must not keep their own node alive; valid as long
/// as its Cluster, also where that is moved.
class ClusterRef : public HookCalls {
  public:
    /// No node; calls fail with InvalidArgument.
    ClusterRef() noexcept = default;
    /// A node of the C interface, borrowed.
    explicit ClusterRef(ck_cluster_t *cluster) noexcept : HookCalls(cluster) {}

    /// True when there is a node.
    explicit operator bool() const noexcept { return cluster_ != nullptr; }
    /// Another share of the node, for another owner: the last of them ends it.
    Cluster share() const noexcept;
    /// The calls that do not wait.
    AsyncRef async() const noexcept { return AsyncRef(cluster_); }
    /// The node for the C interface, borrowed.
    ck_cluster_t *get() const noexcept { return cluster_; }

    // -- Its life.

    /// Starts the node: it bootstraps a cluster, joins one, or rejoins its own, as its options and its data_dir say.
    /// Returns when it is a member. A node starts once; after a failure end it. Blocks for at most the option
    /// join_timeout and a little; a node that was a member before then returns success and goes on trying. A hook may
    /// not call it.
    ///
    /// Errors: AlreadyStarted, Stopped, JoinFailed with what every address answered, JoinRefused, AddressInUse,
    /// DataDirInUse, WrongCluster, ClusterMismatch, DuplicateNode, Removed, Corrupt, Io, InHook.
    Result<void> start() const { return detail::outcome(ck_cluster_start(cluster_)); }

    /// Stops the node in an orderly way: the other nodes take over what it has, then everything is closed. After
    /// success no hook of this node runs or will, and all of them are destroyed; the log callback stays until the node
    /// ends. Stopping again is legal and waits for the first. Blocks for at most timeout. A hook may not call it; it
    /// may end the node.
    ///
    /// Errors: InHook; Timeout when time is up (stopping goes on and can be waited for by another call), or when a hook
    /// has not returned after 5 s, everything else being closed: the message names the hook and its event; Io.
    Result<void> stop(Duration timeout) const { return detail::outcome(ck_cluster_stop(cluster_, timeout.count())); }

    /// Leaves the cluster for ever: leadership and all copies of this node move to other nodes, then it is removed and
    /// stops. Blocks for at most timeout. A hook may not call it.
    ///
    /// Errors: NotStarted; InHook; Refused when no node could take over; Timeout with what is left to move: the node
    /// goes on leaving, and the call may be made again; Stopped.
    Result<void> leave(Duration timeout) const { return detail::outcome(ck_cluster_leave(cluster_, timeout.count())); }

    /// The address at which others reach this node, "host:port": what another node is given as join_addrs.
    ///
    /// Errors: NotStarted.
    Result<std::string> http_addr() const {
        std::array<char, CK_ADDRESS_SIZE> buffer;
        if (ck_error_t *error = ck_cluster_http_addr(cluster_, buffer.data(), buffer.size())) {
            return Error::take(error);
        }
        return std::string(buffer.data());
    }

    /// This node's id; valid as long as the node. Empty where there is no node.
    std::string_view my_node_id() const noexcept { return detail::text(ck_my_node_id(cluster_)); }

    /// What this node waits for before it is ready, in words for people: none when it is ready, a member that knows a
    /// leader and holds a lease. A node that was a member before returns from start() when join_timeout has passed,
    /// ready or not.
    ///
    /// Errors: why it will never be ready and has to be started anew or given up: Removed, DuplicateNode and the like,
    /// Io, Stopped.
    Result<std::optional<Text>> waiting_for() const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_waiting_for(cluster_, &text)) {
            return Error::take(error);
        }
        return text != nullptr ? std::optional<Text>(text) : std::optional<Text>();
    }

    // -- The hot calls: what this node is to a key at this moment, its lease included.
    //
    // They never block, take no lock, and allocate nothing where they succeed.

    /// Where a key belongs: its partition, and what this node is to it. The route names its primary by number only.
    ///
    /// Errors: InvalidArgument; NotStarted; NotFound before there are partitions.
    Result<KeyRoute> lookup(std::string_view key) const { return lookup(key, nullptr); }
    /// The same, with the view that the answer was taken from: view is refreshed (see refresh), and the route's primary
    /// is a node of it. view: of this cluster, or none; no other thread uses it meanwhile.
    ///
    /// Errors: InvalidArgument; NotStarted; NotFound before there are partitions.
    Result<KeyRoute> lookup(std::string_view key, View &view) const { return lookup(key, &view.view_); }
    /// The partition that a key belongs to; none before partitions exist.
    std::optional<std::uint32_t> partition_for_key(std::string_view key) const noexcept {
        return detail::optional_partition(ck_partition_for_key(cluster_, key.data(), key.size()));
    }
    /// True when this node takes the writes of a partition: it is the primary, and its lease runs.
    bool is_primary(std::uint32_t partition) const noexcept { return ck_is_primary(cluster_, partition); }
    /// True when this node takes the writes of a key.
    bool is_primary_for_key(std::string_view key) const noexcept {
        return ck_is_primary_for_key(cluster_, key.data(), key.size());
    }
    /// What this node is to a partition.
    Role role(std::uint32_t partition) const noexcept { return static_cast<Role>(ck_role(cluster_, partition)); }
    /// What this node is to a key.
    Role role_for_key(std::string_view key) const noexcept {
        return static_cast<Role>(ck_role_for_key(cluster_, key.data(), key.size()));
    }
    /// The epoch of a partition that this node takes the writes of: the fencing token with which the application's
    /// storage refuses an earlier primary. Ask right before the write, and hand the number to the storage with it.
    ///
    /// Errors: NotStarted; LeaseExpired when this node would be primary but holds no lease; Conflict when another node
    /// is primary, or none; NotFound when there is no such partition.
    Result<std::uint64_t> primary_epoch(std::uint32_t partition) const {
        std::uint64_t epoch = 0;
        if (ck_error_t *error = ck_primary_epoch(cluster_, partition, &epoch)) {
            return Error::take(error);
        }
        return epoch;
    }
    /// True while this node holds a lease, without which it is primary of nothing.
    bool is_leased() const noexcept { return ck_is_leased(cluster_); }

    // -- Views.

    /// The present view of the cluster.
    ///
    /// Errors: InvalidArgument.
    Result<View> view() const {
        ck_view_t *view = nullptr;
        if (ck_error_t *error = ck_view_acquire(cluster_, &view)) {
            return Error::take(error);
        }
        return View(view);
    }
    /// Sees to it that view is the present view of the cluster. Where it is already, this costs a few nanoseconds and
    /// changes nothing; otherwise it is replaced, and what was borrowed from it ends, unless there is another share.
    /// For loops that ask again and again. view: of this cluster, or none; no other thread uses it meanwhile. On
    /// failure it stays as it is.
    ///
    /// Errors: InvalidArgument.
    Result<void> refresh(View &view) const { return detail::outcome(ck_view_refresh(cluster_, &view.view_)); }
    /// The whole cluster as a JSON object, custom data included: as GET /cluster?include=custom_data has it. Its leader
    /// is empty when this node has had no contact with one for the duration of a lease. Takes time in proportion to all
    /// of it.
    ///
    /// Errors: InvalidArgument.
    Result<Text> json() const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_cluster_json(cluster_, &text)) {
            return Error::take(error);
        }
        return Text(text);
    }

    // -- Leadership.

    /// True when this node leads the cluster at this moment: its leader lease runs, so nobody else can lead.
    bool is_leader() const noexcept { return ck_is_leader(cluster_); }
    /// The leader epoch with which this node leads: a fencing token.
    ///
    /// Errors: NotStarted, Stopped, LeaseExpired when it does not lead.
    Result<std::uint64_t> leader_epoch() const {
        std::uint64_t epoch = 0;
        if (ck_error_t *error = ck_leader_epoch(cluster_, &epoch)) {
            return Error::take(error);
        }
        return epoch;
    }
    /// The leader, as this node knows it: none when it has had no contact with one for the duration of a lease.
    ///
    /// Errors: InvalidArgument.
    Result<std::optional<LeaderInfo>> leader() const {
        ck_leader_info_t *raw = nullptr;
        if (ck_error_t *error = ck_leader(cluster_, &raw)) {
            return Error::take(error);
        }
        const detail::Owned<ck_leader_info_t, ck_leader_info_free> leader(raw);
        return leader != nullptr ? std::optional<LeaderInfo>(detail::value_of(*leader)) : std::nullopt;
    }
    /// Waits until a leader is known. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, NoLeader when there is none in time, Stopped.
    Result<LeaderInfo> wait_for_leader(Duration timeout) const {
        return detail::fetch<ck_leader_info_t, ck_leader_info_free>(
            [&](ck_leader_info_t **leader) { return ck_wait_for_leader(cluster_, timeout.count(), leader); });
    }
    /// Asks the leader to hand leadership to another voter; the id of the leader afterwards. Blocks for a few seconds
    /// at most.
    ///
    /// Errors: NotStarted; Refused with the reason when no voter could take over; NoLeader; Timeout.
    Result<std::string> step_down() const {
        return node_id([&](char *buffer, std::size_t size) { return ck_step_down(cluster_, buffer, size); });
    }
    /// Asks the leader to hand leadership to a certain voter; the id of the leader afterwards. Blocks for a few seconds
    /// at most.
    ///
    /// Errors: as step_down(); NotFound when there is no such member.
    Result<std::string> promote(std::string_view id) const {
        return node_id(
            [&](char *buffer, std::size_t size) { return ck_promote(cluster_, id.data(), id.size(), buffer, size); });
    }
    /// step_down(), after which the former leader does not stand for election by itself for the cooldown, an hour at
    /// most. Blocks for a few seconds at most.
    ///
    /// Errors: as step_down().
    Result<std::string> demote(Duration cooldown) const {
        return node_id(
            [&](char *buffer, std::size_t size) { return ck_demote(cluster_, cooldown.count(), buffer, size); });
    }

    // -- How it is.

    /// Raft statistics of this node.
    ///
    /// Errors: InvalidArgument.
    Result<ConsensusStats> consensus_stats() const {
        return detail::fetch<ck_consensus_stats_t, ck_consensus_stats_free>(
            [&](ck_consensus_stats_t **stats) { return ck_consensus_stats(cluster_, stats); });
    }
    /// Counters and gauges of this node.
    ///
    /// Errors: InvalidArgument.
    Result<Metrics> metrics() const {
        return detail::fetch<ck_metrics_t, ck_metrics_free>(
            [&](ck_metrics_t **metrics) { return ck_metrics(cluster_, metrics); });
    }
    /// The health of this node.
    ///
    /// Errors: InvalidArgument.
    Result<HealthStatus> health_check() const {
        return detail::fetch<ck_health_status_t, ck_health_status_free>(
            [&](ck_health_status_t **health) { return ck_health_check(cluster_, health); });
    }
    /// The health of a member, which the leader knows best.
    ///
    /// Errors: NotStarted; NotFound when there is no such member.
    Result<NodeHealth> node_health(std::string_view id) const {
        return detail::fetch<ck_node_health_t, ck_node_health_free>(
            [&](ck_node_health_t **health) { return ck_node_health(cluster_, id.data(), id.size(), health); });
    }
    /// Tells every node how this node's application is: the next heartbeat carries it. It counts for the health of the
    /// cluster, not for the placement of partitions. reason: for people, cut after 256 characters.
    ///
    /// Errors: InvalidArgument.
    Result<void> report_health(Health health, std::string_view reason = {}) const {
        return detail::outcome(
            ck_report_health(cluster_, static_cast<std::int32_t>(health), reason.data(), reason.size()));
    }
    /// Statistics of every hook of this node, in the order in which they were added.
    ///
    /// Errors: InvalidArgument.
    Result<std::vector<HookStats>> hook_stats() const {
        ck_hook_stats_list_t *raw = nullptr;
        if (ck_error_t *error = ck_hook_stats(cluster_, &raw)) {
            return Error::take(error);
        }
        const detail::Owned<ck_hook_stats_list_t, ck_hook_stats_free> list(raw);
        std::vector<HookStats> stats;
        for (std::size_t i = 0; i < ck_hook_stats_count(raw); i++) {
            stats.push_back(detail::value_of(*ck_hook_stats_get(raw, i)));
        }
        return stats;
    }

    // -- Managing the cluster.

    /// Begins maintenance, in which no partitions are moved and primaries still fail over; the revision. reason: for
    /// people. The cluster begins it by itself when more than half of its members have failed. Blocks for at most
    /// timeout.
    ///
    /// Errors: InvalidArgument, NotStarted, NoLeader, Timeout, Stopped.
    Result<std::uint64_t> begin_maintenance(std::string_view reason, Duration timeout) const {
        return detail::revision([&](std::uint64_t *out) {
            const char *words = reason.data() != nullptr ? reason.data() : "";
            return ck_maintenance(cluster_, words, reason.size(), timeout.count(), out);
        });
    }
    /// Ends maintenance; the revision. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, NoLeader, Timeout, Stopped.
    Result<std::uint64_t> end_maintenance(Duration timeout) const {
        return detail::revision(
            [&](std::uint64_t *out) { return ck_maintenance(cluster_, nullptr, 0, timeout.count(), out); });
    }
    /// Removes a member for ever; the revision. force: also where partitions lose their data by it. Blocks for at most
    /// timeout.
    ///
    /// Errors: InvalidArgument, NotStarted; NotFound; Refused for the leader, for the last member, and without force
    /// for the last one that counts as holding a partition's data; NoLeader, Timeout, Stopped.
    Result<std::uint64_t> remove_node(std::string_view id, Duration timeout, Force force = Force::No) const {
        return detail::revision([&](std::uint64_t *out) {
            return ck_remove_node(cluster_, id.data(), id.size(), force == Force::Yes, timeout.count(), out);
        });
    }
    /// Makes the copy on a member the data of a partition that is lost: docs/operations.md, "A partition is lost"; the
    /// revision. force: also where a node that is up holds the data, or where that member holds no copy. Blocks for at
    /// most timeout.
    ///
    /// Errors: InvalidArgument, NotStarted; NotFound; Refused where that member is not up, and without force where a
    /// node that is up holds the data or that member holds no copy; NoLeader, Timeout, Stopped.
    Result<std::uint64_t> recover_partition(std::uint32_t partition, std::string_view from, Duration timeout,
                                            Force force = Force::No) const {
        return detail::revision([&](std::uint64_t *out) {
            return ck_recover_partition(cluster_, partition, from.data(), from.size(), force == Force::Yes,
                                        timeout.count(), out);
        });
    }
    /// Creates the partitions where there are none, which a leader also does by itself. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, NoLeader, Timeout, Stopped.
    Result<PlanOutcome> create_partitions(Duration timeout) const {
        PlanOutcome made;
        if (ck_error_t *error = ck_create_partitions(cluster_, timeout.count(), &made.revision, &made.partitions)) {
            return Error::take(error);
        }
        return made;
    }
    /// Plans a rebalance and begins it, which a leader also does by itself. The partitions move afterwards. Blocks for
    /// at most timeout.
    ///
    /// Errors: NotStarted, NoLeader, Timeout, Stopped.
    Result<PlanOutcome> rebalance(Duration timeout) const {
        PlanOutcome made;
        if (ck_error_t *error = ck_rebalance(cluster_, timeout.count(), &made.revision, &made.partitions)) {
            return Error::take(error);
        }
        return made;
    }
    /// How partitions move: as the leader knows it, or, when it does not answer in time, as this node does. The answer
    /// says which. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, Stopped.
    Result<RebalanceStatus> rebalance_status(Duration timeout) const {
        return detail::fetch<ck_rebalance_status_t, ck_rebalance_status_free>(
            [&](ck_rebalance_status_t **status) { return ck_rebalance_status(cluster_, timeout.count(), status); });
    }

    // -- The replicated store.

    /// Writes a value that every node has; the revision of the write. When it returns success, the write is on the
    /// disks of a majority. key: 1 to 1024 bytes. value: any bytes, at most 1 MiB. Blocks for at most timeout.
    ///
    /// Errors: InvalidArgument, TooLarge; Conflict when what is there is not as expected; NotStarted, Stopped,
    /// NoLeader, Io: it has not happened; Timeout: it may or may not have happened (Error::is_ambiguous).
    Result<std::uint64_t> set_custom_data(std::string_view key, std::string_view value, Duration timeout,
                                          Expect expect = Expect::any()) const {
        return detail::revision([&](std::uint64_t *out) {
            return ck_custom_data_set(cluster_, key.data(), key.size(), value.data(), value.size(), expect.get(),
                                      timeout.count(), out);
        });
    }
    /// A value as this node has applied it; another node may be ahead (see wait_for_revision and read_barrier).
    ///
    /// Errors: InvalidArgument; NotStarted; NotFound when there is no such key.
    Result<Data> custom_data(std::string_view key) const {
        ck_data_t *data = nullptr;
        if (ck_error_t *error = ck_custom_data_get(cluster_, key.data(), key.size(), &data)) {
            return Error::take(error);
        }
        return Data(data);
    }
    /// Deletes a value. Deleting what is not there is no error unless a revision was expected. Blocks for at most
    /// timeout.
    ///
    /// Errors: as set_custom_data.
    Result<Deletion> delete_custom_data(std::string_view key, Duration timeout, Expect expect = Expect::any()) const {
        Deletion made;
        if (ck_error_t *error = ck_custom_data_delete(cluster_, key.data(), key.size(), expect.get(), timeout.count(),
                                                      &made.existed, &made.revision)) {
            return Error::take(error);
        }
        return made;
    }
    /// The keys that begin with a prefix and come after another key, in order, as this node has applied them: limit of
    /// them at most.
    ///
    /// Errors: InvalidArgument; NotStarted.
    Result<Strings> custom_data_keys(std::string_view prefix, std::string_view after, std::size_t limit) const {
        ck_strings_t *keys = nullptr;
        if (ck_error_t *error =
                ck_custom_data_keys(cluster_, prefix.data(), prefix.size(), after.data(), after.size(), limit, &keys)) {
            return Error::take(error);
        }
        return Strings(keys);
    }
    /// Waits until this node has applied a revision: read your writes, also those made through another node. Blocks for
    /// at most timeout.
    ///
    /// Errors: NotStarted, Stopped, Timeout.
    Result<void> wait_for_revision(std::uint64_t revision, Duration timeout) const {
        return detail::outcome(ck_wait_for_revision(cluster_, revision, timeout.count()));
    }
    /// Waits until this node has applied everything that any node acknowledged before this call: a read that follows is
    /// linearizable. The revision that is applied. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, NoLeader, Timeout, Stopped.
    Result<std::uint64_t> read_barrier(Duration timeout) const {
        return detail::revision([&](std::uint64_t *out) { return ck_read_barrier(cluster_, timeout.count(), out); });
    }

  private:
    Result<KeyRoute> lookup(std::string_view key, ck_view_t **view) const {
        KeyRoute route;
        if (ck_error_t *error =
                ck_lookup_key(cluster_, key.data(), key.size(), view, &route.route_, sizeof route.route_)) {
            return Error::take(error);
        }
        return route;
    }

    /// A call of C's that fills a buffer with a node's id.
    template <class Call>
    static Result<std::string> node_id(Call call) {
        std::array<char, CK_NODE_ID_SIZE> buffer;
        if (ck_error_t *error = call(buffer.data(), buffer.size())) {
            return Error::take(error);
        }
        return std::string(buffer.data());
    }
};

/// A node of a cluster, embedded in this process, and its owner: every call is one of ClusterRef. Several nodes in one
/// process share one set of threads, which start with the first and end with the last.
///
/// Its destructor ends the node, unless there is another share: it closes files and sockets, without telling the other
/// nodes where stop() has not. It blocks for as long as closing takes, milliseconds as a rule, and for 11 s and what
/// the disk takes at most. When it returns, no callback of this node runs or will, and all of them are destroyed; a
/// hook or a completion that does not return within 5 s, and a log callback that does not within 1 s, are left to
/// themselves. Inside a callback of its own node it does not wait for that. Views live on.
class Cluster : public ClusterRef {
  public:
    /// No node; calls fail with InvalidArgument until another is moved here.
    Cluster() noexcept = default;
    /// Owns a share of the C interface. cluster: consumed.
    explicit Cluster(ck_cluster_t *cluster) noexcept : ClusterRef(cluster) {}
    Cluster(Cluster &&other) noexcept : ClusterRef(std::exchange(other.cluster_, nullptr)) {}
    Cluster &operator=(Cluster &&other) noexcept {
        Cluster taken(std::move(other));
        std::swap(cluster_, taken.cluster_);
        return *this;
    }
    ~Cluster() { ck_cluster_free(cluster_); }

    /// Makes a node with these options, of which it has a copy. Opens nothing before start().
    ///
    /// Errors: InvalidArgument; InvalidOption; Io when the system has no more threads to give; Version as check_abi().
    static Result<Cluster> create(const Options &options) {
        if (Result<void> checked = check_abi(); !checked) {
            return std::move(checked).error();
        }
        ck_cluster_t *cluster = nullptr;
        if (ck_error_t *error = ck_cluster_new(options.get(), &cluster)) {
            return Error::take(error);
        }
        return Cluster(cluster);
    }
    /// The same with every default, and with these values.
    ///
    /// Errors: as above.
    static Result<Cluster> create(std::initializer_list<OptionValue> values) {
        Result<Options> options = Options::create(values);
        if (!options) {
            return std::move(options).error();
        }
        return create(*options);
    }

    /// The node, borrowed: for hooks, and for whoever calls it and does not own it.
    ClusterRef ref() const noexcept { return *this; }
    /// Gives the share away: free it with ck_cluster_free.
    [[nodiscard]] ck_cluster_t *release() noexcept { return std::exchange(cluster_, nullptr); }
};

inline Cluster ClusterRef::share() const noexcept {
    return Cluster(ck_cluster_ref(cluster_));
}

// ---- A client.

/// What a client is made with. docs/client.md lists every option with its default and bounds. Clients that were made
/// from it have a copy.
class ClientOptions {
  public:
    /// No options; calls fail with InvalidArgument until others are moved here.
    ClientOptions() noexcept = default;
    /// Owns options of the C interface. options: consumed.
    explicit ClientOptions(ck_client_options_t *options) noexcept : options_(options) {}

    /// Options with every default, and with these values: addrs has no default.
    ///
    /// Errors: InvalidOption; Version as check_abi().
    static Result<ClientOptions> create(std::initializer_list<OptionValue> values = {}) {
        if (Result<void> checked = check_abi(); !checked) {
            return std::move(checked).error();
        }
        ck_client_options_t *options = nullptr;
        if (ck_error_t *error = ck_client_options_new(&options)) {
            return Error::take(error);
        }
        return detail::with(ClientOptions(options), values);
    }

    /// Sets an option by its name, to a number, a duration, true or false, or from its text form, such as
    /// "10.0.0.1:8080,10.0.0.2:8080". An empty value unsets what may be unset. On failure nothing changes.
    ///
    /// Errors: InvalidArgument; InvalidOption for an unknown name, and for a value that is malformed or out of bounds.
    Result<void> set(std::string_view name, const OptionText &value) {
        const std::string_view text = value.get();
        return detail::outcome(ck_client_options_set(get(), name.data(), name.size(), text.data(), text.size()));
    }
    /// Sets what a JSON object names and leaves the rest. On failure nothing changes.
    ///
    /// Errors: InvalidArgument, InvalidOption.
    Result<void> load_json(std::string_view json) {
        return detail::outcome(ck_client_options_load_json(get(), json.data(), json.size()));
    }
    /// The value of an option in its text form, as set() takes it. Empty where nothing is set.
    ///
    /// Errors: InvalidArgument; InvalidOption for an unknown name.
    Result<Text> get(std::string_view name) const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_client_options_get(get(), name.data(), name.size(), &text)) {
            return Error::take(error);
        }
        return Text(text);
    }
    /// Checks the options as Client::create does.
    ///
    /// Errors: InvalidArgument; InvalidOption, which names the option, its value and what would be right.
    Result<void> validate() const { return detail::outcome(ck_client_options_validate(get())); }

    /// The options for the C interface, borrowed: valid as long as this.
    ck_client_options_t *get() const noexcept { return options_.get(); }
    /// Gives them away: free them with ck_client_options_free.
    [[nodiscard]] ck_client_options_t *release() noexcept { return options_.release(); }

  private:
    detail::Owned<ck_client_options_t, ck_client_options_free> options_;
};

namespace detail {

struct ClientOptionTable {
    using value_type = OptionInfo;
    OptionInfo get(std::size_t index) const noexcept {
        return {text(ck_client_option_name(index)),
                text(ck_client_option_type(index)),
                optional_text(ck_client_option_default(index)),
                text(ck_client_option_bounds(index)),
                std::string_view(),
                text(ck_client_option_help(index))};
    }
};

} // namespace detail

/// Every option that a client has.
inline Range<detail::ClientOptionTable> client_option_table() noexcept {
    return {detail::ClientOptionTable{}, ck_client_option_count()};
}

namespace detail {

/// Calls what hears of views for C: no exception gets out of it.
template <class Change>
void call_change(const ck_view_t *view, void *change) noexcept {
    const Received<Change> received(change);
    guarded([&] {
        const View share(ck_view_ref(view));
        std::invoke(*received, share);
    });
}

} // namespace detail

/// The calls of a client that would wait, begun without waiting: each is an Operation. Borrowed from its Client.
class AsyncClientRef {
  public:
    /// Those of a client of the C interface, borrowed.
    explicit AsyncClientRef(ck_client_t *client) noexcept : client_(client) {}

    /// Client::wait_ready. Operation<std::uint64_t>: the revision of the view.
    auto wait_ready(Duration timeout) const {
        return detail::operation<std::uint64_t>(client_, [timeout](ck_client_t *client, ck_done_fn done, void *data) {
            return ck_client_wait_ready_async(client, timeout.count(), done, data);
        });
    }
    /// Client::wait_for_change. Operation<std::uint64_t>: the revision of the view.
    auto wait_for_change(std::uint64_t revision, Duration timeout) const {
        return detail::operation<std::uint64_t>(client_, [=](ck_client_t *client, ck_done_fn done, void *data) {
            return ck_client_wait_for_change_async(client, revision, timeout.count(), done, data);
        });
    }
    /// Client::wait_for_revision. Operation<void>.
    auto wait_for_revision(std::uint64_t revision, Duration timeout) const {
        return detail::operation<void>(client_, [=](ck_client_t *client, ck_done_fn done, void *data) {
            return ck_client_wait_for_revision_async(client, revision, timeout.count(), done, data);
        });
    }
    /// Client::refresh(Duration). Operation<std::uint64_t>: the revision of the view.
    auto refresh(Duration timeout) const {
        return detail::operation<std::uint64_t>(client_, [timeout](ck_client_t *client, ck_done_fn done, void *data) {
            return ck_client_refresh_async(client, timeout.count(), done, data);
        });
    }
    /// Client::read_barrier. Operation<std::uint64_t>: the revision of the view.
    auto read_barrier(Duration timeout) const {
        return detail::operation<std::uint64_t>(client_, [timeout](ck_client_t *client, ck_done_fn done, void *data) {
            return ck_client_read_barrier_async(client, timeout.count(), done, data);
        });
    }

  private:
    ck_client_t *client_;
};

/// A program that is no member follows a cluster with it, and answers lookups from its own memory: its view is a View
/// as those of nodes are, but that there is no "this node" in it. docs/client.md says what it promises. One client for
/// a process is enough.
///
/// Its destructor closes it, unless there is another share. It blocks for milliseconds as a rule, 12 s at most. When it
/// returns, no callback of this client runs or will, all of them are destroyed, and every call that was begun has told
/// its outcome; what does not return within 5 s (completions) or 1 s (others) is left to itself. Inside a callback of
/// its own client it does not wait for that. Views live on.
class Client {
  public:
    /// No client; calls fail with InvalidArgument until another is moved here.
    Client() noexcept = default;
    /// Owns a share of the C interface. client: consumed.
    explicit Client(ck_client_t *client) noexcept : client_(client) {}

    /// Makes a client with these options, of which it has a copy. It begins to look for a member at once, and waits for
    /// nothing: see wait_ready.
    ///
    /// Errors: InvalidArgument; InvalidOption; Io when the system has no more threads to give; Version as check_abi().
    static Result<Client> create(const ClientOptions &options) {
        if (Result<void> checked = check_abi(); !checked) {
            return std::move(checked).error();
        }
        ck_client_t *client = nullptr;
        if (ck_error_t *error = ck_client_new(options.get(), &client)) {
            return Error::take(error);
        }
        return Client(client);
    }
    /// The same with every default, and with these values.
    ///
    /// Errors: as above.
    static Result<Client> create(std::initializer_list<OptionValue> values) {
        Result<ClientOptions> options = ClientOptions::create(values);
        if (!options) {
            return std::move(options).error();
        }
        return create(*options);
    }

    /// Another share of the client, for another owner: the last of them closes it.
    Client share() const noexcept { return Client(ck_client_ref(get())); }
    /// The calls that do not wait.
    AsyncClientRef async() const noexcept { return AsyncClientRef(get()); }
    /// Closes the client for all of its shares: calls that wait fail with Stopped, and callbacks end as with the
    /// destructor. The view stays as it is. Closing again is legal. Blocks for milliseconds as a rule, 7 s at most.
    ///
    /// Errors: InvalidArgument.
    Result<void> close() const { return detail::outcome(ck_client_close(get())); }

    /// The newest view; before the first answer of a member an empty one, at revision 0. Never blocks.
    ///
    /// Errors: InvalidArgument.
    Result<View> view() const {
        ck_view_t *view = nullptr;
        if (ck_error_t *error = ck_client_view_acquire(get(), &view)) {
            return Error::take(error);
        }
        return View(view);
    }
    /// Sees to it that view is the newest view, as ClusterRef::refresh does; it asks nobody. view: of this client, or
    /// none; no other thread uses it meanwhile. On failure it stays as it is. Never blocks.
    ///
    /// Errors: InvalidArgument.
    Result<void> refresh(View &view) const { return detail::outcome(ck_client_view_refresh(get(), &view.view_)); }
    /// How the client is connected, and how old its view may be. Never blocks.
    ///
    /// Errors: InvalidArgument.
    Result<ClientStatus> status() const {
        return detail::fetch<ck_client_status_t, ck_client_status_free>(
            [&](ck_client_status_t **status) { return ck_client_status(get(), status); });
    }

    /// Waits for the first view; its revision. Blocks for at most timeout.
    ///
    /// Errors: InvalidArgument; Timeout with what failed last; Stopped.
    Result<std::uint64_t> wait_ready(Duration timeout) const {
        return detail::revision([&](std::uint64_t *out) { return ck_client_wait_ready(get(), timeout.count(), out); });
    }
    /// Waits for a view that is newer than a revision; its own. It asks nobody besides. Blocks for at most timeout.
    ///
    /// Errors: InvalidArgument; Timeout when there is none; Stopped.
    Result<std::uint64_t> wait_for_change(std::uint64_t than, Duration timeout) const {
        return detail::revision(
            [&](std::uint64_t *out) { return ck_client_wait_for_change(get(), than, timeout.count(), out); });
    }
    /// Waits until the view has a revision, which a member or another client has told of: what was written then is
    /// read. Where the member that is followed does not bring it in a moment, others are asked. Blocks for at most
    /// timeout.
    ///
    /// Errors: InvalidArgument, Timeout, Stopped.
    Result<void> wait_for_revision(std::uint64_t revision, Duration timeout) const {
        return detail::outcome(ck_client_wait_for_revision(get(), revision, timeout.count()));
    }
    /// Asks now, until a member answers: the view then has what a member in contact with the leader had after this call
    /// began. The revision of the view. Blocks for at most timeout.
    ///
    /// Errors: InvalidArgument; what the members said last (Unreachable, NoLeader, WrongCluster, Version, TooLarge and
    /// others), or Timeout when they said nothing; Stopped.
    Result<std::uint64_t> refresh(Duration timeout) const {
        return detail::revision([&](std::uint64_t *out) { return ck_client_refresh(get(), timeout.count(), out); });
    }
    /// refresh(timeout), from a member that has applied every write that was acknowledged before this call: what is
    /// looked up afterwards is linearizable. The revision of the view. Blocks for at most timeout.
    ///
    /// Errors: as refresh(timeout).
    Result<std::uint64_t> read_barrier(Duration timeout) const {
        return detail::revision(
            [&](std::uint64_t *out) { return ck_client_read_barrier(get(), timeout.count(), out); });
    }

    /// Sets what hears of each newer view, first of the present one where there is one: change(const View &), which may
    /// keep a copy. It replaces an earlier callback. It is called on a thread that does nothing else, one call after
    /// the other, and may block: where several views came meanwhile, the next call has the newest. An exception that
    /// leaves it is dropped, and nobody is told. It may call everything, and end its own client; a share of that in the
    /// callback itself would keep it open.
    ///
    /// Errors: InvalidArgument; Io when the system has no more threads to give; Stopped.
    template <class Change>
    Result<void> on_change(Change &&change) const {
        using Callable = std::decay_t<Change>;
        static_assert(std::is_invocable_v<Callable &, const View &>, "it is called with a const View &");
        if (detail::is_empty(change)) {
            return on_change(nullptr);
        }
        return detail::hand_over<Callable>(std::forward<Change>(change), [&](void *data) {
            return ck_client_set_on_change(get(), &detail::call_change<Callable>, data, &detail::destroy<Callable>);
        });
    }
    /// Nobody hears of views from now on, as in the beginning.
    Result<void> on_change(std::nullptr_t) const {
        return detail::outcome(ck_client_set_on_change(get(), nullptr, nullptr, nullptr));
    }
    /// Sets where messages of this client go, as ClusterRef::set_log does for a node: log(const LogRecord &), whose
    /// node_id() is empty.
    ///
    /// Errors: InvalidArgument.
    template <class Log>
    Result<void> set_log(Log &&log) const {
        using Callable = std::decay_t<Log>;
        static_assert(std::is_invocable_v<Callable &, const LogRecord &>,
                      "a log callback is called with a const LogRecord &");
        if (detail::is_empty(log)) {
            return set_log(nullptr);
        }
        return detail::hand_over<Callable>(std::forward<Log>(log), [&](void *data) {
            return ck_client_set_log(get(), &detail::call_log<Callable>, data, &detail::destroy<Callable>);
        });
    }
    /// Messages go nowhere from now on, as in the beginning.
    Result<void> set_log(std::nullptr_t) const {
        return detail::outcome(ck_client_set_log(get(), nullptr, nullptr, nullptr));
    }

    /// True when there is a client.
    explicit operator bool() const noexcept { return client_ != nullptr; }
    /// The client for the C interface, borrowed.
    ck_client_t *get() const noexcept { return client_.get(); }
    /// Gives the share away: free it with ck_client_free.
    [[nodiscard]] ck_client_t *release() noexcept { return client_.release(); }

  private:
    detail::Owned<ck_client_t, ck_client_free> client_;
};

// ---- Test clusters.

/// Clusters in memory, for the tests of applications: docs/testing.md.
namespace testing {

/// How the disk of a node fails.
enum class DiskFault : std::int32_t {
    /// Nothing more can be written: the disk is full.
    Full = CK_TESTING_DISK_FULL,
    /// Nothing more can be written: the disk has turned read-only.
    ReadOnly = CK_TESTING_DISK_READ_ONLY,
    /// Writes that should have become durable have not: the next sync fails.
    SyncFails = CK_TESTING_DISK_SYNC_FAILS,
    /// Writes do not return until the disk is mended.
    Hangs = CK_TESTING_DISK_HANGS,
};

namespace detail {

using namespace clusterkit::detail;

/// Why a callback refused, on the thread of the call that fails for it.
class Refusal {
  public:
    Refusal() noexcept : outer_(std::exchange(innermost(), this)) {}
    Refusal(const Refusal &) = delete;
    Refusal &operator=(const Refusal &) = delete;
    ~Refusal() { innermost() = outer_; }

    /// Tells the call that is under way on this thread.
    static void tell(std::string_view words) noexcept {
        if (Refusal *call = innermost()) {
            guarded([&] { call->words_ = words; });
        }
    }

    /// The error of that call, with the words.
    Error explain(ck_error_t *error) const {
        Error refused = Error::take(error);
        if (refused != ErrorCode::Refused || words_.empty()) {
            return refused;
        }
        return Error(ErrorCode::Refused, refused.message() + ": " + words_, refused.is_retriable());
    }

  private:
    static Refusal *&innermost() noexcept {
        static thread_local Refusal *innermost = nullptr;
        return innermost;
    }

    Refusal *outer_;
    std::string words_;
};

/// The outcome of a call of C's that makes or starts a process of a node: call().
template <class Call>
Result<void> prepared(const Call &call) {
    const Refusal refusal;
    if (ck_error_t *error = call()) {
        return refusal.explain(error);
    }
    return {};
}

/// Calls what prepares a node with what it prepares, a Borrowed of a handle, for C: no exception gets out of it.
template <class Callable, class Borrowed, class Handle>
std::int32_t call_prepare(std::size_t index, Handle *handle, void *callable) noexcept {
    std::int32_t returned = 0;
    const auto failed = [&](std::string_view words) {
        returned = 1;
        Refusal::tell(words);
    };
    const Received<Callable> received(callable);
    guarded(
        [&] {
            Borrowed borrowed(handle);
            HookResult result;
            if constexpr (std::is_void_v<std::invoke_result_t<Callable &, std::size_t, Borrowed &>>) {
                std::invoke(*received, index, borrowed);
            } else {
                result = std::invoke(*received, index, borrowed);
            }
            if (!result.is_ok()) {
                failed(result.words());
            }
        },
        failed);
    return returned;
}

template <class Enabled, class Callable, class Borrowed>
struct Prepares : std::false_type {};
template <class Callable, class Borrowed>
struct Prepares<std::enable_if_t<is_answer<std::invoke_result_t<Callable &, std::size_t, Borrowed &>>>, Callable,
                Borrowed> : std::true_type {};

/// A condition that is looked at by a call on the same thread.
template <class Condition>
struct Looked {
    Condition &condition;
    std::exception_ptr thrown;

    /// An exception ends the wait, and is thrown again where that began.
    static bool look(void *data) noexcept {
        Looked &looked = *static_cast<Looked *>(data);
#if CLUSTERKIT_HAS_EXCEPTIONS
        try {
            return static_cast<bool>(std::invoke(looked.condition));
        } catch (...) {
            looked.thrown = std::current_exception();
            return true;
        }
#else
        return static_cast<bool>(std::invoke(looked.condition));
#endif
    }
};

} // namespace detail

/// What a test cluster is made with. Test clusters that were made from it have a copy, and keep its callbacks.
class TestOptions {
  public:
    /// No options; calls fail with InvalidArgument until others are moved here.
    TestOptions() noexcept = default;
    /// Owns options of the C interface. options: consumed.
    explicit TestOptions(ck_testing_options_t *options) noexcept : options_(options) {}

    /// Options of three nodes, whose own options are the defaults with the timing of wide networks, and these values.
    ///
    /// Errors: InvalidOption; Version as check_abi().
    static Result<TestOptions> create(std::initializer_list<OptionValue> values = {}) {
        if (Result<void> checked = check_abi(); !checked) {
            return std::move(checked).error();
        }
        ck_testing_options_t *options = nullptr;
        if (ck_error_t *error = ck_testing_options_new(&options)) {
            return Error::take(error);
        }
        return detail::with(TestOptions(options), values);
    }

    /// Sets an option: "nodes", how many there are at first (1 to 1000, default 3); "seed", which decides what slow
    /// links lose and what a killed node's disk keeps (default 0); "manual_clock", whether no time passes but by
    /// TestCluster::advance and the calls that wait (default false). Every other name is an option of each node, as
    /// Options::set takes it.
    ///
    /// Errors: InvalidArgument, InvalidOption.
    Result<void> set(std::string_view name, const OptionText &value) {
        const std::string_view text = value.get();
        return detail::outcome(ck_testing_options_set(get(), name.data(), name.size(), text.data(), text.size()));
    }

    /// Sets what is called with the options of each node before the node is made, so that they can differ:
    /// configure(std::size_t index, OptionsRef options), which returns nothing, a HookResult or a Result. Addresses,
    /// data_dir and how it joins are the test cluster's: what is set there is replaced. Where it fails, or throws, the
    /// call that makes the node fails with Refused, and says why. It replaces an earlier callback, and is destroyed
    /// when these options and all test clusters made from them are gone.
    ///
    /// Errors: InvalidArgument, also for a std::function that is empty.
    template <class Configure>
    Result<void> configure(Configure &&configure) {
        using Callable = std::decay_t<Configure>;
        static_assert(detail::Prepares<void, Callable, OptionsRef>::value,
                      "it is called with an index and an OptionsRef, and returns a HookResult, a Result or nothing");
        if (detail::is_empty(configure)) {
            return Error(ErrorCode::InvalidArgument, "the callback is an empty function");
        }
        return detail::hand_over<Callable>(std::forward<Configure>(configure), [&](void *data) {
            return ck_testing_options_set_configure(get(), &detail::call_prepare<Callable, OptionsRef, ck_options_t>,
                                                    data, &detail::destroy<Callable>);
        });
    }
    /// Sets what is called with every process of a node before it is started, also by TestCluster::restart: the place
    /// for hooks, queues and log callbacks. prepare(std::size_t index, ClusterRef node); all else as for configure().
    ///
    /// Errors: InvalidArgument, also for a std::function that is empty.
    template <class Prepare>
    Result<void> prepare(Prepare &&prepare) {
        using Callable = std::decay_t<Prepare>;
        static_assert(detail::Prepares<void, Callable, ClusterRef>::value,
                      "it is called with an index and a ClusterRef, and returns a HookResult, a Result or nothing");
        if (detail::is_empty(prepare)) {
            return Error(ErrorCode::InvalidArgument, "the callback is an empty function");
        }
        return detail::hand_over<Callable>(std::forward<Prepare>(prepare), [&](void *data) {
            return ck_testing_options_set_prepare(get(), &detail::call_prepare<Callable, ClusterRef, ck_cluster_t>,
                                                  data, &detail::destroy<Callable>);
        });
    }

    /// The options for the C interface, borrowed: valid as long as this.
    ck_testing_options_t *get() const noexcept { return options_.get(); }
    /// Gives them away: free them with ck_testing_options_free.
    [[nodiscard]] ck_testing_options_t *release() noexcept { return options_.release(); }

  private:
    clusterkit::detail::Owned<ck_testing_options_t, ck_testing_options_free> options_;
};

/// A cluster of real nodes in this process and in memory: no sockets, no files, no ports. Nodes are named by their
/// index, from 0; node 0 has the id "node-0". Timeouts are of the nodes' own clock, which the calls that wait move by
/// as little as they need: nobody waits for it. docs/testing.md says what is real.
///
/// Calls that wait may not be made by a hook: InHook. All calls with an index fail with NotFound where there is no such
/// node, all calls with InvalidArgument where there is no test cluster, and with Stopped once it has ended.
///
/// Its destructor ends everything, as close() does; inside a hook it does not wait for that.
class TestCluster {
  public:
    /// No test cluster; calls fail with InvalidArgument until another is moved here.
    TestCluster() noexcept = default;
    /// Owns a test cluster of the C interface. testing: consumed.
    explicit TestCluster(ck_testing_t *testing) noexcept : testing_(testing) {}

    /// Starts a test cluster with these options, of which it has a copy. Returns when all nodes are members, every
    /// partition has its copies and a primary, and nothing moves. Blocks for some tens of milliseconds as a rule.
    ///
    /// Errors: InvalidArgument; InvalidOption; Refused when a callback did; those of ClusterRef::start; Timeout with
    /// what is missing; Io when the system has no more threads to give; InHook; Version as check_abi().
    static Result<TestCluster> start(const TestOptions &options) {
        if (Result<void> checked = check_abi(); !checked) {
            return std::move(checked).error();
        }
        if (options.get() == nullptr) {
            return Error(ErrorCode::InvalidArgument, "the options are empty: they were moved from, or never made");
        }
        ck_testing_t *testing = nullptr;
        const Result<void> started = detail::prepared([&] { return ck_testing_start(options.get(), &testing); });
        return started.map([&] { return TestCluster(testing); });
    }
    /// The same with the defaults, and with these values: see TestOptions::set.
    ///
    /// Errors: as above.
    static Result<TestCluster> start(std::initializer_list<OptionValue> values = {}) {
        Result<TestOptions> options = TestOptions::create(values);
        if (!options) {
            return std::move(options).error();
        }
        return start(*options);
    }

    /// Ends everything, and says how that went. Closing again is legal. Blocks for milliseconds as a rule, 20 s of real
    /// time at most.
    ///
    /// Errors: InHook; Timeout when a hook does not return, while everything else has ended: the message names it.
    Result<void> close() const { return detail::outcome(ck_testing_close(get())); }

    // -- Nodes.

    /// The number of nodes, those included that do not run.
    std::size_t node_count() const noexcept { return ck_testing_node_count(get()); }
    /// The present process of a node, or its last: a share, whose end does not end the node. It may outlive the test
    /// cluster, and fails with Stopped then.
    ///
    /// Errors: NotFound, Stopped.
    Result<Cluster> node(std::size_t index) const {
        ck_cluster_t *cluster = nullptr;
        if (ck_error_t *error = ck_testing_node(get(), index, &cluster)) {
            return Error::take(error);
        }
        return Cluster(cluster);
    }
    /// The index of the node with an id; none where there is none.
    std::optional<std::size_t> index_of(std::string_view id) const noexcept {
        return found([&](std::size_t *out) { return ck_testing_index_of(get(), id.data(), id.size(), out); });
    }
    /// True while a node runs: it was started, and neither stopped nor killed. A paused one runs.
    bool is_running(std::size_t index) const noexcept { return ck_testing_is_running(get(), index); }
    /// True while a node is paused.
    bool is_paused(std::size_t index) const noexcept { return ck_testing_is_paused(get(), index); }
    /// The node that leads, by its own word, and that a majority of the voters can go on following.
    std::optional<std::size_t> leader() const noexcept {
        return found([&](std::size_t *out) { return ck_testing_leader(get(), out); });
    }
    /// The node that takes the writes of a key at this moment, by its own word.
    std::optional<std::size_t> primary_of(std::string_view key) const noexcept {
        return found([&](std::size_t *out) { return ck_testing_primary_of(get(), key.data(), key.size(), out); });
    }

    // -- Their life.

    /// Adds a node and starts it; its index. Returns when it is a member: wait_settled waits until it has its
    /// partitions.
    ///
    /// Errors: those of ClusterRef::start, and then the node is there and does not run; Refused when there are 1000
    /// nodes, or a callback refused; InHook.
    Result<std::size_t> add_node() const {
        std::size_t index = 0;
        return detail::prepared([&] { return ck_testing_add_node(get(), &index); }).map([&] { return index; });
    }
    /// Adds a node and does not start it: the application does, with ClusterRef::start. Its index. Never blocks.
    ///
    /// Errors: Refused when there are 1000 nodes, or a callback refused; InvalidOption.
    Result<std::size_t> create_node() const {
        std::size_t index = 0;
        return detail::prepared([&] { return ck_testing_create_node(get(), &index); }).map([&] { return index; });
    }
    /// Starts a new process of a node that was killed or stopped, on its disk: node() has it from then on. Returns when
    /// it is a member again.
    ///
    /// Errors: NotFound; Refused for a node that runs, or when a callback refused; those of ClusterRef::start; InHook.
    Result<void> restart(std::size_t index) const {
        return detail::prepared([&] { return ck_testing_restart(get(), index); });
    }
    /// Makes a new process of a node that was killed or stopped, on its disk, and does not start it: the application
    /// does.
    ///
    /// Errors: as restart(), without those of ClusterRef::start.
    Result<void> recreate(std::size_t index) const {
        return detail::prepared([&] { return ck_testing_recreate(get(), index); });
    }
    /// Stops a node in an orderly way, as ClusterRef::stop: the others take over its roles at once. It keeps its disk.
    ///
    /// Errors: NotFound; Refused for a node that is paused, or does not run; those of ClusterRef::stop.
    Result<void> stop(std::size_t index) const { return detail::outcome(ck_testing_stop(get(), index)); }
    /// Ends a node's process without a word, as SIGKILL and a loss of power do. Its disk keeps what was durable, and
    /// parts of what was not; its hooks are not called any more, and one that runs goes on to its end.
    ///
    /// Errors: NotFound; Refused for a node that does not run; InHook.
    Result<void> kill(std::size_t index) const { return detail::outcome(ck_testing_kill(get(), index)); }
    /// Gives a node an empty disk; one that runs is killed first. restart() then starts it as a process that has lost
    /// its data directory.
    ///
    /// Errors: NotFound, InHook.
    Result<void> wipe(std::size_t index) const { return detail::outcome(ck_testing_wipe(get(), index)); }
    /// Pauses a node, as SIGSTOP does: it answers nobody, and no further hook of it is called.
    ///
    /// Errors: NotFound; Refused for a node that does not run.
    Result<void> pause(std::size_t index) const { return detail::outcome(ck_testing_pause(get(), index)); }
    /// Resumes a paused node: it goes on where it stood, with what it was sent meanwhile. Without effect on another.
    ///
    /// Errors: NotFound.
    Result<void> resume(std::size_t index) const { return detail::outcome(ck_testing_resume(get(), index)); }

    // -- The network and the disks.

    /// Loses all messages between two nodes, in both directions.
    ///
    /// Errors: NotFound.
    Result<void> cut(std::size_t one, std::size_t other) const {
        return detail::outcome(ck_testing_cut(get(), one, other));
    }
    /// Loses all messages from one node to another, answers of that direction included.
    ///
    /// Errors: NotFound.
    Result<void> cut_one_way(std::size_t from, std::size_t to) const {
        return detail::outcome(ck_testing_cut_one_way(get(), from, to));
    }
    /// Ends the cuts between two nodes, in both directions. An isolation stays.
    ///
    /// Errors: NotFound.
    Result<void> restore(std::size_t one, std::size_t other) const {
        return detail::outcome(ck_testing_restore(get(), one, other));
    }
    /// Cuts a node off from all others, also from those that are added later, until heal().
    ///
    /// Errors: NotFound.
    Result<void> isolate(std::size_t index) const { return detail::outcome(ck_testing_isolate(get(), index)); }
    /// Divides the nodes: those that are named lose all messages to and from those that are not, until heal().
    ///
    /// Errors: NotFound, and nothing is cut then.
    Result<void> split(Span<const std::size_t> indexes) const {
        return detail::outcome(ck_testing_split(get(), indexes.data(), indexes.size()));
    }
    /// The same: split({0, 1}).
    Result<void> split(std::initializer_list<std::size_t> indexes) const {
        return split(Span<const std::size_t>(indexes.begin(), indexes.size()));
    }
    /// Sets the conditions of the link from one node to another: how long each message takes, and how many of a
    /// thousand are lost, which are sent again and arrive 200 ms later, as over TCP. 0 and 0 end them.
    ///
    /// Errors: InvalidArgument when more than 1000 of a thousand are lost; NotFound.
    Result<void> set_link(std::size_t from, std::size_t to, Duration delay, std::uint32_t lost_per_thousand = 0) const {
        return detail::outcome(ck_testing_set_link(get(), from, to, delay.count(), lost_per_thousand));
    }
    /// Mends the network: no cut, no isolation, no fault of a link is left. Paused nodes stay paused, disks as they
    /// are.
    Result<void> heal() const { return detail::outcome(ck_testing_heal(get())); }
    /// Lets the disk of a node fail from now on, until mend_disk() or the node's next process. A node whose log cannot
    /// be written leaves its leadership and its roles to others, and has to be restarted.
    ///
    /// Errors: NotFound.
    Result<void> fail_disk(std::size_t index, DiskFault fault) const {
        return detail::outcome(ck_testing_fail_disk(get(), index, static_cast<std::int32_t>(fault)));
    }
    /// Mends the disk of a node. A node whose log has failed has to be restarted all the same.
    ///
    /// Errors: NotFound.
    Result<void> mend_disk(std::size_t index) const { return detail::outcome(ck_testing_mend_disk(get(), index)); }

    // -- The clock.

    /// Moves the clock of all nodes on, and returns when everything is done that follows from it, except what needs
    /// hooks that still run.
    ///
    /// Errors: InHook; Stopped when the test cluster ends meanwhile.
    Result<void> advance(Duration time) const { return detail::outcome(ck_testing_advance(get(), time.count())); }
    /// The time that has passed on the clock of the nodes since the test cluster was made.
    std::chrono::milliseconds now() const noexcept { return detail::milliseconds(ck_testing_now_ms(get())); }

    /// Waits until a node leads, as leader() has it; its index. Moves the clock, by timeout at most, and gives up after
    /// 10 s of real time.
    ///
    /// Errors: Timeout with what is missing; InHook; Stopped.
    Result<std::size_t> wait_for_leader(Duration timeout) const {
        std::size_t index = 0;
        return detail::outcome(ck_testing_wait_for_leader(get(), timeout.count(), &index)).map([&] { return index; });
    }
    /// Waits until every partition has a primary that says so itself, whatever else is missing: the end of a failover.
    ///
    /// Errors: as wait_for_leader().
    Result<void> wait_for_primaries(Duration timeout) const {
        return detail::outcome(ck_testing_wait_for_primaries(get(), timeout.count()));
    }
    /// Waits until the cluster is at rest: every node that runs and is reached is a member that has applied everything,
    /// every other is known to be down, each partition has all its copies on nodes that are up, and a primary that says
    /// so itself, and nothing moves or is about to.
    ///
    /// Errors: as wait_for_leader().
    Result<void> wait_settled(Duration timeout) const {
        return detail::outcome(ck_testing_wait_settled(get(), timeout.count()));
    }
    /// Waits until condition() is true, which is looked at after each timer of the nodes, on this thread. Where timeout
    /// has passed before ten seconds of real time have, the rest of these is waited for too: the application may need
    /// it. what: names the condition in the error. What the condition throws ends the wait, and is thrown by this.
    ///
    /// Errors: as wait_for_leader(); InvalidArgument for a std::function that is empty.
    template <class Condition>
    Result<void> wait_until(std::string_view what, Duration timeout, Condition &&condition) const {
        using Looked = detail::Looked<std::remove_reference_t<Condition>>;
        static_assert(std::is_constructible_v<bool, std::invoke_result_t<std::remove_reference_t<Condition> &>>,
                      "a condition is called with nothing, and returns what is true or false");
        Looked looked{condition, nullptr};
        const bool is_empty = detail::is_empty(condition);
        Result<void> waited = detail::outcome(ck_testing_wait_until(get(), what.data(), what.size(), timeout.count(),
                                                                    is_empty ? nullptr : &Looked::look, &looked));
        if (looked.thrown) {
            std::rethrow_exception(looked.thrown);
        }
        return waited;
    }

    /// True when there is a test cluster.
    explicit operator bool() const noexcept { return testing_ != nullptr; }
    /// The test cluster for the C interface, borrowed.
    ck_testing_t *get() const noexcept { return testing_.get(); }
    /// Gives it away: free it with ck_testing_free.
    [[nodiscard]] ck_testing_t *release() noexcept { return testing_.release(); }

  private:
    /// A question of C's that may have an index for an answer.
    template <class Ask>
    static std::optional<std::size_t> found(const Ask &ask) noexcept {
        std::size_t index = 0;
        return ask(&index) ? std::optional<std::size_t>(index) : std::nullopt;
    }

    clusterkit::detail::Owned<ck_testing_t, ck_testing_free> testing_;
};

} // namespace testing

} // namespace clusterkit

#undef CLUSTERKIT_VISIBLE

#endif // CLUSTERKIT_HPP
