// Part of include/clusterkit.hpp: Result: a value or an error.
#pragma once

#include "error.hpp"

namespace clusterkit {

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

} // namespace clusterkit
