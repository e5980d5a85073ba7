// The conformance scripts, run in C: see README.md. Reads a script from its standard input, and writes it with what its commands
// print.
#define _POSIX_C_SOURCE 200809L // for pthreads and getline, also under -std=c11

#include <clusterkit.h>

#include "words.h"

#include <pthread.h>

// Of the clock of the test cluster, or of the real one.
#define TIMEOUT_MS 60000
// No script has more nodes, and no cluster more partitions.
#define MAX_NODES 16
#define MAX_PARTITIONS 1024

// ---- What the commands work on. -------------------------------------------------------------------------------

static ck_testing_t *testing;
static ck_cluster_t *alone;
static ck_client_t *client;
// The revision of the last write.
static uint64_t last;

// What a hook of a node does, and has done. The last one is of the node `alone`.
static struct of_node {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    ck_events_t *watched;
    ck_cluster_t *node;
    bool is_copied[MAX_PARTITIONS];
    int failures, failures_left;
    char call[16];
    char answer[256];
} of_nodes[MAX_NODES + 1];

static size_t index_of(const char *word) {
    return strcmp(word, "alone") == 0 ? MAX_NODES : number(word);
}

// A share of a node, to be freed.
static ck_cluster_t *node_of(const char *word) {
    if (strcmp(word, "alone") == 0) {
        return ck_cluster_ref(alone);
    }
    ck_cluster_t *node = NULL;
    if (ck_testing_node(testing, number(word), &node) != NULL) {
        wrong("no such node");
    }
    return node;
}

static const char *status_name(int32_t status) {
    static const char *const NAMES[] = {"unknown", "joining", "active", "leaving", "stopped", "failed"};
    return NAMES[status];
}

static void told(ck_error_t *error, char *buffer, size_t size) {
    snprintf(buffer, size, "%s: %s", ck_error_name(error), ck_error_message(error));
    ck_error_free(error);
}

// ---- Commands that need no cluster. ---------------------------------------------------------------------------

static ck_error_t *make_node(void) {
    ck_options_t *options = NULL;
    ck_error_t *error = ck_options_new(&options);
    for (size_t i = 1; error == NULL && i < word_count; i++) {
        char *equals = strchr(words[i], '=');
        struct bytes value = decoded(equals + 1);
        error = ck_options_set(options, words[i], (size_t)(equals - words[i]), value.data, value.len);
    }
    ck_cluster_t *node = NULL;
    if (error == NULL) {
        error = ck_cluster_new(options, &node);
    }
    ck_options_free(options);
    if (error == NULL) {
        ck_cluster_free(alone);
        alone = node;
        say("made");
    }
    return error;
}

static ck_error_t *check_client(void) {
    ck_client_options_t *options = NULL;
    ck_error_t *error = ck_client_options_new(&options);
    for (size_t i = 1; error == NULL && i < word_count; i++) {
        char *equals = strchr(words[i], '=');
        struct bytes value = decoded(equals + 1);
        error = ck_client_options_set(options, words[i], (size_t)(equals - words[i]), value.data, value.len);
    }
    if (error == NULL) {
        error = ck_client_options_validate(options);
    }
    ck_client_options_free(options);
    say("right");
    return error;
}

static void row(const char *type, const char *value, const char *bounds) {
    say("%s, default %s, %s", type, value != NULL ? value : "-", bounds);
}

static bool library(ck_error_t **error) {
    if (is("partition", 2)) {
        struct bytes key = decoded(words[1]);
        say("%u", (unsigned)ck_partition_for(key.data, key.len, number(words[2])));
    } else if (is("number", 1)) {
        uint32_t of = ck_partition_number(words[1], strlen(words[1]));
        say(of == CK_NO_PARTITION ? "none" : "%u", (unsigned)of);
    } else if (is("duration", 1)) {
        struct bytes text = decoded(words[1]);
        uint64_t duration = 0;
        ck_error_t *failed = ck_parse_duration(text.data, text.len, &duration);
        say(failed != NULL ? "none" : "%llu", (unsigned long long)duration);
        ck_error_free(failed);
    } else if (is("option", 1)) {
        for (size_t i = 0; i < ck_option_count(); i++) {
            if (strcmp(ck_option_name(i), words[1]) == 0) {
                row(ck_option_type(i), ck_option_default(i), ck_option_bounds(i));
            }
        }
    } else if (is("client-option", 1)) {
        for (size_t i = 0; i < ck_client_option_count(); i++) {
            if (strcmp(ck_client_option_name(i), words[1]) == 0) {
                row(ck_client_option_type(i), ck_client_option_default(i), ck_client_option_bounds(i));
            }
        }
    } else if (is("node", MAX_WORDS)) {
        *error = make_node();
    } else if (is("check-client", MAX_WORDS)) {
        *error = check_client();
    } else {
        return false;
    }
    return true;
}

