// What a cluster of three tells of itself, and how long what it tells lives.
#include "check.h"

static ck_cluster_t *clusters[3];

static bool is_settled(const ck_view_t *view) {
    bool settled = ck_view_node_count(view) == 3 && ck_view_partition_count(view) == 8;
    for (uint32_t partition = 0; settled && partition < 8; partition++) {
        settled = ck_view_partition_state(view, partition) == CK_PARTITION_OK;
    }
    return settled;
}

static bool all_settled(void) {
    bool settled = true;
    for (int i = 0; i < 3; i++) {
        ck_view_t *view = NULL;
        OK(ck_view_acquire(clusters[i], &view));
        settled = settled && is_settled(view);
        ck_view_release(view);
    }
    return settled;
}

static void start_three(void) {
    char address[CK_ADDRESS_SIZE];
    for (int i = 0; i < 3; i++) {
        char id[32];
        snprintf(id, sizeof id, "node-%d", i + 1);
        clusters[i] = make_joiner(id, i == 0 ? NULL : address);
        OK(ck_cluster_start(clusters[i]));
        OK(ck_cluster_http_addr(clusters[0], address, sizeof address));
    }
    UNTIL(all_settled());
}

static void status_of_a_node(void) {
    ck_leader_info_t *leader = NULL;
    OK(ck_wait_for_leader(clusters[1], TIMEOUT_MS, &leader));
    CHECK(strncmp(leader->leader_id, "node-", 5) == 0 && strncmp(leader->leader_name, "Server-", 7) == 0);
    CHECK(leader->epoch > 0 && leader->term > 0 && leader->elected_at_ms > 0 && strlen(leader->leader_ip) > 0);
    ck_leader_info_free(leader);
    UNTIL((OK(ck_leader(clusters[2], &leader)), leader != NULL));
    ck_leader_info_free(leader);

    ck_consensus_stats_t *stats = NULL;
    OK(ck_consensus_stats(clusters[0], &stats));
    CHECK(stats->num_peers == 2 && stats->applied_index > 0 && strlen(stats->state) > 0);
    ck_consensus_stats_free(stats);

    ck_metrics_t *metrics = NULL;
    OK(ck_metrics(clusters[0], &metrics));
    CHECK(metrics->node_count == 3 && metrics->partition_count == 8);
    ck_metrics_free(metrics);

    ck_health_status_t *health = NULL;
    OK(ck_health_check(clusters[1], &health));
    CHECK(strcmp(health->node_id, "node-2") == 0 && strcmp(health->node_name, "Server-2") == 0);
    ck_health_status_free(health);

    ck_node_health_t *member = NULL;
    OK(ck_node_health(clusters[0], "node-3", 6, &member));
    CHECK(strcmp(member->node_id, "node-3") == 0);
    ck_node_health_free(member);
    FAILS(CK_ERROR_NOT_FOUND, ck_node_health(clusters[0], "node-9", 6, &member));
    CHECK(member == NULL);

    ck_text_t *text = NULL;
    UNTIL((OK(ck_waiting_for(clusters[2], &text)), text == NULL || (ck_text_free(text), false)));
    OK(ck_cluster_json(clusters[0], &text));
    size_t len = 0;
    const char *json = ck_text_data(text, &len);
    CHECK(json[0] == '{' && strlen(json) == len && strstr(json, "\"partition-7\"") != NULL);
    ck_text_free(text);

    OK(ck_report_health(clusters[2], CK_HEALTH_DEGRADED, "disk is slow", 12));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_report_health(clusters[2], CK_HEALTH_UNKNOWN, NULL, 0));
    ck_view_t *view = NULL;
    UNTIL((OK(ck_view_refresh(clusters[0], &view)), ck_view_find_node(view, "node-3", 6)->health == CK_HEALTH_DEGRADED));
    CHECK(strcmp(ck_view_find_node(view, "node-3", 6)->health_reason, "disk is slow") == 0);
    ck_view_release(view);
}

static int32_t nothing(const ck_event_t *event, void *user_data) {
    (void)event, (void)user_data;
    return 0;
}

