// ClusterKit in C: three nodes in one process form a cluster, say where a key belongs, call a hook, and share data.
//
// In a real deployment each node lives in a process of its own; everything else stays as it is here. Build it with
//   cc quickstart.c -lclusterkit
// or type `make` in this folder.
#define _POSIX_C_SOURCE 200809L // for nanosleep, also under -std=c11

#include <clusterkit.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NODES 3
#define PARTITIONS 16
#define TIMEOUT_MS 20000

static const struct timespec MOMENT = {.tv_nsec = 5 * 1000 * 1000};

// Ends the program with the error's words, when there is an error.
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

// ---- A hook: called by threads of the library, with what it was registered with. --------------------------------

struct hook_data {
    atomic_int joins;
    atomic_int partition_changes;
    atomic_int destroyed;
};

static int32_t on_event(const ck_event_t *event, void *user_data) {
    struct hook_data *data = user_data;
    if (event->kind == CK_EVENT_NODE_JOIN) {
        atomic_fetch_add(&data->joins, 1);
    } else if (event->kind == CK_EVENT_PARTITION_CHANGE) {
        // Where ck_event_partition_change(event) says CK_CHANGE_GAINED_REPLICA for this node, an application copies
        // the partition's data from one of its copy_from here, and returns 0 when it is there.
        atomic_fetch_add(&data->partition_changes, 1);
    }
    return 0;
}

// Called exactly once, when no call of the hook runs or will.
static void on_destroy(void *user_data) {
    atomic_fetch_add(&((struct hook_data *)user_data)->destroyed, 1);
}

// ---- Nodes. ---------------------------------------------------------------------------------------------------

// Options from the command line, NAME=VALUE; docs/options.md lists them.
static char **extra_options;

static ck_cluster_t *make_node(int number, const char *join) {
    char id[16];
    snprintf(id, sizeof id, "node-%d", number);
    ck_options_t *options = NULL;
    must(ck_options_new(&options), "make options");
    set(options, "node_id", id);
    set(options, "http_addr", "127.0.0.1:0"); // the system chooses the port
    set(options, "data_dir", "");             // in memory; a folder's name keeps the node's state across restarts
    set(options, "partition_count", "16");
    if (join != NULL) {
        set(options, "join_addrs", join);
    }
    for (char **option = extra_options; *option != NULL; option++) {
        const char *equals = strchr(*option, '=');
        size_t name_len = equals != NULL ? (size_t)(equals - *option) : strlen(*option);
        const char *value = equals != NULL ? equals + 1 : "";
        must(ck_options_set(options, *option, name_len, value, strlen(value)), *option);
    }
    ck_cluster_t *node = NULL;
    must(ck_cluster_new(options, &node), "make a node");
    ck_options_free(options);
    return node;
}

// True when every partition of the view has its three copies.
static bool is_spread(const ck_view_t *view) {
    bool spread = ck_view_partition_count(view) == PARTITIONS;
    for (uint32_t partition = 0; spread && partition < PARTITIONS; partition++) {
        spread = ck_view_primary(view, partition) != NULL && ck_view_replica_count(view, partition) == NODES - 1;
    }
    return spread;
}

// The view of a node in which that is so: a later one may find a role between two nodes again.
static ck_view_t *view_when_spread(const ck_cluster_t *node) {
    time_t end = time(NULL) + TIMEOUT_MS / 1000;
    for (;;) {
        ck_view_t *view = NULL;
        must(ck_view_acquire(node, &view), "take a view");
        if (is_spread(view)) {
            return view;
        }
        ck_view_release(view);
        if (time(NULL) > end) {
            fprintf(stderr, "the partitions were not spread in time\n");
            exit(1);
        }
        nanosleep(&MOMENT, NULL);
    }
}

