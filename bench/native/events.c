// How many events a second reach a program in C, through a callback and through a queue: `make bench-native`. A hook that comes
// late is told of every partition that the node holds, so there is as much to tell as one likes.
#include <clusterkit.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EVENTS = 10000, ROUNDS = 7, TIMEOUT_MS = 20000 };

static void must(ck_error_t *error) {
    if (error != NULL) {
        fprintf(stderr, "%s\n", ck_error_message(error));
        exit(1);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static atomic_int told;

static bool is_gain(const ck_event_t *event) {
    int32_t change = ck_event_partition_change(event)->change;
    return change == CK_CHANGE_GAINED_PRIMARY || change == CK_CHANGE_GAINED_REPLICA;
}

static int32_t on_event(const ck_event_t *event, void *user_data) {
    (void)user_data;
    atomic_fetch_add(&told, is_gain(event));
    return 0;
}

static double by_callback(ck_cluster_t *node) {
    uint64_t id = 0;
    atomic_store(&told, 0);
    double began = now();
    must(ck_hook_add(node, CK_EVENT_PARTITION_CHANGE, on_event, NULL, NULL, &id));
    while (atomic_load(&told) < EVENTS) {
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    double took = now() - began;
    must(ck_hook_remove(node, id, TIMEOUT_MS));
    return took;
}

static double from_a_queue(ck_cluster_t *node) {
    ck_events_t *events = NULL;
    double began = now();
    must(ck_events_open(node, CK_EVENT_PARTITION_CHANGE, 0, &events));
    for (int gained = 0; gained < EVENTS;) {
        const ck_event_t *event = NULL;
        must(ck_events_next(events, TIMEOUT_MS, &event));
        gained += is_gain(event);
        must(ck_events_ack(events, event, 0, NULL, 0));
    }
    double took = now() - began;
    ck_events_close(events);
    return took;
}

static double best_of(double (*measure)(ck_cluster_t *node), ck_cluster_t *node) {
    double best = measure(node);
    for (int round = 1; round < ROUNDS; round++) {
        double took = measure(node);
        best = took < best ? took : best;
    }
    return best;
}

int main(void) {
    ck_options_t *options = NULL;
    ck_cluster_t *node = NULL;
    must(ck_options_new(&options));
    must(ck_options_set(options, "node_id", 7, "node-1", 6));
    must(ck_options_set(options, "http_addr", 9, "127.0.0.1:0", 11));
    must(ck_options_set(options, "data_dir", 8, "", 0));
    must(ck_options_set(options, "partition_count", 15, "10000", 5));
    must(ck_cluster_new(options, &node));
    ck_options_free(options);
    must(ck_cluster_start(node));
    must(ck_create_partitions(node, TIMEOUT_MS, NULL, NULL));
    printf("events a second, through a callback %10.0f\n", EVENTS / best_of(by_callback, node));
    printf("events a second, from a queue       %10.0f\n", EVENTS / best_of(from_a_queue, node));
    ck_cluster_free(node);
    return 0;
}