static void statistics_of_hooks(void) {
    uint64_t id = 0;
    OK(ck_hook_add(clusters[0], CK_EVENT_NODE_JOIN | CK_EVENT_NODE_LEAVE, nothing, NULL, NULL, &id));
    OK(ck_observer_add(clusters[0], nothing, NULL, NULL, NULL));
    ck_hook_stats_list_t *stats = NULL;
    OK(ck_hook_stats(clusters[0], &stats));
    CHECK(ck_hook_stats_count(stats) == 2 && ck_hook_stats_get(stats, 2) == NULL);
    const ck_hook_stats_t *first = ck_hook_stats_get(stats, 0);
    CHECK(first->hook == id && first->events == (CK_EVENT_NODE_JOIN | CK_EVENT_NODE_LEAVE) && first->failures == 0);
    CHECK(ck_hook_stats_get(stats, 1)->events == CK_EVENT_ALL);
    ck_hook_stats_free(stats);
    CHECK(ck_hook_stats_count(NULL) == 0 && ck_hook_stats_get(NULL, 0) == NULL);
    OK(ck_hook_remove(clusters[0], id, TIMEOUT_MS));
}

static void lookups_agree(void) {
    ck_view_t *view = NULL, *kept = NULL;
    OK(ck_view_refresh(clusters[0], &view));
    kept = ck_view_ref(view);
    ck_view_t *before = view;
    OK(ck_view_refresh(clusters[0], &view));
    if (ck_view_revision(view) == ck_view_revision(kept)) {
        CHECK(view == before);
    }
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_view_refresh(clusters[0], NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_view_refresh(NULL, &view));
    CHECK(ck_view_node_count(kept) == 3);
    ck_view_release(kept);

    ck_bytes_t keys[100];
    char texts[100][16];
    uint32_t partitions[100];
    for (int i = 0; i < 100; i++) {
        int len = snprintf(texts[i], sizeof texts[i], "key-%d", i);
        keys[i] = (ck_bytes_t){.data = texts[i], .len = (size_t)len};
    }
    OK(ck_view_route_many(view, keys, 100, partitions));
    for (int i = 0; i < 100; i++) {
        ck_key_route_t route, by_view;
        OK(ck_lookup_key(clusters[0], keys[i].data, keys[i].len, &view, &route, sizeof route));
        OK(ck_view_route_key(view, keys[i].data, keys[i].len, &by_view, sizeof by_view));
        CHECK(route.partition == partitions[i] && route.partition == by_view.partition);
        CHECK(route.primary == by_view.primary && route.epoch == by_view.epoch);
        CHECK(ck_partition_for_key(clusters[0], keys[i].data, keys[i].len) == partitions[i]);
        CHECK(ck_partition_for(keys[i].data, keys[i].len, 8) == partitions[i]);
        const ck_node_t *nodes[3];
        size_t count = ck_view_nodes_for_key(view, keys[i].data, keys[i].len, nodes, 3);
        CHECK(count == route.replica_count + (route.primary != NULL));
        if (route.primary != NULL) {
            CHECK(nodes[0] == route.primary && strlen(route.primary->ip) > 0);
            CHECK(ck_view_primary_for_key(view, keys[i].data, keys[i].len) == route.primary);
        }
    }
    // At most one node takes the writes of a partition, and it has the epoch to fence with.
    for (uint32_t partition = 0; partition < 8; partition++) {
        int primaries = 0;
        for (int i = 0; i < 3; i++) {
            uint64_t epoch = 0;
            ck_error_t *error = ck_primary_epoch(clusters[i], partition, &epoch);
            primaries += error == NULL;
            CHECK((error == NULL) == (epoch > 0));
            ck_error_free(error);
        }
        CHECK(primaries <= 1);
    }
    FAILS(CK_ERROR_NOT_FOUND, ck_primary_epoch(clusters[0], 8, &(uint64_t){0}));
    ck_view_release(view);
}

static void keys_of_the_store(void) {
    uint64_t revision = 0;
    static const char *const names[] = {"a/1", "a/2", "a/3", "b/1"};
    for (int i = 0; i < 4; i++) {
        OK(ck_custom_data_set(clusters[i % 3], names[i], 3, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, &revision));
    }
    uint64_t barrier = 0;
    OK(ck_read_barrier(clusters[2], TIMEOUT_MS, &barrier));
    CHECK(barrier >= revision);
    ck_strings_t *keys = NULL;
    OK(ck_custom_data_keys(clusters[2], "a/", 2, "a/1", 3, 10, &keys));
    CHECK(ck_strings_count(keys) == 2 && strcmp(ck_strings_get(keys, 0, NULL), "a/2") == 0);
    ck_strings_free(keys);
    OK(ck_custom_data_keys(clusters[2], NULL, 0, NULL, 0, 3, &keys));
    CHECK(ck_strings_count(keys) == 3);
    ck_strings_free(keys);
}

