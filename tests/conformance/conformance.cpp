// The conformance scripts, run in C++: see README.md. Reads a script from its standard input, and writes it with what its commands
// print.
#include <clusterkit.hpp>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clusterkit::Cluster;
using clusterkit::Expect;
using clusterkit::Role;
using clusterkit::View;
using Words = std::vector<std::string>;

// Of the clock of the test cluster, or of the real one.
constexpr auto TIMEOUT = 60s;

// ---- Words. ---------------------------------------------------------------------------------------------------

std::string decoded(std::string_view word) {
    std::string bytes;
    for (std::size_t i = 0; word != "-" && i < word.size(); i++) {
        if (word[i] == '%') {
            bytes += static_cast<char>(std::stoi(std::string(word.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            bytes += word[i];
        }
    }
    return bytes;
}

std::string encoded(std::string_view bytes) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string word;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte > ' ' && byte <= '~' && byte != '%') {
            word += c;
        } else {
            word += '%';
            word += digits[byte >> 4U];
            word += digits[byte & 15U];
        }
    }
    return word.empty() ? "-" : word;
}

std::uint32_t number(const std::string &word) {
    return static_cast<std::uint32_t>(std::stoul(word));
}

std::string joined(const Words &lines, std::string_view between) {
    std::string text;
    for (const std::string &line : lines) {
        text += text.empty() ? line : std::string(between) + line;
    }
    return text;
}

template <class Options>
void set_all(Options &options, const Words &words) {
    for (std::size_t i = 1; i < words.size(); i++) {
        const std::size_t equals = words[i].find('=');
        options.set(words[i].substr(0, equals), decoded(words[i].substr(equals + 1))).value();
    }
}

template <class Table>
std::string row(const Table &table, const std::string &name) {
    for (const auto option : table) {
        if (option.name == name) {
            return std::string(option.type) + ", default " + std::string(option.default_value.value_or("-")) + ", " +
                   std::string(option.bounds);
        }
    }
    throw std::runtime_error("there is no option " + name);
}

std::string members(const View &view) {
    Words lines;
    for (const clusterkit::Node node : view.nodes()) {
        lines.push_back(std::string(node.id()) + " " + std::string(to_string(node.status())));
    }
    std::sort(lines.begin(), lines.end());
    return joined(lines, "\n");
}

std::string states(const View &view) {
    std::map<std::string, int> counts;
    for (const clusterkit::Partition partition : view.partitions()) {
        counts[std::string(to_string(partition.state()))]++;
    }
    Words lines;
    for (const auto &[state, count] : counts) {
        lines.push_back(std::to_string(count) + " " + state);
    }
    return joined(lines, ", ");
}

// ---- The commands. --------------------------------------------------------------------------------------------

// What a copying hook of a node has done.
struct Copies {
    std::mutex mutex;
    std::set<std::uint32_t> partitions;
    int failures = 0;
    int failures_left = 0;
};

class Runner {
  public:
    Runner();

    // What a command prints.
    std::string print(Words words) {
        const bool only_code = words.at(0) == "code";
        if (only_code) {
            words.erase(words.begin());
        }
        const auto command = commands_.find(words.at(0));
        if (command == commands_.end()) {
            throw std::runtime_error("there is no command " + words[0]);
        }
        try {
            return command->second(words);
        } catch (const clusterkit::Exception &exception) {
            return std::string(only_code ? exception.name() : exception.what());
        }
    }

  private:
    using Command = std::function<std::string(const Words &)>;

    Cluster node(const std::string &word) const {
        return word == "alone" ? alone_.share() : testing_.node(number(word)).value();
    }

    std::vector<Cluster> running() const {
        std::vector<Cluster> nodes;
        for (std::size_t index = 0; index < testing_.node_count(); index++) {
            if (testing_.is_running(index)) {
                nodes.push_back(testing_.node(index).value());
            }
        }
        return nodes;
    }

    template <class Asked>
    std::string count(Asked asked) const {
        const std::vector<Cluster> nodes = running();
        return std::to_string(std::count_if(nodes.begin(), nodes.end(), asked)) + " of " + std::to_string(nodes.size());
    }

    Expect expect(const std::string &word) const {
        if (word == "any") {
            return Expect::any();
        }
        if (word == "absent") {
            return Expect::absent();
        }
        return Expect::revision(word == "last" ? last_ : std::stoull(word));
    }

