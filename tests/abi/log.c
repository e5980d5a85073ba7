// The log callback from C: what it may do, what waits for it and for how long, and when its data ends.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

struct reader {
    ck_cluster_t *cluster;
    atomic_int calls;
    atomic_int running;
    atomic_int most_running;
    atomic_int open;
    atomic_int destroyed;
};

static void begin(struct reader *reader) {
    CHECK(atomic_load(&reader->destroyed) == 0);
    int running = atomic_fetch_add(&reader->running, 1) + 1;
    if (running > atomic_load(&reader->most_running)) {
        atomic_store(&reader->most_running, running);
    }
    atomic_fetch_add(&reader->calls, 1);
}

static void end(struct reader *reader) {
    CHECK(atomic_load(&reader->destroyed) == 0);
    atomic_fetch_sub(&reader->running, 1);
}

static void destroy(void *user_data) {
    struct reader *reader = user_data;
    CHECK(atomic_load(&reader->running) == 0);
    CHECK(atomic_fetch_add(&reader->destroyed, 1) == 0);
}

static void slow(const ck_log_record_t *record, void *user_data) {
    CHECK(strcmp(record->node_id, "node-1") == 0 && strlen(record->message) == record->message_len);
    begin(user_data);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    end(user_data);
}

static void stalled(const ck_log_record_t *record, void *user_data) {
    CHECK(strcmp(record->node_id, "node-1") == 0 && strlen(record->message) == record->message_len);
    struct reader *reader = user_data;
    begin(reader);
    while (atomic_load(&reader->open) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    end(reader);
}

// Several nodes, each with a callback that takes its time: the free of one waits for its own.
static void free_waits_for_calls(void) {
    struct reader readers[3] = {0};
    ck_cluster_t *clusters[3];
    for (int i = 0; i < 3; i++) {
        clusters[i] = make_node("node-1");
        OK(ck_cluster_set_log(clusters[i], slow, &readers[i], destroy));
        OK(ck_cluster_start(clusters[i]));
    }
    for (int i = 0; i < 3; i++) {
        UNTIL(atomic_load(&readers[i].calls) > 0);
        ck_cluster_free(clusters[i]);
        CHECK(atomic_load(&readers[i].running) == 0 && atomic_load(&readers[i].destroyed) == 1);
        CHECK(atomic_load(&readers[i].most_running) == 1);
    }
}

// One that does not return holds up no start, no write, no stop, and a free for a second.
static void a_stalled_one_holds_nothing_up(void) {
    struct reader reader = {0};
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_cluster_set_log(cluster, stalled, &reader, destroy));
    OK(ck_cluster_start(cluster));
    UNTIL(atomic_load(&reader.running) == 1);
    OK(ck_wait_for_leader(cluster, TIMEOUT_MS, NULL));
    OK(ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    ck_cluster_free(cluster);
    // It is still in its call: what it reads is there.
    CHECK(atomic_load(&reader.running) == 1 && atomic_load(&reader.destroyed) == 0);
    atomic_store(&reader.open, 1);
    UNTIL(atomic_load(&reader.destroyed) == 1);
    CHECK(atomic_load(&reader.calls) == 1);
}

// One that is replaced while it stands still is destroyed when it returns, and the next one is called meanwhile.
static void a_stalled_one_can_be_replaced(void) {
    struct reader first = {0}, second = {0};
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_cluster_set_log(cluster, stalled, &first, destroy));
    OK(ck_cluster_start(cluster));
    UNTIL(atomic_load(&first.running) == 1);
    OK(ck_cluster_set_log(cluster, slow, &second, destroy));
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    UNTIL(atomic_load(&second.calls) > 0);
    CHECK(atomic_load(&first.destroyed) == 0);
    atomic_store(&first.open, 1);
    UNTIL(atomic_load(&first.destroyed) == 1);
    CHECK(atomic_load(&first.calls) == 1);
    // The stop has not ended this one.
    CHECK(atomic_load(&second.destroyed) == 0);
    OK(ck_cluster_set_log(cluster, NULL, NULL, NULL));
    UNTIL(atomic_load(&second.destroyed) == 1);
    ck_cluster_free(cluster);
}

// What replaces it may be set in the callback, and in destroy, and the node stopped and freed there.
static void destroy_and_set(void *user_data) {
    struct reader *reader = user_data;
    OK(ck_cluster_set_log(reader->cluster, slow, reader + 1, destroy));
    destroy(user_data);
}

static void stop_and_free(const ck_log_record_t *record, void *user_data) {
    CHECK(strcmp(record->node_id, "node-1") == 0 && strlen(record->message) == record->message_len);
    struct reader *reader = user_data;
    begin(reader);
    CHECK(atomic_load(&reader->calls) == 1 && "called after its node was freed in it");
    while (atomic_load(&reader->open) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    FAILS(CK_ERROR_ALREADY_STARTED, ck_cluster_start(reader->cluster));
    OK(ck_custom_data_set(reader->cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
    OK(ck_cluster_stop(reader->cluster, TIMEOUT_MS));
    ck_cluster_free(reader->cluster);
    CHECK(atomic_load(&reader->destroyed) == 0);
    end(reader);
}

static void it_may_call_everything(void) {
    struct reader readers[3] = {0};
    readers[0].cluster = make_node("node-1");
    OK(ck_cluster_set_log(readers[0].cluster, slow, &readers[0], destroy_and_set));
    // Runs the destroy function, which sets another, which is destroyed in turn.
    OK(ck_cluster_set_log(readers[0].cluster, slow, &readers[2], destroy));
    CHECK(atomic_load(&readers[0].destroyed) == 1);
    OK(ck_cluster_set_log(readers[0].cluster, NULL, NULL, NULL));
    CHECK(atomic_load(&readers[1].destroyed) == 1 && atomic_load(&readers[2].destroyed) == 1);
    ck_cluster_free(readers[0].cluster);

    struct reader ender = {0};
    ender.cluster = make_node("node-1");
    OK(ck_cluster_set_log(ender.cluster, stop_and_free, &ender, destroy));
    OK(ck_cluster_start(ender.cluster));
    UNTIL(atomic_load(&ender.running) == 1);
    // Whoever gave this handle away touches it no more.
    atomic_store(&ender.open, 1);
    UNTIL(atomic_load(&ender.destroyed) == 1);
}

// A process ends although a callback stands still and its node runs. (Not on the stack of main: it is no leak.)
static struct reader left_reader;
static ck_cluster_t *left;

static void leave_one(void) {
    left = make_node("node-1");
    OK(ck_cluster_set_log(left, stalled, &left_reader, destroy));
    OK(ck_cluster_start(left));
    UNTIL(atomic_load(&left_reader.running) == 1);
}

int main(void) {
    free_waits_for_calls();
    a_stalled_one_holds_nothing_up();
    a_stalled_one_can_be_replaced();
    it_may_call_everything();
    leave_one();
    return 0;
}
