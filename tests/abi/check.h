// What the programs here share. A program that is content prints nothing and exits with 0.
#ifndef CHECK_H
#define CHECK_H

#include <clusterkit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// How long anything may take: under Valgrind, on a busy machine, everything is fifty times slower.
#define TIMEOUT_MS (getenv("CHECK_TIMING") != NULL ? 120000 : 20000)

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);      \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

// The call succeeds.
#define OK(call) check_code((call), CK_OK, #call, __FILE__, __LINE__)
// The call fails with this code.
#define FAILS(code, call) check_code((call), (code), #call, __FILE__, __LINE__)
// The condition comes about.
#define UNTIL(condition)                                                                       \
    do {                                                                                       \
        time_t until_end = time(NULL) + TIMEOUT_MS / 1000;                                     \
        while (!(condition)) {                                                                 \
            CHECK(time(NULL) < until_end && "in time" && #condition);                          \
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);                           \
        }                                                                                      \
    } while (0)

// The call succeeds, if not the first time: on a busy machine another node comes to lead meanwhile.
#define EVENTUALLY(call)                                                                       \
    do {                                                                                       \
        time_t call_end = time(NULL) + TIMEOUT_MS / 1000;                                      \
        ck_error_t *call_error;                                                                \
        while ((call_error = (call)) != NULL && ck_error_is_retriable(call_error)) {           \
            CHECK(time(NULL) < call_end && "in time" && #call);                                \
            ck_error_free(call_error);                                                         \
        }                                                                                      \
        check_code(call_error, CK_OK, #call, __FILE__, __LINE__);                              \
    } while (0)

static inline void check_code(ck_error_t *error, int32_t code, const char *call, const char *file, int line) {
    if (ck_error_code(error) != code) {
        fprintf(stderr, "%s:%d: %s: code %d instead of %d: %s\n", file, line, call, ck_error_code(error), code,
                error != NULL ? ck_error_message(error) : "success");
        exit(1);
    }
    if (error != NULL) {
        CHECK(strlen(ck_error_name(error)) > 0 && strlen(ck_error_message(error)) > 0);
    }
    ck_error_free(error);
}

static inline void set(ck_options_t *options, const char *name, const char *value) {
    OK(ck_options_set(options, name, strlen(name), value, strlen(value)));
}

// A node that keeps everything in memory, joins through an address unless that is NULL, and has not been started.
static inline ck_cluster_t *make_joiner(const char *id, const char *join) {
    ck_options_t *options = NULL;
    OK(ck_options_new(&options));
    set(options, "node_id", id);
    set(options, "http_addr", "127.0.0.1:0");
    set(options, "data_dir", "");
    set(options, "partition_count", "8");
    if (join != NULL) {
        set(options, "join_addrs", join);
    }
    // Where everything is fifty times slower, leaders have to be patient.
    const char *timing = getenv("CHECK_TIMING");
    if (timing != NULL) {
        set(options, "timing", timing);
    }
    // Defects that need two threads of the library at once.
    const char *threads = getenv("CHECK_RUNTIME_THREADS");
    if (threads != NULL) {
        set(options, "runtime_threads", threads);
    }
    ck_cluster_t *cluster = NULL;
    OK(ck_cluster_new(options, &cluster));
    ck_options_free(options);
    return cluster;
}

// The same, for a cluster of its own.
static inline ck_cluster_t *make_node(const char *id) {
    return make_joiner(id, NULL);
}

#endif
