// Calls that are awaited: where a coroutine goes on, and that it may be destroyed while it waits. C++20.
#include "check.hpp"

#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <mutex>
#include <stdexcept>

using clusterkit::Cluster;
using clusterkit::ErrorCode;
using clusterkit::Result;

// A coroutine that begins at once and is nobody's afterwards.
struct Detached {
    struct promise_type {
        Detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() { std::abort(); }
    };
};

// One that can be destroyed while it waits. An exception that leaves it is thrown to whoever resumed it.
struct Owned {
    struct promise_type {
        Owned get_return_object() noexcept { return Owned(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() { throw; }
    };

    explicit Owned(std::coroutine_handle<promise_type> handle) : coroutine(handle) {}
    Owned(Owned &&other) noexcept : coroutine(std::exchange(other.coroutine, nullptr)) {}
    ~Owned() {
        if (coroutine) {
            coroutine.destroy();
        }
    }

    std::coroutine_handle<promise_type> coroutine;
};

// An executor: what is given to it runs on the thread that calls run().
class Loop {
  public:
    void operator()(std::coroutine_handle<> coroutine) {
        const std::lock_guard<std::mutex> lock(mutex_);
        ready_.push_back(coroutine);
        changed_.notify_one();
    }
    template <class Condition>
    void run_until(Condition &&condition) {
        while (!condition()) {
            std::unique_lock<std::mutex> lock(mutex_);
            CHECK(changed_.wait_for(lock, TIMEOUT, [&] { return !ready_.empty(); }));
            const std::coroutine_handle<> next = ready_.front();
            ready_.pop_front();
            lock.unlock();
            next.resume();
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::coroutine_handle<>> ready_;
};

static Detached writes_and_reads(clusterkit::ClusterRef cluster, std::atomic<bool> &ended) {
    const std::thread::id here = std::this_thread::get_id();
    const std::uint64_t written = OK(co_await cluster.async().set_custom_data("k", std::string("v"), TIMEOUT));
    const std::thread::id told = std::this_thread::get_id();
    CHECK(told != here);
    CHECK(OK(co_await cluster.async().read_barrier(TIMEOUT)) >= written);
    CHECK(std::this_thread::get_id() == told);
    FAILS(ErrorCode::Conflict,
          co_await cluster.async().set_custom_data("k", "w", TIMEOUT, clusterkit::Expect::absent()));
    OK(co_await cluster.async().wait_for_revision(written, TIMEOUT));
    const clusterkit::LeaderInfo leader = OK(co_await cluster.async().wait_for_leader(TIMEOUT));
    CHECK(leader.leader_id == "node-1");
    CHECK(OK(co_await cluster.async().delete_custom_data("k", TIMEOUT)).existed);
    CHECK((co_await cluster.async().delete_custom_data("k", TIMEOUT)).value().existed == false);
    ended = true;
}

static void a_coroutine_goes_on_where_outcomes_are_told() {
    const Cluster cluster = started("node-1");
    std::atomic<bool> ended{false};
    writes_and_reads(cluster, ended);
    UNTIL(ended);
}

static Detached goes_on_in_a_loop(clusterkit::ClusterRef cluster, Loop &loop, bool &ended) {
    const std::thread::id here = std::this_thread::get_id();
    const auto to_loop = [&](std::coroutine_handle<> coroutine) { loop(coroutine); };
    for (int i = 0; i < 10; i++) {
        static_cast<void>(OK(co_await cluster.async().set_custom_data("k", "v", TIMEOUT).resume_on(std::ref(loop))));
        CHECK(std::this_thread::get_id() == here);
        static_cast<void>(OK(co_await cluster.async().read_barrier(TIMEOUT).resume_on(to_loop)));
        CHECK(std::this_thread::get_id() == here);
    }
    const std::function<void(std::coroutine_handle<>)> function = to_loop;
    static_cast<void>(OK(co_await cluster.async().read_barrier(TIMEOUT).resume_on(function)));
    CHECK(std::this_thread::get_id() == here);
    ended = true;
}

static void an_executor_resumes_elsewhere() {
    const Cluster cluster = started("node-1");
    Loop loop;
    bool ended = false;
    goes_on_in_a_loop(cluster, loop, ended);
    loop.run_until([&] { return ended; });
}

static Detached cannot_begin(bool &ended) {
    const std::thread::id here = std::this_thread::get_id();
    const clusterkit::ClusterRef none;
    FAILS(ErrorCode::InvalidArgument, co_await none.async().read_barrier(TIMEOUT));
    FAILS(ErrorCode::InvalidArgument,
          co_await none.async().read_barrier(TIMEOUT).resume_on([](std::coroutine_handle<>) { CHECK(false); }));
    CHECK(std::this_thread::get_id() == here);
    ended = true;
}

static void what_cannot_begin_does_not_suspend() {
    bool ended = false;
    cannot_begin(ended);
    CHECK(ended);
}

// Counts its ends: with the frame that it is in.
struct Local {
    std::atomic<int> &ends;
    explicit Local(std::atomic<int> &counter) : ends(counter) {}
    Local(const Local &) = delete;
    ~Local() { ends++; }
};

static Owned waits(clusterkit::ClusterRef cluster, std::atomic<int> &ends, std::atomic<int> &woken) {
    const Local local(ends);
    FAILS(ErrorCode::Stopped, co_await cluster.async().wait_for_revision(UINT64_MAX, TIMEOUT));
    woken++;
}

static void one_that_waits_may_be_destroyed() {
    std::atomic<int> ends{0}, woken{0};
    Cluster cluster = started("node-1");
    for (int i = 0; i < 20; i++) {
        const Owned gone = waits(cluster, ends, woken);
    }
    CHECK(ends == 20);
    // Told to those that are left.
    const Owned left = waits(cluster, ends, woken), other = waits(cluster, ends, woken);
    cluster = Cluster();
    CHECK(woken == 2 && ends == 22);
}

static Detached stops_and_frees(Cluster cluster, std::atomic<bool> &ended) {
    OK(co_await cluster.async().start());
    static_cast<void>(OK(co_await cluster.async().set_custom_data("k", "v", TIMEOUT)));
    OK(co_await cluster.async().stop());
    // On a thread of the node that ends.
    cluster = Cluster();
    ended = true;
}

static void a_coroutine_may_own_its_node() {
    for (int i = 0; i < 5; i++) {
        std::atomic<bool> ended{false};
        stops_and_frees(make_node("node-1"), ended);
        UNTIL(ended);
    }
}

#if CLUSTERKIT_HAS_EXCEPTIONS
static Owned throws(clusterkit::ClusterRef cluster, std::atomic<int> &ends) {
    const Local local(ends);
    static_cast<void>(co_await cluster.async().read_barrier(TIMEOUT));
    throw std::runtime_error("nobody hears it");
}

static void exceptions_end_no_process() {
    std::atomic<int> ends{0};
    Cluster cluster = started("node-1");
    const Owned first = throws(cluster, ends), second = throws(cluster, ends);
    UNTIL(ends == 2);
    static_cast<void>(OK(cluster.async().read_barrier(TIMEOUT).future().get()));
    // Waits until both have left the thread that resumed them.
    cluster = Cluster();
}
#endif

static Detached counts(clusterkit::ClusterRef cluster, std::atomic<int> &ended) {
    for (int i = 0; i < 10; i++) {
        static_cast<void>(OK(co_await cluster.async().set_custom_data("k" + std::to_string(i), "v", TIMEOUT)));
    }
    ended++;
}

static void many_wait_at_once() {
    const Cluster cluster = started("node-1");
    std::atomic<int> ended{0};
    for (int i = 0; i < 50; i++) {
        counts(cluster, ended);
    }
    UNTIL(ended == 50);
}

// The last share of a client is the coroutine's.
static Detached follows(clusterkit::Client client, Loop &loop, std::atomic<bool> &ended) {
    const std::uint64_t first = OK(co_await client.async().wait_ready(TIMEOUT));
    CHECK(OK(co_await client.async().refresh(TIMEOUT)) >= first);
    const auto to_loop = [&](std::coroutine_handle<> coroutine) { loop(coroutine); };
    CHECK(OK(co_await client.async().read_barrier(TIMEOUT).resume_on(to_loop)) >= first);
    client = clusterkit::Client();
    ended = true;
}

static void a_coroutine_may_own_a_client() {
    const Cluster cluster = started("node-1");
    Loop loop;
    std::atomic<bool> ended{false};
    follows(OK(clusterkit::Client::create({{"addrs", OK(cluster.http_addr())}})), loop, ended);
    loop.run_until([&] { return ended.load(); });
}

int main() {
    a_coroutine_goes_on_where_outcomes_are_told();
    an_executor_resumes_elsewhere();
    what_cannot_begin_does_not_suspend();
    one_that_waits_may_be_destroyed();
    a_coroutine_may_own_its_node();
    a_coroutine_may_own_a_client();
#if CLUSTERKIT_HAS_EXCEPTIONS
    exceptions_end_no_process();
#endif
    many_wait_at_once();
    return 0;
}
