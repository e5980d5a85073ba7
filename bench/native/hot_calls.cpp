// What the hot calls cost in C++, beside a bare MD5 of the same key, as hot_calls.c: `make bench-native`.
#include <clusterkit.hpp>

#include "bare_md5.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int ROUNDS = 101;
constexpr std::size_t CALLS = 20000;
constexpr std::size_t MANY = 64;
volatile std::uint64_t sink;

struct Timed {
    const char *name;
    // Makes all calls of a round, and answers with something of each.
    std::function<std::uint64_t()> round;
    std::vector<double> times;
};

template <class Call>
std::function<std::uint64_t()> each(const std::vector<std::string> &keys, Call call) {
    return [&keys, call] {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < CALLS; i++) {
            sum += call(std::string_view(keys[i % keys.size()]));
        }
        return sum;
    };
}

void run() {
    clusterkit::Cluster node =
        clusterkit::Cluster::create({{"node_id", "node-1"}, {"http_addr", "127.0.0.1:0"}, {"data_dir", ""}}).value();
    node.start().value();
    static_cast<void>(node.create_partitions(20s).value());
    clusterkit::View view = node.view().value();
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < 1024; i++) {
        keys.push_back("user:" + std::to_string(i * 7919));
    }
    const std::vector<std::string_view> many(keys.begin(), keys.begin() + MANY);
    std::array<std::uint32_t, MANY> numbers{};

    Timed timed[] = {
        {"a bare MD5", each(keys, [](std::string_view key) { return bare_md5(key.data(), key.size()); }), {}},
        {"partition_for", each(keys, [](std::string_view key) { return clusterkit::partition_for(key, 64); }), {}},
        {"View::route: partition, owner, address",
         each(keys, [&](std::string_view key) { return view.route(key).value().primary()->ip().size(); }),
         {}},
        {"ClusterRef::refresh and View::route", each(keys,
                                                     [&](std::string_view key) {
                                                         node.refresh(view).value();
                                                         return view.route(key).value().partition();
                                                     }),
         {}},
        {"ClusterRef::lookup: partition and role by lease",
         each(keys, [&](std::string_view key) { return node.lookup(key).value().partition(); }),
         {}},
        {"partitions_for, 64 keys at once, each",
         [&] {
             for (std::size_t i = 0; i < CALLS; i += MANY) {
                 clusterkit::partitions_for(many, 64, clusterkit::Span<std::uint32_t>(numbers)).value();
             }
             return std::uint64_t{numbers[0]};
         },
         {}},
        {"ClusterRef::is_primary", each(keys, [&](std::string_view key) { return node.is_primary(key.size() % 64); }), {}},
        {"ClusterRef::is_leader", each(keys, [&](std::string_view) { return node.is_leader(); }), {}},
    };
    for (int round = 0; round < ROUNDS; round++) {
        for (Timed &call : timed) {
            const Clock::time_point began = Clock::now();
            sink = call.round();
            const std::chrono::duration<double, std::nano> took = Clock::now() - began;
            call.times.push_back(took.count() / CALLS);
        }
    }
    double bare = 0;
    for (Timed &call : timed) {
        std::nth_element(call.times.begin(), call.times.begin() + ROUNDS / 2, call.times.end());
        const double median = call.times[ROUNDS / 2];
        bare = bare > 0 ? bare : median;
        std::printf("%-48s %7.1f ns %6.2f\n", call.name, median, median / bare);
    }
}

} // namespace

int main() {
    try {
        run();
        return 0;
    } catch (const std::exception &exception) {
        std::fprintf(stderr, "%s\n", exception.what());
        return 1;
    }
}
