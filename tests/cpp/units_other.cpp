// The other unit of units.cpp. On some systems min and max are macros; the standard's headers undefine them where they
// can.
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

#include <clusterkit.hpp>
#include <clusterkit.hpp>

clusterkit::Result<clusterkit::View> other_view(const clusterkit::Cluster &cluster);
void other_throws(const clusterkit::Cluster &cluster);
clusterkit::Result<clusterkit::HookId> other_hook(const clusterkit::Cluster &cluster, int &calls);

clusterkit::Result<clusterkit::View> other_view(const clusterkit::Cluster &cluster) {
    return cluster.view();
}

void other_throws(const clusterkit::Cluster &cluster) {
    cluster.wait_for_revision(1, std::chrono::milliseconds(max(1, 2))).value();
}

clusterkit::Result<clusterkit::HookId> other_hook(const clusterkit::Cluster &cluster, int &calls) {
    return cluster.on_node_join([&calls](const clusterkit::NodeJoin &) { calls = min(calls + 1, 5); });
}
