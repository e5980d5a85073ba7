// What people do that they should not, and that must end no process: destructors that throw, things that were moved from, and
// texts that are gone right after the call.
#include "check.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <type_traits>

using clusterkit::Cluster;
using clusterkit::Error;
using clusterkit::ErrorCode;
using clusterkit::Event;
using clusterkit::EventMask;
using clusterkit::QueuedEvent;
using clusterkit::Result;
using clusterkit::View;

// Throws when it ends, unless it was moved from.
class Thrower {
  public:
    explicit Thrower(std::atomic<int> &ends) : ends_(&ends) {}
    Thrower(Thrower &&other) noexcept : ends_(std::exchange(other.ends_, nullptr)) {}
    ~Thrower() noexcept(false) {
        if (ends_ != nullptr) {
            ++*ends_;
            throw std::runtime_error("from a destructor");
        }
    }
    template <class Told>
    void operator()(Told &&) const {
        throw std::runtime_error("from a call");
    }

  private:
    std::atomic<int> *ends_;
};

static void destructors_that_throw_end_no_process() {
    std::atomic<int> ends{0};
    Cluster cluster = make_node("node-1");
    const clusterkit::HookId hook = OK(cluster.on(EventMask::all(), Thrower(ends)));
    OK(cluster.on_become_leader(Thrower(ends)));
    OK(cluster.observe(Thrower(ends)));
    OK(cluster.set_log(Thrower(ends)));
    OK(cluster.start());
    cluster.async().read_barrier(TIMEOUT).then(Thrower(ends));
    UNTIL(ends == 1);
    OK(cluster.remove_hook(hook, TIMEOUT));
    CHECK(ends == 2);
    OK(cluster.set_log(Thrower(ends)));
    UNTIL(ends == 3);
    static_cast<void>(OK(cluster.set_custom_data("k", "v", TIMEOUT)));
    OK(cluster.stop(TIMEOUT));
    CHECK(ends == 5);
    cluster = Cluster();
    CHECK(ends == 6);
}

// Every class that owns something, after something else has taken it.
static void what_was_moved_from_is_empty() {
    Cluster cluster = make_node("node-1");
    const clusterkit::Events events = OK(cluster.open_events(EventMask::all()));
    OK(cluster.start());
    View view = spread(cluster, 1);
    const View taken = std::move(view);
    CHECK(!view && view.revision() == 0 && view.nodes().empty() && view.partitions().empty() && !view.node(0));
    CHECK(!view.my_node() && !view.leader() && !view.find_node("node-1") && view.partition_count() == 0);
    CHECK(!view.partition_for_key("k") && view.nodes_for_key("k").empty() && !view.primary_for_key("k"));
    CHECK(!view.partition(0).primary() && view.partition(0).nodes().empty() && view.lost_count() == 0);
    FAILS(ErrorCode::InvalidArgument, view.route("k"));
    FAILS(ErrorCode::InvalidArgument, view.json());
    FAILS(ErrorCode::InvalidArgument, view.partitions_of("node-1"));
    FAILS(ErrorCode::InvalidArgument, view.route_many(std::vector<std::string>{"k"}));
    OK(cluster.refresh(view));
    CHECK(view && view.revision() >= taken.revision());

    std::optional<QueuedEvent> event = OK(events.next(TIMEOUT));
    CHECK(event && event->revision() > 0);
    QueuedEvent other = std::move(*event);
    for (QueuedEvent *gone : {&*event, &other}) {
        OK(other ? other.ack() : Result<void>());
        CHECK(!*gone && gone->revision() == 0 && gone->attempt() == 0 && gone->json().empty());
        CHECK(gone->timestamp().time_since_epoch() == 0ms && to_string(gone->kind()) == "unknown");
        CHECK(!gone->node_join() && !gone->partition_change() && !gone->leadership() && !gone->cluster_health());
        FAILS(ErrorCode::InvalidArgument, gone->ack());
    }

    clusterkit::Text text = OK(view.json());
    const clusterkit::Text json = std::move(text);
    CHECK(text.view().empty() && text.c_str()[0] == 0 && !json.view().empty());
    clusterkit::Strings keys = OK(cluster.custom_data_keys({}, {}, 9));
    const clusterkit::Strings others = std::move(keys);
    CHECK(keys.empty() && keys[3].empty() && keys.begin() == keys.end());
    clusterkit::NodePartitions held = OK(view.partitions_of("node-1"));
    const clusterkit::Numbers numbers = std::move(held.primary);
    CHECK(held.primary.empty() && held.primary.begin() == held.primary.end() && numbers.size() == PARTITIONS);

    Result<std::string> result = std::string("a text that is too long to be stored in place, to be sure");
    const std::string value = std::move(result).value();
    CHECK(value.size() > 20);
    Error error(ErrorCode::Busy, "some words that are too long to be stored in place, to be sure");
    static_assert(std::is_same_v<decltype(Error(ErrorCode::Busy).message()), std::string>,
                  "the message of an error that ends is a copy");
    const std::string &message = std::move(error).message(); // lives as long as its name
    CHECK(message.size() > 20 && error.code() == ErrorCode::Busy);
    clusterkit::EventMask mask = EventMask::all();
    CHECK(std::move(mask) == EventMask::all());
}

// What is given as a text may end with the expression.
static void texts_may_be_temporaries() {
    const auto temporary = [](std::string_view text) { return std::string(text) + std::string(40, '-'); };
    const auto shown = [&](std::string_view text) { return std::string(text).append(40, '-'); };
    clusterkit::Options options = OK(clusterkit::Options::create(
        {{std::string("node_id"), std::string("node-1")}, {"http_addr", "127.0.0.1:0"}, {"data_dir", {}}}));
    OK(options.set(std::string("zone"), temporary("zone").substr(0, 40)));
    OK(options.set(std::string("partition_count"), PARTITIONS));
    const Cluster cluster = OK(Cluster::create(options));
    OK(cluster.start());
    const View view = spread(cluster, 1);
    CHECK(view.node(0)->zone() == temporary("zone").substr(0, 40) && view.find_node(std::string("node-1")));
    const std::uint64_t revision = OK(cluster.set_custom_data(temporary("k"), temporary("v"), TIMEOUT));
    OK(cluster.wait_for_revision(revision, TIMEOUT));
    CHECK(OK(cluster.custom_data(temporary("k"))).str() == shown("v"));
    // Begun before its texts end.
    static_cast<void>(OK(cluster.async().set_custom_data(temporary("k"), temporary("w"), TIMEOUT).future().get()));
    CHECK(OK(cluster.custom_data(temporary("k"))).str() == shown("w"));
    CHECK(OK(view.route(temporary("k"))).partition() == cluster.partition_for_key(temporary("k")));
    CHECK(OK(cluster.custom_data_keys(std::string("k"), std::string(), 9)).size() == 1);
    OK(cluster.report_health(clusterkit::Health::Degraded, temporary("reason")));
    CHECK(OK(cluster.async().delete_custom_data(temporary("k"), TIMEOUT).future().get()).existed);
}

int main() {
    destructors_that_throw_end_no_process();
    what_was_moved_from_is_empty();
    texts_may_be_temporaries();
    return 0;
}
