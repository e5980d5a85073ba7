// Part of include/clusterkit.hpp: What the other parts share, and nobody else names.
#pragma once

#include "result.hpp"

namespace clusterkit {

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

} // namespace clusterkit
