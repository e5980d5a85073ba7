// Part of include/clusterkit.hpp: Durations, ranges, and values that the library made.
#pragma once

#include "detail.hpp"

namespace clusterkit {

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

} // namespace clusterkit
