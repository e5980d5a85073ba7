// The log callback: what it hears, that its exceptions harm nobody, and when it is destroyed.
#include "check.hpp"

#include <atomic>
#include <functional>
#include <stdexcept>

using clusterkit::Cluster;
using clusterkit::LogLevel;
using clusterkit::LogRecord;

static void exceptions_are_dropped() {
    std::atomic<int> calls{0};
    Cluster cluster = make_node("node-1");
    OK(cluster.set_log([&](const LogRecord &record) {
        CHECK(record.node_id() == "node-1" && !record.message().empty());
        CHECK(record.level() >= LogLevel::Error && record.level() <= LogLevel::Info);
        CHECK(record.message().find('\0') == std::string_view::npos && to_string(record.level()) != "unknown");
        switch (calls++) {
        case 0: throw std::runtime_error("of the standard");
        case 1: throw 42;
        default: break;
        }
    }));
    OK(cluster.start());
    // The node goes on, and so do its messages.
    OK(cluster.stop(TIMEOUT));
    UNTIL(calls > 2);
}

static void each_is_destroyed_once() {
    const auto counted = std::make_shared<std::atomic<int>>(0);
    const auto log = [counted](const LogRecord &) { ++*counted; };
    Cluster cluster = make_node("node-1");
    OK(cluster.set_log(log));
    CHECK(counted.use_count() == 3);
    // It is replaced, by one that cannot be copied.
    OK(cluster.set_log([counted, owned = std::make_unique<int>(1)](const LogRecord &) { *counted += *owned; }));
    CHECK(counted.use_count() == 3);
    OK(cluster.start());
    UNTIL(*counted > 0);
    OK(cluster.set_log(nullptr));
    UNTIL(counted.use_count() == 2);
    OK(cluster.set_log(std::function<void(const LogRecord &)>(log)));
    CHECK(counted.use_count() == 3);
    // An empty function is none.
    OK(cluster.set_log(std::function<void(const LogRecord &)>()));
    UNTIL(counted.use_count() == 2);
    OK(cluster.set_log(log));
    // It stays until the node ends, and hears what is said while it stops.
    OK(cluster.stop(TIMEOUT));
    CHECK(counted.use_count() == 3);
    cluster = Cluster();
    CHECK(counted.use_count() == 2);
}

// It may stop and end its own node, which is not waited for.
static void it_may_end_its_node() {
    const auto owner = std::make_shared<Cluster>();
    std::atomic<bool> given{false}, ended{false};
    Cluster cluster = make_node("node-1");
    OK(cluster.set_log([&, owner](const LogRecord &) {
        UNTIL(given);
        OK(owner->stop(TIMEOUT));
        *owner = Cluster();
        ended = true;
    }));
    OK(cluster.start());
    *owner = std::move(cluster);
    given = true;
    UNTIL(ended && owner.use_count() == 1);
}

int main() {
    exceptions_are_dropped();
    each_is_destroyed_once();
    it_may_end_its_node();
    return 0;
}