// ---- Views. ---------------------------------------------------------------------------------------------------

static void members(const ck_view_t *view) {
    // The nodes of a view are sorted by their ids.
    size_t len = 0;
    for (size_t i = 0; i < ck_view_node_count(view); i++) {
        const ck_node_t *node = ck_view_node(view, i);
        len += (size_t)snprintf(answer + len, sizeof answer - len, "%s%s %s", i > 0 ? "\n" : "", node->id, status_name(node->status));
    }
}

static void states(const ck_view_t *view) {
    // In alphabetical order.
    static const struct {
        int32_t state;
        const char *name;
    } STATES[] = {{CK_PARTITION_LOST, "lost"},
                  {CK_PARTITION_MOVING, "moving"},
                  {CK_PARTITION_NO_PRIMARY, "no_primary"},
                  {CK_PARTITION_OK, "ok"},
                  {CK_PARTITION_UNDER_REPLICATED, "under_replicated"}};
    size_t len = 0;
    for (size_t i = 0; i < sizeof STATES / sizeof *STATES; i++) {
        int count = 0;
        for (uint32_t partition = 0; partition < ck_view_partition_count(view); partition++) {
            count += ck_view_partition_state(view, partition) == STATES[i].state;
        }
        if (count > 0) {
            len += (size_t)snprintf(answer + len, sizeof answer - len, "%s%d %s", len > 0 ? ", " : "", count, STATES[i].name);
        }
    }
}

// The view of a node, or of the client where that is NULL.
static ck_error_t *look(ck_cluster_t *node) {
    ck_view_t *view = NULL;
    ck_error_t *error = node != NULL ? ck_view_acquire(node, &view) : ck_client_view_acquire(client, &view);
    if (error == NULL && is("view", 1)) {
        say("%zu members, %u partitions, %u copies of each", ck_view_node_count(view), (unsigned)ck_view_partition_count(view),
            (unsigned)ck_view_replication_factor(view));
    } else if (error == NULL && is("states", 1)) {
        states(view);
    } else if (error == NULL && is("client-partition", 1)) {
        struct bytes key = decoded(words[1]);
        say("%u", (unsigned)ck_view_partition_for_key(view, key.data, key.len));
    } else if (error == NULL) {
        members(view);
    }
    ck_view_release(view);
    return error;
}

// ---- Questions to all running nodes. --------------------------------------------------------------------------

static void all_nodes(void) {
    int running = 0, primaries = 0, replicas = 0, epochs = 0, leaders = 0;
    struct bytes key = decoded(word_count > 1 ? words[1] : "-");
    for (size_t i = 0; i < ck_testing_node_count(testing); i++) {
        if (!ck_testing_is_running(testing, i)) {
            continue;
        }
        ck_cluster_t *node = NULL;
        if (ck_testing_node(testing, i, &node) != NULL) {
            wrong("no such node");
        }
        running++;
        int32_t role = ck_role_for_key(node, key.data, key.len);
        primaries += role == CK_ROLE_PRIMARY;
        replicas += role == CK_ROLE_REPLICA;
        leaders += ck_is_leader(node);
        uint64_t epoch = 0;
        ck_error_t *error = ck_primary_epoch(node, ck_partition_for_key(node, key.data, key.len), &epoch);
        epochs += error == NULL;
        ck_error_free(error);
        ck_cluster_free(node);
    }
    if (is("holders", 1)) {
        say("%d primary, %d replica", primaries, replicas);
    } else {
        say("%d of %d", is("epochs", 1) ? epochs : leaders, running);
    }
}

// ---- Waits. ---------------------------------------------------------------------------------------------------

static bool is_powerless(void *node) {
    bool found = ck_is_leader(node);
    ck_view_t *view = NULL;
    ck_error_free(ck_view_acquire(node, &view));
    for (uint32_t partition = 0; partition < ck_view_partition_count(view); partition++) {
        found = found || ck_is_primary(node, partition);
    }
    ck_view_release(view);
    return !found;
}

static bool has_status(void *node) {
    ck_view_t *view = NULL;
    ck_error_free(ck_view_acquire(node, &view));
    const ck_node_t *member = ck_view_find_node(view, words[2], strlen(words[2]));
    bool found = strcmp(member == NULL ? "gone" : status_name(member->status), words[3]) == 0;
    ck_view_release(view);
    return found;
}

