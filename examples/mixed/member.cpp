// A member of the mixed cluster, in C++: see README.md.
#include <clusterkit.hpp>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;
using clusterkit::RoleChange;

constexpr auto TIMEOUT = 20s;

// What a member holds of one partition.
struct Copy {
    std::uint64_t epoch = 0;
    std::map<std::string, std::string> entries;
};

// ---- Sockets. -------------------------------------------------------------------------------------------------

class Socket {
  public:
    Socket() : descriptor_(socket(AF_INET, SOCK_STREAM, 0)) {}
    explicit Socket(int descriptor) : descriptor_(descriptor) {
        const timeval timeout{5, 0};
        setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    }
    Socket(Socket &&other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    ~Socket() {
        if (descriptor_ >= 0) {
            close(descriptor_);
        }
    }
    int get() const { return descriptor_; }

    bool send(const std::string &text) const {
        return ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
    }
    // What comes before the other end closes; with `one_line` only the first line.
    std::string receive(bool one_line) const {
        std::string text;
        char buffer[4096];
        while (!one_line || text.find('\n') == std::string::npos) {
            const ssize_t count = recv(descriptor_, buffer, sizeof buffer, 0);
            if (count <= 0) {
                break;
            }
            text.append(buffer, static_cast<std::size_t>(count));
        }
        return text;
    }

  private:
    int descriptor_;
};

sockaddr_in address_of(const std::string &host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host.c_str(), &address.sin_addr);
    return address;
}

// Asks another member; empty where it does not answer.
std::string ask(std::string_view addr, const std::string &line) {
    const std::size_t colon = addr.rfind(':');
    const Socket connection;
    const sockaddr_in address = address_of(std::string(addr.substr(0, colon)),
                                           static_cast<std::uint16_t>(std::stoi(std::string(addr.substr(colon + 1)))));
    const timeval timeout{5, 0};
    setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(connection.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
        !connection.send(line + "\n")) {
        return {};
    }
    return connection.receive(false);
}

// ---- The member. ----------------------------------------------------------------------------------------------

class Member {
  public:
    Member(const std::string &id, const std::string &data_dir, const std::string &join) {
        const sockaddr_in any = address_of("127.0.0.1", 0);
        sockaddr_in bound{};
        socklen_t size = sizeof bound;
        if (bind(listener_.get(), reinterpret_cast<const sockaddr *>(&any), sizeof any) != 0 || listen(listener_.get(), 64) != 0 ||
            getsockname(listener_.get(), reinterpret_cast<sockaddr *>(&bound), &size) != 0) {
            throw std::runtime_error("it cannot listen");
        }
        addr_ = "127.0.0.1:" + std::to_string(ntohs(bound.sin_port));
        node_ = clusterkit::Cluster::create({{"node_id", id},
                                             {"http_addr", "127.0.0.1:0"},
                                             {"data_dir", data_dir},
                                             {"services", "data=" + addr_},
                                             {"partition_count", 24},
                                             {"replication_factor", 3},
                                             {"rebalance_delay", 1s},
                                             {"join_addrs", join == "-" ? "" : join}})
                    .value();
        static_cast<void>(
            node_.on_partition_change([this](const clusterkit::PartitionChange &told) { on_partition_change(told); }).value());
    }

    void run() {
        // Before it starts: others copy from it as soon as it is a member.
        std::thread([this] { serve(); }).detach();
        node_.start().value();
        std::cout << "ready " << node_.http_addr().value() << " " << addr_ << std::endl;
        while (std::cin.get() != EOF) {
        }
        node_.stop(TIMEOUT).value();
    }

  private:
    // The hook: what success means is that the data is here.
    void on_partition_change(const clusterkit::PartitionChange &told) {
        if (told.node_id() != node_.my_node_id()) {
            return;
        }
        const bool gains_replica = told.change() == RoleChange::GainedReplica;
        Copy copy = gains_replica && !told.copy_from().empty() ? copied(told) : Copy();
        const std::lock_guard<std::mutex> lock(mutex_);
        if (gains_replica) {
            copies_.insert_or_assign(told.partition(), std::move(copy));
        } else if (told.change() == RoleChange::GainedPrimary) {
            copies_.try_emplace(told.partition());
        } else if (told.change() == RoleChange::LostCopy) {
            copies_.erase(told.partition());
        }
    }

    static Copy copied(const clusterkit::PartitionChange &told) {
        for (const clusterkit::Node node : told.copy_from()) {
            std::istringstream answer(ask(node.service("data").value_or(""), "get " + std::to_string(told.partition())));
            std::string word;
            Copy copy;
            if (answer >> word && word == "epoch" && answer >> copy.epoch) {
                std::string key;
                std::string value;
                while (answer >> key >> value) {
                    copy.entries.insert_or_assign(key, value);
                }
                return copy;
            }
        }
        throw std::runtime_error("no member that holds it answers");
    }

