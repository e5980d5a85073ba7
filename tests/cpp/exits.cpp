// A program that ends without having ended its node, in the ways of C++: argv[1] says how. Nothing hangs, nothing
// crashes.
#include "check.hpp"

#include <atomic>
#include <memory>

using clusterkit::Cluster;
using clusterkit::Event;
using clusterkit::EventMask;

static std::atomic<int> calls{0};

// With everything that has threads of its own.
static void fill(Cluster &cluster) {
    cluster = make_node("node-1");
    OK(cluster.set_log([](const clusterkit::LogRecord &) { calls++; }));
    OK(cluster.on(EventMask::all(), [text = std::make_unique<std::string>("owned")](const Event &) {
        calls += static_cast<int>(text->size());
    }));
    OK(cluster.start());
    cluster.async().wait_for_revision(UINT64_MAX, TIMEOUT).then([](const clusterkit::Result<void> &) { calls++; });
}

// Destroyed after the node: its end has not waited for the hook that it is in, which would take 5 s.
struct Watch {
    std::chrono::steady_clock::time_point ends{};

    ~Watch() {
        if (ends != std::chrono::steady_clock::time_point() && std::chrono::steady_clock::now() - ends > 4s) {
            std::fprintf(stderr, "the end took more than 4 s\n");
            std::_Exit(1);
        }
    }
};

static Watch watch;

// Destroyed after main, among other things with static storage.
static Cluster &global() {
    static Cluster cluster;
    return cluster;
}

int main(int argc, char **argv) {
    const std::string how = argc > 1 ? argv[1] : "";
    if (how == "static") {
        fill(global());
    } else if (how == "thread") {
        std::thread([] {
            thread_local Cluster cluster;
            fill(cluster);
        }).join();
    } else if (how == "leaked") {
        fill(*new Cluster());
    } else if (how == "hook") {
        // What is static is destroyed on the hook's own thread, its node too.
        Cluster &cluster = global();
        fill(cluster);
        OK(cluster.on(clusterkit::EventKind::NodeJoin, [](const Event &event) {
            if (event.node_join()->node().id() == "node-2") {
                watch.ends = std::chrono::steady_clock::now();
                std::exit(0);
            }
        }));
        // Never destroyed: it is being started when all ends.
        OK((new Cluster(make_node("node-2", OK(cluster.http_addr()))))->start());
        UNTIL(false);
    } else {
        return 2;
    }
    CHECK(calls > 0);
    return 0;
}
