// ClusterKit's static library, and another one in Rust, in one program: two standard libraries that do not know of each other.
#include "check.h"

#include <stdatomic.h>

uint32_t other_rust(uint32_t threads);
uint32_t other_rust_calls(void);

static atomic_int calls;

static int32_t on_event(const ck_event_t *event, void *user_data) {
    (void)user_data;
    CHECK(event->revision > 0 && other_rust(4) == 4);
    atomic_fetch_add(&calls, 1);
    return 0;
}

int main(void) {
    CHECK(other_rust(8) == 8);
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_hook_add(cluster, CK_EVENT_ALL, on_event, NULL, NULL, NULL));
    OK(ck_cluster_start(cluster));
    for (int i = 0; i < 10; i++) {
        OK(ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
        CHECK(other_rust(8) == 8);
    }
    UNTIL(atomic_load(&calls) > 2);
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    ck_cluster_free(cluster);
    CHECK(other_rust(8) == 8 && other_rust_calls() == 12);
    return 0;
}