    std::string holders(const std::string &key) const {
        int primaries = 0;
        int replicas = 0;
        for (const Cluster &node : running()) {
            const Role role = node.role_for_key(decoded(key));
            primaries += role == Role::Primary ? 1 : 0;
            replicas += role == Role::Replica ? 1 : 0;
        }
        return std::to_string(primaries) + " primary, " + std::to_string(replicas) + " replica";
    }

    std::string watch(const Words &words) {
        const std::map<std::string, clusterkit::EventKind> kinds = {{"node_join", clusterkit::EventKind::NodeJoin},
                                                                    {"node_rejoin", clusterkit::EventKind::NodeRejoin},
                                                                    {"node_leave", clusterkit::EventKind::NodeLeave}};
        clusterkit::EventMask mask = kinds.at(words.at(2));
        for (std::size_t i = 3; i < words.size(); i++) {
            mask = mask | kinds.at(words[i]);
        }
        watched_[words[1]] = node(words[1]).open_events(mask).value();
        return "watching";
    }

    std::string next(const std::string &word) {
        std::optional<clusterkit::QueuedEvent> event = watched_.at(word).next(TIMEOUT).value();
        if (!event) {
            throw std::runtime_error("no event came");
        }
        std::string told(to_string(event->kind()));
        if (const auto join = event->node_join()) {
            told += " " + std::string(join->node().id());
        } else if (const auto rejoin = event->node_rejoin()) {
            told += " " + std::string(rejoin->node().id());
        } else if (const auto leave = event->node_leave()) {
            told += " " + std::string(leave->node().id()) + " " + std::string(to_string(leave->reason()));
        }
        event->ack().value();
        return told;
    }

    std::string copy(const Words &words) {
        const auto copies = copies_[words.at(1)] = std::make_shared<Copies>();
        copies->failures_left = words.at(2) == "fail-once" ? 1 : 0;
        const Cluster of = node(words[1]);
        const std::string id(of.my_node_id());
        const auto hook = [copies, id](const clusterkit::PartitionChange &told) {
            if (told.node_id() != id || told.change() != clusterkit::RoleChange::GainedReplica) {
                return;
            }
            const std::lock_guard<std::mutex> lock(copies->mutex);
            if (copies->failures_left > 0) {
                copies->failures_left--;
                copies->failures++;
                throw std::runtime_error("no space");
            }
            copies->partitions.insert(told.partition());
        };
        static_cast<void>(of.on_partition_change(hook).value());
        return "added";
    }

    std::string ask_in_hook(const Words &words) {
        const auto answer = std::make_shared<std::promise<std::string>>();
        answers_[words.at(1)] = answer->get_future();
        const Cluster of = node(words[1]);
        // The node outlives its hooks.
        const clusterkit::ClusterRef asked(of.get());
        const auto hook = [answer, asked, call = words.at(2)](const clusterkit::NodeJoin &) {
            clusterkit::Result<void> outcome;
            if (call == "set") {
                outcome = asked.set_custom_data("in-hook", "v", TIMEOUT).map([](std::uint64_t) {});
            } else if (call == "barrier") {
                outcome = asked.read_barrier(TIMEOUT).map([](std::uint64_t) {});
            } else {
                outcome = asked.leave(TIMEOUT);
            }
            answer->set_value(outcome ? "it may" : to_string(outcome.error()));
        };
        static_cast<void>(of.on_node_join(hook).value());
        return "added";
    }

    void add_library();
    void add_clusters();
    void add_nodes();
    void add_data();
    void add_clients();

    std::map<std::string, Command> commands_;
    Cluster alone_;
    clusterkit::testing::TestCluster testing_;
    clusterkit::Client client_;
    // The revision of the last write.
    std::uint64_t last_ = 0;
    std::map<std::string, clusterkit::Events> watched_;
    std::map<std::string, std::shared_ptr<Copies>> copies_;
    std::map<std::string, std::future<std::string>> answers_;
};

Runner::Runner() {
    add_library();
    add_clusters();
    add_nodes();
    add_data();
    add_clients();
}

