// Many threads on one node, and callbacks that write without a lock what only they and whoever comes after them look at: their
// calls must not overlap where the header says that they come one after the other, and none may run after its end. It is built
// with ThreadSanitizer too.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

// ThreadSanitizer does not see into the library, and is told what the header promises: what was written before data is given to
// the library is seen by its calls, and what they wrote by the next one and by whoever waited for their end. Two calls at the
// same time have no such order, and are found.
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define GIVE(data) __tsan_release(data)
#define RECEIVE(data) __tsan_acquire(data)
#else
#define GIVE(data) ((void)(data))
#define RECEIVE(data) ((void)(data))
#endif

// What the calls of one callback write.
struct seen {
    uint64_t calls;
    uint64_t last;
    int destroyed;
};

static int32_t on_event(const ck_event_t *event, void *user_data) {
    struct seen *seen = user_data;
    RECEIVE(seen);
    CHECK(seen->destroyed == 0 && event->revision >= seen->last);
    seen->last = event->revision;
    seen->calls++;
    GIVE(seen);
    return 0;
}

static void on_log(const ck_log_record_t *record, void *user_data) {
    struct seen *seen = user_data;
    RECEIVE(seen);
    CHECK(seen->destroyed == 0);
    seen->last = record->message_len;
    seen->calls++;
    GIVE(seen);
}

static void destroyed(void *user_data) {
    struct seen *seen = user_data;
    RECEIVE(seen);
    seen->destroyed++;
    GIVE(seen);
}

// One outcome, and the count of all of them: the callbacks of a node come one after the other.
static struct seen outcomes;

#if defined(PLANTED_RACE)
// Written by a callback and by the program, in no order: has to be found.
static int race;
#endif

struct call {
    uint64_t revision;
    atomic_int told;
};

static void on_done(const ck_result_t *result, void *user_data) {
    struct call *call = user_data;
    RECEIVE(&outcomes);
    outcomes.calls++;
    GIVE(&outcomes);
    RECEIVE(call);
#if defined(PLANTED_RACE)
    race++;
#endif
    CHECK(result->error == NULL);
    call->revision = result->revision;
    atomic_store(&call->told, 1);
}

#define ROUNDS 20

static ck_cluster_t *cluster;
static atomic_int finish;

static void *adds_and_removes(void *unused) {
    for (int i = 0; i < ROUNDS; i++) {
        struct seen seen = {0};
        uint64_t id = 0;
        GIVE(&seen);
        OK(ck_observer_add(cluster, on_event, &seen, destroyed, &id));
        OK(ck_hook_remove(cluster, id, TIMEOUT_MS));
        // No call of it runs or will.
        RECEIVE(&seen);
        CHECK(seen.destroyed == 1 && (seen.calls == 0) == (seen.last == 0));
    }
    return unused;
}

static void *writes(void *name) {
    for (int i = 0; i < ROUNDS; i++) {
        struct call call = {0};
        GIVE(&call);
#if defined(PLANTED_RACE)
        race++;
#endif
        OK(ck_custom_data_set_async(cluster, name, 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, on_done, &call));
        UNTIL(atomic_load(&call.told) == 1);
        CHECK(call.revision > 0);
        OK(ck_wait_for_revision(cluster, call.revision, TIMEOUT_MS));
    }
    return NULL;
}

static void *reads(void *shared) {
    ck_view_t *view = NULL;
    while (atomic_load(&finish) == 0) {
        ck_key_route_t route;
        OK(ck_lookup_key(cluster, "key", 3, &view, &route, sizeof route));
        CHECK(route.partition == ck_view_partition_for_key(shared, "key", 3));
        // A share of a view may be taken and given back by any thread.
        ck_view_t *share = ck_view_ref(shared);
        CHECK(ck_view_node_count(share) == 1);
        ck_view_release(share);
    }
    ck_view_release(view);
    return NULL;
}

static void *takes(void *queue) {
    while (atomic_load(&finish) == 0) {
        const ck_event_t *event = NULL;
        OK(ck_events_next(queue, 5, &event));
        if (event != NULL) {
            CHECK(event->revision > 0);
            OK(ck_events_ack(queue, event, 0, NULL, 0));
        }
    }
    return NULL;
}

int main(void) {
    struct seen log = {0}, hook = {0};
    cluster = make_node("node-1");
    GIVE(&log);
    OK(ck_cluster_set_log(cluster, on_log, &log, destroyed));
    GIVE(&hook);
    // All but partition changes, of which several may be told at once.
    OK(ck_hook_add(cluster, CK_EVENT_NODE_JOIN | CK_EVENT_BECOME_LEADER | CK_EVENT_LEADER_CHANGE, on_event, &hook, destroyed,
                   NULL));
    ck_events_t *queue = NULL;
    OK(ck_events_open(cluster, CK_EVENT_ALL, CK_EVENTS_OBSERVE, &queue));
    OK(ck_cluster_start(cluster));
    ck_view_t *view = NULL;
    UNTIL((OK(ck_view_refresh(cluster, &view)), ck_view_partition_count(view)) > 0);

    pthread_t busy[6], until_the_end[4];
    char names[2] = {'a', 'b'};
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&until_the_end[i], NULL, reads, view) == 0);
        CHECK(pthread_create(&until_the_end[2 + i], NULL, takes, queue) == 0);
        CHECK(pthread_create(&busy[i], NULL, writes, &names[i]) == 0);
    }
    for (int i = 2; i < 6; i++) {
        CHECK(pthread_create(&busy[i], NULL, adds_and_removes, NULL) == 0);
    }
    for (int i = 0; i < 6; i++) {
        CHECK(pthread_join(busy[i], NULL) == 0);
    }
    atomic_store(&finish, 1);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(until_the_end[i], NULL) == 0);
    }
    ck_view_release(view);
    ck_events_close(queue);
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    RECEIVE(&hook);
    CHECK(hook.destroyed == 1 && hook.calls > 0);
    ck_cluster_free(cluster);
    RECEIVE(&log);
    CHECK(log.destroyed == 1 && log.calls > 0);
    RECEIVE(&outcomes);
    CHECK(outcomes.calls == 2 * ROUNDS);
    return 0;
}
