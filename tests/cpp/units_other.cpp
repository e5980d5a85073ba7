// The other unit of units.cpp, with what other people's headers do to names: macros of windows.h, Qt, Apple and sys/sysmacros.h,
// and both namespaces opened before the header comes. The standard's headers are not asked to bear that.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>
#if __cplusplus >= 202002L
#include <coroutine>
#include <ranges>
#endif
#if __cplusplus > 202002L
#include <expected>
#endif

#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define near
#define far
#define small char
#define interface struct
#define IN
#define OUT
#define OPTIONAL
#define ERROR 0
#define DELETE 0x00010000L
#define TRUE 1
#define FALSE 0
#define signals public
#define slots
#define emit
#define foreach for
#define check(condition)
#define require(condition, label)
#define verify(condition)
#define major(device) 0
#define minor(device) 0

namespace std {}
namespace clusterkit {}
using namespace std;
using namespace clusterkit;

#include <clusterkit.hpp>
#include <clusterkit.hpp>

// Names that both have, or seem to, mean what they should.
static Result<View> of_this_unit(const Cluster &cluster, const Options &options) {
    const Error error(ErrorCode::Busy, options.get("node_id").value().str());
    const string text = to_string(error) + to_string(1) + string(to_string(Role::Primary)) + string(version());
    const Text json;
    if (text.empty() || !json.view().empty()) {
        return error;
    }
    return cluster.view();
}

clusterkit::Result<clusterkit::View> other_view(const clusterkit::Cluster &cluster);
void other_throws(const clusterkit::Cluster &cluster);
clusterkit::Result<clusterkit::HookId> other_hook(const clusterkit::Cluster &cluster, int &calls);

clusterkit::Result<clusterkit::View> other_view(const clusterkit::Cluster &cluster) {
    const clusterkit::Options options = Options::create({{"node_id", "node-1"}, {"http_addr", "127.0.0.1:0"}}).value();
    return of_this_unit(cluster, options);
}

void other_throws(const clusterkit::Cluster &cluster) {
    cluster.wait_for_revision(1, std::chrono::milliseconds(max(1, 2))).value();
}

clusterkit::Result<clusterkit::HookId> other_hook(const clusterkit::Cluster &cluster, int &calls) {
    return cluster.on_node_join([&calls](const clusterkit::NodeJoin &) { calls = min(calls + 1, 5); });
}
