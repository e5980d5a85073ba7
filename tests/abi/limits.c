// A process with limits and interruptions: calls that fail, and a process that lives.
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static atomic_int interrupted;

static void on_alarm(int signal) {
    (void)signal;
    atomic_fetch_add(&interrupted, 1);
}

// A signal every millisecond, whose handler restarts no system call.
static void interruptions_disturb_nothing(void) {
    struct sigaction action = {0}, before;
    action.sa_handler = on_alarm;
    CHECK(sigaction(SIGALRM, &action, &before) == 0);
    struct itimerval timer = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}};
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    ck_cluster_t *clusters[2];
    char address[CK_ADDRESS_SIZE];
    for (int i = 0; i < 2; i++) {
        clusters[i] = make_joiner(i == 0 ? "node-1" : "node-2", i == 0 ? NULL : address);
        OK(ck_cluster_start(clusters[i]));
        OK(ck_cluster_http_addr(clusters[i], address, sizeof address));
    }
    for (int i = 0; i < 200 || atomic_load(&interrupted) < 50; i++) {
        uint64_t revision = 0;
        OK(ck_custom_data_set(clusters[i % 2], "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, &revision));
        OK(ck_wait_for_revision(clusters[1 - i % 2], revision, TIMEOUT_MS));
    }
    OK(ck_cluster_stop(clusters[1], TIMEOUT_MS));
    ck_cluster_free(clusters[1]);
    ck_cluster_free(clusters[0]);
    memset(&timer, 0, sizeof timer);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK(sigaction(SIGALRM, &before, NULL) == 0);
}

// A file that may not grow is an error of the node that writes it, and no end of the process by SIGXFSZ.
static void a_file_size_limit_ends_a_node_and_no_process(const char *folder) {
    ck_options_t *options = NULL;
    OK(ck_options_new(&options));
    set(options, "node_id", "node-1");
    set(options, "http_addr", "127.0.0.1:0");
    set(options, "data_dir", folder);
    ck_cluster_t *cluster = NULL;
    OK(ck_cluster_new(options, &cluster));
    ck_options_free(options);
    OK(ck_cluster_start(cluster));
    struct rlimit limit, before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = before;
    limit.rlim_cur = 4096;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    static char large[64 * 1024];
    ck_error_t *error = NULL;
    for (int i = 0; i < 200 && error == NULL; i++) {
        error = ck_custom_data_set(cluster, "k", 1, large, sizeof large, CK_EXPECT_ANY, TIMEOUT_MS, NULL);
    }
    CHECK(error != NULL);
    int32_t code = ck_error_code(error);
    CHECK(code == CK_ERROR_IO || code == CK_ERROR_STOPPED || code == CK_ERROR_TIMEOUT || code == CK_ERROR_NO_LEADER);
    ck_error_free(error);
    ck_error_free(ck_cluster_stop(cluster, TIMEOUT_MS));
    ck_cluster_free(cluster);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    interruptions_disturb_nothing();
    a_file_size_limit_ends_a_node_and_no_process(argv[1]);
    return 0;
}
