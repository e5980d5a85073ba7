// What needs no node: errors in all their forms, durations, options, texts, and what is left of things that were moved.
#include "check.hpp"

#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>

#include <unistd.h>

using clusterkit::Error;
using clusterkit::ErrorCode;
using clusterkit::Result;

static Result<int> parsed(int number) {
    if (number < 0) {
        return Error(ErrorCode::TooLarge, "the number is negative", true, true);
    }
    return number;
}

static Result<void> checked(int number) {
    if (number < 0) {
        return Error(ErrorCode::Refused, "negative");
    }
    return {};
}

static void results() {
    Result<int> good = parsed(7), bad = parsed(-1);
    CHECK(good && good.has_value() && good.value() == 7 && *good == 7 && good.code() == ErrorCode::Ok);
    CHECK(good.error().message().empty() && good.error() == ErrorCode::Ok);
    CHECK(!bad && bad.code() == ErrorCode::TooLarge && bad.error().message() == "the number is negative");
    CHECK(bad.error().is_retriable() && bad.error().is_ambiguous() && bad.error().name() == "TOO_LARGE");
    CHECK(bad.error() == ErrorCode::TooLarge && bad.error() != ErrorCode::Busy);
    CHECK(good.value_or(1) == 7 && bad.value_or(1) == 1 && parsed(3).value_or(1) == 3);

    CHECK(good.and_then(parsed).value() == 7 && bad.and_then(parsed).code() == ErrorCode::TooLarge);
    CHECK(parsed(2).and_then([](int number) { return parsed(-number); }).code() == ErrorCode::TooLarge);
    CHECK(good.and_then(checked).has_value() && parsed(-2).and_then(checked).code() == ErrorCode::TooLarge);
    CHECK(good.map([](int number) { return number * 0.5; }).value() == 3.5);
    CHECK(parsed(4).map([](int number) { return std::to_string(number); }).value() == "4");
    CHECK(bad.map([](int number) { return number; }).code() == ErrorCode::TooLarge);
    int seen = 0;
    Result<void> nothing = good.map([&](int number) { seen = number; });
    CHECK(nothing && seen == 7);
    CHECK(checked(1).and_then([] { return parsed(5); }).value() == 5);
    CHECK(checked(1).map([] { return 6; }).value() == 6 && !checked(-1).map([] { return 6; }));
    CHECK(checked(1).map([&] { seen = 8; }) && seen == 8);
    checked(1).value();

    // Values that can only be moved.
    Result<std::unique_ptr<int>> owned = std::make_unique<int>(9);
    CHECK(**owned == 9 && *owned->get() == 9);
    std::unique_ptr<int> taken = std::move(owned).value();
    CHECK(*taken == 9);
    const Result<std::string> text = std::string("abc");
    CHECK(text->size() == 3 && (*text)[0] == 'a' && text.value() == "abc");

    Result<int> copy = bad;
    Result<int> moved = std::move(copy);
    CHECK(moved.code() == ErrorCode::TooLarge);
    moved = good;
    CHECK(moved.value() == 7);
    Error error = parsed(-1).error();
    CHECK(to_string(error) == "TOO_LARGE: the number is negative");
    CHECK(to_string(Error(ErrorCode::Busy)) == "BUSY");

    std::ostringstream out;
    out << error << "; " << ErrorCode::NoLeader << "; " << static_cast<ErrorCode>(12345) << "; "
        << clusterkit::Role::Primary << "; " << clusterkit::EventKind::NodeLeave;
    CHECK(out.str() == "TOO_LARGE: the number is negative; NO_LEADER; UNKNOWN; primary; node_leave");

#if CLUSTERKIT_HAS_EXCEPTIONS
    try {
        static_cast<void>(parsed(-1).value());
        CHECK(false);
    } catch (const clusterkit::Exception &exception) {
        CHECK(exception.code() == ErrorCode::TooLarge && exception.name() == "TOO_LARGE");
        CHECK(exception.is_retriable() && exception.is_ambiguous());
        CHECK(std::string(exception.what()) == "TOO_LARGE: the number is negative");
    }
    try {
        checked(-1).value();
        CHECK(false);
    } catch (const std::runtime_error &exception) {
        CHECK(std::string(exception.what()) == "REFUSED: negative");
    }
    try {
        static_cast<void>(*bad);
        CHECK(false);
    } catch (const std::exception &) {
    }
#endif
#if defined(__cpp_lib_expected)
    std::expected<int, Error> expected = parsed(7);
    CHECK(expected.has_value() && *expected == 7);
    expected = parsed(-7);
    CHECK(!expected && expected.error() == ErrorCode::TooLarge);
    expected = bad;
    CHECK(!expected);
    std::expected<void, Error> none = checked(-1);
    CHECK(!none && none.error() == ErrorCode::Refused && checked(1).to_expected().has_value());
    CHECK(std::move(owned = std::make_unique<int>(3)).to_expected().value() != nullptr);
#endif
}

