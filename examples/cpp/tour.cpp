// A tour of ClusterKit in C++: three nodes hold an application's data, which the application copies itself. The same program
// exists in Rust, C and Go, and prints the same lines.
//
// In a real deployment each node lives in a process of its own, and copies over the network. Build it with
//   c++ -std=c++17 tour.cpp $(pkg-config --cflags --libs clusterkit) -pthread
// or type `make run-tour` in this folder.
#include <clusterkit.hpp>

#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using clusterkit::Cluster;
using clusterkit::RoleChange;

constexpr std::size_t NODES = 3;
constexpr std::uint32_t PARTITIONS = 16;
constexpr std::string_view KEYS[] = {"user:1", "user:2", "user:3", "user:4", "user:5"};
constexpr auto TIMEOUT = 20s;
constexpr auto PAUSE = 5ms;

// ---- The application's own storage: one for each node. --------------------------------------------------------

// What a node holds of one partition.
struct PartitionData {
    std::map<std::string, std::string, std::less<>> entries;
    // The epoch of the last write: one from an earlier primary has an older one, and is refused.
    std::uint64_t epoch = 0;
};

class Storage {
  public:
    // Writes to a partition that it holds, unless a later primary has written there.
    bool write_fenced(std::uint32_t partition, std::uint64_t epoch, std::string_view key, std::string_view value) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto held = held_.find(partition);
        if (held == held_.end() || epoch < held->second.epoch) {
            return false;
        }
        held->second.epoch = epoch;
        held->second.entries.insert_or_assign(std::string(key), std::string(value));
        return true;
    }

    bool has(std::uint32_t partition, std::string_view key) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto held = held_.find(partition);
        return held != held_.end() && held->second.entries.count(key) > 0;
    }

    PartitionData copy_of(std::uint32_t partition) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto held = held_.find(partition);
        return held != held_.end() ? held->second : PartitionData();
    }

    void replace(std::uint32_t partition, PartitionData data) {
        const std::lock_guard<std::mutex> lock(mutex_);
        held_.insert_or_assign(partition, std::move(data));
    }

    void create(std::uint32_t partition) {
        const std::lock_guard<std::mutex> lock(mutex_);
        held_.try_emplace(partition);
    }

    void drop(std::uint32_t partition) {
        const std::lock_guard<std::mutex> lock(mutex_);
        held_.erase(partition);
    }

  private:
    mutable std::mutex mutex_;
    std::map<std::uint32_t, PartitionData> held_;
};

// By node id. Nodes are not added to it while they run.
using Storages = std::map<std::string, Storage, std::less<>>;

// ---- The hook that copies: what success means is that the data is there. --------------------------------------

static void on_partition_change(const clusterkit::PartitionChange &told, std::string_view me, Storages &storages) {
    // Every node hears of every change; each acts on its own.
    if (told.node_id() != me) {
        return;
    }
    Storage &mine = storages.find(me)->second;
    switch (told.change()) {
    case RoleChange::GainedReplica: {
        // Nobody to copy from: it is new. An exception here would make the call again later.
        const auto sources = told.copy_from();
        mine.replace(told.partition(), sources.empty()
                                           ? PartitionData()
                                           : storages.find(sources.front().id())->second.copy_of(told.partition()));
        break;
    }
    // Of a copy that is here, or of a new partition, which is empty.
    case RoleChange::GainedPrimary: mine.create(told.partition()); break;
    case RoleChange::LostCopy: mine.drop(told.partition()); break;
    default: break;
    }
}

// ---- Nodes. ---------------------------------------------------------------------------------------------------

// Options from the command line, NAME=VALUE; docs/options.md lists them.
static std::vector<std::string> extra_options;

static Cluster start(const std::string &id, const std::string &join, Storages &storages) {
    clusterkit::Options options =
        clusterkit::Options::create({{"node_id", id}, {"http_addr", "127.0.0.1:0"}, {"data_dir", ""}}).value();
    options.set("partition_count", PARTITIONS).value();
    options.set("replication_factor", 2).value();
    options.set("join_addrs", join).value();
    for (const std::string &option : extra_options) {
        const std::size_t equals = option.find('=');
        options.set(option.substr(0, equals), equals != std::string::npos ? option.substr(equals + 1) : "").value();
    }
    Cluster node = Cluster::create(options).value();
    const auto hook = [id, &storages](const clusterkit::PartitionChange &told) {
        on_partition_change(told, id, storages);
    };
    static_cast<void>(node.on_partition_change(hook).value());
    node.start().value();
    return node;
}

