// A library in which every call that reaches the core panics while that is switched on: an error says so, and
// afterwards everything is as before.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

// Of the library that is built for this test.
void ck_grown_panic(bool on);

static atomic_int told, calls, destroyed, logged;

static void done(const ck_result_t *result, void *code) {
    CHECK(ck_error_code(result->error) == *(int32_t *)code);
    atomic_fetch_add(&told, 1);
}

static int32_t on_event(const ck_event_t *event, void *cluster) {
    // It calls the library itself, which may panic under it.
    ck_view_t *view = NULL;
    ck_error_t *error = ck_view_acquire(cluster, &view);
    CHECK(error == NULL || ck_error_code(error) == CK_ERROR_INTERNAL);
    ck_error_free(error);
    ck_view_release(view);
    atomic_fetch_add(&calls, 1);
    return event->revision > 0 ? 0 : 1;
}

static void on_log(const ck_log_record_t *record, void *cluster) {
    (void)cluster;
    if (record->level == CK_LOG_ERROR && strstr(record->message, "panic") && strstr(record->message, "injected")) {
        atomic_fetch_add(&logged, 1);
    }
}

static void on_destroy(void *user_data) {
    (void)user_data;
    atomic_fetch_add(&destroyed, 1);
}

static void every_kind_of_call(ck_cluster_t *cluster, ck_view_t *view) {
    // Calls that wait, and those that do not.
    FAILS(CK_ERROR_INTERNAL, ck_cluster_start(cluster));
    FAILS(CK_ERROR_INTERNAL, ck_cluster_stop(cluster, TIMEOUT_MS));
    FAILS(CK_ERROR_INTERNAL, ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
    FAILS(CK_ERROR_INTERNAL, ck_wait_for_revision(cluster, 1, TIMEOUT_MS));
    uint64_t number = 77;
    FAILS(CK_ERROR_INTERNAL, ck_read_barrier(cluster, TIMEOUT_MS, &number));
    CHECK(number == 0);
    FAILS(CK_ERROR_INTERNAL, ck_primary_epoch(cluster, 0, &number));
    // What gives a pointer gives NULL.
    ck_data_t *data = (ck_data_t *)&number;
    FAILS(CK_ERROR_INTERNAL, ck_custom_data_get(cluster, "k", 1, &data));
    CHECK(data == NULL);
    ck_metrics_t *metrics = (ck_metrics_t *)&number;
    FAILS(CK_ERROR_INTERNAL, ck_metrics(cluster, &metrics));
    CHECK(metrics == NULL);
    ck_text_t *text = (ck_text_t *)&number;
    FAILS(CK_ERROR_INTERNAL, ck_cluster_json(cluster, &text));
    CHECK(text == NULL);
    uint64_t id = 77;
    FAILS(CK_ERROR_INTERNAL, ck_hook_add(cluster, CK_EVENT_ALL, on_event, cluster, on_destroy, &id));
    CHECK(id == 0);
    FAILS(CK_ERROR_INTERNAL, ck_observer_add(cluster, on_event, cluster, on_destroy, &id));
    FAILS(CK_ERROR_INTERNAL, ck_cluster_set_log(cluster, on_log, cluster, on_destroy));
    // What a call has not taken is its caller's.
    CHECK(atomic_load(&destroyed) == 0);
    // What has no error to give says the safe thing: not primary, no leader, no partition.
    CHECK(!ck_is_primary(cluster, 0) && !ck_is_leader(cluster) && !ck_is_leased(cluster));
    CHECK(ck_role(cluster, 0) == CK_ROLE_NONE && ck_partition_for_key(cluster, "k", 1) == CK_NO_PARTITION);
    // A view asks no node.
    CHECK(ck_view_node_count(view) == 1 && ck_view_partition_for_key(view, "k", 1) != CK_NO_PARTITION);

    // A call that did begin, and panics where it runs, tells its outcome all the same.
    int32_t internal = CK_ERROR_INTERNAL;
    for (int i = 1; i <= 10; i++) {
        OK(ck_custom_data_set_async(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, done, &internal));
        UNTIL(atomic_load(&told) == i);
    }
}

static void at_the_end_of_a_thread(void *cluster) {
    FAILS(CK_ERROR_INTERNAL, ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
}

static void *run(void *cluster) {
    static pthread_key_t key;
    CHECK(pthread_key_create(&key, at_the_end_of_a_thread) == 0);
    pthread_setspecific(key, cluster);
    FAILS(CK_ERROR_INTERNAL, ck_wait_for_revision(cluster, 1, TIMEOUT_MS));
    return NULL;
}

// Where Rust's own data of the thread has ended: what a panic says must not panic, which would end the process.
static void in_a_thread_that_ends(ck_cluster_t *cluster) {
    int before = atomic_load(&logged);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, cluster) == 0);
    pthread_join(thread, NULL);
    UNTIL(atomic_load(&logged) >= before + 2);
}

int main(void) {
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_hook_add(cluster, CK_EVENT_ALL, on_event, cluster, on_destroy, NULL));
    OK(ck_cluster_set_log(cluster, on_log, NULL, NULL));
    OK(ck_cluster_start(cluster));
    ck_view_t *view = NULL;
    UNTIL((OK(ck_view_refresh(cluster, &view)), ck_view_partition_count(view)) > 0);
    UNTIL(ck_is_primary(cluster, 0));

    ck_grown_panic(true);
    every_kind_of_call(cluster, view);
    in_a_thread_that_ends(cluster);
    ck_grown_panic(false);
    UNTIL(atomic_load(&logged) > 0);

    // The node has gone on, and answers again.
    UNTIL(ck_is_primary(cluster, 0));
    uint64_t revision = 0;
    OK(ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, &revision));
    int before = atomic_load(&calls);
    ck_cluster_t *other = NULL;
    char address[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(cluster, address, sizeof address));
    other = make_joiner("node-2", address);
    OK(ck_cluster_start(other));
    UNTIL(atomic_load(&calls) > before);
    ck_cluster_free(other);
    CHECK(atomic_load(&destroyed) == 0);
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    CHECK(atomic_load(&destroyed) == 1);

    // Even the end of a node may panic: the process lives.
    ck_grown_panic(true);
    ck_cluster_free(cluster);
    ck_grown_panic(false);
    ck_view_release(view);
    return 0;
}
