// Many threads on one node, and each callback on threads of the library: built with ThreadSanitizer too.
#include "check.hpp"

#include <atomic>
#include <future>
#include <mutex>

using clusterkit::Cluster;
using clusterkit::ClusterRef;
using clusterkit::Event;
using clusterkit::EventMask;
using clusterkit::HookId;
using clusterkit::HookResult;
using clusterkit::Result;
using clusterkit::View;

// What callbacks write without a lock is seen by whoever comes after them.
struct Seen {
    std::uint64_t number = 0;
    std::string text;
};

static void reads(ClusterRef cluster, const View &shared) {
    View own;
    for (int i = 0; i < 200; i++) {
        const std::string key = "key-" + std::to_string(i);
        const clusterkit::KeyRoute route = OK(cluster.lookup(key, own));
        CHECK(route.partition() == shared.partition_for_key(key) && own.partition(route.partition()).epoch() > 0);
        const View copy = shared;
        CHECK(copy.nodes().front().id() == shared.nodes()[0].id());
        static_cast<void>(cluster.is_primary_for_key(key));
    }
}

static void writes(ClusterRef cluster, int thread) {
    const std::string key = "k" + std::to_string(thread);
    for (int i = 0; i < 20; i++) {
        const auto seen = std::make_shared<Seen>();
        std::promise<void> told;
        cluster.async().set_custom_data(key, "v", TIMEOUT).then([&told, seen](Result<std::uint64_t> outcome) {
            seen->number = OK(std::move(outcome));
            seen->text = "told";
            told.set_value();
        });
        told.get_future().get();
        CHECK(seen->number > 0 && seen->text == "told");
        const Result<std::uint64_t> barrier = cluster.async().read_barrier(TIMEOUT).future().get();
        CHECK(OK(barrier) >= seen->number);
    }
}

static void adds_and_removes(ClusterRef cluster) {
    for (int i = 0; i < 20; i++) {
        Seen seen;
        // Its calls write what only they and whoever comes after its end look at.
        const HookId id = OK(cluster.observe([&seen](const Event &event) {
            seen.number = event.revision();
            seen.text += ".";
        }));
        std::this_thread::sleep_for(1ms);
        OK(cluster.remove_hook(id, TIMEOUT));
        CHECK(seen.text.empty() == (seen.number == 0));
        OK(cluster.set_log(
            [text = std::string()](const clusterkit::LogRecord &record) mutable { text = record.message(); }));
    }
}

static void everything_at_once() {
    const Cluster founder = started("node-1");
    Cluster cluster = make_node("node-2", OK(founder.http_addr()));
    std::atomic<int> copied{0};
    std::vector<std::thread> copies;
    std::mutex mutex;
    OK(cluster.on_partition_change([&](const clusterkit::PartitionChange &told, const Event &event) {
        if (told.change() != clusterkit::RoleChange::GainedReplica || told.node_id() != "node-2") {
            return;
        }
        const std::lock_guard<std::mutex> lock(mutex);
        copies.emplace_back([&copied, completion = OK(event.defer())]() mutable {
            copied++;
            completion.succeed();
        });
    }));
    const clusterkit::Events events = OK(cluster.open_events(EventMask::all(), clusterkit::EventsMode::Observe));
    OK(cluster.start());
    const View view = spread(cluster, 2);
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++) {
        threads.emplace_back([&] { reads(cluster, view); });
        threads.emplace_back([&, i] { writes(i == 0 ? founder.ref() : cluster.ref(), i); });
        threads.emplace_back([&] {
            while (!done) {
                if (std::optional<clusterkit::QueuedEvent> event = OK(events.next(5ms))) {
                    OK(event->ack());
                }
            }
        });
    }
    threads.emplace_back([&] { adds_and_removes(cluster); });
    for (std::size_t i = 0; i < threads.size(); i++) {
        if (i != 2 && i != 5) {
            threads[i].join();
        }
    }
    done = true;
    threads[2].join();
    threads[5].join();
    CHECK(copied == static_cast<int>(PARTITIONS));
    OK(cluster.stop(TIMEOUT));
    const std::lock_guard<std::mutex> lock(mutex);
    for (std::thread &copy : copies) {
        copy.join();
    }
}

int main() {
    everything_at_once();
    return 0;
}
