// Hooks from C: what they are told, when their data ends, and what they may do inside.
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct counts {
    ck_cluster_t *cluster;
    uint64_t id;
    atomic_int calls;
    atomic_int running;
    atomic_int destroyed;
    atomic_int failed_copies;
};

static int32_t count(const ck_event_t *event, void *user_data) {
    struct counts *counts = user_data;
    atomic_fetch_add(&counts->running, 1);
    CHECK(atomic_load(&counts->destroyed) == 0);
    CHECK(event->revision > 0 && event->timestamp_ms > 0);
    size_t len = 0;
    const char *json = ck_event_json(event, &len);
    CHECK(json[0] == '{' && strlen(json) == len);
    CHECK((event->kind == CK_EVENT_PARTITION_CHANGE) == (ck_event_partition_change(event) != NULL));
    CHECK((event->kind == CK_EVENT_NODE_JOIN) == (ck_event_node_join(event) != NULL));
    if (event->kind == CK_EVENT_NODE_JOIN) {
        CHECK(strlen(ck_event_node_join(event)->node->ip) > 0 && ck_event_node_join(event)->cluster_size > 0);
    }
    atomic_fetch_add(&counts->calls, 1);
    atomic_fetch_sub(&counts->running, 1);
    return 0;
}

static void destroyed(void *user_data) {
    struct counts *counts = user_data;
    CHECK(atomic_load(&counts->running) == 0);
    atomic_fetch_add(&counts->destroyed, 1);
}

static ck_cluster_t *started(const char *id) {
    ck_cluster_t *cluster = make_node(id);
    OK(ck_cluster_start(cluster));
    return cluster;
}

static void data_ends_once(void) {
    struct counts removed = {0}, stopped = {0}, freed = {0};
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_hook_add(cluster, CK_EVENT_ALL, count, &removed, destroyed, &removed.id));
    OK(ck_hook_add(cluster, CK_EVENT_ALL, count, &stopped, destroyed, NULL));
    OK(ck_cluster_start(cluster));
    UNTIL(atomic_load(&removed.calls) > 0 && atomic_load(&stopped.calls) > 0);
    OK(ck_hook_remove(cluster, removed.id, TIMEOUT_MS));
    CHECK(atomic_load(&removed.destroyed) == 1);
    FAILS(CK_ERROR_NOT_FOUND, ck_hook_remove(cluster, removed.id, TIMEOUT_MS));
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    CHECK(atomic_load(&stopped.destroyed) == 1);
    ck_cluster_free(cluster);

    cluster = started("node-1");
    OK(ck_hook_add(cluster, CK_EVENT_ALL, count, &freed, destroyed, NULL));
    ck_cluster_free(cluster);
    CHECK(atomic_load(&freed.destroyed) == 1);
    CHECK(atomic_load(&removed.destroyed) == 1 && atomic_load(&stopped.destroyed) == 1);
}

// Everything that a hook may call, and what it may not.
static int32_t call_everything(const ck_event_t *event, void *user_data) {
    struct counts *counts = user_data;
    if (event->kind != CK_EVENT_BECOME_LEADER) {
        return 0;
    }
    CHECK(ck_event_leadership(event)->epoch > 0 && ck_event_leadership(event)->node_id == NULL);
    ck_cluster_t *cluster = counts->cluster;
    FAILS(CK_ERROR_IN_HOOK, ck_cluster_stop(cluster, TIMEOUT_MS));
    FAILS(CK_ERROR_IN_HOOK, ck_cluster_start(cluster));
    OK(ck_wait_for_leader(cluster, TIMEOUT_MS, NULL));
    uint64_t revision = 0;
    OK(ck_custom_data_set(cluster, "from-hook", 9, "1", 1, CK_EXPECT_ANY, TIMEOUT_MS, &revision));
    OK(ck_wait_for_revision(cluster, revision, TIMEOUT_MS));
    ck_view_t *view = NULL;
    OK(ck_view_acquire(cluster, &view));
    CHECK(ck_view_revision(view) >= revision);
    ck_view_release(view);
    OK(ck_hook_remove(cluster, counts->id, TIMEOUT_MS));
    CHECK(atomic_load(&counts->destroyed) == 0);
    atomic_fetch_add(&counts->calls, 1);
    return 0;
}

