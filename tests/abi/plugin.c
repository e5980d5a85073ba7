// A plugin: a shared object of somebody's that has a node of its own, by whichever form of the library it is linked with.
#include "check.h"

#include <stdatomic.h>

static ck_cluster_t *node;
static atomic_int joins, destroyed;

static int32_t on_join(const ck_event_t *event, void *user_data) {
    CHECK(user_data == &joins && ck_event_node_join(event) != NULL);
    atomic_fetch_add(&joins, 1);
    return 0;
}

static void on_destroy(void *user_data) {
    CHECK(user_data == &joins);
    atomic_fetch_add(&destroyed, 1);
}

void plugin_start(const char *id, const char *join, char *address, size_t size);
void plugin_sees(size_t members);
void plugin_stop(void);

void plugin_start(const char *id, const char *join, char *address, size_t size) {
    atomic_store(&destroyed, 0);
    node = make_joiner(id, join);
    OK(ck_hook_add(node, CK_EVENT_NODE_JOIN, on_join, &joins, on_destroy, NULL));
    OK(ck_cluster_start(node));
    OK(ck_cluster_http_addr(node, address, size));
}

void plugin_sees(size_t members) {
    ck_view_t *view = NULL;
    UNTIL((OK(ck_view_refresh(node, &view)), ck_view_node_count(view)) == members);
    ck_view_release(view);
    UNTIL(atomic_load(&joins) > 0);
}

// Before the code of its hooks goes.
void plugin_stop(void) {
    OK(ck_cluster_stop(node, TIMEOUT_MS));
    ck_cluster_free(node);
    CHECK(atomic_load(&destroyed) == 1);
}
