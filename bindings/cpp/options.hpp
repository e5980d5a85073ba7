// Part of include/clusterkit.hpp: The library that runs, and options.
#pragma once

#include "names.hpp"

namespace clusterkit {

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

} // namespace clusterkit
