// Nodes that come and go, argv[1] times, with everything that can hang on one: nothing is left, and nothing is used
// afterwards.
#include "check.hpp"

#include <atomic>
#include <future>

using clusterkit::Cluster;
using clusterkit::Event;
using clusterkit::EventMask;

static void made_and_dropped(int times) {
    for (int i = 0; i < times; i++) {
        const auto counted = std::make_shared<int>(0);
        Cluster cluster = make_node("node-1");
        OK(cluster.on(EventMask::all(), [counted](const Event &) {}));
        OK(cluster.observe([counted](const Event &) {}));
        OK(cluster.set_log([counted](const clusterkit::LogRecord &) {}));
        const clusterkit::Events events = OK(cluster.open_events(EventMask::all()));
        const clusterkit::View view = OK(cluster.view());
        std::future<clusterkit::Result<std::uint64_t>> outcome = cluster.async().read_barrier(TIMEOUT).future();
        const Cluster share = cluster.share();
        const Cluster moved = std::move(cluster);
        CHECK(!cluster && moved && share && counted.use_count() == 4);
    }
}

static void started_and_ended(int times) {
    for (int i = 0; i < times; i++) {
        std::atomic<int> calls{0}, told{0};
        std::optional<clusterkit::QueuedEvent> left;
        clusterkit::Completion completion;
        clusterkit::View view;
        {
            Cluster cluster = make_node("node-1");
            OK(cluster.on_node_join([&](const clusterkit::NodeJoin &, const Event &event) {
                completion = OK(event.defer());
                calls++;
            }));
            const clusterkit::Events events = OK(cluster.open_events(EventMask::all()));
            OK(cluster.start());
            UNTIL(calls == 1);
            left = OK(events.next(TIMEOUT));
            cluster.async().wait_for_revision(UINT64_MAX, TIMEOUT).then([&](const clusterkit::Result<void> &) {
                told++;
            });
            static_cast<void>(OK(cluster.set_custom_data("k", "v", TIMEOUT)));
            view = OK(cluster.view());
            if (i % 2 == 0) {
                // The hook's call goes on, and ends with the node.
                OK(cluster.stop(TIMEOUT));
            }
        }
        // They outlive the node.
        CHECK(told == 1 && view.nodes().size() == 1 && left && *left && completion);
        if (i % 3 == 0) {
            completion.succeed();
            OK(left->ack());
        }
    }
}

int main(int argc, char **argv) {
    const int times = argc > 1 ? std::atoi(argv[1]) : 100;
    made_and_dropped(times);
    started_and_ended(times / 10);
    return 0;
}