// ---- Data. ----------------------------------------------------------------------------------------------------

static uint64_t expected(const char *word) {
    if (strcmp(word, "any") == 0) {
        return CK_EXPECT_ANY;
    }
    if (strcmp(word, "absent") == 0) {
        return CK_EXPECT_ABSENT;
    }
    return strcmp(word, "last") == 0 ? last : strtoull(word, NULL, 10);
}

static ck_error_t *get(ck_cluster_t *node, const struct bytes *key) {
    ck_data_t *data = NULL;
    ck_error_t *error = ck_wait_for_revision(node, last, TIMEOUT_MS);
    if (error == NULL) {
        error = ck_custom_data_get(node, key->data, key->len, &data);
    }
    if (ck_error_code(error) == CK_ERROR_NOT_FOUND) {
        say("none");
        ck_error_free(error);
        return NULL;
    }
    if (error == NULL) {
        size_t len = 0;
        const void *value = ck_data_value(data, &len);
        append(value, len);
    }
    ck_data_free(data);
    return error;
}

static ck_error_t *keys(ck_cluster_t *node, const struct bytes *prefix) {
    struct bytes after = decoded(words[3]);
    ck_strings_t *found = NULL;
    ck_error_t *error = ck_wait_for_revision(node, last, TIMEOUT_MS);
    if (error == NULL) {
        error = ck_custom_data_keys(node, prefix->data, prefix->len, after.data, after.len, number(words[4]), &found);
    }
    for (size_t i = 0; i < ck_strings_count(found); i++) {
        size_t len = 0;
        const char *key = ck_strings_get(found, i, &len);
        strcat(answer, i > 0 ? "\n" : "");
        append(key, len);
    }
    ck_strings_free(found);
    return error;
}

static bool data(ck_cluster_t *node, ck_error_t **error) {
    struct bytes key = decoded(word_count > 2 ? words[2] : "-");
    if (is("set", 4)) {
        struct bytes value = decoded(words[3]);
        uint64_t revision = 0;
        *error = ck_custom_data_set(node, key.data, key.len, value.data, value.len, expected(words[4]), TIMEOUT_MS, &revision);
        last = *error == NULL ? revision : last;
        say("written");
    } else if (is("get", 2)) {
        *error = get(node, &key);
    } else if (is("delete", 3)) {
        bool existed = false;
        uint64_t revision = 0;
        *error = ck_custom_data_delete(node, key.data, key.len, expected(words[3]), TIMEOUT_MS, &existed, &revision);
        last = *error == NULL ? revision : last;
        say(existed ? "deleted" : "there was none");
    } else if (is("keys", 4)) {
        *error = keys(node, &key);
    } else if (is("barrier", 1)) {
        *error = ck_read_barrier(node, TIMEOUT_MS, NULL);
        say("read");
    } else {
        return false;
    }
    return true;
}

// ---- Hooks and events. ----------------------------------------------------------------------------------------

static uint32_t event_type(const char *name) {
    return strcmp(name, "node_join") == 0     ? CK_EVENT_NODE_JOIN
           : strcmp(name, "node_rejoin") == 0 ? CK_EVENT_NODE_REJOIN
           : strcmp(name, "node_leave") == 0  ? CK_EVENT_NODE_LEAVE
                                              : (wrong(name), 0);
}

static ck_error_t *watch(ck_cluster_t *node, struct of_node *of) {
    uint32_t types = 0;
    for (size_t i = 2; i < word_count; i++) {
        types |= event_type(words[i]);
    }
    ck_events_close(of->watched);
    say("watching");
    return ck_events_open(node, types, 0, &of->watched);
}

static ck_error_t *next(struct of_node *of) {
    const ck_event_t *event = NULL;
    ck_error_t *error = ck_events_next(of->watched, TIMEOUT_MS, &event);
    if (error != NULL) {
        return error;
    }
    const ck_node_join_t *join = ck_event_node_join(event);
    const ck_node_rejoin_t *rejoin = ck_event_node_rejoin(event);
    const ck_node_leave_t *leave = ck_event_node_leave(event);
    if (join != NULL) {
        say("node_join %s", join->node->id);
    } else if (rejoin != NULL) {
        say("node_rejoin %s", rejoin->node->id);
    } else if (leave != NULL) {
        static const char *const REASONS[] = {"unknown", "health_check_failure", "graceful_shutdown", "removed_by_admin"};
        say("node_leave %s %s", leave->node->id, REASONS[leave->reason]);
    } else {
        wrong("no event came");
    }
    return ck_events_ack(of->watched, event, 0, NULL, 0);
}

