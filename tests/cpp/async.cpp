// Calls that do not wait: each of them as a callback or a future, and what becomes of outcomes that nobody wants.
#include "check.hpp"

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>

using clusterkit::Cluster;
using clusterkit::Error;
using clusterkit::ErrorCode;
using clusterkit::Expect;
using clusterkit::Force;
using clusterkit::Result;

// The outcome that a future has in time.
template <class T>
static Result<T> in_time(std::future<Result<T>> future) {
    CHECK(future.wait_for(TIMEOUT) == std::future_status::ready);
    return future.get();
}

static void every_call_has_a_future() {
    std::vector<Cluster> nodes = make_cluster(3);
    const clusterkit::ClusterRef first = nodes[0];
    const clusterkit::AsyncRef async = first.async();
    FAILS(ErrorCode::AlreadyStarted, in_time(async.start().future()));
    CHECK(!OK(in_time(async.wait_for_leader(TIMEOUT).future())).leader_id.empty());

    const std::uint64_t written = OK(in_time(async.set_custom_data("k", "v", TIMEOUT).future()));
    FAILS(ErrorCode::Conflict, in_time(async.set_custom_data("k", "w", TIMEOUT, Expect::absent()).future()));
    OK(in_time(async.set_custom_data("k", "w", TIMEOUT, Expect::revision(written)).future()));
    OK(in_time(nodes[1].async().wait_for_revision(written, TIMEOUT).future()));
    CHECK(OK(in_time(async.read_barrier(TIMEOUT).future())) > written);
    CHECK(OK(first.custom_data("k")).str() == "w");
    const clusterkit::Deletion deleted = OK(in_time(async.delete_custom_data("k", TIMEOUT).future()));
    CHECK(deleted.existed && deleted.revision > written);
    CHECK(!OK(in_time(async.delete_custom_data("k", TIMEOUT).future())).existed);
    FAILS(ErrorCode::Timeout, in_time(async.wait_for_revision(UINT64_MAX, 1ms).future()));

    CHECK(OK(in_time(async.create_partitions(TIMEOUT).future())).partitions == PARTITIONS);
    CHECK(OK(in_time(async.rebalance(TIMEOUT).future())).revision > 0);
    CHECK(!OK(in_time(async.rebalance_status(TIMEOUT).future())).answered_by.empty());
    OK(in_time(async.begin_maintenance({}, TIMEOUT).future()));
    CHECK(OK(in_time(async.rebalance_status(TIMEOUT).future())).maintenance);
    const std::uint64_t ended = OK(in_time(async.end_maintenance(TIMEOUT).future()));
    OK(first.wait_for_revision(ended, TIMEOUT));
    CHECK(OK(first.view()).maintenance() == clusterkit::Maintenance::None);
    FAILS(ErrorCode::NotFound, in_time(async.recover_partition(77, "node-1", TIMEOUT).future()));
    const clusterkit::View view = OK(first.view());
    for (const clusterkit::Partition partition : view.partitions()) {
        if (partition.primary() && partition.primary()->id() != "node-1") {
            FAILS(ErrorCode::Refused, in_time(async.recover_partition(partition.number(), "node-1", TIMEOUT).future()));
        }
    }

    // A voter may have to catch up first.
    UNTIL(in_time(async.step_down().future()));
    UNTIL(in_time(async.promote("node-1").future()).value_or("") == "node-1");
    FAILS(ErrorCode::NotFound, in_time(async.promote("node-9").future()));
    UNTIL(in_time(async.demote(1ms).future()));

    FAILS(ErrorCode::NotFound, in_time(async.remove_node("node-9", TIMEOUT).future()));
    UNTIL(in_time(async.promote("node-1").future()));
    UNTIL(in_time(async.remove_node("node-3", TIMEOUT, Force::Yes).future()));
    OK(in_time(nodes[1].async().leave(TIMEOUT).future()));
    OK(in_time(async.stop().future()));
}

static void a_start_does_not_wait() {
    Cluster cluster = make_node("node-1");
    OK(in_time(cluster.async().start().future()));
    static_cast<void>(OK(cluster.set_custom_data("k", "v", TIMEOUT)));
    // Ended while it starts.
    Cluster other = make_node("node-2", OK(cluster.http_addr()));
    std::future<Result<void>> outcome = other.async().start().future();
    other = Cluster();
    CHECK(outcome.wait_for(0s) == std::future_status::ready);
    static_cast<void>(outcome.get());
}

