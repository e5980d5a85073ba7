// A cluster in memory, for the tests of programs: nodes are killed, paused and cut off, and their clock is moved.
#include "check.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>

using clusterkit::Cluster;
using clusterkit::ClusterRef;
using clusterkit::ErrorCode;
using clusterkit::Event;
using clusterkit::HookResult;
using clusterkit::OptionsRef;
using clusterkit::testing::DiskFault;
using clusterkit::testing::TestCluster;
using clusterkit::testing::TestOptions;

// Of the nodes' clock: nobody waits for it.
constexpr auto CLOCK = 10min;

static void nodes_die_stand_still_and_are_cut_off() {
    const TestCluster cluster = OK(TestCluster::start({{"partition_count", PARTITIONS}, {"manual_clock", true}}));
    CHECK(cluster.node_count() == 3 && cluster.index_of("node-2") == std::size_t{2} && !cluster.index_of("nobody"));
    const std::size_t leader = OK(cluster.wait_for_leader(CLOCK));
    CHECK(cluster.leader() == leader);
    const Cluster first = OK(cluster.node(leader));
    static_cast<void>(OK(first.set_custom_data("k", "v", CLOCK)));
    OK(cluster.kill(leader));
    CHECK(!cluster.is_running(leader));
    FAILS(ErrorCode::Stopped, first.set_custom_data("k", "w", CLOCK));
    CHECK(OK(cluster.wait_for_leader(CLOCK)) != leader);
    OK(cluster.restart(leader));
    OK(cluster.wait_settled(CLOCK));
    CHECK(OK(OK(cluster.node(leader)).custom_data("k")).str() == "v");

    // A primary that stands still is none.
    const std::size_t owner = *cluster.primary_of("user:1");
    const Cluster node = OK(cluster.node(owner));
    OK(cluster.pause(owner));
    CHECK(cluster.is_paused(owner) && cluster.is_running(owner) && node.is_primary_for_key("user:1"));
    OK(cluster.wait_until("its lease has run out", CLOCK, [&] { return !node.is_primary_for_key("user:1"); }));
    OK(cluster.wait_for_primaries(CLOCK));
    CHECK(cluster.primary_of("user:1") != owner);
    OK(cluster.resume(owner));

    OK(cluster.isolate(owner));
    OK(cluster.split({0, 1}));
    OK(cluster.heal());
    const std::vector<std::size_t> side = {0};
    OK(cluster.split(side));
    OK(cluster.heal());
    OK(cluster.cut(0, 1));
    OK(cluster.restore(0, 1));
    OK(cluster.cut_one_way(0, 1));
    OK(cluster.set_link(1, 2, 20ms, 100));
    OK(cluster.heal());
    const std::chrono::milliseconds now = cluster.now();
    OK(cluster.advance(10s));
    CHECK(cluster.now() >= now + 10s);
    OK(cluster.wait_settled(CLOCK));
    OK(cluster.close());
    OK(cluster.close());
    FAILS(ErrorCode::Stopped, cluster.node(0));
}

static void disks_fail_and_nodes_come_and_go() {
    const TestCluster cluster = OK(TestCluster::start({{"nodes", 1}, {"partition_count", 2}}));
    OK(cluster.fail_disk(0, DiskFault::Full));
    OK(cluster.mend_disk(0));
    CHECK(OK(cluster.create_node()) == 1 && !cluster.is_running(1));
    Cluster made = OK(cluster.node(1));
    OK(made.start());
    OK(cluster.wait_settled(CLOCK));
    OK(cluster.stop(1));
    FAILS(ErrorCode::Refused, cluster.stop(1));
    OK(cluster.wipe(1));
    OK(cluster.recreate(1));
    CHECK(!cluster.is_running(1) && OK(cluster.node(1)).get() != made.get());
}

