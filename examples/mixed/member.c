// A member of the mixed cluster, in C: see README.md.
#define _POSIX_C_SOURCE 200809L // for pthreads, sockets and getline, also under -std=c11

#include <clusterkit.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PARTITIONS = 24, MAX_KEYS = 256, MAX_WORD = 64, TIMEOUT_MS = 20000, ANSWER_SIZE = 64 * 1024 };

static void must(ck_error_t *error, const char *what) {
    if (error != NULL) {
        fprintf(stderr, "%s: %s: %s\n", what, ck_error_name(error), ck_error_message(error));
        exit(1);
    }
}

// ---- The application's own storage. ---------------------------------------------------------------------------

struct entry {
    char key[MAX_WORD];
    char value[MAX_WORD];
};

// What a member holds of one partition.
struct copy {
    bool is_held;
    uint64_t epoch;
    size_t count;
    struct entry entries[MAX_KEYS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct copy copies[PARTITIONS];
static ck_cluster_t *node;

static void store(struct copy *copy, const char *key, const char *value) {
    size_t at = 0;
    while (at < copy->count && strcmp(copy->entries[at].key, key) != 0) {
        at++;
    }
    if (at < MAX_KEYS) {
        snprintf(copy->entries[at].key, MAX_WORD, "%s", key);
        snprintf(copy->entries[at].value, MAX_WORD, "%s", value);
        copy->count += at == copy->count;
    }
}

static bool put(uint32_t partition, uint64_t epoch, const char *key, const char *value) {
    pthread_mutex_lock(&lock);
    bool allowed = partition < PARTITIONS && copies[partition].is_held && copies[partition].epoch <= epoch;
    if (allowed) {
        copies[partition].epoch = epoch;
        store(&copies[partition], key, value);
    }
    pthread_mutex_unlock(&lock);
    return allowed;
}

// ---- Other members. -------------------------------------------------------------------------------------------

// What comes before the other end closes, or one line.
static void receive(int connection, char *text, size_t size, bool one_line) {
    size_t len = 0;
    while (len + 1 < size && !(one_line && memchr(text, '\n', len) != NULL)) {
        ssize_t count = recv(connection, text + len, size - len - 1, 0);
        if (count <= 0) {
            break;
        }
        len += (size_t)count;
    }
    text[len] = '\0';
}

// Asks another member; empty where it does not answer.
static void ask(const ck_node_t *member, const char *line, char *answer, size_t size) {
    answer[0] = '\0';
    struct sockaddr_in address = {.sin_family = AF_INET};
    for (size_t i = 0; i < member->service_count; i++) {
        char host[MAX_WORD];
        unsigned port = 0;
        if (strcmp(member->services[i]->name, "data") == 0 && sscanf(member->services[i]->value, "%63[^:]:%u", host, &port) == 2) {
            address.sin_port = htons((uint16_t)port);
            inet_pton(AF_INET, host, &address.sin_addr);
        }
    }
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval timeout = {.tv_sec = 5};
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    size_t len = strlen(line);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(connection, line, len, MSG_NOSIGNAL) == (ssize_t)len) {
        receive(connection, answer, size, false);
    }
    close(connection);
}

// The data of a partition from a member that has it.
static bool copy_from(const ck_partition_change_t *told, struct copy *copy) {
    static __thread char answer[ANSWER_SIZE];
    char line[MAX_WORD];
    snprintf(line, sizeof line, "get %u\n", (unsigned)told->partition);
    for (size_t i = 0; i < told->copy_from_count; i++) {
        unsigned long long epoch = 0;
        ask(told->copy_from[i], line, answer, sizeof answer);
        if (sscanf(answer, "epoch %llu", &epoch) == 1) {
            copy->epoch = epoch;
            char *rest = NULL;
            strtok_r(answer, "\n", &rest);
            for (char *next; (next = strtok_r(NULL, "\n", &rest)) != NULL;) {
                char key[MAX_WORD], value[MAX_WORD];
                if (sscanf(next, "%63s %63s", key, value) == 2) {
                    store(copy, key, value);
                }
            }
            return true;
        }
    }
    return false;
}

// ---- The hook: what success means is that the data is here. ---------------------------------------------------

static int32_t on_partition_change(const ck_event_t *event, void *user_data) {
    (void)user_data;
    const ck_partition_change_t *told = ck_event_partition_change(event);
    if (strcmp(told->node_id, ck_my_node_id(node)) != 0 || told->partition >= PARTITIONS) {
        return 0;
    }
    struct copy *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL) {
        return 1;
    }
    fresh->is_held = told->change != CK_CHANGE_LOST_COPY;
    if (told->change == CK_CHANGE_GAINED_REPLICA && told->copy_from_count > 0 && !copy_from(told, fresh)) {
        free(fresh);
        ck_error_free(ck_event_set_failure(event, "no member that holds it answers", 31));
        return 1;
    }
    pthread_mutex_lock(&lock);
    struct copy *mine = &copies[told->partition];
    if (told->change == CK_CHANGE_GAINED_REPLICA || told->change == CK_CHANGE_LOST_COPY ||
        (told->change == CK_CHANGE_GAINED_PRIMARY && !mine->is_held)) {
        *mine = *fresh;
    }
    pthread_mutex_unlock(&lock);
    free(fresh);
    return 0;
}

