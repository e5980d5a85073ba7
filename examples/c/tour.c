// A tour of ClusterKit in C: three nodes hold an application's data, which the application copies itself. The same program
// exists in Rust, C++ and Go, and prints the same lines.
//
// In a real deployment each node lives in a process of its own, and copies over the network. Build it with
//   cc tour.c $(pkg-config --cflags --libs clusterkit) -pthread
#define _POSIX_C_SOURCE 200809L // for nanosleep and pthreads, also under -std=c11

#include <clusterkit.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NODES 3
#define PARTITIONS 16
#define KEYS 5
#define TIMEOUT_MS 20000

static void must(ck_error_t *error, const char *what) {
    if (error != NULL) {
        fprintf(stderr, "%s: %s: %s\n", what, ck_error_name(error), ck_error_message(error));
        ck_error_free(error);
        exit(1);
    }
}

// ---- The application's own storage: one for each node. --------------------------------------------------------

struct entry {
    char key[16];
    char value[16];
};

struct storage {
    pthread_mutex_t lock;
    bool holds[PARTITIONS];
    // The epoch of the last write: one from an earlier primary has an older one, and is refused.
    uint64_t epochs[PARTITIONS];
    struct entry entries[PARTITIONS][KEYS];
};

static struct storage storages[NODES];

static int number_of(const char *node_id) {
    return atoi(node_id + strlen("node-")) - 1;
}

static bool write_fenced(struct storage *storage, uint32_t partition, uint64_t epoch, const char *key, const char *value) {
    pthread_mutex_lock(&storage->lock);
    bool allowed = epoch >= storage->epochs[partition];
    for (int i = 0; allowed && i < KEYS; i++) {
        struct entry *entry = &storage->entries[partition][i];
        if (entry->key[0] == '\0' || strcmp(entry->key, key) == 0) {
            snprintf(entry->key, sizeof entry->key, "%s", key);
            snprintf(entry->value, sizeof entry->value, "%s", value);
            storage->epochs[partition] = epoch;
            break;
        }
    }
    pthread_mutex_unlock(&storage->lock);
    return allowed;
}

static bool has(struct storage *storage, uint32_t partition, const char *key) {
    pthread_mutex_lock(&storage->lock);
    bool found = false;
    for (int i = 0; i < KEYS; i++) {
        found = found || strcmp(storage->entries[partition][i].key, key) == 0;
    }
    pthread_mutex_unlock(&storage->lock);
    return found;
}

// ---- The hook that copies: what success means is that the data is there. --------------------------------------

static int32_t on_partition_change(const ck_event_t *event, void *user_data) {
    struct storage *mine = user_data;
    const ck_partition_change_t *told = ck_event_partition_change(event);
    // Every node hears of every change; each acts on its own.
    if (&storages[number_of(told->node_id)] != mine) {
        return 0;
    }
    if (told->change == CK_CHANGE_GAINED_REPLICA) {
        struct entry copy[KEYS] = {0};
        uint64_t epoch = 0;
        if (told->copy_from_count > 0) {
            struct storage *source = &storages[number_of(told->copy_from[0]->id)];
            pthread_mutex_lock(&source->lock);
            memcpy(copy, source->entries[told->partition], sizeof copy);
            epoch = source->epochs[told->partition];
            pthread_mutex_unlock(&source->lock);
        }
        pthread_mutex_lock(&mine->lock);
        memcpy(mine->entries[told->partition], copy, sizeof copy);
        mine->epochs[told->partition] = epoch;
        mine->holds[told->partition] = true;
        pthread_mutex_unlock(&mine->lock);
    } else if (told->change == CK_CHANGE_GAINED_PRIMARY) {
        // Of a copy that is here, or of a new partition, which is empty.
        pthread_mutex_lock(&mine->lock);
        mine->holds[told->partition] = true;
        pthread_mutex_unlock(&mine->lock);
    } else if (told->change == CK_CHANGE_LOST_COPY) {
        pthread_mutex_lock(&mine->lock);
        memset(mine->entries[told->partition], 0, sizeof mine->entries[told->partition]);
        mine->holds[told->partition] = false;
        pthread_mutex_unlock(&mine->lock);
    }
    return 0;
}

// ---- Nodes. ---------------------------------------------------------------------------------------------------

static char **extra_options;

static void set(ck_options_t *options, const char *name, const char *value) {
    must(ck_options_set(options, name, strlen(name), value, strlen(value)), name);
}

static ck_cluster_t *start(int number, const char *join) {
    char id[16];
    snprintf(id, sizeof id, "node-%d", number + 1);
    ck_options_t *options = NULL;
    must(ck_options_new(&options), "make options");
    set(options, "node_id", id);
    set(options, "http_addr", "127.0.0.1:0");
    set(options, "data_dir", "");
    set(options, "partition_count", "16");
    set(options, "replication_factor", "2");
    if (join != NULL) {
        set(options, "join_addrs", join);
    }
    for (char **option = extra_options; *option != NULL && option[1] != NULL; option += 2) {
        set(options, option[0], option[1]);
    }
    ck_cluster_t *node = NULL;
    must(ck_cluster_new(options, &node), "make a node");
    ck_options_free(options);
    pthread_mutex_init(&storages[number].lock, NULL);
    must(ck_hook_add(node, CK_EVENT_PARTITION_CHANGE, on_partition_change, &storages[number], NULL, NULL), "add a hook");
    must(ck_cluster_start(node), "start");
    return node;
}

