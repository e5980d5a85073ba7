// Every pointer may be NULL, lengths may lie within reason, text may be no UTF-8: an error, never a crash.
#include "check.h"

static int32_t ignore(const ck_event_t *event, void *user_data) {
    (void)event;
    (void)user_data;
    return 0;
}

static void never(void *user_data) {
    (void)user_data;
    CHECK(!"destroy ran although the registration failed");
}

static void null_handles(void) {
    char buffer[CK_ADDRESS_SIZE];
    ck_key_route_t route;
    ck_cluster_t *cluster = (ck_cluster_t *)buffer;
    ck_view_t *view = (ck_view_t *)buffer;
    ck_data_t *data = (ck_data_t *)buffer;
    uint64_t number = 7;

    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_new(NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_set(NULL, "a", 1, "b", 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_load_json(NULL, "{}", 2));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_new(NULL, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_new(NULL, &cluster));
    CHECK(cluster == NULL);
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_start(NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_stop(NULL, 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_http_addr(NULL, buffer, sizeof buffer));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_set_log(NULL, NULL, NULL, never));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_wait_for_leader(NULL, 1, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_wait_for_revision(NULL, 1, 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_lookup_key(NULL, "k", 1, NULL, &route, sizeof route));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_leader_epoch(NULL, &number));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_hook_add(NULL, CK_EVENT_ALL, ignore, NULL, never, &number));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_hook_remove(NULL, 1, 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_custom_data_set(NULL, "k", 1, "v", 1, CK_EXPECT_ANY, 1, &number));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_custom_data_get(NULL, "k", 1, &data));
    CHECK(data == NULL);
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_custom_data_delete(NULL, "k", 1, CK_EXPECT_ANY, 1, NULL, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_view_acquire(NULL, &view));
    CHECK(view == NULL);
    CHECK(number == 0 && route.revision == 0 && route.primary == NULL);

    CHECK(!ck_is_primary(NULL, 0) && !ck_is_primary_for_key(NULL, "k", 1) && !ck_is_leader(NULL));
    CHECK(ck_view_revision(NULL) == 0 && ck_view_node_count(NULL) == 0 && ck_view_partition_count(NULL) == 0);
    CHECK(ck_view_node(NULL, 0) == NULL && ck_view_find_node(NULL, "n", 1) == NULL);
    CHECK(ck_view_my_node(NULL) == NULL && ck_view_leader(NULL) == NULL);
    CHECK(ck_view_partition_for_key(NULL, "k", 1) == CK_NO_PARTITION);
    CHECK(ck_view_epoch(NULL, 0) == 0 && ck_view_role(NULL, 0) == CK_ROLE_NONE);
    CHECK(ck_view_primary(NULL, 0) == NULL && ck_view_replica(NULL, 0, 0) == NULL);
    CHECK(ck_view_replica_count(NULL, 0) == 0);
    size_t len = 7;
    CHECK(ck_data_value(NULL, &len) == NULL && len == 0 && ck_data_value(NULL, NULL) == NULL);
    CHECK(ck_data_revision(NULL) == 0);
    CHECK(ck_error_code(NULL) == CK_OK && ck_error_name(NULL) == NULL && ck_error_message(NULL) == NULL);
    CHECK(!ck_error_is_retriable(NULL));
    ck_options_free(NULL);
    ck_cluster_free(NULL);
    ck_view_release(NULL);
    ck_data_free(NULL);
    ck_error_free(NULL);
}