// ---- What it answers. -----------------------------------------------------------------------------------------

// Writes where this member is primary: here, and to every copy.
static void write_key(const char *key, const char *value, char *answer, size_t size) {
    ck_view_t *view = NULL;
    uint64_t epoch = 0;
    must(ck_view_acquire(node, &view), "look at the cluster");
    uint32_t partition = ck_view_partition_for_key(view, key, strlen(key));
    ck_error_t *error = ck_primary_epoch(node, partition, &epoch);
    if (error != NULL || !put(partition, epoch, key, value)) {
        ck_error_free(error);
        ck_view_release(view);
        snprintf(answer, size, "not primary");
        return;
    }
    char line[4 * MAX_WORD];
    snprintf(line, sizeof line, "put %u %llu %s %s\n", (unsigned)partition, (unsigned long long)epoch, key, value);
    int written = 1;
    for (size_t i = 0; i < ck_view_replica_count(view, partition); i++) {
        char told[MAX_WORD];
        ask(ck_view_replica(view, partition, i), line, told, sizeof told);
        written += strcmp(told, "ok\n") == 0;
    }
    ck_view_release(view);
    snprintf(answer, size, "ok %d", written);
}

static void get(uint32_t partition, char *answer, size_t size) {
    snprintf(answer, size, "none");
    pthread_mutex_lock(&lock);
    if (partition < PARTITIONS && copies[partition].is_held) {
        const struct copy *copy = &copies[partition];
        size_t len = (size_t)snprintf(answer, size, "epoch %llu", (unsigned long long)copy->epoch);
        for (size_t i = 0; i < copy->count && len + 2 * MAX_WORD < size; i++) {
            len += (size_t)snprintf(answer + len, size - len, "\n%s %s", copy->entries[i].key, copy->entries[i].value);
        }
    }
    pthread_mutex_unlock(&lock);
}

static void read_key(const char *key, char *answer, size_t size) {
    snprintf(answer, size, "none");
    uint32_t partition = ck_partition_for_key(node, key, strlen(key));
    pthread_mutex_lock(&lock);
    for (size_t i = 0; partition < PARTITIONS && copies[partition].is_held && i < copies[partition].count; i++) {
        if (strcmp(copies[partition].entries[i].key, key) == 0) {
            snprintf(answer, size, "value %s", copies[partition].entries[i].value);
        }
    }
    pthread_mutex_unlock(&lock);
}

static bool is_settled(size_t members) {
    ck_view_t *view = NULL;
    must(ck_view_acquire(node, &view), "look at the cluster");
    size_t active = 0;
    for (size_t i = 0; i < ck_view_node_count(view); i++) {
        active += ck_view_node(view, i)->status == CK_NODE_ACTIVE;
    }
    bool settled = active == members && ck_view_partition_count(view) == PARTITIONS;
    for (uint32_t partition = 0; settled && partition < PARTITIONS; partition++) {
        settled = ck_view_partition_state(view, partition) == CK_PARTITION_OK;
    }
    ck_view_release(view);
    return settled;
}