static void a_hook_may_call(void) {
    struct counts counts = {0};
    counts.cluster = make_node("node-1");
    OK(ck_hook_add(counts.cluster, CK_EVENT_ALL, call_everything, &counts, destroyed, &counts.id));
    OK(ck_cluster_start(counts.cluster));
    UNTIL(atomic_load(&counts.destroyed) == 1);
    CHECK(atomic_load(&counts.calls) == 1);
    ck_cluster_free(counts.cluster);
    CHECK(atomic_load(&counts.destroyed) == 1);
}

struct gate {
    ck_cluster_t *cluster;
    atomic_int entered;
    atomic_int open;
    atomic_int destroyed;
};

static int32_t free_inside(const ck_event_t *event, void *user_data) {
    struct gate *gate = user_data;
    if (event->kind == CK_EVENT_PARTITION_CHANGE || atomic_fetch_add(&gate->entered, 1) > 0) {
        return 0;
    }
    // Whoever gave this handle away touches it no more.
    UNTIL(atomic_load(&gate->open) == 1);
    ck_cluster_free(gate->cluster);
    CHECK(atomic_load(&gate->destroyed) == 0);
    return 0;
}

static void gate_destroyed(void *user_data) {
    atomic_fetch_add(&((struct gate *)user_data)->destroyed, 1);
}

static void a_hook_may_free(void) {
    struct gate gate = {0};
    gate.cluster = make_node("node-1");
    OK(ck_hook_add(gate.cluster, CK_EVENT_ALL, free_inside, &gate, gate_destroyed, NULL));
    OK(ck_cluster_start(gate.cluster));
    UNTIL(atomic_load(&gate.entered) > 0);
    atomic_store(&gate.open, 1);
    UNTIL(atomic_load(&gate.destroyed) == 1);
}

static int32_t slow(const ck_event_t *event, void *user_data) {
    struct gate *gate = user_data;
    (void)event;
    atomic_store(&gate->entered, 1);
    UNTIL(atomic_load(&gate->open) == 1);
    return 0;
}

static void *open_gate(void *user_data) {
    struct gate *gate = user_data;
    // Late enough for the stop to have begun to wait, most of the time; right whenever it happens.
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    atomic_store(&gate->open, 1);
    return NULL;
}

static void stop_waits_for_hooks(void) {
    struct gate gate = {0};
    gate.cluster = make_node("node-1");
    OK(ck_hook_add(gate.cluster, CK_EVENT_NODE_JOIN, slow, &gate, gate_destroyed, NULL));
    OK(ck_cluster_start(gate.cluster));
    UNTIL(atomic_load(&gate.entered) == 1);
    // It cannot be done in time, and goes on.
    FAILS(CK_ERROR_TIMEOUT, ck_cluster_stop(gate.cluster, 1));
    CHECK(atomic_load(&gate.destroyed) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, open_gate, &gate) == 0);
    OK(ck_cluster_stop(gate.cluster, TIMEOUT_MS));
    CHECK(atomic_load(&gate.destroyed) == 1);
    pthread_join(thread, NULL);
    ck_cluster_free(gate.cluster);
    CHECK(atomic_load(&gate.destroyed) == 1);
}

// A copy that fails is asked for again.
static int32_t fail_first(const ck_event_t *event, void *user_data) {
    struct counts *counts = user_data;
    const ck_partition_change_t *told = ck_event_partition_change(event);
    if (told->change != CK_CHANGE_GAINED_REPLICA || strcmp(told->node_id, "node-2") != 0) {
        return 0;
    }
    CHECK(told->copy_from_count == 1 && strcmp(told->copy_from[0]->id, "node-1") == 0);
    CHECK(told->node != NULL && strcmp(told->node->id, "node-2") == 0);
    if (atomic_fetch_add(&counts->failed_copies, 1) > 0) {
        return 0;
    }
    CHECK(event->attempt == 1);
    OK(ck_event_set_failure(event, "disk full", 9));
    return 42;
}

struct messages {
    atomic_int seen;
    atomic_int with_code;
    atomic_int destroyed;
};

static void on_log(const ck_log_record_t *record, void *user_data) {
    struct messages *messages = user_data;
    CHECK(record->level >= CK_LOG_ERROR && record->level <= CK_LOG_INFO);
    CHECK(strlen(record->message) == record->message_len && record->message_len > 0);
    CHECK(strcmp(record->node_id, "node-2") == 0);
    atomic_fetch_add(&messages->seen, 1);
    if (record->level == CK_LOG_WARN && strstr(record->message, "disk full") != NULL) {
        atomic_store(&messages->with_code, 1);
    }
}