static int32_t on_copy(const ck_event_t *event, void *user_data) {
    struct of_node *of = user_data;
    const ck_partition_change_t *change = ck_event_partition_change(event);
    if (change->change != CK_CHANGE_GAINED_REPLICA || strcmp(change->node_id, ck_my_node_id(of->node)) != 0) {
        return 0;
    }
    pthread_mutex_lock(&of->lock);
    bool fails = of->failures_left > 0;
    of->failures_left -= fails;
    of->failures += fails;
    of->is_copied[change->partition] |= !fails;
    pthread_mutex_unlock(&of->lock);
    if (fails) {
        ck_error_free(ck_event_set_failure(event, "no space", 8));
    }
    return fails;
}

static int32_t on_join(const ck_event_t *event, void *user_data) {
    (void)event;
    struct of_node *of = user_data;
    ck_error_t *error = NULL;
    if (strcmp(of->call, "set") == 0) {
        error = ck_custom_data_set(of->node, "in-hook", 7, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, NULL);
    } else if (strcmp(of->call, "barrier") == 0) {
        error = ck_read_barrier(of->node, TIMEOUT_MS, NULL);
    } else {
        error = ck_cluster_leave(of->node, TIMEOUT_MS);
    }
    pthread_mutex_lock(&of->lock);
    strcpy(of->answer, "it may");
    if (error != NULL) {
        told(error, of->answer, sizeof of->answer);
    }
    pthread_cond_signal(&of->answered);
    pthread_mutex_unlock(&of->lock);
    return 0;
}

static bool hooks(ck_cluster_t *node, ck_error_t **error) {
    struct of_node *of = word_count > 1 ? &of_nodes[index_of(words[1])] : NULL;
    if (strcmp(words[0], "watch") == 0) {
        *error = watch(node, of);
    } else if (is("next", 1)) {
        *error = next(of);
    } else if (is("copy", 2) || is("ask-in-hook", 2)) {
        bool copies = is("copy", 2);
        ck_cluster_free(of->node);
        of->node = ck_cluster_ref(node);
        of->failures_left = strcmp(words[2], "fail-once") == 0;
        snprintf(of->call, sizeof of->call, "%s", words[2]);
        *error = ck_hook_add(node, copies ? CK_EVENT_PARTITION_CHANGE : CK_EVENT_NODE_JOIN, copies ? on_copy : on_join, of, NULL, NULL);
        say("added");
    } else if (is("copied", 1)) {
        int copied = 0;
        pthread_mutex_lock(&of->lock);
        for (size_t i = 0; i < sizeof of->is_copied; i++) {
            copied += of->is_copied[i];
        }
        say("%d partitions after %d failures", copied, of->failures);
        pthread_mutex_unlock(&of->lock);
    } else if (is("answer", 1)) {
        pthread_mutex_lock(&of->lock);
        while (of->answer[0] == '\0') {
            pthread_cond_wait(&of->answered, &of->lock);
        }
        say("%s", of->answer);
        pthread_mutex_unlock(&of->lock);
    } else {
        return false;
    }
    return true;
}

// ---- Test clusters and clients. -------------------------------------------------------------------------------

static void free_nodes(void) {
    for (size_t i = 0; i < MAX_NODES; i++) {
        ck_events_close(of_nodes[i].watched);
        ck_cluster_free(of_nodes[i].node);
        of_nodes[i] = (struct of_node){.lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};
    }
    ck_testing_free(testing);
    testing = NULL;
}

static ck_error_t *new_cluster(void) {
    static const char *const NAMES[] = {"nodes", "partition_count", "replication_factor"};
    free_nodes();
    last = 0;
    ck_testing_options_t *options = NULL;
    ck_error_t *error = ck_testing_options_new(&options);
    for (size_t i = 0; error == NULL && i < 3; i++) {
        error = ck_testing_options_set(options, NAMES[i], strlen(NAMES[i]), words[i + 1], strlen(words[i + 1]));
    }
    if (error == NULL) {
        error = ck_testing_start(options, &testing);
    }
    ck_testing_options_free(options);
    say("settled");
    return error;
}