static void every_process_is_prepared() {
    const auto alive = std::make_shared<int>(0);
    std::atomic<int> prepared{0};
    std::atomic<int> calls{0};
    std::atomic<bool> is_refused{false};
    std::atomic<bool> is_inside{false};
    // Set before there is a hook that asks for it.
    const TestCluster *inside = nullptr;
    TestOptions options = OK(TestOptions::create({{"nodes", 2}, {"partition_count", 4}, {"seed", 7}}));
    OK(options.configure([&, alive](std::size_t index, OptionsRef of_node) -> clusterkit::Result<void> {
        if (is_refused && index == 3) {
            return clusterkit::Error(ErrorCode::Busy, "three are enough");
        }
        return of_node.set("zone", "zone-" + std::to_string(index));
    }));
    OK(options.prepare([&, alive, owned = std::make_unique<int>(1)](std::size_t index, const ClusterRef &node) {
        CHECK(node.my_node_id() == "node-" + std::to_string(index));
        if (is_refused && index == 1) {
            throw std::runtime_error("the store is gone");
        }
        if (is_refused && index == 2) {
            throw 42;
        }
        OK(node.on(clusterkit::EventMask::all(), [&](const Event &event) {
            if (event.node_join() && is_inside) {
                FAILS(ErrorCode::InHook, inside->advance(1s));
                FAILS(ErrorCode::InHook, inside->close());
                is_inside = false;
            }
            calls++;
        }));
        prepared += *owned;
    }));
    TestCluster cluster = OK(TestCluster::start(options));
    CHECK(prepared == 2 && alive.use_count() == 3);
    UNTIL(calls > 0);
    const clusterkit::View view = OK(OK(cluster.node(1)).view());
    CHECK(view.my_node()->zone() == "zone-1");
    OK(cluster.kill(1));
    is_refused = true;
    const clusterkit::Result<void> refused = cluster.restart(1);
    FAILS(ErrorCode::Refused, refused);
    CHECK(refused.error().message().find("the store is gone") != std::string::npos);
    is_refused = false;
    OK(cluster.restart(1));
    CHECK(prepared == 3);
    inside = &cluster;
    is_inside = true;
    CHECK(OK(cluster.add_node()) == 2);
    UNTIL(!is_inside);
    is_refused = true;
    const auto added = cluster.add_node();
    FAILS(ErrorCode::Refused, added);
    CHECK(added.error().message().find("three are enough") != std::string::npos);
    FAILS(ErrorCode::Refused, TestCluster::start(options));

    // The callbacks are of the options and of what was made from them.
    options = TestOptions();
    CHECK(alive.use_count() == 3);
    cluster = TestCluster();
    CHECK(alive.use_count() == 1);
}

static void conditions_may_throw() {
    const TestCluster cluster = OK(TestCluster::start({{"nodes", 1}, {"partition_count", 1}}));
    struct Mistake {};
    int looked = 0;
    bool is_caught = false;
    try {
        OK(cluster.wait_until("nothing", CLOCK, [&]() -> bool {
            if (++looked == 2) {
                throw Mistake();
            }
            return false;
        }));
    } catch (const Mistake &) {
        is_caught = true;
    }
    CHECK(is_caught && looked == 2);
    // Whatever is true or false, and a condition that keeps something.
    OK(cluster.wait_until("a leader", CLOCK, [&] { return cluster.leader(); }));
    auto counts = [count = 0]() mutable { return ++count == 3; };
    OK(cluster.wait_until("the third", CLOCK, counts));
    FAILS(ErrorCode::InvalidArgument, cluster.wait_until("nothing", CLOCK, std::function<bool()>()));
}

static void what_is_wrong_is_refused() {
    TestOptions options = OK(TestOptions::create());
    FAILS(ErrorCode::InvalidOption, options.set("nodes", 0));
    FAILS(ErrorCode::InvalidOption, options.set("nonsense", 1));
    FAILS(ErrorCode::InvalidOption, options.set("partition_count", 0));
    FAILS(ErrorCode::InvalidOption, TestCluster::start({{"nodes", "many"}}));
    FAILS(ErrorCode::InvalidArgument, options.prepare(std::function<void(std::size_t, ClusterRef)>()));
    FAILS(ErrorCode::InvalidArgument, options.configure(std::function<HookResult(std::size_t, OptionsRef)>()));
    OK(options.set("nodes", 1));
    OK(options.set("partition_count", 1));
    TestCluster cluster = OK(TestCluster::start(options));
    FAILS(ErrorCode::NotFound, cluster.node(7));
    FAILS(ErrorCode::NotFound, cluster.kill(7));
    FAILS(ErrorCode::NotFound, cluster.split({7}));
    FAILS(ErrorCode::Refused, cluster.restart(0));
    FAILS(ErrorCode::InvalidArgument, cluster.set_link(0, 0, 0ms, 1001));
    // What was moved from is empty.
    const TestCluster moved = std::move(cluster);
    FAILS(ErrorCode::InvalidArgument, cluster.advance(1s));
    CHECK(!cluster && moved && cluster.node_count() == 0 && cluster.now() == 0ms && !cluster.leader());
    CHECK(!cluster.primary_of("k") && !cluster.is_running(0));
    const TestOptions taken = std::move(options);
    FAILS(ErrorCode::InvalidArgument, options.set("nodes", 1));
    FAILS(ErrorCode::InvalidArgument, TestCluster::start(options));
}

int main() {
    every_process_is_prepared();
    conditions_may_throw();
    what_is_wrong_is_refused();
    disks_fail_and_nodes_come_and_go();
    nodes_die_stand_still_and_are_cut_off();
    return 0;
}