static std::uint32_t ms(clusterkit::Duration duration) {
    return duration.count();
}

static void durations() {
    CHECK(ms(0s) == 0 && ms(1s) == 1000 && ms(1h) == 3600000 && ms(250ms) == 250);
    // Up, so that nothing waits for less.
    CHECK(ms(1ns) == 1 && ms(999999ns) == 1 && ms(1000000ns) == 1 && ms(1000001ns) == 2 && ms(1500us) == 2);
    CHECK(ms(std::chrono::duration<double>(0.0012)) == 2 && ms(std::chrono::duration<float, std::milli>(0.25F)) == 1);
    CHECK(ms(-1ns) == 0 && ms(-1h) == 0 && ms((std::chrono::hours::min)()) == 0);
    CHECK(ms(4294967294ms) == 4294967294U && ms(4294967295ms) == 4294967295U && ms(4294967296ms) == 4294967295U);
    CHECK(ms((std::chrono::hours::max)()) == 4294967295U && ms((std::chrono::nanoseconds::max)()) == 4294967295U);
    CHECK(ms(std::chrono::duration<double>(std::numeric_limits<double>::infinity())) == 4294967295U);
    CHECK(ms(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())) == 0);
    CHECK(ms(std::chrono::duration<std::uint8_t>(std::uint8_t{3})) == 3000);
    static_assert(clusterkit::Duration(1500us).count() == 2, "known when it is compiled");

    CHECK(OK(clusterkit::parse_duration("1m30s")) == 90s && OK(clusterkit::parse_duration("250")) == 250ms);
    FAILS(ErrorCode::InvalidArgument, clusterkit::parse_duration("soon"));
    FAILS(ErrorCode::InvalidArgument, clusterkit::parse_duration(""));
    const std::chrono::system_clock::time_point point = clusterkit::TimePoint(5ms);
    CHECK(point.time_since_epoch() == 5ms);
}

