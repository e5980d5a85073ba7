// A process that ends without having stopped anything, in the state that argv[1] names: it ends, and as it wants to.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int entered;

static int32_t stay(const ck_event_t *event, void *user_data) {
    (void)event, (void)user_data;
    atomic_store(&entered, 1);
    pause();
    return 0;
}

static void ignore(const ck_result_t *result, void *user_data) {
    (void)result, (void)user_data;
}

static void *stop(void *cluster) {
    ck_error_free(ck_cluster_stop(cluster, TIMEOUT_MS));
    return NULL;
}

int main(int argc, char **argv) {
    // A hang would be the bug.
    alarm(TIMEOUT_MS / 1000);
    const char *state = argc > 1 ? argv[1] : "";
    if (strcmp(state, "options") == 0) {
        ck_options_t *options = NULL;
        OK(ck_options_new(&options));
        return 0;
    }
    if (strcmp(state, "starting") == 0) {
        OK(ck_cluster_start_async(make_joiner("node-2", "127.0.0.1:1"), ignore, NULL));
        return 0;
    }
    ck_cluster_t *cluster = make_node("node-1");
    if (strcmp(state, "created") == 0) {
        return 0;
    }
    if (strcmp(state, "in-hook") == 0) {
        OK(ck_hook_add(cluster, CK_EVENT_NODE_JOIN, stay, NULL, NULL, NULL));
    }
    OK(ck_cluster_start(cluster));
    if (strcmp(state, "in-hook") == 0) {
        UNTIL(atomic_load(&entered) == 1);
        return 0;
    }
    if (strcmp(state, "writing") == 0) {
        for (int i = 0; i < 100; i++) {
            OK(ck_custom_data_set_async(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, ignore, NULL));
        }
        return 0;
    }
    if (strcmp(state, "stopping") == 0) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, stop, cluster) == 0);
        return 0;
    }
    if (strcmp(state, "stopped") == 0) {
        OK(ck_cluster_stop(cluster, TIMEOUT_MS));
        return 0;
    }
    CHECK(strcmp(state, "running") == 0);
    return 0;
}
