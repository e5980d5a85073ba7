// The pull form of hooks: a queue of events, with a descriptor to wait on.
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

static bool readable(ck_events_t *events, int timeout_ms) {
    struct pollfd wait = {.fd = ck_events_fd(events), .events = POLLIN};
    CHECK(wait.fd >= 0);
    return poll(&wait, 1, timeout_ms) == 1 && (wait.revents & POLLIN) != 0;
}

static const ck_event_t *next(ck_events_t *events) {
    const ck_event_t *event = NULL;
    CHECK(readable(events, TIMEOUT_MS));
    OK(ck_events_next(events, 0, &event));
    CHECK(event != NULL && event->revision > 0);
    return event;
}

static bool is_settled(const ck_cluster_t *cluster, size_t copies) {
    ck_view_t *view = NULL;
    OK(ck_view_acquire(cluster, &view));
    bool settled = ck_view_partition_count(view) == 8;
    for (uint32_t partition = 0; settled && partition < 8; partition++) {
        settled = ck_view_primary(view, partition) != NULL && ck_view_replica_count(view, partition) == copies - 1;
    }
    ck_view_release(view);
    return settled;
}

static bool has_replica(const ck_cluster_t *cluster, uint32_t partition) {
    ck_view_t *view = NULL;
    OK(ck_view_acquire(cluster, &view));
    bool has = ck_view_replica_count(view, partition) > 0;
    ck_view_release(view);
    return has;
}

// What is read and acknowledged is what a hook's return is: the copies count when they are acknowledged, and not before.
static void copies_are_confirmed_by_acknowledging(void) {
    ck_cluster_t *founder = make_node("node-1");
    OK(ck_cluster_start(founder));
    UNTIL(is_settled(founder, 1));
    char address[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(founder, address, sizeof address));
    ck_cluster_t *joiner = make_joiner("node-2", address);
    ck_events_t *events = NULL;
    OK(ck_events_open(joiner, CK_EVENT_PARTITION_CHANGE, 0, &events));
    CHECK(!readable(events, 0));
    const ck_event_t *event = NULL;
    OK(ck_events_next(events, 1, &event));
    CHECK(event == NULL);
    OK(ck_cluster_start(joiner));

    // The first copy fails, and comes again. None counts before it is acknowledged.
    int copies = 0, again = 0;
    while (copies < 9) {
        event = next(events);
        const ck_partition_change_t *told = ck_event_partition_change(event);
        if (told->change != CK_CHANGE_GAINED_REPLICA || strcmp(told->node_id, "node-2") != 0) {
            OK(ck_events_ack(events, event, 0, NULL, 0));
            continue;
        }
        CHECK(told->copy_from_count == 1 && !has_replica(founder, told->partition));
        again += event->attempt == 2;
        bool fails = copies++ == 0;
        OK(ck_events_ack(events, event, fails, "disk full", 9));
        FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_ack(events, event, 0, NULL, 0));
    }
    CHECK(again == 1);
    while (!is_settled(founder, 2)) {
        OK(ck_events_next(events, 5, &event));
        if (event != NULL) {
            OK(ck_events_ack(events, event, 0, NULL, 0));
        }
    }
    // What is not acknowledged does not hold up a stop, and is gone with the queue.
    ck_events_t *other = NULL;
    OK(ck_events_open(joiner, CK_EVENT_ALL, 0, &other));
    event = next(other);
    OK(ck_cluster_stop(joiner, TIMEOUT_MS));
    OK(ck_events_ack(other, event, 0, NULL, 0));
    ck_events_close(other);
    // A queue outlives its node: everything that was told can be read, then it says that no more will come.
    ck_cluster_free(joiner);
    ck_error_t *error = NULL;
    while ((error = ck_events_next(events, TIMEOUT_MS, &event)) == NULL) {
        CHECK(event != NULL);
        OK(ck_events_ack(events, event, 0, NULL, 0));
    }
    check_code(error, CK_ERROR_STOPPED, "ck_events_next", __FILE__, __LINE__);
    CHECK(event == NULL && readable(events, 0));
    ck_events_close(events);
    ck_cluster_free(founder);
}

// A reader that observes keeps nobody waiting, and is told what it has lost.
static void an_observer_may_be_late(void) {
    ck_cluster_t *cluster = make_node("node-1");
    ck_events_t *events = NULL;
    OK(ck_events_open(cluster, CK_EVENT_ALL, CK_EVENTS_OBSERVE, &events));
    OK(ck_cluster_start(cluster));
    UNTIL(is_settled(cluster, 1));
    const ck_event_t *event = next(events);
    const ck_event_t *second = next(events);
    CHECK(second->revision >= event->revision && ck_events_lost(events) == 0);
    OK(ck_events_ack(events, second, 0, NULL, 0));
    OK(ck_events_ack(events, event, 7, "it does not matter", 18));
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    ck_events_close(events);
    ck_cluster_free(cluster);
}

struct reader {
    ck_events_t *events;
    atomic_int read;
};

static void *read_all(void *user_data) {
    struct reader *reader = user_data;
    for (;;) {
        const ck_event_t *event = NULL;
        ck_error_t *error = ck_events_next(reader->events, TIMEOUT_MS, &event);
        if (error != NULL) {
            check_code(error, CK_ERROR_STOPPED, "ck_events_next", __FILE__, __LINE__);
            return NULL;
        }
        CHECK(event != NULL);
        atomic_fetch_add(&reader->read, 1);
        OK(ck_events_ack(reader->events, event, 0, NULL, 0));
    }
}

// Several threads read one queue, and all end when the node does.
static void several_readers_share_a_queue(void) {
    ck_cluster_t *cluster = make_node("node-1");
    struct reader reader = {0};
    OK(ck_events_open(cluster, CK_EVENT_ALL, 0, &reader.events));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, read_all, &reader) == 0);
    }
    OK(ck_cluster_start(cluster));
    UNTIL(is_settled(cluster, 1));
    UNTIL(atomic_load(&reader.read) >= 8);
    ck_cluster_free(cluster);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    ck_events_close(reader.events);
}

static void wrong_use_is_an_error(void) {
    ck_cluster_t *cluster = make_node("node-1");
    ck_events_t *events = (ck_events_t *)cluster;
    const ck_event_t *event = (const ck_event_t *)cluster;
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_open(NULL, CK_EVENT_ALL, 0, &events));
    CHECK(events == NULL);
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_open(cluster, CK_EVENT_ALL, 0, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_open(cluster, 0, 0, &events));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_open(cluster, CK_EVENT_ALL, 6, &events));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_next(NULL, 0, &event));
    CHECK(event == NULL);
    OK(ck_events_open(cluster, CK_EVENT_ALL, 0, &events));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_next(events, 0, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_ack(events, NULL, 0, NULL, 0));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_ack(events, (const ck_event_t *)cluster, 0, NULL, 0));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_events_ack(NULL, NULL, 0, NULL, 0));
    CHECK(ck_events_fd(NULL) == -1 && ck_events_lost(NULL) == 0);
    ck_events_close(events);
    ck_events_close(NULL);
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    FAILS(CK_ERROR_STOPPED, ck_events_open(cluster, CK_EVENT_ALL, 0, &events));
    FAILS(CK_ERROR_STOPPED, ck_events_open(cluster, CK_EVENT_ALL, CK_EVENTS_OBSERVE, &events));
    ck_cluster_free(cluster);
}

int main(void) {
    copies_are_confirmed_by_acknowledging();
    an_observer_may_be_late();
    several_readers_share_a_queue();
    wrong_use_is_an_error();
    return 0;
}