static void options() {
    clusterkit::Options options = OK(clusterkit::Options::create());
    FAILS(ErrorCode::InvalidOption, options.validate());
    FAILS(ErrorCode::InvalidOption, clusterkit::Cluster::create({}));
    FAILS(ErrorCode::InvalidOption, clusterkit::Cluster::create({{"node_di", "node-1"}}));
    CHECK(OK(clusterkit::Cluster::create({{"node_id", "node-1"}, {"http_addr", "127.0.0.1:0"}})).my_node_id() == "node-1");
    FAILS(ErrorCode::InvalidOption, clusterkit::Cluster::create(options));
    FAILS(ErrorCode::InvalidOption, options.set("nodeid_", "v"));
    FAILS(ErrorCode::InvalidOption, options.set("partition_count", 0));
    FAILS(ErrorCode::InvalidArgument, options.set("node_\xff", "v"));
    FAILS(ErrorCode::InvalidOption, options.set({}, {}));
    FAILS(ErrorCode::InvalidOption, options.load_json("{"));
    FAILS(ErrorCode::Io, options.load_file("/nowhere/at/all.json"));
    FAILS(ErrorCode::InvalidOption, options.get("nothing"));
    FAILS(ErrorCode::InvalidOption, options.effective());
    FAILS(ErrorCode::InvalidOption, clusterkit::Options::create({{"node_id", "a"}, {"nothing", "b"}}));

    OK(options.load_json(R"({"node_id": "node-1", "http_addr": "127.0.0.1:0", "health_check": {"interval": "1s"}})"));
    CHECK(OK(options.get("node_id")).str() == "node-1" && OK(options.get("health_check.interval")).str() == "1s");
    OK(options.set("partition_count", 16U));
    OK(options.set("weight", 7L));
    OK(options.set("health_check.enabled", false));
    OK(options.set("rebalance_delay", 1500us));
    OK(options.set("join_timeout", 2min));
    OK(options.set("labels.rack", std::string("r1")));
    OK(options.set("zone", "z"));
    CHECK(OK(options.get("partition_count")).str() == "16" && OK(options.get("weight")).str() == "7");
    CHECK(OK(options.get("health_check.enabled")).str() == "false" && OK(options.get("labels")).str() == "rack=r1");
    CHECK(OK(options.get("rebalance_delay")).str() == "2ms" && OK(options.get("join_timeout")).str() == "2m");
    OK(options.set("zone", {}));
    const clusterkit::Text zone = OK(options.get("zone"));
    CHECK(zone.view().empty() && zone.c_str()[0] == 0);
    OK(options.validate());
    const clusterkit::Text effective = OK(options.effective());
    CHECK(effective.view().find("\"partition_count\":\"16\"") != std::string_view::npos);
    CHECK(effective.str() == effective.c_str());
    std::ostringstream out;
    out << effective;
    CHECK(out.str() == effective.view());

    char path[] = "/tmp/clusterkit-cpp-XXXXXX";
    const int file = mkstemp(path);
    CHECK(file >= 0);
    close(file);
    std::ofstream(path) << R"({"cluster_name": "from a file"})";
    OK(options.load_file(path));
    std::remove(path);
    CHECK(OK(options.get("cluster_name")).str() == "from a file");
    setenv("CLUSTERKIT_CLUSTER_NAME", "from the environment", 1);
    OK(options.load_env());
    CHECK(OK(options.get("cluster_name")).str() == "from the environment");
    setenv("CLUSTERKIT_MAX_VOTERS", "many", 1);
    FAILS(ErrorCode::InvalidOption, options.load_env());
    unsetenv("CLUSTERKIT_MAX_VOTERS");

    const auto table = clusterkit::option_table();
    CHECK(table.size() > 20 && table[0].name == "node_id" && !table[0].default_value && table[0].type == "text");
    for (const clusterkit::OptionInfo option : table) {
        CHECK(!option.name.empty() && !option.type.empty() && !option.bounds.empty() && !option.help.empty());
        CHECK(option.env.substr(0, 11) == "CLUSTERKIT_");
        static_cast<void>(OK(options.get(option.name)));
    }
}

static void keys() {
    CHECK(clusterkit::partition_number("partition-5") == 5U && !clusterkit::partition_number("partition-x"));
    CHECK(clusterkit::partition_for("user:42", 0) == 0 && clusterkit::partition_for("user:42", 16) == 8);
    // More than one batch, an empty one, and keys of several types.
    std::vector<std::string> many;
    for (int i = 0; i < 1000; i++) {
        many.push_back("key-" + std::to_string(i));
    }
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{128}, std::size_t{129}, many.size()}) {
        const std::vector<std::string> some(many.begin(), many.begin() + static_cast<std::ptrdiff_t>(count));
        std::vector<std::uint32_t> numbers(count + 1, 77);
        OK(clusterkit::partitions_for(some, 64, numbers));
        for (std::size_t i = 0; i < count; i++) {
            CHECK(numbers[i] == clusterkit::partition_for(some[i], 64));
        }
        CHECK(numbers[count] == 77);
    }
    std::uint32_t two[2];
    const std::string_view views[] = {"a", {}};
    OK(clusterkit::partitions_for(views, 64, two));
    CHECK(two[0] == clusterkit::partition_for("a", 64) && two[1] == clusterkit::partition_for("", 64));
    const char *const literals[] = {"a", "b", "c"};
    FAILS(ErrorCode::InvalidArgument, clusterkit::partitions_for(literals, 64, two));
}

template <class Handle>
static void is_moved(Handle handle) {
    static_assert(std::is_nothrow_move_constructible_v<Handle> && std::is_nothrow_move_assignable_v<Handle>,
                  "moves do not throw");
    const auto *raw = handle.get();
    CHECK(raw != nullptr);
    Handle moved(std::move(handle));
    CHECK(moved.get() == raw && handle.get() == nullptr);
    Handle &same = moved;
    moved = std::move(same);
    CHECK(moved.get() == raw);
    Handle other;
    CHECK(other.get() == nullptr);
    other = std::move(moved);
    CHECK(other.get() == raw && moved.get() == nullptr);
    other = Handle();
    CHECK(other.get() == nullptr);
}