static void bad_options(void) {
    ck_options_t *options = NULL;
    OK(ck_options_new(&options));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_set(options, NULL, 3, "v", 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_set(options, "node_id", 7, NULL, 3));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_set(options, "node_\xff", 6, "v", 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_set(options, "node_id", 7, "\xc3\x28", 2));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_set(options, "node_id", (size_t)-1, "v", 1));
    FAILS(CK_ERROR_INVALID_OPTION, ck_options_set(options, "nodeid_", 7, "v", 1));
    FAILS(CK_ERROR_INVALID_OPTION, ck_options_set(options, NULL, 0, NULL, 0));
    FAILS(CK_ERROR_INVALID_OPTION, ck_options_set(options, "partition_count", 15, "0", 1));
    FAILS(CK_ERROR_INVALID_OPTION, ck_options_load_json(options, "{", 1));
    FAILS(CK_ERROR_INVALID_OPTION, ck_options_load_json(options, NULL, 0));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_options_load_json(options, "\"\xff\"", 3));
    // What may be unset is unset by an empty value, which may be NULL.
    OK(ck_options_set(options, "zone", 4, NULL, 0));
    // node_id and http_addr are missing.
    ck_cluster_t *cluster = NULL;
    FAILS(CK_ERROR_INVALID_OPTION, ck_cluster_new(options, &cluster));
    CHECK(cluster == NULL);
    const char *json = "{\"node_id\": \"node-1\", \"http_addr\": \"127.0.0.1:0\", \"data_dir\": \"\"}";
    OK(ck_options_load_json(options, json, strlen(json)));
    OK(ck_cluster_new(options, &cluster));
    ck_cluster_free(cluster);
    ck_options_free(options);
}

static void before_start(void) {
    ck_cluster_t *cluster = make_node("node-1");
    char buffer[CK_ADDRESS_SIZE];
    ck_key_route_t route;
    uint64_t number = 7;
    FAILS(CK_ERROR_NOT_STARTED, ck_cluster_http_addr(cluster, buffer, sizeof buffer));
    FAILS(CK_ERROR_NOT_STARTED, ck_lookup_key(cluster, "k", 1, NULL, &route, sizeof route));
    ck_data_t *data = NULL;
    FAILS(CK_ERROR_NOT_STARTED, ck_custom_data_get(cluster, "k", 1, &data));
    FAILS(CK_ERROR_NOT_STARTED, ck_primary_epoch(cluster, 0, &number));
    FAILS(CK_ERROR_NOT_STARTED, ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, 1, NULL));
    FAILS(CK_ERROR_NOT_STARTED, ck_wait_for_revision(cluster, 1, 1));
    FAILS(CK_ERROR_NO_LEADER, ck_wait_for_leader(cluster, 1, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_hook_add(cluster, CK_EVENT_ALL, NULL, NULL, never, &number));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_hook_add(cluster, 0, ignore, NULL, never, &number));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_hook_add(cluster, 1u << 30, ignore, NULL, never, &number));
    FAILS(CK_ERROR_NOT_FOUND, ck_hook_remove(cluster, 12345, 1));
    CHECK(number == 0);
    OK(ck_hook_add(cluster, CK_EVENT_ALL, ignore, NULL, NULL, NULL));
    CHECK(!ck_is_primary(cluster, 0) && !ck_is_leader(cluster));
    ck_cluster_free(cluster);
}