    bool put(std::uint32_t partition, std::uint64_t epoch, const std::string &key, const std::string &value) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto copy = copies_.find(partition);
        if (copy == copies_.end() || copy->second.epoch > epoch) {
            return false;
        }
        copy->second.epoch = epoch;
        copy->second.entries.insert_or_assign(key, value);
        return true;
    }

    // Writes where this member is primary: here, and to every copy.
    std::string write(const std::string &key, const std::string &value) {
        const clusterkit::View view = node_.view().value();
        const std::optional<std::uint32_t> partition = view.partition_for_key(key);
        const auto epoch = node_.primary_epoch(partition.value_or(UINT32_MAX));
        if (!partition || !epoch || !put(*partition, *epoch, key, value)) {
            return "not primary";
        }
        const std::string line =
            "put " + std::to_string(*partition) + " " + std::to_string(*epoch) + " " + key + " " + value;
        int written = 1;
        const clusterkit::Partition of_key = view.partition(*partition);
        for (const clusterkit::Node node : of_key.replicas()) {
            written += ask(node.service("data").value_or(""), line) == "ok\n" ? 1 : 0;
        }
        return "ok " + std::to_string(written);
    }

    std::string get(std::uint32_t partition) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto copy = copies_.find(partition);
        if (copy == copies_.end()) {
            return "none";
        }
        std::string answer = "epoch " + std::to_string(copy->second.epoch);
        for (const auto &[key, value] : copy->second.entries) {
            answer += "\n" + key + " " + value;
        }
        return answer;
    }

    std::string read(const std::string &key) {
        const std::uint32_t partition = node_.partition_for_key(key).value_or(UINT32_MAX);
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto copy = copies_.find(partition);
        if (copy == copies_.end() || copy->second.entries.count(key) == 0) {
            return "none";
        }
        return "value " + copy->second.entries.at(key);
    }

    bool is_settled(std::size_t members) const {
        const clusterkit::View view = node_.view().value();
        std::size_t active = 0;
        for (const clusterkit::Node node : view.nodes()) {
            active += node.status() == clusterkit::NodeStatus::Active ? 1U : 0U;
        }
        bool all_ok = view.partition_count() > 0;
        for (const clusterkit::Partition partition : view.partitions()) {
            all_ok = all_ok && partition.state() == clusterkit::PartitionState::Ok;
        }
        return all_ok && active == members;
    }

    std::string answer(const std::string &line) {
        std::istringstream words(line);
        std::string command, key, value;
        std::uint64_t number = 0, epoch = 0;
        words >> command;
        if (command == "write" && words >> key >> value) {
            return write(key, value);
        }
        if (command == "read" && words >> key) {
            return read(key);
        }
        if (command == "primaries") {
            std::size_t count = 0;
            for (std::uint32_t partition = 0; partition < node_.view().value().partition_count(); partition++) {
                count += node_.is_primary(partition) ? 1U : 0U;
            }
            return std::to_string(count);
        }
        if (!(words >> number)) {
            return "what?";
        }
        if (command == "settled") {
            return is_settled(number) ? "yes" : "no";
        }
        if (command == "get") {
            return get(static_cast<std::uint32_t>(number));
        }
        if (command == "put" && words >> epoch >> key >> value) {
            return put(static_cast<std::uint32_t>(number), epoch, key, value) ? "ok" : "refused";
        }
        return "what?";
    }

    void serve() {
        for (;;) {
            const int accepted = accept(listener_.get(), nullptr, nullptr);
            if (accepted < 0) {
                continue;
            }
            std::thread([this, connection = Socket(accepted)] {
                // Whoever asks may be gone: it asks again.
                static_cast<void>(connection.send(answer(connection.receive(true)) + "\n"));
            }).detach();
        }
    }

    Socket listener_;
    std::string addr_;
    std::mutex mutex_;
    std::map<std::uint32_t, Copy> copies_;
    clusterkit::Cluster node_;
};

} // namespace

int main(int argc, char **argv) {
    if (argc != 4) {
        std::cerr << "usage: member ID DATA_DIR JOIN_ADDRS\n";
        return 2;
    }
    try {
        // It lives as long as the process, whose threads serve it.
        Member &member = *new Member(argv[1], argv[2], argv[3]);
        member.run();
        return 0;
    } catch (const std::exception &exception) {
        std::cerr << exception.what() << "\n";
        return 1;
    }
}
