// Calls by threads that are about to be gone: destructors of thread-specific data, as of thread_local objects in C++, and what
// runs at the end of the process, as destructors of static objects. Rust's own data of such a thread has ended before.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

static pthread_key_t key;
static atomic_int ended;
static ck_cluster_t *founder;

struct held {
    ck_cluster_t *cluster;
    ck_client_t *client;
    ck_view_t *view;
};

static void told(const ck_result_t *result, void *user_data) {
    (void)result;
    atomic_fetch_add((atomic_int *)user_data, 1);
}

static int32_t on_event(const ck_event_t *event, void *user_data) {
    (void)event;
    (void)user_data;
    return 0;
}

static void every_kind_of_call(struct held *held) {
    static atomic_int outcomes;
    int before = atomic_load(&outcomes);
    uint64_t revision = 0;
    OK(ck_custom_data_set(held->cluster, "late", 4, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, &revision));
    OK(ck_wait_for_revision(held->cluster, revision, TIMEOUT_MS));
    OK(ck_read_barrier(held->cluster, TIMEOUT_MS, NULL));
    OK(ck_read_barrier_async(held->cluster, TIMEOUT_MS, told, &outcomes));
    UNTIL(atomic_load(&outcomes) == before + 1);
    OK(ck_view_refresh(held->cluster, &held->view));
    CHECK(ck_partition_for_key(held->cluster, "k", 1) == ck_view_partition_for_key(held->view, "k", 1));
    UNTIL(ck_is_primary(held->cluster, 0) && ck_is_leader(held->cluster));
    uint64_t id = 0;
    OK(ck_hook_add(held->cluster, CK_EVENT_ALL, on_event, NULL, NULL, &id));
    OK(ck_hook_remove(held->cluster, id, TIMEOUT_MS));
    ck_rebalance_status_t *status = NULL;
    OK(ck_rebalance_status(held->cluster, TIMEOUT_MS, &status));
    ck_rebalance_status_free(status);
    OK(ck_client_wait_ready(held->client, TIMEOUT_MS, NULL));
    OK(ck_client_wait_for_revision(held->client, revision, TIMEOUT_MS));
    OK(ck_client_read_barrier(held->client, TIMEOUT_MS, NULL));
}

static void end(void *user_data) {
    struct held *held = user_data;
    every_kind_of_call(held);
    ck_view_release(held->view);
    OK(ck_client_close(held->client));
    ck_client_free(held->client);
    OK(ck_cluster_stop(held->cluster, TIMEOUT_MS));
    ck_cluster_free(held->cluster);
    free(held);
    atomic_fetch_add(&ended, 1);
}

static struct held *hold(const char *id) {
    struct held *held = calloc(1, sizeof *held);
    held->cluster = make_node(id);
    OK(ck_cluster_start(held->cluster));
    char address[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(held->cluster, address, sizeof address));
    ck_client_options_t *options = NULL;
    OK(ck_client_options_new(&options));
    OK(ck_client_options_set(options, "addrs", 5, address, strlen(address)));
    OK(ck_client_new(options, &held->client));
    ck_client_options_free(options);
    return held;
}

// Uses the library before, so that the thread has data of its own there.
static void *run(void *id) {
    struct held *held = hold(id);
    every_kind_of_call(held);
    pthread_setspecific(key, held);
    return NULL;
}

static struct held *of_the_process;

static void at_exit(void) {
    end(of_the_process);
    CHECK(atomic_load(&ended) == 2);
    ck_cluster_free(founder);
}

int main(void) {
    // Before anything else of the library runs in this thread, so that it is called after all that was registered later.
    CHECK(atexit(at_exit) == 0);
    CHECK(pthread_key_create(&key, end) == 0);
    founder = make_node("founder");
    of_the_process = hold("of-the-process");
    every_kind_of_call(of_the_process);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, "of-a-thread") == 0);
    pthread_join(thread, NULL);
    CHECK(atomic_load(&ended) == 1);
    return 0;
}