static void while_it_runs(void) {
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_cluster_start(cluster));
    FAILS(CK_ERROR_ALREADY_STARTED, ck_cluster_start(cluster));
    char buffer[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(cluster, buffer, sizeof buffer));
    CHECK(strncmp(buffer, "127.0.0.1:", 10) == 0);
    size_t exact = strlen(buffer) + 1;
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_http_addr(cluster, NULL, sizeof buffer));
    FAILS(CK_ERROR_TOO_LARGE, ck_cluster_http_addr(cluster, buffer, 0));
    FAILS(CK_ERROR_TOO_LARGE, ck_cluster_http_addr(cluster, buffer, exact - 1));
    OK(ck_cluster_http_addr(cluster, buffer, exact));

    ck_key_route_t route;
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_lookup_key(cluster, "k", 1, NULL, NULL, 0));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_lookup_key(cluster, NULL, 1, NULL, &route, sizeof route));
    // The empty key is a key, and keys are any bytes.
    OK(ck_lookup_key(cluster, NULL, 0, NULL, &route, sizeof route));
    OK(ck_lookup_key(cluster, "\xff\x00\xfe", 3, NULL, &route, sizeof route));
    CHECK(route.partition < 8 && route.revision > 0);
    UNTIL(ck_is_primary_for_key(cluster, "user:1", 6));
    ck_view_t *seen = NULL;
    OK(ck_lookup_key(cluster, "user:1", 6, &seen, &route, sizeof route));
    CHECK(route.role == CK_ROLE_PRIMARY && strcmp(route.primary->id, "node-1") == 0);
    CHECK(ck_view_revision(seen) == route.revision && ck_view_node(seen, route.primary_index) == route.primary);
    ck_view_release(seen);
    CHECK(route.epoch > 0 && route.replica_count == 0 && ck_is_primary(cluster, route.partition));
    CHECK(!ck_is_primary(cluster, 8) && !ck_is_primary(cluster, CK_NO_PARTITION));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_leader_epoch(cluster, NULL));
    uint64_t epoch = 0;
    OK(ck_leader_epoch(cluster, &epoch));
    CHECK(epoch > 0);

    uint64_t first = 0;
    OK(ck_custom_data_set(cluster, "k", 1, NULL, 0, CK_EXPECT_ABSENT, TIMEOUT_MS, &first));
    FAILS(CK_ERROR_CONFLICT, ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ABSENT, TIMEOUT_MS, NULL));
    OK(ck_custom_data_set(cluster, "k", 1, "v\0w", 3, first, TIMEOUT_MS, NULL));
    FAILS(CK_ERROR_CONFLICT, ck_custom_data_set(cluster, "k", 1, "v", 1, first, TIMEOUT_MS, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_custom_data_set(cluster, NULL, 0, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_custom_data_set(cluster, "\xff", 1, "v", 1, CK_EXPECT_ANY, 1, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_custom_data_set(cluster, "k", 1, NULL, 1, CK_EXPECT_ANY, 1, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_custom_data_get(cluster, "k", 1, NULL));
    ck_data_t *data = NULL;
    FAILS(CK_ERROR_NOT_FOUND, ck_custom_data_get(cluster, "other", 5, &data));
    OK(ck_custom_data_get(cluster, "k", 1, &data));
    size_t len = 0;
    CHECK(memcmp(ck_data_value(data, &len), "v\0w", 3) == 0 && len == 3);
    CHECK(ck_data_revision(data) > first);
    ck_data_free(data);
    bool existed = false;
    OK(ck_custom_data_delete(cluster, "k", 1, CK_EXPECT_ANY, TIMEOUT_MS, &existed, NULL));
    CHECK(existed);
    OK(ck_custom_data_delete(cluster, "k", 1, CK_EXPECT_ANY, TIMEOUT_MS, &existed, NULL));
    CHECK(!existed);

    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_view_acquire(cluster, NULL));
    ck_view_t *view = NULL;
    OK(ck_view_acquire(cluster, &view));
    // The view outlives stop and free.
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    FAILS(CK_ERROR_STOPPED, ck_cluster_start(cluster));
    FAILS(CK_ERROR_STOPPED, ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, 1, NULL));
    FAILS(CK_ERROR_STOPPED, ck_hook_add(cluster, CK_EVENT_ALL, ignore, &view, never, NULL));
    CHECK(!ck_is_primary(cluster, route.partition) && !ck_is_leader(cluster));
    CHECK(ck_role(cluster, route.partition) == CK_ROLE_NONE && ck_role_for_key(cluster, "user:1", 6) == CK_ROLE_NONE);
    OK(ck_cluster_stop(cluster, 0));
    ck_cluster_free(cluster);

    CHECK(ck_view_node_count(view) == 1 && ck_view_partition_count(view) == 8);
    CHECK(ck_view_partition_for_key(view, "user:1", 6) == route.partition);
    const ck_node_t *node = ck_view_primary(view, route.partition);
    CHECK(node != NULL && strcmp(node->id, "node-1") == 0 && strcmp(node->ip, buffer) == 0);
    CHECK(node->status == CK_NODE_ACTIVE && node->health == CK_HEALTH_HEALTHY && node->zone == NULL);
    CHECK(node == ck_view_node(view, 0) && node == ck_view_my_node(view));
    CHECK(node == ck_view_find_node(view, "node-1", 6));
    CHECK(ck_view_find_node(view, "node-2", 6) == NULL && ck_view_find_node(view, "\xff", 1) == NULL);
    CHECK(ck_view_node(view, 1) == NULL && ck_view_primary(view, 8) == NULL);
    CHECK(ck_view_role(view, route.partition) == CK_ROLE_PRIMARY && ck_view_epoch(view, route.partition) > 0);
    CHECK(ck_view_replica_count(view, route.partition) == 0 && ck_view_replica(view, route.partition, 0) == NULL);
    ck_view_release(view);
}

int main(void) {
    null_handles();
    bad_options();
    before_start();
    while_it_runs();
    return 0;
}
