// Hooks: what they are told, how their calls end, what they may do inside, and when they are destroyed.
#include "check.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>

using clusterkit::Cluster;
using clusterkit::ClusterRef;
using clusterkit::ErrorCode;
using clusterkit::Event;
using clusterkit::EventKind;
using clusterkit::EventMask;
using clusterkit::HookId;
using clusterkit::HookResult;

// Kinds of events that were told, and by which hook.
class Heard {
  public:
    void add(const std::string &what) {
        const std::lock_guard<std::mutex> lock(mutex_);
        times_[what]++;
    }
    int times(const std::string &what) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = times_.find(what);
        return found != times_.end() ? found->second : 0;
    }

  private:
    mutable std::mutex mutex_;
    std::map<std::string, int> times_;
};

static std::string name_of(const Event &event) {
    return std::string(to_string(event.kind()));
}

// A hook for each kind, on a node of which everything becomes true.
static void add_all(ClusterRef cluster, Heard &heard) {
    OK(cluster.on_partition_change([&](const clusterkit::PartitionChange &told, const Event &event) {
        CHECK(told.partition_id() == "partition-" + std::to_string(told.partition()) && told.epoch() > 0);
        CHECK(clusterkit::partition_number(told.partition_id()) == told.partition() && event.attempt() == 1);
        CHECK(to_string(told.change()) != "unknown" && to_string(told.reason()) != "unknown");
        CHECK(told.node() && told.node()->id() == told.node_id());
        for (const clusterkit::Node node : told.copy_from()) {
            CHECK(node.id() != told.node_id() && !node.ip().empty());
        }
        CHECK(told.old_primary().size() + told.new_primary().size() > 0);
        heard.add("partition_change");
    }));
    OK(cluster.on_node_join([&](const clusterkit::NodeJoin &told) {
        CHECK(told.cluster_size() >= 1 && told.is_bootstrap() == (told.node().id() == "node-1"));
        heard.add("node_join");
    }));
    OK(cluster.on_node_rejoin([&](const clusterkit::NodeRejoin &told) {
        CHECK(told.node().id() == "node-3" && told.offline() >= 0ms);
        CHECK(told.last_seen_at().time_since_epoch() > 0ms && told.partitions().size() <= PARTITIONS);
        heard.add("node_rejoin");
        return HookResult::ok();
    }));
    OK(cluster.on_node_leave([&](const clusterkit::NodeLeave &told, const Event &event) {
        // When all of this ends, others may be missed for another reason.
        heard.add(std::string(to_string(told.reason())));
        CHECK(told.primaries().size() + told.replicas().size() <= PARTITIONS && event.node_leave() &&
              !event.node_join());
        heard.add("node_leave");
    }));
    const auto rebalance = [&](const clusterkit::Rebalance &told, const Event &event) {
        CHECK(to_string(told.trigger()) != "unknown" && !told.nodes_affected().empty());
        CHECK(told.nodes_affected()[0].substr(0, 5) == "node-" && told.partitions_to_move() <= PARTITIONS);
        CHECK(told.duration() >= 0ms && told.trigger_node_id().size() < 10);
        heard.add(name_of(event));
    };
    OK(cluster.on_rebalance_start(rebalance));
    OK(cluster.on_rebalance_complete(rebalance));
    OK(cluster.on_cluster_health_change([&](const clusterkit::ClusterHealth &told) {
        CHECK(told.healthy_nodes() + told.unhealthy_nodes() == told.total_nodes() && !told.status().empty());
        CHECK(told.unhealthy_node_ids().size() == told.unhealthy_nodes() && told.lost_partitions().empty());
        heard.add("cluster_health_change");
    }));
    const auto leadership = [&](const clusterkit::Leadership &told, const Event &event) {
        CHECK(told.epoch() > 0 && told.node_id().has_value() == (event.kind() == EventKind::LeaderChange));
        heard.add(name_of(event));
    };
    OK(cluster.on_become_leader(leadership));
    OK(cluster.on_lose_leadership(leadership));
    OK(cluster.on_leader_change(leadership));
}

