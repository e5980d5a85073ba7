// A client: no member, and the same answers as members give.
#include "check.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>

using clusterkit::Client;
using clusterkit::ClientOptions;
using clusterkit::ClientStatus;
using clusterkit::Cluster;
using clusterkit::ErrorCode;
using clusterkit::View;

constexpr std::uint64_t NEVER = UINT64_MAX;

static Client make_client(const std::string &addrs) {
    return OK(Client::create({{"addrs", addrs}, {"retry_max", 200ms}}));
}

static void it_answers_as_a_member(const Cluster &member, const std::string &addr) {
    Client client = make_client(addr);
    CHECK(OK(client.wait_ready(TIMEOUT)) > 0);
    const std::uint64_t written = OK(member.set_custom_data("k", "v", TIMEOUT));
    OK(client.wait_for_revision(written, TIMEOUT));
    CHECK(OK(client.refresh(TIMEOUT)) >= written);
    CHECK(OK(client.read_barrier(TIMEOUT)) >= written);

    View view = OK(client.view());
    OK(client.refresh(view));
    CHECK(view.partition_count() == PARTITIONS && view.nodes().size() == 1);
    CHECK(view.primary_for_key("user:1")->id() == "node-1" && view.primary_for_key("user:1")->ip() == addr);
    CHECK(OK(view.route("user:1")).partition() == member.partition_for_key("user:1"));
    // It is no member, and plays no part.
    CHECK(!view.my_node() && view.role_for_key("user:1") == clusterkit::Role::None);

    const ClientStatus status = OK(client.status());
    CHECK(status.connected == addr && !status.cluster_id.empty() && !status.cluster_name.empty());
    CHECK(status.revision >= written && status.last_contact && !status.is_closed);
    CHECK(!status.addrs.empty() && status.addrs[0].addr == addr && status.addrs[0].is_given);
    CHECK(status.addrs[0].last_error_code == ErrorCode::Ok && !status.addrs[0].last_error);
    FAILS(ErrorCode::Timeout, client.wait_for_revision(NEVER, 1ms));
    FAILS(ErrorCode::Timeout, client.wait_for_change(NEVER, 1ms));

    // The other share keeps it open, and its end does not end the view.
    Client share = client.share();
    client = Client();
    FAILS(ErrorCode::InvalidArgument, client.refresh(TIMEOUT));
    CHECK(!client && share && OK(share.refresh(TIMEOUT)) >= written);
    OK(share.close());
    OK(share.close());
    FAILS(ErrorCode::Stopped, share.refresh(TIMEOUT));
    CHECK(OK(share.status()).is_closed && OK(share.view()).revision() >= written);
    share = Client();
    CHECK(view.partition_count() == PARTITIONS);
}

static void calls_have_a_form_that_does_not_wait(const std::string &addr) {
    Client client = make_client(addr);
    const std::uint64_t revision = OK(client.async().wait_ready(TIMEOUT).future().get());
    CHECK(revision > 0);
    OK(client.async().wait_for_revision(revision, TIMEOUT).future().get());
    CHECK(OK(client.async().refresh(TIMEOUT).future().get()) >= revision);
    CHECK(OK(client.async().read_barrier(TIMEOUT).future().get()) >= revision);
    FAILS(ErrorCode::Timeout, client.async().wait_for_change(NEVER, 1ms).future().get());
    FAILS(ErrorCode::InvalidArgument, Client().async().refresh(TIMEOUT).future().get());
    // Whoever hears of an outcome may end the client.
    std::atomic<int> told{0};
    auto last = std::make_shared<Client>(make_client(addr));
    last->async().refresh(TIMEOUT).then([&told, last](clusterkit::Result<std::uint64_t> refreshed) mutable {
        OK(refreshed);
        last.reset();
        told++;
    });
    last.reset();
    UNTIL(told == 1);
    // What waits when the client ends is told before its destructor returns.
    client.async().wait_for_change(NEVER, 1h).then([&](clusterkit::Result<std::uint64_t> changed) {
        FAILS(ErrorCode::Stopped, changed);
        told++;
        throw std::runtime_error("it is dropped");
    });
    client = Client();
    CHECK(told == 2);
}