// What needs no cluster.
void Runner::add_library() {
    commands_["partition"] = [](const Words &words) {
        return std::to_string(clusterkit::partition_for(decoded(words.at(1)), number(words.at(2))));
    };
    commands_["number"] = [](const Words &words) {
        const auto of = clusterkit::partition_number(words.at(1));
        return of ? std::to_string(*of) : "none";
    };
    commands_["duration"] = [](const Words &words) {
        const auto duration = clusterkit::parse_duration(decoded(words.at(1)));
        return duration ? std::to_string(duration->count()) : "none";
    };
    commands_["option"] = [](const Words &words) { return row(clusterkit::option_table(), words.at(1)); };
    commands_["client-option"] = [](const Words &words) { return row(clusterkit::client_option_table(), words.at(1)); };
    commands_["node"] = [this](const Words &words) {
        clusterkit::Options options = clusterkit::Options::create().value();
        set_all(options, words);
        alone_ = Cluster::create(options).value();
        return "made";
    };
    commands_["check-client"] = [](const Words &words) {
        clusterkit::ClientOptions options = clusterkit::ClientOptions::create().value();
        set_all(options, words);
        options.validate().value();
        return "right";
    };
}

void Runner::add_clusters() {
    commands_["cluster"] = [this](const Words &words) {
        watched_.clear();
        testing_ = {};
        last_ = 0;
        testing_ = clusterkit::testing::TestCluster::start({{"nodes", words.at(1)},
                                                            {"partition_count", words.at(2)},
                                                            {"replication_factor", words.at(3)}})
                       .value();
        return "settled";
    };
    commands_["settle"] = [this](const Words &) {
        testing_.wait_settled(TIMEOUT).value();
        return "settled";
    };
    commands_["create"] = [this](const Words &) { return std::to_string(testing_.create_node().value()); };
    using Testing = clusterkit::testing::TestCluster;
    using Fault = clusterkit::Result<void> (Testing::*)(std::size_t) const;
    const std::map<std::string, Fault> faults = {{"kill", &Testing::kill},
                                                 {"restart", &Testing::restart},
                                                 {"pause", &Testing::pause},
                                                 {"resume", &Testing::resume},
                                                 {"isolate", &Testing::isolate}};
    for (const auto &[name, fault] : faults) {
        commands_[name] = [this, call = fault](const Words &words) {
            (testing_.*call)(number(words.at(1))).value();
            return "done";
        };
    }
    commands_["heal"] = [this](const Words &) {
        testing_.heal().value();
        return "done";
    };
    commands_["holders"] = [this](const Words &words) { return holders(words.at(1)); };
    commands_["epochs"] = [this](const Words &words) {
        return count([key = decoded(words.at(1))](const Cluster &node) {
            return bool(node.primary_epoch(node.partition_for_key(key).value()));
        });
    };
    commands_["leaders"] = [this](const Words &) { return count([](const Cluster &node) { return node.is_leader(); }); };
    commands_["await"] = [this](const Words &words) {
        const Cluster of = node(words.at(1));
        const auto has_status = [&] {
            const View view = of.view().value();
            const auto member = view.find_node(words.at(2));
            return (member ? to_string(member->status()) : "gone") == words.at(3);
        };
        testing_.wait_until(words.at(2) + " is " + words.at(3), TIMEOUT, has_status).value();
        return "so it is";
    };
    commands_["powerless"] = [this](const Words &words) {
        const Cluster of = node(words.at(1));
        const auto is_powerless = [&] {
            bool found = of.is_leader();
            const View view = of.view().value();
            for (const clusterkit::Partition partition : view.partitions()) {
                found = found || of.is_primary(partition.number());
            }
            return !found;
        };
        testing_.wait_until("it is primary of nothing", TIMEOUT, is_powerless).value();
        return "primary of nothing";
    };
}