static void every_kind_is_told() {
    Heard heard, all, observed, some;
    Cluster first = make_node("node-1");
    add_all(first.ref(), heard);
    OK(first.on(EventMask::all(), [&](const Event &event) {
        CHECK(event.revision() > 0 && event.timestamp().time_since_epoch() > 0ms);
        CHECK(event.json().front() == '{' && event.json().find(name_of(event)) != std::string_view::npos);
        CHECK((event.kind() == EventKind::PartitionChange) == event.partition_change().has_value());
        CHECK((event.kind() == EventKind::NodeRejoin) == event.node_rejoin().has_value());
        CHECK((event.kind() == EventKind::ClusterHealthChange) == event.cluster_health().has_value());
        const bool moves = event.kind() == EventKind::RebalanceStart || event.kind() == EventKind::RebalanceComplete;
        CHECK(moves == event.rebalance().has_value());
        all.add(name_of(event));
    }));
    OK(first.observe([&](const Event &event) { observed.add(name_of(event)); }));
    const EventMask mask = EventKind::NodeJoin | EventKind::NodeLeave | EventKind::LeaderChange;
    CHECK(mask.contains(EventKind::NodeLeave) && !mask.contains(EventKind::NodeRejoin) && mask != EventMask::all());
    OK(first.on(mask, [&](const Event &event) {
        CHECK(mask.contains(event.kind()));
        some.add(name_of(event));
    }));
    OK(first.start());
    const std::string address = OK(first.http_addr());
    const Cluster second = started("node-2", address);
    Cluster third = started("node-3", address);
    UNTIL(heard.times("rebalance_complete") > 0);
    OK(third.stop(TIMEOUT));
    UNTIL(heard.times("graceful_shutdown") > 0 && heard.times("cluster_health_change") > 0);
    third = started("node-3", address);
    UNTIL(heard.times("node_rejoin") == 1);
    // It needs a voter that has caught up.
    UNTIL(first.step_down() || !first.is_leader());
    UNTIL(heard.times("lose_leadership") > 0);
    for (const char *kind : {"partition_change", "node_join", "rebalance_start", "become_leader", "leader_change"}) {
        UNTIL(heard.times(kind) > 0 && all.times(kind) > 0 && observed.times(kind) > 0);
    }
    UNTIL(some.times("node_join") == 3 && some.times("node_leave") > 0 && some.times("node_rejoin") == 0);
    const std::vector<clusterkit::HookStats> stats = OK(first.hook_stats());
    CHECK(stats.size() == 13 && stats[0].events == EventKind::PartitionChange && stats[0].calls > 0);
    CHECK(stats[12].events == mask && stats[12].failures == 0);
}

struct Odd {}; // is no std::exception

// What a call of the hook that copies does when it is called first; the second succeeds.
static HookResult fail(const Event &event, std::uint32_t partition, std::vector<std::thread> &threads,
                       std::mutex &mutex) {
    switch (partition) {
    case 0: throw std::runtime_error("disk full");
    case 1: throw 42;
    case 2: throw std::runtime_error("no UTF-8: \xff\xfe");
    case 3: return HookResult::failure("in words");
    case 4: {
        // Dropped when this returns; what is returned counts no more.
        const clusterkit::Completion completion = OK(event.defer());
        FAILS(ErrorCode::InvalidArgument, event.defer());
        return HookResult::ok();
    }
    case 5: {
        const std::lock_guard<std::mutex> lock(mutex);
        threads.emplace_back([completion = OK(event.defer())]() mutable {
            completion.fail("from another thread");
            CHECK(!completion);
        });
        return HookResult::ok();
    }
    case 6: return clusterkit::Result<int>(clusterkit::Error(ErrorCode::Busy, "a call that failed"));
    default: throw Odd();
    }
}

static void failed_copies_are_made_again() {
    Cluster founder = started("node-1");
    Cluster joiner = make_node("node-2", OK(founder.http_addr()));
    std::mutex mutex;
    std::string messages;
    OK(joiner.set_log([&](const clusterkit::LogRecord &record) {
        const std::lock_guard<std::mutex> lock(mutex);
        messages += std::string(record.message()) + "\n";
    }));
    std::vector<std::thread> threads;
    std::set<std::uint32_t> failed, deferred;
    const HookId id =
        OK(joiner.on_partition_change([&](const clusterkit::PartitionChange &told, const Event &event) -> HookResult {
            if (told.change() != clusterkit::RoleChange::GainedReplica || told.node_id() != "node-2") {
                return HookResult::ok();
            }
            CHECK(told.copy_from().size() == 1 && told.copy_from().front().id() == "node-1");
            bool first = false;
            {
                const std::lock_guard<std::mutex> lock(mutex);
                first = failed.insert(told.partition()).second;
            }
            if (first) {
                CHECK(event.attempt() == 1);
                return fail(event, told.partition(), threads, mutex);
            }
            // Ended well, on another thread.
            const std::lock_guard<std::mutex> lock(mutex);
            deferred.insert(told.partition());
            threads.emplace_back([completion = OK(event.defer())]() mutable {
                clusterkit::Completion moved;
                moved = std::move(completion);
                CHECK(!completion && moved);
                moved.end(HookResult::ok());
            });
            throw std::runtime_error("counts no more");
        }));
    OK(joiner.start());
    spread(founder, 2);
    const auto has = [&](std::string_view words) {
        const std::lock_guard<std::mutex> lock(mutex);
        return messages.find(words) != std::string::npos;
    };
    for (const char *words : {"disk full", "no std::exception", "no UTF-8: ??", "in words", "was dropped",
                              "from another thread", "BUSY: a call that failed"}) {
        UNTIL(has(words));
    }
    CHECK(!has("counts no more"));
    for (const clusterkit::HookStats &stats : OK(joiner.hook_stats())) {
        CHECK(stats.hook == id && stats.failures == PARTITIONS && stats.retries == PARTITIONS && stats.panics == 0);
    }
    OK(joiner.stop(TIMEOUT));
    const std::lock_guard<std::mutex> lock(mutex);
    CHECK(failed.size() == PARTITIONS && deferred.size() == PARTITIONS);
    for (std::thread &thread : threads) {
        thread.join();
    }
}

