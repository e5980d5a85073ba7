// Part of include/clusterkit.hpp: A client: a program that is no member of the cluster that it follows.
#pragma once

#include "cluster.hpp"

namespace clusterkit {

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

} // namespace clusterkit
