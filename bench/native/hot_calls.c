// What the hot calls cost in C, beside a bare MD5 of the same key: `make bench-native`. Each is timed in turn, in many short
// rounds, and the median of the rounds is what counts: what else the machine does falls on all of them.
#include <clusterkit.h>

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

// RFC 1321, for texts of one block, as the keys here are.
static uint32_t rotated(uint32_t x, int by) {
    return x << by | x >> (32 - by);
}

static uint32_t bare_md5(const char *key, size_t length) {
    static const uint32_t K[64] = {
        0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af,
        0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
        0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
        0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
        0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97,
        0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
        0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
    uint32_t words[16] = {0};
    memcpy(words, key, length);
    ((unsigned char *)words)[length] = 0x80;
    words[14] = (uint32_t)length * 8;
    uint32_t a = 0x67452301, b = 0xefcdab89, c = 0x98badcfe, d = 0x10325476;
#define STEP(f, a, b, c, d, word, k, by) a = b + rotated(a + (f) + words[word] + K[k], by)
#define F(b, c, d) (((c ^ d) & b) ^ d)
#define G(b, c, d) (((b ^ c) & d) ^ c)
#define H(b, c, d) (b ^ c ^ d)
#define I(b, c, d) (c ^ (b | ~d))
#define FOUR(f, k, w0, w1, w2, w3, s0, s1, s2, s3)                                             \
    STEP(f(b, c, d), a, b, c, d, w0, k, s0);                                                   \
    STEP(f(a, b, c), d, a, b, c, w1, (k) + 1, s1);                                             \
    STEP(f(d, a, b), c, d, a, b, w2, (k) + 2, s2);                                             \
    STEP(f(c, d, a), b, c, d, a, w3, (k) + 3, s3)
    FOUR(F, 0, 0, 1, 2, 3, 7, 12, 17, 22);
    FOUR(F, 4, 4, 5, 6, 7, 7, 12, 17, 22);
    FOUR(F, 8, 8, 9, 10, 11, 7, 12, 17, 22);
    FOUR(F, 12, 12, 13, 14, 15, 7, 12, 17, 22);
    FOUR(G, 16, 1, 6, 11, 0, 5, 9, 14, 20);
    FOUR(G, 20, 5, 10, 15, 4, 5, 9, 14, 20);
    FOUR(G, 24, 9, 14, 3, 8, 5, 9, 14, 20);
    FOUR(G, 28, 13, 2, 7, 12, 5, 9, 14, 20);
    FOUR(H, 32, 5, 8, 11, 14, 4, 11, 16, 23);
    FOUR(H, 36, 1, 4, 7, 10, 4, 11, 16, 23);
    FOUR(H, 40, 13, 0, 3, 6, 4, 11, 16, 23);
    FOUR(H, 44, 9, 12, 15, 2, 4, 11, 16, 23);
    FOUR(I, 48, 0, 7, 14, 5, 6, 10, 15, 21);
    FOUR(I, 52, 12, 3, 10, 1, 6, 10, 15, 21);
    FOUR(I, 56, 8, 15, 6, 13, 6, 10, 15, 21);
    FOUR(I, 60, 4, 11, 2, 9, 6, 10, 15, 21);
    // The first four bytes of the digest, big-endian: what a partition is made of.
    return __builtin_bswap32(a + 0x67452301);
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
