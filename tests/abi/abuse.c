// What hooks may do to each other and to their node, and what threads do to hooks.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

// ---- Hooks of two nodes that remove each other's. ----

struct remover {
    struct remover *other;
    ck_cluster_t *cluster;
    uint64_t id;
    atomic_int entered;
    atomic_int destroyed;
    int32_t code;
    atomic_int done;
};

static int32_t remove_the_other(const ck_event_t *event, void *user_data) {
    struct remover *self = user_data;
    (void)event;
    if (atomic_fetch_add(&self->entered, 1) > 0) {
        return 0;
    }
    UNTIL(atomic_load(&self->other->entered) > 0);
    ck_error_t *error = ck_hook_remove(self->other->cluster, self->other->id, 200);
    self->code = ck_error_code(error);
    ck_error_free(error);
    atomic_store(&self->done, 1);
    return 0;
}

static void remover_destroyed(void *user_data) {
    atomic_fetch_add(&((struct remover *)user_data)->destroyed, 1);
}

static void two_hooks_that_remove_each_other_have_a_deadline(void) {
    struct remover removers[2] = {0};
    for (int i = 0; i < 2; i++) {
        removers[i].other = &removers[1 - i];
        removers[i].cluster = make_node("node-1");
        OK(ck_hook_add(removers[i].cluster, CK_EVENT_BECOME_LEADER, remove_the_other, &removers[i], remover_destroyed,
                       &removers[i].id));
    }
    for (int i = 0; i < 2; i++) {
        OK(ck_cluster_start(removers[i].cluster));
    }
    UNTIL(atomic_load(&removers[0].done) == 1 && atomic_load(&removers[1].done) == 1);
    // Each was in its call while the other waited for it; one of them may have ended first.
    CHECK(removers[0].code == CK_ERROR_TIMEOUT || removers[1].code == CK_ERROR_TIMEOUT);
    for (int i = 0; i < 2; i++) {
        UNTIL(atomic_load(&removers[i].destroyed) == 1);
        FAILS(CK_ERROR_NOT_FOUND, ck_hook_remove(removers[i].cluster, removers[i].id, 0));
    }
    for (int i = 0; i < 2; i++) {
        ck_cluster_free(removers[i].cluster);
        CHECK(atomic_load(&removers[i].destroyed) == 1);
    }
}

// ---- A hook that does not return. ----

struct stuck {
    atomic_int entered;
    atomic_int open;
    atomic_int destroyed;
    uint64_t id;
};

static int32_t stand_still(const ck_event_t *event, void *user_data) {
    struct stuck *stuck = user_data;
    (void)event;
    atomic_store(&stuck->entered, 1);
    while (atomic_load(&stuck->open) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

static void stuck_destroyed(void *user_data) {
    atomic_fetch_add(&((struct stuck *)user_data)->destroyed, 1);
}

static double seconds(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// The stop and the free after it have one deadline between them, and the error says whose fault it is.
static void a_hook_that_does_not_return_is_named_and_left(void) {
    struct stuck stuck = {0};
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_hook_add(cluster, CK_EVENT_NODE_JOIN, stand_still, &stuck, stuck_destroyed, &stuck.id));
    OK(ck_cluster_start(cluster));
    UNTIL(atomic_load(&stuck.entered) == 1);
    double began = seconds();
    ck_error_t *error = ck_cluster_stop(cluster, TIMEOUT_MS);
    char name[32];
    snprintf(name, sizeof name, "hook %llu", (unsigned long long)stuck.id);
    CHECK(ck_error_code(error) == CK_ERROR_TIMEOUT);
    CHECK(strstr(ck_error_message(error), name) != NULL && strstr(ck_error_message(error), "node_join") != NULL);
    ck_error_free(error);
    CHECK(seconds() - began < 9);
    // Everything else is closed: asking again takes the time that it is given, and no more.
    FAILS(CK_ERROR_TIMEOUT, ck_cluster_stop(cluster, 0));
    began = seconds();
    ck_cluster_free(cluster);
    CHECK(seconds() - began < 3);
    CHECK(atomic_load(&stuck.destroyed) == 0);
    atomic_store(&stuck.open, 1);
    UNTIL(atomic_load(&stuck.destroyed) == 1);
}

// ---- Eight threads that add and remove hooks while events flow. ----

static ck_cluster_t *busy;
static atomic_int finish, hooks_destroyed, hooks_added;

static int32_t glance(const ck_event_t *event, void *user_data) {
    (void)user_data;
    return event->revision > 0 ? 0 : 1;
}

static void hook_destroyed(void *user_data) {
    (void)user_data;
    atomic_fetch_add(&hooks_destroyed, 1);
}

static void *add_and_remove(void *unused) {
    while (atomic_load(&finish) == 0) {
        uint64_t id = 0;
        OK(ck_hook_add(busy, CK_EVENT_ALL, glance, NULL, hook_destroyed, &id));
        atomic_fetch_add(&hooks_added, 1);
        OK(ck_hook_remove(busy, id, TIMEOUT_MS));
    }
    return unused;
}

static void hooks_come_and_go_while_events_flow(void) {
    busy = make_node("node-1");
    OK(ck_cluster_start(busy));
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        CHECK(pthread_create(&threads[i], NULL, add_and_remove, NULL) == 0);
    }
    char address[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(busy, address, sizeof address));
    // A node that joins and leaves makes events.
    ck_cluster_t *other = make_joiner("node-2", address);
    OK(ck_cluster_start(other));
    OK(ck_cluster_leave(other, TIMEOUT_MS));
    ck_cluster_free(other);
    UNTIL(atomic_load(&hooks_added) > 200);
    atomic_store(&finish, 1);
    for (int i = 0; i < 8; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(atomic_load(&hooks_destroyed) == atomic_load(&hooks_added));
    ck_cluster_free(busy);
}

int main(void) {
    two_hooks_that_remove_each_other_have_a_deadline();
    a_hook_that_does_not_return_is_named_and_left();
    hooks_come_and_go_while_events_flow();
    return 0;
}