// What is asked of one node.
void Runner::add_nodes() {
    commands_["start"] = [this](const Words &words) {
        node(words.at(1)).start().value();
        return "started";
    };
    commands_["stop"] = [this](const Words &words) {
        node(words.at(1)).stop(TIMEOUT).value();
        return "stopped";
    };
    commands_["leave"] = [this](const Words &words) {
        node(words.at(1)).leave(TIMEOUT).value();
        return "left";
    };
    commands_["remove"] = [this](const Words &words) {
        static_cast<void>(node(words.at(1)).remove_node(words.at(2), TIMEOUT).value());
        return "removed";
    };
    commands_["members"] = [this](const Words &words) { return members(node(words.at(1)).view().value()); };
    commands_["states"] = [this](const Words &words) { return states(node(words.at(1)).view().value()); };
    commands_["view"] = [this](const Words &words) {
        const View view = node(words.at(1)).view().value();
        return std::to_string(view.nodes().size()) + " members, " + std::to_string(view.partition_count()) +
               " partitions, " + std::to_string(view.replication_factor()) + " copies of each";
    };
    commands_["watch"] = [this](const Words &words) { return watch(words); };
    commands_["next"] = [this](const Words &words) { return next(words.at(1)); };
    commands_["copy"] = [this](const Words &words) { return copy(words); };
    commands_["copied"] = [this](const Words &words) {
        Copies &copies = *copies_.at(words.at(1));
        const std::lock_guard<std::mutex> lock(copies.mutex);
        return std::to_string(copies.partitions.size()) + " partitions after " + std::to_string(copies.failures) +
               " failures";
    };
    commands_["ask-in-hook"] = [this](const Words &words) { return ask_in_hook(words); };
    commands_["answer"] = [this](const Words &words) {
        std::future<std::string> &answer = answers_.at(words.at(1));
        if (answer.wait_for(TIMEOUT) != std::future_status::ready) {
            throw std::runtime_error("no answer came");
        }
        return answer.get();
    };
}

void Runner::add_data() {
    commands_["set"] = [this](const Words &words) {
        const Expect expected = expect(words.at(4));
        last_ = node(words.at(1))
                    .set_custom_data(decoded(words.at(2)), decoded(words.at(3)), TIMEOUT, expected)
                    .value();
        return "written";
    };
    commands_["get"] = [this](const Words &words) {
        const Cluster of = node(words.at(1));
        of.wait_for_revision(last_, TIMEOUT).value();
        const auto data = of.custom_data(decoded(words.at(2)));
        return data.code() == clusterkit::ErrorCode::NotFound ? "none" : encoded(data.value().bytes());
    };
    commands_["delete"] = [this](const Words &words) {
        const auto made = node(words.at(1)).delete_custom_data(decoded(words.at(2)), TIMEOUT, expect(words.at(3))).value();
        last_ = made.revision;
        return made.existed ? "deleted" : "there was none";
    };
    commands_["keys"] = [this](const Words &words) {
        const Cluster of = node(words.at(1));
        of.wait_for_revision(last_, TIMEOUT).value();
        const auto found = of.custom_data_keys(decoded(words.at(2)), decoded(words.at(3)), number(words.at(4))).value();
        Words keys;
        for (const std::string_view key : found) {
            keys.push_back(encoded(key));
        }
        return joined(keys, "\n");
    };
    commands_["barrier"] = [this](const Words &words) {
        static_cast<void>(node(words.at(1)).read_barrier(TIMEOUT).value());
        return "read";
    };
}

void Runner::add_clients() {
    commands_["client"] = [this](const Words &words) {
        client_ = clusterkit::Client::create({{"addrs", node(words.at(1)).http_addr().value()}}).value();
        static_cast<void>(client_.wait_ready(TIMEOUT).value());
        return "ready";
    };
    commands_["client-partition"] = [this](const Words &words) {
        return std::to_string(client_.view().value().partition_for_key(decoded(words.at(1))).value());
    };
    commands_["client-members"] = [this](const Words &) { return members(client_.view().value()); };
    commands_["client-barrier"] = [this](const Words &) {
        static_cast<void>(client_.read_barrier(TIMEOUT).value());
        return "read";
    };
    commands_["client-close"] = [this](const Words &) {
        client_.close().value();
        return "closed";
    };
}

} // namespace

int main() {
    try {
        Runner runner;
        for (std::string line; std::getline(std::cin, line);) {
            if (line.empty() || line[0] == '#') {
                std::cout << line << "\n";
            } else if (line.rfind("> ", 0) == 0) {
                std::cout << line << "\n";
                std::istringstream rest(line.substr(2));
                Words words;
                for (std::string word; rest >> word;) {
                    words.push_back(word);
                }
                std::cout << runner.print(words) << "\n";
            }
        }
        return 0;
    } catch (const std::exception &exception) {
        std::cout.flush();
        std::cerr << exception.what() << "\n";
        return 1;
    }
}