static void changes_are_told(const Cluster &member, const std::string &addr) {
    Client client = make_client(addr);
    const auto seen = std::make_shared<std::atomic<std::uint64_t>>(0);
    OK(client.on_change([seen, owned = std::make_unique<int>(1)](const View &view) {
        // Never back, and never the same twice.
        CHECK(seen->exchange(view.revision()) < view.revision());
        const View kept = view;
        CHECK(kept.partition_count() == PARTITIONS);
        throw static_cast<int>(*owned);
    }));
    CHECK(seen.use_count() == 2);
    for (int i = 0; i < 3; i++) {
        const std::uint64_t written = OK(member.set_custom_data("k", "v", TIMEOUT));
        UNTIL(*seen >= written);
    }
    // Replaced, the first ends.
    std::function<void(View)> second = [seen](const View &) {};
    OK(client.on_change(second));
    UNTIL(seen.use_count() == 3);
    OK(client.on_change(std::function<void(View)>()));
    UNTIL(seen.use_count() == 2);
    OK(client.close());
    // On failure it is destroyed at once.
    FAILS(ErrorCode::Stopped, client.on_change(second));
    CHECK(seen.use_count() == 2);

    // It may end its own client: the last share is its own.
    const auto ended = std::make_shared<std::atomic<int>>(0);
    std::atomic<bool> is_last{false};
    Client own = make_client(addr);
    OK(own.on_change([&is_last, ended, last = std::make_unique<Client>(own.share())](const View &) mutable {
        UNTIL(is_last);
        last.reset();
        ++*ended;
    }));
    own = Client();
    is_last = true;
    UNTIL(*ended == 1 && ended.use_count() == 1);
}

static void nobody_answers() {
    Client client = make_client("127.0.0.1:1");
    const View view = OK(client.view());
    CHECK(view && view.revision() == 0 && view.nodes().empty() && !view.primary_for_key("k"));
    FAILS(ErrorCode::Timeout, client.wait_ready(1ms));
    UNTIL(OK(client.status()).last_error_code == ErrorCode::Unreachable);
    const ClientStatus status = OK(client.status());
    CHECK(!status.connected && status.is_stale && !status.last_contact && !status.last_error->empty());
    std::thread waits([&] { FAILS(ErrorCode::Stopped, client.wait_ready(1h)); });
    OK(client.close());
    waits.join();
}

static void options(const std::string &addr) {
    FAILS(ErrorCode::InvalidOption, Client::create({}));
    FAILS(ErrorCode::InvalidOption, Client::create({{"addr", addr}}));
    FAILS(ErrorCode::InvalidArgument, Client::create(ClientOptions()));
    ClientOptions options = OK(ClientOptions::create());
    FAILS(ErrorCode::InvalidOption, options.validate());
    OK(options.load_json("{\"addrs\": [\"" + addr + "\"], \"poll_timeout\": \"3s\"}"));
    FAILS(ErrorCode::InvalidOption, options.load_json("{\"poll_timeout\": true}"));
    OK(options.set("member_addrs", false));
    OK(options.set("max_response_bytes", 65536));
    OK(options.set("retry_min", 1500us));
    CHECK(OK(options.get("addrs")).str() == addr && OK(options.get("poll_timeout")).str() == "3s");
    CHECK(OK(options.get("member_addrs")).str() == "false" && OK(options.get("retry_min")).str() == "2ms");
    FAILS(ErrorCode::InvalidOption, options.get("nonsense"));
    OK(options.validate());
    const auto table = clusterkit::client_option_table();
    CHECK(table.size() > 8 && table[0].name == "addrs" && !table[0].default_value && table[0].env.empty());
    for (const clusterkit::OptionInfo option : table) {
        CHECK(!option.type.empty() && !option.bounds.empty() && !option.help.empty());
        static_cast<void>(OK(options.get(option.name)));
    }
    // It is not the cluster that is wanted.
    OK(options.set("cluster_name", "another"));
    const Client other = OK(Client::create(options));
    UNTIL(OK(other.status()).last_error_code == ErrorCode::WrongCluster);
    CHECK(OK(other.status()).revision == 0);
}

static void messages_are_told(Cluster member, const std::string &addr) {
    Client client = make_client(addr);
    static_cast<void>(OK(client.wait_ready(TIMEOUT)));
    const auto heard = std::make_shared<std::atomic<int>>(0);
    OK(client.set_log([heard](const clusterkit::LogRecord &record) {
        CHECK(record.node_id().empty() && !record.message().empty());
        ++*heard;
        throw std::runtime_error("it is dropped");
    }));
    // It says that it follows it no longer.
    member = Cluster();
    UNTIL(*heard > 0);
    OK(client.set_log(nullptr));
    UNTIL(heard.use_count() == 1);
}

int main() {
    Cluster member = started("node-1");
    const std::string addr = OK(member.http_addr());
    it_answers_as_a_member(member, addr);
    calls_have_a_form_that_does_not_wait(addr);
    changes_are_told(member, addr);
    nobody_answers();
    options(addr);
    messages_are_told(std::move(member), addr);
    return 0;
}