static void moves() {
    is_moved(make_options("node-1"));
    is_moved(make_node("node-1"));
    clusterkit::Cluster cluster = make_node("node-1");
    is_moved(OK(cluster.open_events(clusterkit::EventMask::all())));
    is_moved(cluster.share());
    is_moved(OK(cluster.view()));
    CHECK(cluster.my_node_id() == "node-1" && cluster.ref().my_node_id() == "node-1");
    CHECK(cluster.ref().get() == cluster.get() && cluster);

    clusterkit::View view = OK(cluster.view());
    clusterkit::View copy = view;
    CHECK(copy.get() == view.get() && copy && view);
    view = clusterkit::View();
    CHECK(!view && copy.revision() == 0 && copy.nodes().empty());
    clusterkit::View &same = copy;
    copy = same;
    CHECK(copy.get() != nullptr);
    ck_view_t *raw = copy.release();
    CHECK(!copy);
    ck_view_release(raw);

    // What was moved from is empty, and says so.
    clusterkit::Options options = make_options("node-1");
    const clusterkit::Options taken = std::move(options);
    FAILS(ErrorCode::InvalidArgument, options.set("zone", "a"));
    FAILS(ErrorCode::InvalidArgument, clusterkit::Cluster::create(options));
    const clusterkit::Cluster owner = std::move(cluster);
    CHECK(!cluster && cluster.my_node_id().empty() && !cluster.is_leader() && !cluster.is_primary_for_key("k"));
    CHECK(!cluster.share() && cluster.role(0) == clusterkit::Role::None && !cluster.partition_for_key("k"));
    FAILS(ErrorCode::InvalidArgument, cluster.start());
    FAILS(ErrorCode::InvalidArgument, cluster.view());
    FAILS(ErrorCode::InvalidArgument, cluster.lookup("k"));
    FAILS(ErrorCode::InvalidArgument, cluster.on_node_join([](const clusterkit::NodeJoin &) {}));
    FAILS(ErrorCode::InvalidArgument, cluster.async().read_barrier(1s).future().get());
    FAILS(ErrorCode::InvalidArgument, clusterkit::Events().next(0s));
    CHECK(clusterkit::Events().fd() == -1 && clusterkit::Events().lost() == 0);
    CHECK(clusterkit::Text().str().empty() && clusterkit::Strings().empty() && clusterkit::Numbers().empty());
    CHECK(clusterkit::Data().str().empty() && clusterkit::Data().revision() == 0);
    clusterkit::Completion completion;
    completion.succeed();
    completion.fail("nothing");
    CHECK(!completion);
}

static void before_start() {
    clusterkit::Cluster cluster = make_node("node-1");
    FAILS(ErrorCode::NotStarted, cluster.http_addr());
    FAILS(ErrorCode::NotStarted, cluster.lookup("k"));
    FAILS(ErrorCode::NotStarted, cluster.custom_data("k"));
    FAILS(ErrorCode::NotStarted, cluster.primary_epoch(0));
    FAILS(ErrorCode::NotStarted, cluster.set_custom_data("k", "v", 1ms));
    FAILS(ErrorCode::NotStarted, cluster.wait_for_revision(1, 1ms));
    FAILS(ErrorCode::NotStarted, cluster.leader_epoch());
    FAILS(ErrorCode::NoLeader, cluster.wait_for_leader(1ms));
    FAILS(ErrorCode::NotFound, cluster.remove_hook(clusterkit::HookId{12345}, 1ms));
    FAILS(ErrorCode::InvalidArgument, cluster.on(clusterkit::EventMask(0), [](const clusterkit::Event &) {}));
    std::function<clusterkit::HookResult(const clusterkit::Event &)> empty;
    FAILS(ErrorCode::InvalidArgument, cluster.on(clusterkit::EventMask::all(), empty));
    FAILS(ErrorCode::InvalidArgument, cluster.observe(empty));
    std::function<void(const clusterkit::NodeJoin &)> no_join;
    FAILS(ErrorCode::InvalidArgument, cluster.on_node_join(no_join));
    CHECK(!OK(cluster.leader()) && OK(cluster.hook_stats()).empty());
    CHECK(OK(cluster.waiting_for()).has_value());
}

int main() {
    CHECK(clusterkit::version() == ck_version() && clusterkit::abi_version() == CK_ABI_VERSION);
    CHECK(clusterkit::version_number() >= CK_VERSION);
    OK(clusterkit::check_abi());
    results();
    durations();
    options();
    keys();
    moves();
    before_start();
    return 0;
}