static void operators_move_things(void) {
    uint64_t revision = 0;
    size_t count = 0;
    OK(ck_maintenance(clusters[0], "upgrade", 7, TIMEOUT_MS, &revision));
    OK(ck_wait_for_revision(clusters[1], revision, TIMEOUT_MS));
    ck_view_t *view = NULL;
    OK(ck_view_refresh(clusters[1], &view));
    bool automatic = true;
    CHECK(ck_view_maintenance(view, &automatic) && !automatic);
    ck_rebalance_status_t *status = NULL;
    OK(ck_rebalance_status(clusters[1], TIMEOUT_MS, &status));
    CHECK(status->from_leader && strcmp(status->maintenance, "upgrade") == 0);
    CHECK(status->migration_count <= status->migrations_total && status->away_count == 0);
    ck_rebalance_status_free(status);
    OK(ck_maintenance(clusters[2], NULL, 0, TIMEOUT_MS, NULL));
    OK(ck_create_partitions(clusters[1], TIMEOUT_MS, &revision, &count));
    CHECK(count == 8);
    OK(ck_rebalance(clusters[1], TIMEOUT_MS, &revision, &count));

    char leader[CK_NODE_ID_SIZE];
    EVENTUALLY(ck_promote(clusters[0], "node-2", 6, leader, sizeof leader));
    CHECK(strcmp(leader, "node-2") == 0);
    FAILS(CK_ERROR_NOT_FOUND, ck_promote(clusters[0], "node-9", 6, leader, sizeof leader));
    CHECK(leader[0] == '\0');
    EVENTUALLY(ck_step_down(clusters[0], leader, sizeof leader));
    CHECK(strncmp(leader, "node-", 5) == 0);
    EVENTUALLY(ck_demote(clusters[1], 1000, NULL, 0));

    FAILS(CK_ERROR_NOT_FOUND, ck_remove_node(clusters[0], "node-9", 6, true, TIMEOUT_MS, NULL));
    FAILS(CK_ERROR_NOT_FOUND, ck_recover_partition(clusters[0], 0, "node-9", 6, false, TIMEOUT_MS, NULL));

    EVENTUALLY(ck_cluster_leave(clusters[2], TIMEOUT_MS));
    ck_cluster_free(clusters[2]);
    UNTIL((OK(ck_view_refresh(clusters[0], &view)), ck_view_node_count(view) == 2));
    ck_cluster_free(clusters[1]);
    ck_view_release(view);
    ck_cluster_free(clusters[0]);
}

static void options_tell_of_themselves(void) {
    CHECK(ck_option_count() > 20);
    ck_options_t *options = NULL;
    OK(ck_options_new(&options));
    set(options, "node_id", "node-1");
    set(options, "http_addr", "127.0.0.1:0");
    OK(ck_options_validate(options));
    for (size_t i = 0; i < ck_option_count(); i++) {
        ck_text_t *value = NULL;
        OK(ck_options_get(options, ck_option_name(i), strlen(ck_option_name(i)), &value));
        ck_text_free(value);
    }
    ck_text_t *effective = NULL;
    OK(ck_options_effective(options, &effective));
    CHECK(strstr(ck_text_data(effective, NULL), "\"node_name\":\"Server-1\"") != NULL);
    ck_text_free(effective);
    FAILS(CK_ERROR_IO, ck_options_load_file(options, "/nonexistent", 12));
    CHECK(setenv("CLUSTERKIT_ZONE", "eu-1", 1) == 0);
    OK(ck_options_load_env(options));
    OK(ck_options_get(options, "zone", 4, &effective));
    CHECK(strcmp(ck_text_data(effective, NULL), "eu-1") == 0);
    ck_text_free(effective);
    ck_options_free(options);
    uint64_t millis = 0;
    OK(ck_parse_duration("1m30s", 5, &millis));
    CHECK(millis == 90000);
    CHECK(ck_version_number() == CK_VERSION && strcmp(ck_error_code_name(CK_ERROR_TIMEOUT), "TIMEOUT") == 0);
}

int main(void) {
    options_tell_of_themselves();
    start_three();
    status_of_a_node();
    statistics_of_hooks();
    lookups_agree();
    keys_of_the_store();
    operators_move_things();
    return 0;
}