// Waits until a node sees so many members, and every partition where it should be.
static void wait_until_settled(const Cluster &node, std::size_t members) {
    clusterkit::View view;
    const auto settled = [&] {
        node.refresh(view).value();
        bool ok = view.nodes().size() == members && view.partition_count() == PARTITIONS;
        for (const clusterkit::Partition partition : view.partitions()) {
            ok = ok && partition.state() == clusterkit::PartitionState::Ok;
        }
        return ok;
    };
    while (!settled()) {
        std::this_thread::sleep_for(PAUSE);
    }
}

// The node that takes the writes of a partition at this moment, with the epoch to fence them with.
static std::pair<const Cluster *, std::uint64_t> primary_of(const std::vector<Cluster> &nodes, std::uint32_t partition) {
    for (;;) {
        for (const Cluster &node : nodes) {
            if (const auto epoch = node.primary_epoch(partition)) {
                return {&node, *epoch};
            }
        }
        // The role is between two nodes.
        std::this_thread::sleep_for(PAUSE);
    }
}

static void run() {
    Storages storages;
    for (std::size_t number = 1; number <= NODES; number++) {
        storages.try_emplace("node-" + std::to_string(number));
    }
    std::vector<Cluster> nodes;
    for (const auto &[id, storage] : storages) {
        const std::string join = nodes.empty() ? "" : nodes.front().http_addr().value();
        nodes.push_back(start(id, join, storages));
    }
    for (const Cluster &node : nodes) {
        wait_until_settled(node, NODES);
    }
    std::cout << NODES << " nodes, " << PARTITIONS << " partitions, 2 copies of each\n";

    // Where keys belong, and a write to each: on its primary, fenced with the partition's epoch, and on its replica.
    for (const std::string_view key : KEYS) {
        const std::uint32_t partition = nodes[0].partition_for_key(key).value();
        const std::uint64_t epoch = primary_of(nodes, partition).second;
        int written = 0;
        for (auto &[id, storage] : storages) {
            written += storage.write_fenced(partition, epoch, key, "hello");
        }
        std::cout << key << " belongs to partition " << partition << ", written to " << written << " copies\n";
    }

    // An earlier primary that was cut off and writes late has an older epoch.
    const std::uint32_t partition = nodes[0].partition_for_key(KEYS[0]).value();
    const auto [primary, epoch] = primary_of(nodes, partition);
    Storage &storage = storages.find(primary->my_node_id())->second;
    const bool taken = storage.write_fenced(partition, epoch - 1, KEYS[0], "late");
    std::cout << "a write with an older epoch is " << (taken ? "taken" : "refused") << "\n";

    // A small value that every node has: written where there is none, and not a second time.
    const clusterkit::Expect absent = clusterkit::Expect::absent();
    const std::uint64_t first = nodes[0].set_custom_data("config/limit", "10", TIMEOUT, absent).value();
    const auto second = nodes[1].set_custom_data("config/limit", "20", TIMEOUT, absent);
    std::cout << "writing config/limit a second time: " << second.code() << "\n";
    const clusterkit::Expect as_it_was = clusterkit::Expect::revision(first);
    const std::uint64_t last = nodes[1].set_custom_data("config/limit", "20", TIMEOUT, as_it_was).value();
    nodes[2].wait_for_revision(last, TIMEOUT).value();
    std::cout << "config/limit: " << nodes[2].custom_data("config/limit").value().str() << "\n";

    // A node leaves for ever: what it holds is copied to the others first.
    nodes[2].leave(TIMEOUT).value();
    nodes.pop_back();
    wait_until_settled(nodes[0], NODES - 1);
    std::size_t found = 0;
    for (const std::string_view key : KEYS) {
        const std::uint32_t number = nodes[0].partition_for_key(key).value();
        bool everywhere = true;
        for (const Cluster &node : nodes) {
            everywhere = everywhere && storages.find(node.my_node_id())->second.has(number, key);
        }
        found += everywhere ? 1 : 0;
    }
    std::cout << "node-3 has left: " << found << " of " << std::size(KEYS) << " keys are on both of the others\n";
    while (!nodes.empty()) {
        nodes.back().stop(TIMEOUT).value();
        nodes.pop_back();
    }
    std::cout << "stopped\n";
}

int main(int argc, char **argv) {
    extra_options.assign(argv + (argc > 0 ? 1 : 0), argv + argc);
    try {
        run();
        return 0;
    } catch (const std::exception &exception) {
        std::cerr << exception.what() << "\n";
        return 1;
    }
}