static bool faults(ck_error_t **error) {
    static const struct {
        const char *name;
        ck_error_t *(*call)(ck_testing_t *testing, size_t index);
    } FAULTS[] = {{"kill", ck_testing_kill},
                  {"restart", ck_testing_restart},
                  {"pause", ck_testing_pause},
                  {"resume", ck_testing_resume},
                  {"isolate", ck_testing_isolate}};
    for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) {
        if (is(FAULTS[i].name, 1)) {
            *error = FAULTS[i].call(testing, number(words[1]));
            say("done");
            return true;
        }
    }
    if (is("cluster", 3)) {
        *error = new_cluster();
    } else if (is("settle", 0)) {
        *error = ck_testing_wait_settled(testing, TIMEOUT_MS);
        say("settled");
    } else if (is("create", 0)) {
        size_t index = 0;
        *error = ck_testing_create_node(testing, &index);
        say("%zu", index);
    } else if (is("heal", 0)) {
        *error = ck_testing_heal(testing);
        say("done");
    } else if (is("holders", 1) || is("epochs", 1) || is("leaders", 0)) {
        all_nodes();
    } else {
        return false;
    }
    return true;
}

static ck_error_t *new_client(ck_cluster_t *node) {
    char address[CK_ADDRESS_SIZE];
    ck_client_options_t *options = NULL;
    ck_error_t *error = ck_cluster_http_addr(node, address, sizeof address);
    if (error == NULL) {
        error = ck_client_options_new(&options);
    }
    if (error == NULL) {
        error = ck_client_options_set(options, "addrs", 5, address, strlen(address));
    }
    if (error == NULL) {
        error = ck_client_new(options, &client);
    }
    ck_client_options_free(options);
    say("ready");
    return error != NULL ? error : ck_client_wait_ready(client, TIMEOUT_MS, NULL);
}

static bool clients(ck_error_t **error) {
    if (is("client-partition", 1) || is("client-members", 0)) {
        *error = look(NULL);
    } else if (is("client-barrier", 0)) {
        *error = ck_client_read_barrier(client, TIMEOUT_MS, NULL);
        say("read");
    } else if (is("client-close", 0)) {
        *error = ck_client_close(client);
        say("closed");
    } else {
        return false;
    }
    return true;
}

// ---- Commands for one node. -----------------------------------------------------------------------------------

static ck_error_t *of_one_node(ck_cluster_t *node) {
    ck_error_t *error = NULL;
    if (data(node, &error) || hooks(node, &error)) {
        return error;
    }
    if (is("start", 1)) {
        say("started");
        return ck_cluster_start(node);
    }
    if (is("stop", 1)) {
        say("stopped");
        return ck_cluster_stop(node, TIMEOUT_MS);
    }
    if (is("leave", 1)) {
        say("left");
        return ck_cluster_leave(node, TIMEOUT_MS);
    }
    if (is("remove", 2)) {
        say("removed");
        return ck_remove_node(node, words[2], strlen(words[2]), false, TIMEOUT_MS, NULL);
    }
    if (is("view", 1) || is("states", 1) || is("members", 1)) {
        return look(node);
    }
    if (is("await", 3)) {
        say("so it is");
        return ck_testing_wait_until(testing, words[2], strlen(words[2]), TIMEOUT_MS, has_status, node);
    }
    if (is("powerless", 1)) {
        say("primary of nothing");
        return ck_testing_wait_until(testing, words[0], strlen(words[0]), TIMEOUT_MS, is_powerless, node);
    }
    if (is("client", 1)) {
        return new_client(node);
    }
    wrong("there is no such command, or not with so many words");
    return NULL;
}

static void command(char *line) {
    word_count = 0;
    for (char *word = strtok(line, " "); word != NULL && word_count < MAX_WORDS; word = strtok(NULL, " ")) {
        words[word_count++] = word;
    }
    bool only_code = word_count > 0 && strcmp(words[0], "code") == 0;
    if (only_code) {
        memmove(words, words + 1, --word_count * sizeof *words);
    }
    answer[0] = '\0';
    ck_error_t *error = NULL;
    if (!library(&error) && !faults(&error) && !clients(&error)) {
        ck_cluster_t *node = node_of(word_count > 1 ? words[1] : "");
        error = of_one_node(node);
        ck_cluster_free(node);
    }
    if (error != NULL) {
        told(error, answer, sizeof answer);
        answer[only_code ? strcspn(answer, ":") : strlen(answer)] = '\0';
    }
    puts(answer);
}

int main(void) {
    for (size_t i = 0; i <= MAX_NODES; i++) {
        pthread_mutex_init(&of_nodes[i].lock, NULL);
        pthread_cond_init(&of_nodes[i].answered, NULL);
    }
    char line[MAX_LINE];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#') {
            puts(line);
        } else if (strncmp(line, "> ", 2) == 0) {
            puts(line);
            command(line + 2);
        }
    }
    free_nodes();
    ck_client_free(client);
    ck_cluster_free(alone);
    return 0;
}
