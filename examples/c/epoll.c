// The pull form of hooks: an event loop that waits on sockets, timers and ClusterKit with one epoll. No callback, no thread of
// its own. Linux only; poll and kqueue take the same descriptor.
#define _POSIX_C_SOURCE 200809L

#include <clusterkit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PARTITIONS 8
#define TIMEOUT_MS 20000

static void must(ck_error_t *error, const char *what) {
    if (error != NULL) {
        fprintf(stderr, "%s: %s: %s\n", what, ck_error_name(error), ck_error_message(error));
        ck_error_free(error);
        exit(1);
    }
}

static void set(ck_options_t *options, const char *name, const char *value) {
    must(ck_options_set(options, name, strlen(name), value, strlen(value)), name);
}

int main(void) {
    ck_options_t *options = NULL;
    must(ck_options_new(&options), "make options");
    set(options, "node_id", "node-1");
    set(options, "http_addr", "127.0.0.1:0");
    set(options, "data_dir", "");
    set(options, "partition_count", "8");
    ck_cluster_t *node = NULL;
    must(ck_cluster_new(options, &node), "make a node");
    ck_options_free(options);

    // Opened before the start, so that nothing is missed.
    ck_events_t *events = NULL;
    must(ck_events_open(node, CK_EVENT_ALL, 0, &events), "open a queue");
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event watched = {.events = EPOLLIN, .data.fd = ck_events_fd(events)};
    if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, watched.data.fd, &watched) != 0) {
        perror("epoll");
        return 1;
    }
    must(ck_cluster_start(node), "start");

    int primaries = 0;
    bool leads = false;
    while (primaries < PARTITIONS || !leads) {
        struct epoll_event ready;
        int count = epoll_wait(loop, &ready, 1, TIMEOUT_MS);
        if (count != 1) {
            fprintf(stderr, "nothing happened in time\n");
            return 1;
        }
        // Everything that waits, without blocking: the next call would find nothing.
        for (;;) {
            const ck_event_t *event = NULL;
            must(ck_events_next(events, 0, &event), "read an event");
            if (event == NULL) {
                break;
            }
            const ck_partition_change_t *change = ck_event_partition_change(event);
            // Where change->change is CK_CHANGE_GAINED_REPLICA, the data is copied before the event is acknowledged: at once,
            // or whenever the loop is done with it. Other events may be read meanwhile.
            primaries += change != NULL && change->change == CK_CHANGE_GAINED_PRIMARY;
            leads = leads || event->kind == CK_EVENT_BECOME_LEADER;
            must(ck_events_ack(events, event, 0, NULL, 0), "acknowledge");
        }
    }
    printf("node-1 leads, and takes the writes of %d partitions\n", primaries);

    must(ck_cluster_stop(node, TIMEOUT_MS), "stop");
    ck_events_close(events);
    ck_cluster_free(node);
    close(loop);
    printf("stopped\n");
    return 0;
}