static void callbacks_hear_once() {
    const auto counted = std::make_shared<std::atomic<int>>(0);
    Cluster cluster = started("node-1");
    std::atomic<std::uint64_t> revision{0};
    cluster.async().set_custom_data("k", "v", TIMEOUT).then([&, counted](Result<std::uint64_t> outcome) {
        ++*counted;
        revision = OK(std::move(outcome));
    });
    UNTIL(revision > 0 && counted.use_count() == 1);
    CHECK(*counted == 1);
    // One that cannot be copied, a std::function, and one that takes a reference and calls the node again.
    std::atomic<int> heard{0};
    cluster.async().read_barrier(TIMEOUT).then([&, owned = std::make_unique<int>(1)](auto &&outcome) {
        CHECK(OK(std::move(outcome)) >= revision);
        heard += *owned;
    });
    std::function<void(Result<std::uint64_t>)> function = [&](const Result<std::uint64_t> &outcome) {
        CHECK(outcome && OK(cluster.custom_data("k")).str() == "v");
        heard++;
    };
    cluster.async().read_barrier(TIMEOUT).then(function);
    cluster.async().read_barrier(TIMEOUT).then([&](const Result<std::uint64_t> &) {
        cluster.async().read_barrier(TIMEOUT).then([&](const Result<std::uint64_t> &) { heard++; });
    });
    UNTIL(heard == 3);

    // Exceptions harm neither the process nor the next one.
    cluster.async().read_barrier(TIMEOUT).then([](const Result<std::uint64_t> &) { throw std::runtime_error("lost"); });
    cluster.async().read_barrier(TIMEOUT).then([](const Result<std::uint64_t> &) { throw 42; });
    cluster.async().read_barrier(TIMEOUT).then(function);
    UNTIL(heard == 4);

    // Where a call cannot begin, its outcome is told at once, here.
    int at_once = 0;
    const std::thread::id here = std::this_thread::get_id();
    Cluster().async().read_barrier(TIMEOUT).then([&](const Result<std::uint64_t> &outcome) {
        CHECK(std::this_thread::get_id() == here && outcome.code() == ErrorCode::InvalidArgument);
        at_once++;
        throw std::runtime_error("lost, too");
    });
    CHECK(at_once == 1);
}

// An end of a node tells every call its outcome, and nobody has to listen.
static void outcomes_may_be_ignored() {
    std::atomic<int> heard{0};
    for (int i = 0; i < 20; i++) {
        Cluster cluster = started("node-1");
        for (int call = 0; call < 10; call++) {
            static_cast<void>(cluster.async().set_custom_data("k", "v", TIMEOUT).future());
            static_cast<void>(cluster.async().wait_for_revision(UINT64_MAX, TIMEOUT).future());
            cluster.async().wait_for_revision(UINT64_MAX, TIMEOUT).then([&](Result<void> outcome) {
                CHECK(!outcome);
                heard++;
            });
        }
        cluster = Cluster();
        CHECK(heard == 10 * (i + 1));
    }
}

// Whoever hears an outcome may drop the last share of the node, although the call that was begun has not returned yet.
static void the_last_share_may_go_with_an_outcome() {
    for (int i = 0; i < 50; i++) {
        std::atomic<bool> ended{false};
        auto owner = std::make_shared<Cluster>(make_node("node-1"));
        const clusterkit::ClusterRef ref = *owner;
        // Nothing but the callback has the node when the call begins.
        auto done = [&ended, owner = std::move(owner)](const Result<void> &outcome) mutable {
            CHECK(outcome.code() == ErrorCode::NotStarted);
            owner.reset();
            ended = true;
        };
        ref.async().wait_for_revision(1, TIMEOUT).then(std::move(done));
        UNTIL(ended);
    }
}

int main() {
    every_call_has_a_future();
    a_start_does_not_wait();
    callbacks_hear_once();
    outcomes_may_be_ignored();
    the_last_share_may_go_with_an_outcome();
    return 0;
}
