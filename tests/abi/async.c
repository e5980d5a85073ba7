// Calls that do not wait: each is told its outcome once, whatever becomes of the node.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

struct outcome {
    atomic_int told;
    int32_t code;
    uint64_t revision;
    size_t count;
    bool existed;
    char text[CK_NODE_ID_SIZE];
};

static void done(const ck_result_t *result, void *user_data) {
    struct outcome *outcome = user_data;
    outcome->code = ck_error_code(result->error);
    outcome->revision = result->revision;
    outcome->count = result->count;
    outcome->existed = result->existed;
    if (result->node_id != NULL) {
        snprintf(outcome->text, sizeof outcome->text, "%s", result->node_id);
    } else if (result->leader != NULL) {
        snprintf(outcome->text, sizeof outcome->text, "%s", result->leader->leader_id);
    } else if (result->rebalance_status != NULL) {
        snprintf(outcome->text, sizeof outcome->text, "%s", result->rebalance_status->answered_by);
    }
    CHECK(result->error == NULL || strlen(ck_error_message(result->error)) > 0);
    CHECK(atomic_fetch_add(&outcome->told, 1) == 0);
}

// The call begins, and has this outcome.
#define DONE(expected, call)                                                                   \
    do {                                                                                       \
        memset(&o, 0, sizeof o);                                                               \
        OK(call);                                                                              \
        UNTIL(atomic_load(&o.told) == 1);                                                      \
        if (o.code != (expected)) {                                                            \
            fprintf(stderr, "%s:%d: %s: code %d instead of %d\n", __FILE__, __LINE__, #call, o.code, (expected)); \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

static void every_call_has_its_outcome(void) {
    static struct outcome o;
    ck_cluster_t *cluster = make_node("node-1");
    DONE(CK_ERROR_NOT_STARTED, ck_custom_data_set_async(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, 1000, done, &o));
    DONE(CK_OK, ck_cluster_start_async(cluster, done, &o));
    DONE(CK_ERROR_ALREADY_STARTED, ck_cluster_start_async(cluster, done, &o));
    DONE(CK_OK, ck_wait_for_leader_async(cluster, TIMEOUT_MS, done, &o));
    CHECK(strcmp(o.text, "node-1") == 0);
    DONE(CK_OK, ck_create_partitions_async(cluster, TIMEOUT_MS, done, &o));
    CHECK(o.count == 8);
    DONE(CK_OK, ck_custom_data_set_async(cluster, "k", 1, "v", 1, CK_EXPECT_ABSENT, TIMEOUT_MS, done, &o));
    uint64_t revision = o.revision;
    CHECK(revision > 0);
    DONE(CK_ERROR_CONFLICT, ck_custom_data_set_async(cluster, "k", 1, "v", 1, CK_EXPECT_ABSENT, TIMEOUT_MS, done, &o));
    DONE(CK_OK, ck_wait_for_revision_async(cluster, revision, TIMEOUT_MS, done, &o));
    DONE(CK_ERROR_TIMEOUT, ck_wait_for_revision_async(cluster, UINT64_MAX, 1, done, &o));
    DONE(CK_OK, ck_read_barrier_async(cluster, TIMEOUT_MS, done, &o));
    CHECK(o.revision >= revision);
    DONE(CK_OK, ck_custom_data_delete_async(cluster, "k", 1, CK_EXPECT_ANY, TIMEOUT_MS, done, &o));
    CHECK(o.existed && o.revision > revision);
    DONE(CK_OK, ck_maintenance_async(cluster, "upgrade", 7, TIMEOUT_MS, done, &o));
    DONE(CK_OK, ck_maintenance_async(cluster, NULL, 0, TIMEOUT_MS, done, &o));
    DONE(CK_OK, ck_rebalance_async(cluster, TIMEOUT_MS, done, &o));
    DONE(CK_OK, ck_rebalance_status_async(cluster, TIMEOUT_MS, done, &o));
    CHECK(strcmp(o.text, "node-1") == 0);
    DONE(CK_ERROR_NOT_FOUND, ck_remove_node_async(cluster, "node-9", 6, false, TIMEOUT_MS, done, &o));
    DONE(CK_ERROR_NOT_FOUND, ck_recover_partition_async(cluster, 0, "node-9", 6, false, TIMEOUT_MS, done, &o));
    DONE(CK_ERROR_REFUSED, ck_step_down_async(cluster, done, &o));
    DONE(CK_ERROR_NOT_FOUND, ck_promote_async(cluster, "node-9", 6, done, &o));
    DONE(CK_ERROR_REFUSED, ck_demote_async(cluster, 1000, done, &o));
    DONE(CK_ERROR_REFUSED, ck_cluster_leave_async(cluster, TIMEOUT_MS, done, &o));
    DONE(CK_OK, ck_cluster_stop_async(cluster, done, &o));
    DONE(CK_ERROR_STOPPED, ck_read_barrier_async(cluster, TIMEOUT_MS, done, &o));

    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_start_async(NULL, done, &o));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_cluster_start_async(cluster, NULL, &o));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_promote_async(cluster, "\xff", 1, done, &o));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_custom_data_set_async(cluster, NULL, 1, "v", 1, CK_EXPECT_ANY, 1, done, &o));
    CHECK(atomic_load(&o.told) == 1);
    ck_cluster_free(cluster);
}

