// Part of include/clusterkit.hpp: Clusters in memory, for the tests of applications.
#pragma once

#include "cluster.hpp"

namespace clusterkit {

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
