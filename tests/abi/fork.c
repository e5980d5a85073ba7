// A forked child is told that it cannot use the library; nothing hangs, and the parent goes on.
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

static int32_t ignore(const ck_event_t *event, void *user_data) {
    (void)event;
    (void)user_data;
    return 0;
}

static void never(void *user_data) {
    (void)user_data;
    CHECK(!"destroy ran in the child");
}

static void child(ck_cluster_t *cluster, ck_view_t *view, ck_options_t *options) {
    // A hang would be the bug.
    alarm(TIMEOUT_MS / 1000);
    // What a call leaves in them is nothing, whatever was there.
    ck_options_t *made = options;
    ck_cluster_t *second = cluster;
    ck_view_t *taken = view;
    uint64_t number = 7;
    ck_key_route_t route;
    FAILS(CK_ERROR_FORKED, ck_options_new(&made));
    FAILS(CK_ERROR_FORKED, ck_options_set(options, "zone", 4, "a", 1));
    FAILS(CK_ERROR_FORKED, ck_cluster_new(options, &second));
    FAILS(CK_ERROR_FORKED, ck_cluster_start(cluster));
    FAILS(CK_ERROR_FORKED, ck_cluster_stop(cluster, TIMEOUT_MS));
    FAILS(CK_ERROR_FORKED, ck_lookup_key(cluster, "k", 1, NULL, &route, sizeof route));
    FAILS(CK_ERROR_FORKED, ck_view_acquire(cluster, &taken));
    FAILS(CK_ERROR_FORKED, ck_wait_for_leader(cluster, TIMEOUT_MS, NULL));
    FAILS(CK_ERROR_FORKED, ck_read_barrier(cluster, TIMEOUT_MS, &number));
    CHECK(made == NULL && second == NULL && taken == NULL && number == 0 && route.revision == 0);
    FAILS(CK_ERROR_FORKED, ck_hook_add(cluster, CK_EVENT_ALL, ignore, NULL, never, NULL));
    FAILS(CK_ERROR_FORKED, ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
    CHECK(!ck_is_leader(cluster) && !ck_is_primary(cluster, 0) && !ck_is_primary_for_key(cluster, "k", 1));
    CHECK(ck_view_node_count(view) == 0 && ck_view_node(view, 0) == NULL);
    CHECK(strlen(ck_version()) > 0 && ck_abi_version() == CK_ABI_VERSION);
    // Memory is freed; of what belongs to threads, nothing is touched.
    ck_error_t *error = ck_read_barrier(cluster, 1, NULL);
    CHECK(ck_error_code(error) == CK_ERROR_FORKED && !ck_error_is_ambiguous(error));
    ck_error_free(error);
    ck_view_release(view);
    ck_cluster_free(cluster);
    ck_options_free(options);
    _exit(0);
}

static void succeeded(pid_t pid) {
    int status = 0;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// A daemon reads its options, forks, and goes on in the child: no thread was started before, so nothing is missing there.
static void options_may_be_made_before_a_fork(void) {
    ck_options_t *options = NULL;
    OK(ck_options_new(&options));
    set(options, "node_id", "node-1");
    set(options, "http_addr", "127.0.0.1:0");
    set(options, "data_dir", "");
    pid_t pid = fork();
    if (pid == 0) {
        alarm(TIMEOUT_MS / 1000);
        ck_cluster_t *cluster = NULL;
        OK(ck_cluster_new(options, &cluster));
        OK(ck_cluster_start(cluster));
        OK(ck_cluster_stop(cluster, TIMEOUT_MS));
        ck_cluster_free(cluster);
        _exit(0);
    }
    succeeded(pid);
    ck_options_free(options);
}

// A child that becomes another program starts afresh.
static void a_child_may_exec(const char *program) {
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, "executed", (char *)NULL);
        _exit(1);
    }
    succeeded(pid);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        ck_cluster_t *cluster = make_node("node-2");
        OK(ck_cluster_start(cluster));
        ck_cluster_free(cluster);
        return 0;
    }
    options_may_be_made_before_a_fork();
    ck_options_t *options = NULL;
    OK(ck_options_new(&options));
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_hook_add(cluster, CK_EVENT_ALL, ignore, NULL, NULL, NULL));
    OK(ck_cluster_start(cluster));
    ck_view_t *view = NULL;
    OK(ck_view_acquire(cluster, &view));

    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child(cluster, view, options);
    }
    succeeded(pid);
    a_child_may_exec(argv[0]);

    OK(ck_custom_data_set(cluster, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
    CHECK(ck_is_leader(cluster) && ck_view_node_count(view) == 1);
    ck_view_release(view);
    OK(ck_cluster_stop(cluster, TIMEOUT_MS));
    ck_cluster_free(cluster);
    ck_options_free(options);
    return 0;
}