// Waits until a node sees so many members, and every partition where it should be.
static void wait_until_settled(ck_cluster_t *node, size_t members) {
    ck_view_t *view = NULL;
    for (bool settled = false; !settled;) {
        must(ck_view_refresh(node, &view), "look at the cluster");
        settled = ck_view_node_count(view) == members && ck_view_partition_count(view) == PARTITIONS;
        for (uint32_t partition = 0; settled && partition < PARTITIONS; partition++) {
            settled = ck_view_partition_state(view, partition) == CK_PARTITION_OK;
        }
        if (!settled) {
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        }
    }
    ck_view_release(view);
}

// The node that takes the writes of a partition at this moment, with the epoch to fence them with.
static int primary_of(ck_cluster_t *const *nodes, int count, uint32_t partition, uint64_t *epoch) {
    for (;;) {
        for (int i = 0; i < count; i++) {
            ck_error_t *error = ck_primary_epoch(nodes[i], partition, epoch);
            if (error == NULL) {
                return i;
            }
            ck_error_free(error);
        }
        // The role is between two nodes.
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

int main(int argc, char **argv) {
    extra_options = argv + (argc > 0 ? 1 : 0);
    ck_cluster_t *nodes[NODES];
    char address[CK_ADDRESS_SIZE] = "";
    for (int i = 0; i < NODES; i++) {
        nodes[i] = start(i, i == 0 ? NULL : address);
        must(ck_cluster_http_addr(nodes[0], address, sizeof address), "ask for the address");
    }
    for (int i = 0; i < NODES; i++) {
        wait_until_settled(nodes[i], NODES);
    }
    printf("%d nodes, %d partitions, 2 copies of each\n", NODES, PARTITIONS);

    // Where keys belong, and a write to each: on its primary, fenced with the partition's epoch, and on its replica.
    char keys[KEYS][16];
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof keys[i], "user:%d", i + 1);
        uint32_t partition = ck_partition_for_key(nodes[0], keys[i], strlen(keys[i]));
        uint64_t epoch = 0;
        primary_of(nodes, NODES, partition, &epoch);
        int written = 0;
        for (int node = 0; node < NODES; node++) {
            if (storages[node].holds[partition]) {
                written += write_fenced(&storages[node], partition, epoch, keys[i], "hello");
            }
        }
        printf("%s belongs to partition %u, written to %d copies\n", keys[i], (unsigned)partition, written);
    }

    // An earlier primary that was cut off and writes late has an older epoch.
    uint32_t partition = ck_partition_for_key(nodes[0], keys[0], strlen(keys[0]));
    uint64_t epoch = 0;
    int primary = primary_of(nodes, NODES, partition, &epoch);
    bool refused = !write_fenced(&storages[primary], partition, epoch - 1, keys[0], "late");
    printf("a write with an older epoch is %s\n", refused ? "refused" : "taken");

    // A small value that every node has: written where there is none, and not a second time.
    uint64_t revision = 0;
    must(ck_custom_data_set(nodes[0], "config/limit", 12, "10", 2, CK_EXPECT_ABSENT, TIMEOUT_MS, &revision), "write");
    ck_error_t *error =
        ck_custom_data_set(nodes[1], "config/limit", 12, "20", 2, CK_EXPECT_ABSENT, TIMEOUT_MS, NULL);
    printf("writing config/limit a second time: %s\n", error == NULL ? "OK" : ck_error_name(error));
    ck_error_free(error);
    must(ck_custom_data_set(nodes[1], "config/limit", 12, "20", 2, revision, TIMEOUT_MS, &revision), "compare and set");
    must(ck_wait_for_revision(nodes[2], revision, TIMEOUT_MS), "wait for the write");
    ck_data_t *data = NULL;
    must(ck_custom_data_get(nodes[2], "config/limit", 12, &data), "read");
    size_t len = 0;
    const char *value = ck_data_value(data, &len);
    printf("config/limit: %.*s\n", (int)len, value);
    ck_data_free(data);

    // A node leaves for ever: what it holds is copied to the others first.
    must(ck_cluster_leave(nodes[2], TIMEOUT_MS), "leave");
    ck_cluster_free(nodes[2]);
    wait_until_settled(nodes[0], NODES - 1);
    int found = 0;
    for (int i = 0; i < KEYS; i++) {
        partition = ck_partition_for_key(nodes[0], keys[i], strlen(keys[i]));
        found += has(&storages[0], partition, keys[i]) && has(&storages[1], partition, keys[i]);
    }
    printf("node-3 has left: %d of %d keys are on both of the others\n", found, KEYS);
    for (int i = 1; i >= 0; i--) {
        must(ck_cluster_stop(nodes[i], TIMEOUT_MS), "stop");
        ck_cluster_free(nodes[i]);
    }
    printf("stopped\n");
    return 0;
}
