// Every call of the library from a thread with a small stack: argv[1] KiB.
#include "check.h"

#include <pthread.h>

static int32_t on_event(const ck_event_t *event, void *user_data) {
    (void)event, (void)user_data;
    return 0;
}

static void on_log(const ck_log_record_t *record, void *user_data) {
    (void)record, (void)user_data;
}

static void *every_call(void *unused) {
    ck_cluster_t *clusters[2];
    char address[CK_ADDRESS_SIZE];
    for (int i = 0; i < 2; i++) {
        clusters[i] = make_joiner(i == 0 ? "node-1" : "node-2", i == 0 ? NULL : address);
        uint64_t id;
        OK(ck_hook_add(clusters[i], CK_EVENT_ALL, on_event, NULL, NULL, &id));
        OK(ck_cluster_set_log(clusters[i], on_log, NULL, NULL));
        OK(ck_cluster_start(clusters[i]));
        OK(ck_cluster_http_addr(clusters[i], address, sizeof address));
        OK(ck_hook_remove(clusters[i], id, TIMEOUT_MS));
    }
    ck_cluster_t *founder = clusters[0], *joiner = clusters[1];
    ck_leader_info_t *leader = NULL;
    OK(ck_wait_for_leader(joiner, TIMEOUT_MS, &leader));
    ck_leader_info_free(leader);
    uint64_t revision;
    // Forwarded, and not; in one piece, and in several.
    static char large[256 * 1024];
    memset(large, 'x', sizeof large);
    for (int i = 0; i < 2; i++) {
        OK(ck_custom_data_set(clusters[i], "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, &revision));
        OK(ck_custom_data_set(clusters[i], "l", 1, large, sizeof large, CK_EXPECT_ANY, TIMEOUT_MS, &revision));
        OK(ck_wait_for_revision(founder, revision, TIMEOUT_MS));
        OK(ck_wait_for_revision(joiner, revision, TIMEOUT_MS));
        ck_data_t *data = NULL;
        OK(ck_custom_data_get(clusters[i], "k", 1, &data));
        ck_data_free(data);
        OK(ck_custom_data_delete(clusters[i], "k", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL, &revision));
        FAILS(CK_ERROR_TIMEOUT, ck_wait_for_revision(clusters[i], UINT64_MAX, 1));
    }
    UNTIL(ck_is_primary_for_key(founder, "user", 4) || ck_is_primary_for_key(joiner, "user", 4));
    ck_key_route_t route;
    OK(ck_lookup_key(founder, "user", 4, NULL, &route, sizeof route));
    ck_view_t *view = NULL;
    OK(ck_view_acquire(joiner, &view));
    CHECK(ck_view_node_count(view) == 2 && ck_view_node(view, 0) != NULL);
    ck_view_release(view);
    OK(ck_cluster_stop(joiner, TIMEOUT_MS));
    ck_cluster_free(joiner);
    ck_cluster_free(founder);
    return unused;
}

int main(int argc, char **argv) {
    size_t kib = argc > 1 ? (size_t)atoi(argv[1]) : 64;
    pthread_attr_t small;
    CHECK(pthread_attr_init(&small) == 0);
    CHECK(pthread_attr_setstacksize(&small, kib * 1024) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, &small, every_call, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