static void messages_destroyed(void *user_data) {
    atomic_fetch_add(&((struct messages *)user_data)->destroyed, 1);
}

static bool replicas_of_all(const ck_cluster_t *cluster) {
    ck_view_t *view = NULL;
    OK(ck_view_acquire(cluster, &view));
    bool all = true;
    for (uint32_t partition = 0; partition < 8; partition++) {
        all = all && ck_view_replica_count(view, partition) == 1;
    }
    ck_view_release(view);
    return all;
}

static void failures_and_messages_are_told(void) {
    struct counts counts = {0};
    struct messages first = {0}, second = {0};
    ck_cluster_t *founder = started("node-1");
    char address[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(founder, address, sizeof address));
    ck_cluster_t *cluster = make_joiner("node-2", address);
    OK(ck_cluster_set_log(cluster, on_log, &first, messages_destroyed));
    OK(ck_cluster_set_log(cluster, on_log, &second, messages_destroyed));
    CHECK(atomic_load(&first.destroyed) == 1 && atomic_load(&second.destroyed) == 0);
    OK(ck_hook_add(cluster, CK_EVENT_PARTITION_CHANGE, fail_first, &counts, destroyed, NULL));
    OK(ck_cluster_start(cluster));
    UNTIL(atomic_load(&second.with_code) == 1 && atomic_load(&counts.failed_copies) > 8);
    CHECK(atomic_load(&first.seen) == 0);
    // All eight copies, one of them twice: the cluster counts on them now.
    UNTIL(replicas_of_all(founder));
    ck_cluster_free(cluster);
    ck_cluster_free(founder);
    CHECK(atomic_load(&first.destroyed) == 1 && atomic_load(&second.destroyed) == 1);
    CHECK(atomic_load(&counts.destroyed) == 1);
}

// What a thread that adds hooks beside a stop shares with it.
struct race {
    ck_cluster_t *cluster;
    atomic_int adding;
    atomic_int added;
    atomic_int stopped;
    atomic_int destroyed;
};

static void destroyed_in_time(void *user_data) {
    struct race *race = user_data;
    CHECK(atomic_load(&race->stopped) == 0);
    atomic_fetch_add(&race->destroyed, 1);
}

static int32_t nothing(const ck_event_t *event, void *user_data) {
    (void)event, (void)user_data;
    return 0;
}

static void *add_until_stopped(void *user_data) {
    struct race *race = user_data;
    for (;;) {
        uint64_t id = 0;
        ck_error_t *error = ck_hook_add(race->cluster, CK_EVENT_ALL, nothing, race, destroyed_in_time, &id);
        if (error != NULL) {
            check_code(error, CK_ERROR_STOPPED, "ck_hook_add", __FILE__, __LINE__);
            return NULL;
        }
        if (atomic_fetch_add(&race->added, 1) % 2 == 0) {
            // It may be the stop that ends it.
            ck_error_free(ck_hook_remove(race->cluster, id, TIMEOUT_MS));
        }
        atomic_store(&race->adding, 1);
    }
}

// No data is destroyed after a stop has returned, whoever added or removed its hook meanwhile, and none is left.
static void a_stop_leaves_no_data(int times) {
    // Keeps the library's threads from one node to the next.
    ck_cluster_t *other = make_node("node-2");
    for (int i = 0; i < times; i++) {
        struct race race = {0};
        race.cluster = make_node("node-1");
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, add_until_stopped, &race) == 0);
        while (atomic_load(&race.adding) == 0) {
            sched_yield();
        }
        OK(ck_cluster_stop(race.cluster, TIMEOUT_MS));
        atomic_store(&race.stopped, 1);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(atomic_load(&race.destroyed) == atomic_load(&race.added));
        ck_cluster_free(race.cluster);
        CHECK(atomic_load(&race.destroyed) == atomic_load(&race.added));
    }
    ck_cluster_free(other);
}

int main(int argc, char **argv) {
    a_stop_leaves_no_data(argc > 1 ? atoi(argv[1]) : 1000);
    data_ends_once();
    a_hook_may_call();
    a_hook_may_free();
    stop_waits_for_hooks();
    failures_and_messages_are_told();
    return 0;
}
