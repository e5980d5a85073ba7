// Part of include/clusterkit.hpp: Calls that do not wait.
#pragma once

#include "records.hpp"

namespace clusterkit {

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

} // namespace clusterkit
