// What the library does to its host's process: nothing that stays.
#include "check.h"

#include <dirent.h>
#include <signal.h>

// The kernel has so many; those that the C library keeps for itself answer with an error.
#define SIGNALS 65

static int threads(void) {
    int found = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        found += entry->d_name[0] != '.';
    }
    closedir(tasks);
    return found;
}

static int open_files(void) {
    int found = 0;
    DIR *files = opendir("/proc/self/fd");
    CHECK(files != NULL);
    while (readdir(files) != NULL) {
        found++;
    }
    closedir(files);
    return found;
}

// A thread that has ended may be listed for another moment; one that has not is listed for ever.
static void nothing_is_left(void) {
    UNTIL(threads() == 1);
}

static void made_and_freed(int times) {
    for (int i = 0; i < times; i++) {
        ck_cluster_free(make_node("node-1"));
    }
    nothing_is_left();
}

static void started_and_stopped(int times) {
    for (int i = 0; i < times; i++) {
        ck_cluster_t *cluster = make_node("node-1");
        OK(ck_cluster_start(cluster));
        CHECK(threads() > 1);
        if (i % 2 == 0) {
            OK(ck_cluster_stop(cluster, TIMEOUT_MS));
        }
        ck_cluster_free(cluster);
        nothing_is_left();
    }
}

// Several nodes share their threads: the last one ends them.
static void several_at_once(void) {
    ck_cluster_t *first = make_node("node-1");
    ck_cluster_t *second = make_node("node-2");
    OK(ck_cluster_start(first));
    OK(ck_cluster_start(second));
    ck_cluster_free(first);
    OK(ck_custom_data_set(second, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL));
    ck_cluster_free(second);
    nothing_is_left();
}

int main(int argc, char **argv) {
    int times = argc > 1 ? atoi(argv[1]) : 1000;
    struct sigaction before[SIGNALS], after;
    memset(before, 0, sizeof before);
    for (int signal = 1; signal < SIGNALS; signal++) {
        sigaction(signal, NULL, &before[signal]);
    }
    sigset_t mask_before, mask_after;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &mask_before) == 0);

    // The first use may keep a file or two open (an epoll of the runtime goes with the runtime).
    started_and_stopped(1);
    int files = open_files();
    made_and_freed(times);
    started_and_stopped(5);
    several_at_once();
    UNTIL(open_files() <= files);

    for (int signal = 1; signal < SIGNALS; signal++) {
        memset(&after, 0, sizeof after);
        sigaction(signal, NULL, &after);
        CHECK(after.sa_handler == before[signal].sa_handler && after.sa_flags == before[signal].sa_flags);
    }
    CHECK(before[SIGPIPE].sa_handler == SIG_DFL);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &mask_after) == 0);
    for (int signal = 1; signal < SIGNALS; signal++) {
        CHECK(sigismember(&mask_before, signal) == sigismember(&mask_after, signal));
    }
    return 0;
}