static int count_primaries(ck_cluster_t *const *nodes, const char *key) {
    int primaries = 0;
    for (int i = 0; i < NODES; i++) {
        ck_key_route_t route;
        must(ck_lookup_key(nodes[i], key, strlen(key), NULL, &route, sizeof route), "look a key up");
        if (route.role == CK_ROLE_PRIMARY && ck_is_primary(nodes[i], route.partition)) {
            primaries++;
        }
    }
    return primaries;
}

int main(int argc, char **argv) {
    extra_options = argv + (argc > 0 ? 1 : 0);
    printf("ClusterKit %s\n", ck_version());
    if (ck_abi_version() != CK_ABI_VERSION) {
        fprintf(stderr, "this program was built for another ABI\n");
        return 1;
    }

    // The first node founds the cluster, the others join through it.
    struct hook_data data = {0};
    ck_cluster_t *nodes[NODES];
    nodes[0] = make_node(1, NULL);
    must(ck_hook_add(nodes[0], CK_EVENT_ALL, on_event, &data, on_destroy, NULL), "add a hook");
    must(ck_cluster_start(nodes[0]), "start node-1");
    char address[CK_ADDRESS_SIZE];
    must(ck_cluster_http_addr(nodes[0], address, sizeof address), "ask for the address");
    for (int i = 1; i < NODES; i++) {
        nodes[i] = make_node(i + 1, address);
        must(ck_cluster_start(nodes[i]), "join");
    }
    ck_leader_info_t *leader = NULL;
    must(ck_wait_for_leader(nodes[0], TIMEOUT_MS, &leader), "wait for a leader");
    for (int i = 0; i < NODES; i++) {
        ck_view_release(view_when_spread(nodes[i]));
    }

    // All answers taken from one view agree with each other.
    ck_view_t *view = view_when_spread(nodes[0]);
    printf("members:");
    for (size_t i = 0; i < ck_view_node_count(view); i++) {
        printf(" %s", ck_view_node(view, i)->id);
    }
    printf("\nleader: %s\n", leader->leader_id);
    ck_leader_info_free(leader);

    // Where does a key belong?
    const char *key = "user:42";
    uint32_t partition = ck_view_partition_for_key(view, key, strlen(key));
    printf("%s: partition %u, %zu replicas\n", key, (unsigned)partition, ck_view_replica_count(view, partition));
    ck_view_release(view);

    // The hot calls: no view, no allocation. Exactly one node may take the writes of a key, except for a moment
    // while the role moves, when none may.
    int primaries = count_primaries(nodes, key);
    for (time_t end = time(NULL) + TIMEOUT_MS / 1000; primaries == 0 && time(NULL) < end;) {
        nanosleep(&MOMENT, NULL);
        primaries = count_primaries(nodes, key);
    }
    printf("primaries of %s: %d\n", key, primaries);

    // A small value, written on one node and read on another.
    uint64_t revision = 0;
    must(ck_custom_data_set(nodes[2], "greeting", 8, "hello", 5, CK_EXPECT_ANY, TIMEOUT_MS, &revision), "write");
    must(ck_wait_for_revision(nodes[1], revision, TIMEOUT_MS), "wait for the write");
    ck_data_t *value = NULL;
    must(ck_custom_data_get(nodes[1], "greeting", 8, &value), "read");
    size_t len = 0;
    const char *text = ck_data_value(value, &len);
    printf("greeting: %.*s\n", (int)len, text);
    ck_data_free(value);

    // The others first, so that each has somebody to say goodbye to.
    for (int i = NODES - 1; i >= 0; i--) {
        must(ck_cluster_stop(nodes[i], TIMEOUT_MS), "stop");
        ck_cluster_free(nodes[i]);
    }
    printf("hook: %d joins, %s, destroyed %d time\n", atomic_load(&data.joins),
           atomic_load(&data.partition_changes) > 0 ? "partition changes" : "no partition change",
           atomic_load(&data.destroyed));
    return primaries == 1 && atomic_load(&data.destroyed) == 1 ? 0 : 1;
}
