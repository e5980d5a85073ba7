// Queues of events: reading with a timeout and with poll, acknowledging, and what happens to what is not acknowledged.
#include "check.hpp"

#include <poll.h>

#include <set>
#include <stdexcept>

using clusterkit::Cluster;
using clusterkit::ErrorCode;
using clusterkit::Event;
using clusterkit::EventKind;
using clusterkit::EventMask;
using clusterkit::Events;
using clusterkit::EventsMode;
using clusterkit::HookResult;
using clusterkit::QueuedEvent;

static bool is_readable(const Events &events, std::chrono::milliseconds timeout) {
    pollfd descriptor = {events.fd(), POLLIN, 0};
    CHECK(descriptor.fd >= 0);
    return poll(&descriptor, 1, static_cast<int>(timeout.count())) == 1;
}

// An event loop: it waits for the descriptor and for nothing else.
static void a_loop_reads_what_happens() {
    Cluster cluster = make_node("node-1");
    const Events events = OK(cluster.open_events(EventMask::all()));
    CHECK(!is_readable(events, 0ms) && !OK(events.next(0s)) && !OK(events.next(1ms)));
    OK(cluster.start());
    std::set<EventKind> seen;
    std::uint64_t revision = 0;
    while (seen.count(EventKind::BecomeLeader) == 0 || seen.count(EventKind::PartitionChange) == 0) {
        CHECK(is_readable(events, TIMEOUT));
        while (std::optional<QueuedEvent> event = OK(events.next(0s))) {
            CHECK(*event && event->revision() >= revision && event->json().front() == '{');
            CHECK((event->kind() == EventKind::NodeJoin) == event->node_join().has_value());
            revision = event->revision();
            seen.insert(event->kind());
            OK(event->ack());
            CHECK(!*event);
            FAILS(ErrorCode::InvalidArgument, event->ack());
        }
    }
    OK(cluster.stop(TIMEOUT));
    while (const auto left = events.next(0s)) {
        CHECK(left->has_value());
    }
    FAILS(ErrorCode::Stopped, events.next(TIMEOUT));
    // For good.
    CHECK(is_readable(events, 0ms) && is_readable(events, 0ms));
    cluster = Cluster();
    FAILS(ErrorCode::Stopped, events.next(0s));
}

static bool is_mine(const Event &event) {
    const auto told = event.partition_change();
    return told && told->node_id() == "node-2" && told->change() == clusterkit::RoleChange::GainedReplica;
}

// A copy that is refused, or that nobody acknowledges, comes again.
static void failures_come_again() {
    const Cluster founder = started("node-1");
    Cluster joiner = make_node("node-2", OK(founder.http_addr()));
    const Events events = OK(joiner.open_events(EventKind::PartitionChange));
    OK(joiner.start());
    std::set<std::uint32_t> refused, dropped, confirmed;
    const auto end = std::chrono::steady_clock::now() + TIMEOUT;
    while (confirmed.size() < PARTITIONS) {
        CHECK(std::chrono::steady_clock::now() < end);
        std::optional<QueuedEvent> event = OK(events.next(100ms));
        if (!event) {
            continue;
        }
        if (!is_mine(*event)) {
            OK(event->ack(HookResult::ok()));
            continue;
        }
        const std::uint32_t partition = event->partition_change()->partition();
        if (refused.insert(partition).second) {
            CHECK(event->attempt() == 1);
            OK(event->ack(HookResult::failure("disk full: \xff")));
        } else if (dropped.insert(partition).second) {
            CHECK(event->attempt() == 2);
            const QueuedEvent gone = std::move(*event);
            CHECK(gone && !*event);
        } else {
            CHECK(event->attempt() == 3);
            QueuedEvent moved = std::move(*event);
            QueuedEvent &same = moved;
            moved = std::move(same);
            OK(moved.ack());
            confirmed.insert(partition);
        }
    }
    spread(founder, 2);
    OK(joiner.stop(TIMEOUT));
}

// Several threads read, and acknowledge what others have read; an event keeps its queue open.
static void events_go_from_thread_to_thread() {
    Cluster cluster = make_node("node-1");
    Events events = OK(cluster.open_events(EventMask::all(), EventsMode::Observe));
    OK(cluster.start());
    std::vector<std::thread> threads;
    std::vector<std::vector<QueuedEvent>> read(3);
    for (std::vector<QueuedEvent> &mine : read) {
        threads.emplace_back([&] {
            const auto end = std::chrono::steady_clock::now() + TIMEOUT;
            while (mine.empty() && std::chrono::steady_clock::now() < end) {
                if (std::optional<QueuedEvent> event = OK(events.next(10ms))) {
                    mine.push_back(std::move(*event));
                }
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    CHECK(events.lost() == 0);
    OK(cluster.stop(TIMEOUT));
    events = Events();
    cluster = Cluster();
    for (std::vector<QueuedEvent> &mine : read) {
        CHECK(mine.size() == 1 && mine[0].revision() > 0);
    }
    std::thread([&] { OK(read[0][0].ack()); }).join();
    // The others are dropped.
}

static void bad_masks_are_refused() {
    const Cluster cluster = make_node("node-1");
    FAILS(ErrorCode::InvalidArgument, cluster.open_events(EventMask(0)));
    FAILS(ErrorCode::InvalidArgument, cluster.open_events(EventMask::all(), static_cast<EventsMode>(4)));
}

int main() {
    a_loop_reads_what_happens();
    failures_come_again();
    events_go_from_thread_to_thread();
    bad_masks_are_refused();
    return 0;
}
