// A guest that takes no signal of its host's: every thread of the library blocks all but faults, however busy it is and
// whoever started it.
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#define SENT 1000

static pthread_t host;
static atomic_int ran, ran_elsewhere;

static void handler(int signal) {
    (void)signal;
    atomic_fetch_add(&ran, 1);
    if (!pthread_equal(pthread_self(), host)) {
        atomic_fetch_add(&ran_elsewhere, 1);
    }
}

// What the system says that a thread blocks; bit n - 1 is signal n.
static uint64_t blocked(const char *task) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *status = fopen(path, "r");
    unsigned long long mask = ~0ULL;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "SigBlk: %llx", &mask) == 1) {
            break;
        }
    }
    // One that has ended meanwhile has no file any more, and takes no signal.
    if (status != NULL) {
        fclose(status);
    }
    return mask;
}

static bool is_set(uint64_t mask, int signal) {
    return (mask >> (signal - 1) & 1) != 0;
}

// Every thread but this one blocks all but faults; how many of them do not block faults, which the C library does for a
// moment while a thread begins and while it ends.
static int all_block(void) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    int settled = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid()) {
            continue;
        }
        uint64_t mask = blocked(entry->d_name);
        bool takes_faults = true;
        for (int signal = 1; signal < SIGSYS + 1; signal++) {
            bool fault = false;
            for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
                fault = fault || faults[i] == signal;
            }
            if (fault) {
                takes_faults = takes_faults && !is_set(mask, signal);
            } else if (signal != SIGKILL && signal != SIGSTOP) {
                CHECK(is_set(mask, signal));
            }
        }
        settled += takes_faults;
    }
    closedir(tasks);
    return settled;
}

static int32_t on_event(const ck_event_t *event, void *user_data) {
    (void)event;
    atomic_fetch_add((atomic_int *)user_data, 1);
    return 0;
}

static void on_log(const ck_log_record_t *record, void *user_data) {
    (void)record;
    atomic_fetch_add((atomic_int *)user_data, 1);
}

int main(void) {
    host = pthread_self();
    struct sigaction action = {0};
    action.sa_handler = handler;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);

    // Everything starts while this thread blocks nothing, as in a host that knows of no signals yet.
    atomic_int events = 0, messages = 0;
    ck_cluster_t *clusters[2];
    char address[CK_ADDRESS_SIZE];
    for (int i = 0; i < 2; i++) {
        clusters[i] = make_joiner(i == 0 ? "node-1" : "node-2", i == 0 ? NULL : address);
        OK(ck_hook_add(clusters[i], CK_EVENT_ALL, on_event, &events, NULL, NULL));
        OK(ck_cluster_set_log(clusters[i], on_log, &messages, NULL));
        OK(ck_cluster_start(clusters[i]));
        OK(ck_cluster_http_addr(clusters[i], address, sizeof address));
    }
    UNTIL(atomic_load(&events) > 0 && atomic_load(&messages) > 0);
    // The runtime, two logs on disk or in memory, hooks, messages: all threads that there are.
    UNTIL(all_block() >= 6);

    // A handler of the host's runs on the host's thread, though the library is busy.
    for (int i = 0; i < SENT; i++) {
        CHECK(kill(getpid(), SIGUSR1) == 0);
        if (i % 10 == 0) {
            OK(ck_custom_data_set(clusters[0], "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
        }
    }
    UNTIL(atomic_load(&ran) > 0);
    CHECK(atomic_load(&ran_elsewhere) == 0);

    // The host blocks SIGTERM in its own threads, and waits for it. It would end the process in any that does not.
    sigset_t terminate;
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    CHECK(pthread_sigmask(SIG_BLOCK, &terminate, NULL) == 0);
    CHECK(kill(getpid(), SIGTERM) == 0);
    for (int i = 0; i < 2; i++) {
        OK(ck_cluster_stop(clusters[i], TIMEOUT_MS));
        all_block();
        ck_cluster_free(clusters[i]);
    }
    int came = 0;
    CHECK(sigwait(&terminate, &came) == 0 && came == SIGTERM);
    return 0;
}