static void answer_line(const char *line, char *answer, size_t size) {
    char key[MAX_WORD], value[MAX_WORD];
    unsigned number = 0;
    unsigned long long epoch = 0;
    if (sscanf(line, "write %63s %63s", key, value) == 2) {
        write_key(key, value, answer, size);
    } else if (sscanf(line, "put %u %llu %63s %63s", &number, &epoch, key, value) == 4) {
        snprintf(answer, size, "%s", put(number, epoch, key, value) ? "ok" : "refused");
    } else if (sscanf(line, "get %u", &number) == 1) {
        get(number, answer, size);
    } else if (sscanf(line, "read %63s", key) == 1) {
        read_key(key, answer, size);
    } else if (sscanf(line, "settled %u", &number) == 1) {
        snprintf(answer, size, "%s", is_settled(number) ? "yes" : "no");
    } else if (strncmp(line, "primaries", 9) == 0) {
        int count = 0;
        for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
            count += ck_is_primary(node, partition);
        }
        snprintf(answer, size, "%d", count);
    } else {
        snprintf(answer, size, "what?");
    }
}

static void *serve_one(void *accepted) {
    int connection = *(int *)accepted;
    free(accepted);
    char *answer = malloc(ANSWER_SIZE);
    char line[4 * MAX_WORD];
    struct timeval timeout = {.tv_sec = 5};
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    receive(connection, line, sizeof line, true);
    if (answer != NULL) {
        answer_line(line, answer, ANSWER_SIZE - 1);
        strcat(answer, "\n");
        // Whoever asks may be gone: it asks again.
        (void)send(connection, answer, strlen(answer), MSG_NOSIGNAL);
    }
    free(answer);
    close(connection);
    return NULL;
}

static void *serve(void *listener) {
    for (;;) {
        int *connection = malloc(sizeof *connection);
        pthread_t thread;
        if (connection == NULL || (*connection = accept(*(int *)listener, NULL, NULL)) < 0 ||
            pthread_create(&thread, NULL, serve_one, connection) != 0) {
            free(connection);
            continue;
        }
        pthread_detach(thread);
    }
    return NULL;
}

static void set(ck_options_t *options, const char *name, const char *value) {
    must(ck_options_set(options, name, strlen(name), value, strlen(value)), name);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: member ID DATA_DIR JOIN_ADDRS\n");
        return 2;
    }
    static int listener;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in bound = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof bound;
    if (bind(listener, (struct sockaddr *)&bound, sizeof bound) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&bound, &size) != 0) {
        perror("listen");
        return 1;
    }
    char service[MAX_WORD], address[CK_ADDRESS_SIZE];
    snprintf(service, sizeof service, "data=127.0.0.1:%u", (unsigned)ntohs(bound.sin_port));
    ck_options_t *options = NULL;
    must(ck_options_new(&options), "make options");
    set(options, "node_id", argv[1]);
    set(options, "http_addr", "127.0.0.1:0");
    set(options, "data_dir", argv[2]);
    set(options, "services", service);
    set(options, "partition_count", "24");
    set(options, "replication_factor", "3");
    set(options, "rebalance_delay", "1s");
    set(options, "join_addrs", strcmp(argv[3], "-") == 0 ? "" : argv[3]);
    must(ck_cluster_new(options, &node), "make a node");
    ck_options_free(options);
    must(ck_hook_add(node, CK_EVENT_PARTITION_CHANGE, on_partition_change, NULL, NULL, NULL), "add a hook");
    // Before it starts: others copy from it as soon as it is a member.
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, &listener) != 0) {
        return 1;
    }
    must(ck_cluster_start(node), "start");
    must(ck_cluster_http_addr(node, address, sizeof address), "ask for the address");
    printf("ready %s %s\n", address, service + strlen("data="));
    fflush(stdout);
    while (getchar() != EOF) {
    }
    must(ck_cluster_stop(node, TIMEOUT_MS), "stop");
    return 0;
}
