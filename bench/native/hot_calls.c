// What the hot calls cost in C, beside a bare MD5 of the same key: `make bench-native`. Each is timed in turn, in many short
// rounds, and the median of the rounds is what counts: what else the machine does falls on all of them.
#include <clusterkit.h>

#include "bare_md5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 101, CALLS = 20000, KEYS = 1024, MANY = 64 };

static char keys[KEYS][16];
static size_t lengths[KEYS];
static volatile uint64_t sink;

static void must(ck_error_t *error) {
    if (error != NULL) {
        fprintf(stderr, "%s\n", ck_error_message(error));
        exit(1);
    }
}

static ck_cluster_t *node;
static ck_view_t *view;
static ck_bytes_t many[MANY];

// One of the timed calls, for the key at an index.
typedef uint64_t (*timed_fn)(size_t key);

static uint64_t md5(size_t key) {
    return bare_md5(keys[key], lengths[key]);
}

static uint64_t partition(size_t key) {
    return ck_partition_for(keys[key], lengths[key], 64);
}

static uint64_t owner(size_t key) {
    ck_key_route_t route;
    must(ck_view_route_key(view, keys[key], lengths[key], &route, sizeof route));
    return route.partition + (uintptr_t)route.primary;
}

static uint64_t owner_of_newest(size_t key) {
    must(ck_view_refresh(node, &view));
    return owner(key);
}

static uint64_t lookup(size_t key) {
    ck_key_route_t route;
    must(ck_lookup_key(node, keys[key], lengths[key], NULL, &route, sizeof route));
    return route.partition;
}

static uint64_t is_primary(size_t key) {
    return ck_is_primary(node, (uint32_t)(key % 64));
}

static uint64_t is_leader(size_t key) {
    (void)key;
    return ck_is_leader(node);
}

static uint64_t partition_of_many(size_t key) {
    static uint32_t found[MANY];
    if (key % MANY == 0) {
        must(ck_partitions_for(many, MANY, 64, found));
    }
    return found[key % MANY];
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static const struct {
    const char *name;
    timed_fn call;
} TIMED[] = {
    {"a bare MD5", md5},
    {"ck_partition_for", partition},
    {"ck_view_route_key: partition, owner, address", owner},
    {"ck_view_refresh and ck_view_route_key", owner_of_newest},
    {"ck_lookup_key: partition and role by lease", lookup},
    {"ck_partitions_for, 64 keys at once, each", partition_of_many},
    {"ck_is_primary", is_primary},
    {"ck_is_leader", is_leader},
};
enum { TIMED_COUNT = sizeof TIMED / sizeof TIMED[0] };

int main(void) {
    for (size_t i = 0; i < KEYS; i++) {
        lengths[i] = (size_t)snprintf(keys[i], sizeof keys[i], "user:%zu", i * 7919);
    }
    for (size_t i = 0; i < MANY; i++) {
        many[i] = (ck_bytes_t){keys[i], lengths[i]};
    }
    for (size_t i = 0; i < KEYS; i++) {
        if (bare_md5(keys[i], lengths[i]) % 64 != ck_partition_for(keys[i], lengths[i], 64)) {
            fprintf(stderr, "the MD5 here is wrong\n");
            return 1;
        }
    }
    ck_options_t *options = NULL;
    must(ck_options_new(&options));
    must(ck_options_set(options, "node_id", 7, "node-1", 6));
    must(ck_options_set(options, "http_addr", 9, "127.0.0.1:0", 11));
    must(ck_options_set(options, "data_dir", 8, "", 0));
    must(ck_cluster_new(options, &node));
    ck_options_free(options);
    must(ck_cluster_start(node));
    must(ck_create_partitions(node, 20000, NULL, NULL));
    must(ck_view_acquire(node, &view));

    static double times[TIMED_COUNT][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t which = 0; which < TIMED_COUNT; which++) {
            uint64_t sum = 0;
            double began = now();
            for (size_t i = 0; i < CALLS; i++) {
                sum += TIMED[which].call(i % KEYS);
            }
            times[which][round] = (now() - began) / CALLS;
            sink += sum;
        }
    }
    for (size_t which = 0; which < TIMED_COUNT; which++) {
        qsort(times[which], ROUNDS, sizeof(double), by_value);
        printf("%-46s %7.1f ns %6.2f\n", TIMED[which].name, times[which][ROUNDS / 2], times[which][ROUNDS / 2] / times[0][ROUNDS / 2]);
    }
    ck_view_release(view);
    ck_cluster_free(node);
    return 0;
}