// Writes that are under way when the node is freed are all told, before the free returns.
static void a_free_leaves_nobody_waiting(void) {
    enum { WRITES = 200 };
    static struct outcome outcomes[WRITES];
    memset(outcomes, 0, sizeof outcomes);
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_cluster_start(cluster));
    for (int i = 0; i < WRITES; i++) {
        OK(ck_custom_data_set_async(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, done, &outcomes[i]));
    }
    ck_cluster_free(cluster);
    for (int i = 0; i < WRITES; i++) {
        CHECK(atomic_load(&outcomes[i].told) == 1);
    }
    // A start that nobody answers is ended by it, too.
    static struct outcome joining;
    memset(&joining, 0, sizeof joining);
    cluster = make_joiner("node-2", "127.0.0.1:1");
    OK(ck_cluster_start_async(cluster, done, &joining));
    ck_cluster_free(cluster);
    CHECK(atomic_load(&joining.told) == 1 && joining.code != CK_OK);
}

struct inner {
    ck_cluster_t *cluster;
    struct outcome outcome;
    atomic_int ended;
};

static void free_inside(const ck_result_t *result, void *user_data) {
    struct inner *inner = user_data;
    CHECK(result->error == NULL);
    // Another call may begin here, and its outcome is told although the node ends.
    OK(ck_read_barrier_async(inner->cluster, TIMEOUT_MS, done, &inner->outcome));
    // A call that waits is legal, too.
    OK(ck_wait_for_leader(inner->cluster, TIMEOUT_MS, NULL));
    ck_cluster_free(inner->cluster);
    atomic_store(&inner->ended, 1);
}

static void a_completion_may_free(void) {
    static struct inner inner;
    memset(&inner, 0, sizeof inner);
    inner.cluster = make_node("node-1");
    OK(ck_cluster_start_async(inner.cluster, free_inside, &inner));
    UNTIL(atomic_load(&inner.ended) == 1 && atomic_load(&inner.outcome.told) == 1);
}

// Two shares of a node: the last one ends it.
static void a_share_keeps_the_node(void) {
    ck_cluster_t *cluster = make_node("node-1");
    ck_cluster_t *share = ck_cluster_ref(cluster);
    CHECK(share == cluster && ck_cluster_ref(NULL) == NULL);
    OK(ck_cluster_start(cluster));
    ck_cluster_free(cluster);
    CHECK(strcmp(ck_my_node_id(share), "node-1") == 0 && ck_my_node_id(NULL) == NULL);
    OK(ck_custom_data_set(share, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
    ck_cluster_free(share);
}

// A hook that returns first and ends its call later, on another thread.
struct later {
    atomic_int calls;
    atomic_int ended;
};

static void *end_it(void *completion) {
    ck_completion_end(completion, 0, NULL, 0);
    return NULL;
}

static int32_t on_change(const ck_event_t *event, void *user_data) {
    struct later *later = user_data;
    const ck_partition_change_t *told = ck_event_partition_change(event);
    if (told->change != CK_CHANGE_GAINED_REPLICA || strcmp(told->node_id, "node-2") != 0) {
        return 0;
    }
    ck_completion_t *completion = NULL;
    OK(ck_event_defer(event, &completion));
    ck_completion_t *second = NULL;
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_event_defer(event, &second));
    CHECK(second == NULL);
    if (atomic_fetch_add(&later->calls, 1) == 0) {
        ck_completion_end(completion, 1, "not yet", 7);
    } else {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, end_it, completion) == 0);
        CHECK(pthread_detach(thread) == 0);
    }
    // It does not count any more.
    return 99;
}

static bool has_replicas(const ck_cluster_t *cluster) {
    ck_view_t *view = NULL;
    OK(ck_view_acquire(cluster, &view));
    bool all = ck_view_partition_count(view) == 8;
    for (uint32_t partition = 0; all && partition < 8; partition++) {
        all = ck_view_replica_count(view, partition) == 1;
    }
    ck_view_release(view);
    return all;
}

static void a_hook_may_end_its_call_later(void) {
    struct later later = {0};
    ck_cluster_t *founder = make_node("node-1");
    OK(ck_cluster_start(founder));
    char address[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(founder, address, sizeof address));
    ck_cluster_t *joiner = make_joiner("node-2", address);
    OK(ck_hook_add(joiner, CK_EVENT_PARTITION_CHANGE, on_change, &later, NULL, NULL));
    OK(ck_cluster_start(joiner));
    UNTIL(has_replicas(founder));
    CHECK(atomic_load(&later.calls) >= 9);
    ck_completion_end(NULL, 0, NULL, 0);
    ck_cluster_free(joiner);
    ck_cluster_free(founder);
}

// A node whose hooks end none of their calls stops and is freed all the same; the completions may be ended afterwards.
static ck_completion_t *kept[64];
static atomic_int kept_count;

static int32_t keep(const ck_event_t *event, void *user_data) {
    (void)user_data;
    int place = atomic_fetch_add(&kept_count, 1);
    CHECK(place < 64);
    ck_completion_t *completion = NULL;
    OK(ck_event_defer(event, &completion));
    kept[place] = completion;
    return 0;
}

static void calls_that_do_not_end_hold_up_no_stop(void) {
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_hook_add(cluster, CK_EVENT_ALL, keep, NULL, NULL, NULL));
    OK(ck_cluster_start(cluster));
    UNTIL(atomic_load(&kept_count) > 0);
    time_t began = time(NULL);
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    CHECK(time(NULL) - began < 5);
    ck_cluster_free(cluster);
    for (int i = 0; i < atomic_load(&kept_count); i++) {
        ck_completion_end(kept[i], 0, NULL, 0);
    }
}

int main(void) {
    every_call_has_its_outcome();
    a_free_leaves_nobody_waiting();
    a_completion_may_free();
    a_share_keeps_the_node();
    a_hook_may_end_its_call_later();
    calls_that_do_not_end_hold_up_no_stop();
    return 0;
}
