// ClusterKit in C++: three nodes in one process form a cluster, say where a key belongs, call a hook, and share data.
//
// In a real deployment each node lives in a process of its own; everything else stays as it is here. Build it with
//   c++ -std=c++17 quickstart.cpp -lclusterkit -pthread
// or type `make` in this folder.
#include <clusterkit.hpp>

#include <atomic>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using clusterkit::Cluster;
using clusterkit::View;

constexpr std::size_t NODES = 3;
constexpr std::uint32_t PARTITIONS = 16;
constexpr auto TIMEOUT = 20s;

// Waits until a condition comes about.
template <class Condition>
static void wait_until(const char *what, Condition condition) {
    const auto end = std::chrono::steady_clock::now() + TIMEOUT;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) {
            throw std::runtime_error(std::string("not in time: ") + what);
        }
        std::this_thread::sleep_for(5ms);
    }
}

// What the hook counts. It is destroyed with the hook, when no call of it runs or will.
struct Counts {
    std::atomic<int> joins{0};
    std::atomic<int> partition_changes{0};
    std::atomic<int> destroyed{0};
};

struct Hook {
    std::shared_ptr<Counts> counts;

    explicit Hook(std::shared_ptr<Counts> shared) : counts(std::move(shared)) {}
    Hook(Hook &&) = default;
    ~Hook() {
        if (counts != nullptr) {
            counts->destroyed++;
        }
    }

    // Called by threads of the library.
    void operator()(const clusterkit::Event &event) const {
        if (event.node_join()) {
            counts->joins++;
        } else if (event.partition_change()) {
            // Where it says GainedReplica for this node, an application copies the partition's data from one of its
            // copy_from() here, and returns when it is there. An exception makes the call again later.
            counts->partition_changes++;
        }
    }
};

// Options from the command line, NAME=VALUE; docs/options.md lists them.
static std::vector<std::string> extra_options;

static Cluster make_node(std::size_t number, const std::string &join) {
    const std::string id = "node-" + std::to_string(number);
    clusterkit::Options options = clusterkit::Options::create({
                                                                  {"node_id", id},
                                                                  {"http_addr", "127.0.0.1:0"}, // a free port
                                                                  {"data_dir", ""}, // in memory; a folder keeps it
                                                              })
                                      .value();
    options.set("partition_count", PARTITIONS).value();
    if (!join.empty()) {
        options.set("join_addrs", join).value();
    }
    for (const std::string &option : extra_options) {
        const std::size_t equals = option.find('=');
        options.set(option.substr(0, equals), equals != std::string::npos ? option.substr(equals + 1) : "").value();
    }
    return Cluster::create(options).value();
}

// A view of a node in which every partition has its three copies: a later one may find a role between two nodes again.
static View view_when_spread(const Cluster &node) {
    View view;
    wait_until("the partitions are spread", [&] {
        node.refresh(view).value();
        bool spread = view.partition_count() == PARTITIONS;
        for (const clusterkit::Partition partition : view.partitions()) {
            spread = spread && partition.nodes().size() == NODES && partition.primary();
        }
        return spread;
    });
    return view;
}

static int run() {
    std::cout << "ClusterKit " << clusterkit::version() << "\n";

    // The first node founds the cluster, the others join through it.
    const auto counts = std::make_shared<Counts>();
    std::vector<Cluster> nodes;
    nodes.push_back(make_node(1, ""));
    static_cast<void>(nodes[0].on(clusterkit::EventMask::all(), Hook(counts)).value());
    nodes[0].start().value();
    const std::string address = nodes[0].http_addr().value();
    for (std::size_t number = 2; number <= NODES; number++) {
        nodes.push_back(make_node(number, address));
        nodes.back().start().value();
    }
    const clusterkit::LeaderInfo leader = nodes[0].wait_for_leader(TIMEOUT).value();
    for (const Cluster &node : nodes) {
        view_when_spread(node);
    }

    // All answers taken from one view agree with each other.
    const View view = view_when_spread(nodes[0]);
    std::cout << "members:";
    for (const clusterkit::Node node : view.nodes()) {
        std::cout << " " << node.id();
    }
    std::cout << "\nleader: " << leader.leader_id << "\n";

    // Where does a key belong?
    const std::string key = "user:42";
    const clusterkit::KeyRoute route = view.route(key).value();
    std::cout << key << ": partition " << route.partition() << ", " << route.replica_count() << " replicas\n";

    // The hot calls: no view, no allocation. Exactly one node may take the writes of a key, except for a moment
    // while the role moves, when none may.
    std::size_t primaries = 0;
    wait_until("there is a primary", [&] {
        primaries = 0;
        for (const Cluster &node : nodes) {
            primaries += node.lookup(key).value().is_primary() && node.is_primary_for_key(key);
        }
        return primaries > 0;
    });
    std::cout << "primaries of " << key << ": " << primaries << "\n";

    // A small value, written on one node and read on another.
    const std::uint64_t revision = nodes[2].set_custom_data("greeting", "hello", TIMEOUT).value();
    nodes[1].wait_for_revision(revision, TIMEOUT).value();
    std::cout << "greeting: " << nodes[1].custom_data("greeting").value().str() << "\n";

    // The others first, so that each has somebody to say goodbye to.
    while (!nodes.empty()) {
        nodes.back().stop(TIMEOUT).value();
        nodes.pop_back();
    }
    std::cout << "hook: " << counts->joins << " joins, "
              << (counts->partition_changes > 0 ? "partition changes" : "no partition change") << ", destroyed "
              << counts->destroyed << " time\n";
    return primaries == 1 && counts->destroyed == 1 ? 0 : 1;
}

int main(int argc, char **argv) {
    extra_options.assign(argv + (argc > 0 ? 1 : 0), argv + argc);
    try {
        return run();
    } catch (const std::exception &exception) {
        std::cerr << exception.what() << "\n";
        return 1;
    }
}