static HookResult plain_function(const Event &) {
    return {};
}

// Each is destroyed once, when no call of it runs or will.
static void hooks_are_destroyed() {
    const auto counted = std::make_shared<std::atomic<int>>(0);
    const auto hook = [counted](const Event &) { ++*counted; };
    Cluster cluster = make_node("node-1");
    const HookId removed = OK(cluster.on(EventMask::all(), hook));
    OK(cluster.observe(
        std::function<HookResult(const Event &)>([counted](const Event &) { return HookResult::ok(); })));
    // A callable that cannot be copied, a pointer to a function, and one that changes itself.
    OK(cluster.on(EventKind::NodeJoin,
                  [owned = std::make_unique<int>(1), counted](const Event &) { CHECK(*owned == 1); }));
    OK(cluster.on(EventKind::NodeJoin, plain_function));
    OK(cluster.on_become_leader([calls = 0, counted](const clusterkit::Leadership &) mutable {
        calls++;
        return clusterkit::Result<int>(calls);
    }));
    OK(cluster.on(EventKind::NodeJoin, [](auto &&event) { CHECK(event.node_join()); }));
    const long used = counted.use_count();
    CHECK(used == 2 + 4);
    OK(cluster.start());
    UNTIL(*counted > 0);
    OK(cluster.remove_hook(removed, TIMEOUT));
    CHECK(counted.use_count() == used - 1);
    FAILS(ErrorCode::NotFound, cluster.remove_hook(removed, TIMEOUT));
    OK(cluster.stop(TIMEOUT));
    CHECK(counted.use_count() == 2);
    // One that is refused is destroyed, too.
    FAILS(ErrorCode::Stopped, cluster.on(EventMask::all(), hook));
    CHECK(counted.use_count() == 2);

    cluster = started("node-1");
    OK(cluster.on(EventMask::all(), hook));
    cluster = Cluster();
    CHECK(counted.use_count() == 2);
}

static void a_hook_may_call() {
    Cluster cluster = make_node("node-1");
    std::atomic<bool> destroyed{false};
    struct Flag {
        std::atomic<bool> &set;
        explicit Flag(std::atomic<bool> &flag) : set(flag) {}
        ~Flag() { set = true; }
    };
    std::atomic<HookId> id{};
    std::atomic<int> calls{0};
    const ClusterRef ref = cluster;
    id =
        OK(cluster.on_become_leader([&, ref, flag = std::make_unique<Flag>(destroyed)](const auto &told) -> HookResult {
            CHECK(told.epoch() > 0 && !told.node_id());
            FAILS(ErrorCode::InHook, ref.stop(TIMEOUT));
            FAILS(ErrorCode::InHook, ref.start());
            FAILS(ErrorCode::InHook, ref.leave(TIMEOUT));
            static_cast<void>(OK(ref.wait_for_leader(TIMEOUT)));
            const std::uint64_t revision = OK(ref.set_custom_data("from-hook", "1", TIMEOUT));
            OK(ref.wait_for_revision(revision, TIMEOUT));
            CHECK(OK(ref.view()).revision() >= revision);
            OK(ref.remove_hook(id, TIMEOUT));
            CHECK(!destroyed);
            calls++;
            return {};
        }));
    // Where it was moved to, the same node is called.
    Cluster moved = std::move(cluster);
    OK(moved.start());
    UNTIL(destroyed);
    CHECK(calls == 1);
}

// The last share of a node may be dropped by a hook of its own, which is not waited for.
static void a_hook_may_free() {
    std::atomic<bool> given{false}, destroyed{false};
    std::atomic<int> calls{0};
    struct Owner {
        std::atomic<bool> &destroyed;
        Cluster cluster;
        explicit Owner(std::atomic<bool> &flag) : destroyed(flag) {}
        ~Owner() { destroyed = true; }
    };
    const auto owner = std::make_shared<std::unique_ptr<Owner>>(std::make_unique<Owner>(destroyed));
    Cluster cluster = make_node("node-1");
    OK(cluster.on_become_leader([&, owner](const clusterkit::Leadership &) {
        if (calls++ == 0) {
            UNTIL(given);
            owner->reset();
            CHECK(destroyed);
        }
    }));
    OK(cluster.start());
    UNTIL(calls > 0);
    (*owner)->cluster = std::move(cluster);
    given = true;
    UNTIL(destroyed && owner.use_count() == 1);
}

static void shares_keep_a_node_alive() {
    Cluster cluster = started("node-1");
    Cluster share = cluster.share();
    CHECK(share.get() == cluster.get());
    cluster = Cluster();
    static_cast<void>(OK(share.set_custom_data("k", "v", TIMEOUT)));
    CHECK(OK(share.custom_data("k")).str() == "v");
    Cluster taken(share.release());
    CHECK(!share && taken.my_node_id() == "node-1");
}

int main() {
    every_kind_is_told();
    failed_copies_are_made_again();
    hooks_are_destroyed();
    a_hook_may_call();
    a_hook_may_free();
    shares_keep_a_node_alive();
    return 0;
}
