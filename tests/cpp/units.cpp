// One of two units of a program that are not alike: see units_other.cpp. Nothing is defined twice, and both see the
// same classes.
#include "check.hpp"

#include <stdexcept>

clusterkit::Result<clusterkit::View> other_view(const clusterkit::Cluster &cluster);
void other_throws(const clusterkit::Cluster &cluster);
clusterkit::Result<clusterkit::HookId> other_hook(const clusterkit::Cluster &cluster, int &calls);

int main() {
    clusterkit::Cluster cluster = make_node("node-1");
    const clusterkit::View view = OK(other_view(cluster));
    CHECK(view.nodes().empty());
    int calls = 0;
    const clusterkit::HookId id = OK(other_hook(cluster, calls));
    OK(cluster.remove_hook(id, TIMEOUT));
    CHECK(calls == 0);
    // What is thrown there is caught here.
    try {
        other_throws(cluster);
        CHECK(false);
    } catch (const clusterkit::Exception &exception) {
        CHECK(exception.code() == clusterkit::ErrorCode::NotStarted);
    }
    return 0;
}
