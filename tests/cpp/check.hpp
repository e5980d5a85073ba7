// What the programs here share. A program that is content prints nothing and exits with 0.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <clusterkit.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// How long anything may take: under Valgrind, on a busy machine, everything is fifty times slower.
inline const std::chrono::seconds TIMEOUT = std::getenv("CHECK_TIMING") != nullptr ? 120s : 20s;
constexpr std::uint32_t PARTITIONS = 8;

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                                      \
        }                                                                                      \
    } while (0)

// The value of a call that succeeds.
#define OK(call) check_ok((call), #call, __FILE__, __LINE__)
// The call fails with this code.
#define FAILS(failed, call) check_fails((call), (failed), #call, __FILE__, __LINE__)
// The condition comes about.
#define UNTIL(condition)                                                                       \
    do {                                                                                       \
        const auto until_end = std::chrono::steady_clock::now() + TIMEOUT;                     \
        while (!(condition)) {                                                                 \
            CHECK(std::chrono::steady_clock::now() < until_end && "in time" && #condition);    \
            std::this_thread::sleep_for(2ms);                                                  \
        }                                                                                      \
    } while (0)

template <class T> T check_ok(clusterkit::Result<T> result, const char *call, const char *file, int line) {
    if (!result) {
        std::fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, to_string(result.error()).c_str());
        std::exit(1);
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(result).value();
    }
}

template <class T>
void check_fails(const clusterkit::Result<T> &result, clusterkit::ErrorCode code, const char *call, const char *file,
                 int line) {
    if (result.code() != code) {
        std::fprintf(stderr, "%s:%d: %s: not %s but %s\n", file, line, call, std::string(to_string(code)).c_str(),
                     to_string(result.error()).c_str());
        std::exit(1);
    }
    CHECK(!result && !result.error().message().empty() && result.error().name() == to_string(code));
}

// Options of a node that keeps everything in memory, and joins through an address unless that is empty.
inline clusterkit::Options make_options(std::string_view id, std::string_view join = {}) {
    clusterkit::Options options =
        OK(clusterkit::Options::create({{"node_id", id}, {"http_addr", "127.0.0.1:0"}, {"data_dir", ""}}));
    OK(options.set("partition_count", PARTITIONS));
    if (!join.empty()) {
        OK(options.set("join_addrs", join));
    }
    // Where everything is fifty times slower, leaders have to be patient.
    if (const char *timing = std::getenv("CHECK_TIMING")) {
        OK(options.set("timing", timing));
    }
    // Defects that need two threads of the library at once.
    if (const char *threads = std::getenv("CHECK_RUNTIME_THREADS")) {
        OK(options.set("runtime_threads", threads));
    }
    return options;
}

// A node that has not been started.
inline clusterkit::Cluster make_node(std::string_view id, std::string_view join = {}) {
    return OK(clusterkit::Cluster::create(make_options(id, join)));
}

inline clusterkit::Cluster started(std::string_view id, std::string_view join = {}) {
    clusterkit::Cluster cluster = make_node(id, join);
    OK(cluster.start());
    return cluster;
}

// A view of a node in which every partition has a copy on each of so many nodes.
inline clusterkit::View spread(clusterkit::ClusterRef node, std::size_t size) {
    clusterkit::View view;
    UNTIL([&] {
        OK(node.refresh(view));
        bool all = view.partition_count() == PARTITIONS && view.nodes().size() == size;
        for (const clusterkit::Partition partition : view.partitions()) {
            all = all && partition.primary() && partition.replicas().size() == size - 1;
        }
        return all;
    }());
    return view;
}

// A cluster of so many nodes, in which every partition has a copy on each of them.
inline std::vector<clusterkit::Cluster> make_cluster(std::size_t size) {
    std::vector<clusterkit::Cluster> nodes;
    std::string address;
    for (std::size_t i = 0; i < size; i++) {
        nodes.push_back(started("node-" + std::to_string(i + 1), address));
        address = OK(nodes.front().http_addr());
    }
    for (const clusterkit::Cluster &node : nodes) {
        spread(node, size);
    }
    return nodes;
}

#endif
