// A program without exceptions and without run-time type information: every kind of call, and what value() does then.
#include "check.hpp"

#include <atomic>
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#if CLUSTERKIT_HAS_EXCEPTIONS
#error this is to be built with -fno-exceptions
#endif

using clusterkit::Cluster;
using clusterkit::ErrorCode;

static clusterkit::Result<int> failed() {
    return clusterkit::Error(ErrorCode::Busy, "too much");
}

// It ends the process, as std::abort does.
static void value_aborts() {
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        static_cast<void>(failed().value());
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(failed().value_or(3) == 3 && failed().error().message() == "too much");
}

static void a_node_works() {
    Cluster cluster = make_node("node-1");
    std::atomic<int> calls{0}, messages{0}, told{0};
    OK(cluster.set_log([&](const clusterkit::LogRecord &) { messages++; }));
    OK(cluster.on_become_leader([&](const clusterkit::Leadership &, const clusterkit::Event &event) {
        clusterkit::Completion completion = OK(event.defer());
        completion.succeed();
        calls++;
    }));
    OK(cluster.on(clusterkit::EventMask::all(),
                  [](const clusterkit::Event &) { return clusterkit::HookResult::failure("no exception is needed"); }));
    const clusterkit::Events events = OK(cluster.open_events(clusterkit::EventMask::all()));
    OK(cluster.async().start().future().get());
    UNTIL(calls == 1 && messages > 0);
    OK(OK(events.next(TIMEOUT))->ack());
    cluster.async().set_custom_data("k", "v", TIMEOUT).then([&](const clusterkit::Result<std::uint64_t> &outcome) {
        CHECK(outcome);
        told++;
    });
    UNTIL(told == 1);
    CHECK(OK(cluster.custom_data("k")).str() == "v");
    FAILS(ErrorCode::NotFound, cluster.custom_data("l"));
    const clusterkit::View view = spread(cluster, 1);
    CHECK(OK(view.route("k")).primary()->id() == "node-1");
    OK(cluster.stop(TIMEOUT));
}

int main() {
    value_aborts();
    a_node_works();
    return 0;
}
