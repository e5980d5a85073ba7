// A client: no member, and the same answers as members give.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

static ck_client_t *make_client(const char *addrs) {
    ck_client_options_t *options = NULL;
    OK(ck_client_options_new(&options));
    OK(ck_client_options_set(options, "addrs", 5, addrs, strlen(addrs)));
    // A member that is gone is noticed soon.
    OK(ck_client_options_set(options, "retry_max", 9, "200ms", 5));
    // A busy machine is not one that is gone.
    OK(ck_client_options_set(options, "request_timeout", 15, "60s", 3));
    ck_client_t *client = NULL;
    OK(ck_client_new(options, &client));
    ck_client_options_free(options);
    return client;
}

static bool is_connected(const ck_client_t *client) {
    ck_client_status_t *status = NULL;
    OK(ck_client_status(client, &status));
    bool connected = status->connected != NULL;
    ck_client_status_free(status);
    return connected;
}

static int32_t last_error_code(const ck_client_t *client) {
    ck_client_status_t *status = NULL;
    OK(ck_client_status(client, &status));
    int32_t code = status->last_error_code;
    ck_client_status_free(status);
    return code;
}

static void a_client_answers_as_a_member(ck_cluster_t *member, const char *addr) {
    ck_client_t *client = make_client(addr);
    uint64_t revision = 0;
    OK(ck_client_wait_ready(client, TIMEOUT_MS, &revision));
    CHECK(revision > 0);
    uint64_t written = 0;
    OK(ck_custom_data_set(member, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, &written));
    OK(ck_client_wait_for_revision(client, written, TIMEOUT_MS));
    OK(ck_client_refresh(client, TIMEOUT_MS, &revision));
    CHECK(revision >= written);
    OK(ck_client_read_barrier(client, TIMEOUT_MS, NULL));

    ck_view_t *seen = NULL;
    OK(ck_client_view_acquire(client, &seen));
    ck_view_t *same = seen;
    OK(ck_client_view_refresh(client, &same));
    CHECK(ck_view_partition_count(seen) == 8 && ck_view_node_count(seen) == 1);
    const ck_node_t *owner = ck_view_primary_for_key(seen, "user:1", 6);
    CHECK(owner != NULL && strcmp(owner->id, "node-1") == 0 && strcmp(owner->ip, addr) == 0);
    // It is no member, and plays no part.
    CHECK(ck_view_my_node(seen) == NULL && ck_view_role_for_key(seen, "user:1", 6) == CK_ROLE_NONE);
    ck_view_release(same);

    UNTIL(is_connected(client));
    ck_client_status_t *status = NULL;
    OK(ck_client_status(client, &status));
    CHECK(strlen(status->cluster_id) > 0 && !status->is_closed);
    CHECK(strlen(status->cluster_name) > 0 && status->revision >= written && status->last_contact_ms < UINT64_MAX);
    CHECK(status->addr_count >= 1 && strcmp(status->addrs[0]->addr, addr) == 0 && status->addrs[0]->is_given);
    ck_client_status_free(status);

    FAILS(CK_ERROR_TIMEOUT, ck_client_wait_for_revision(client, UINT64_MAX, 1));
    revision = 9;
    FAILS(CK_ERROR_TIMEOUT, ck_client_wait_for_change(client, UINT64_MAX, 1, &revision));
    CHECK(revision == 0);
    // Another share, and the end of both.
    CHECK(ck_client_ref(client) == client && ck_client_ref(NULL) == NULL);
    ck_client_free(client);
    OK(ck_client_close(client));
    OK(ck_client_close(client));
    FAILS(CK_ERROR_STOPPED, ck_client_refresh(client, TIMEOUT_MS, NULL));
    OK(ck_client_status(client, &status));
    CHECK(status->is_closed);
    ck_client_status_free(status);
    // The view stays.
    OK(ck_client_view_acquire(client, &seen));
    CHECK(ck_view_revision(seen) >= written);
    ck_client_free(client);
    CHECK(ck_view_partition_count(seen) == 8);
    ck_view_release(seen);
}

struct outcome {
    atomic_int told;
    int32_t code;
    uint64_t revision;
};

static void done(const ck_result_t *result, void *user_data) {
    struct outcome *outcome = user_data;
    outcome->code = ck_error_code(result->error);
    outcome->revision = result->revision;
    CHECK(atomic_fetch_add(&outcome->told, 1) == 0);
}

#define DONE(expected, call)                                                                   \
    do {                                                                                       \
        memset(&o, 0, sizeof o);                                                               \
        OK(call);                                                                              \
        UNTIL(atomic_load(&o.told) == 1);                                                      \
        CHECK(o.code == (expected));                                                           \
    } while (0)

static void calls_have_a_form_that_does_not_wait(const char *addr) {
    static struct outcome o, last;
    ck_client_t *client = make_client(addr);
    DONE(CK_OK, ck_client_wait_ready_async(client, TIMEOUT_MS, done, &o));
    uint64_t revision = o.revision;
    CHECK(revision > 0);
    DONE(CK_OK, ck_client_wait_for_revision_async(client, revision, TIMEOUT_MS, done, &o));
    DONE(CK_OK, ck_client_refresh_async(client, TIMEOUT_MS, done, &o));
    DONE(CK_OK, ck_client_read_barrier_async(client, TIMEOUT_MS, done, &o));
    CHECK(o.revision >= revision);
    DONE(CK_ERROR_TIMEOUT, ck_client_wait_for_change_async(client, UINT64_MAX, 1, done, &o));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_refresh_async(client, TIMEOUT_MS, NULL, &o));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_refresh_async(NULL, TIMEOUT_MS, done, &o));
    // What waits when the client is freed is told, before the free returns.
    memset(&last, 0, sizeof last);
    OK(ck_client_wait_for_change_async(client, UINT64_MAX, 600000, done, &last));
    ck_client_free(client);
    CHECK(atomic_load(&last.told) == 1 && last.code == CK_ERROR_STOPPED);
}

struct changes {
    ck_client_t *client;
    atomic_ullong revision;
    atomic_int frees;
    atomic_int ended;
};

static void on_change(const ck_view_t *view, void *user_data) {
    struct changes *changes = user_data;
    uint64_t revision = ck_view_revision(view);
    // Never back, and never the same twice.
    CHECK(atomic_exchange(&changes->revision, revision) < revision);
    // A share outlives the call.
    ck_view_t *kept = ck_view_ref(view);
    CHECK(ck_view_partition_count(kept) == 8);
    ck_view_release(kept);
}

static void on_first(const ck_view_t *view, void *user_data) {
    struct changes *changes = user_data;
    CHECK(ck_view_revision(view) > 0);
    if (atomic_fetch_add(&changes->frees, 1) == 0) {
        ck_client_free(changes->client);
    }
}

static void ends(void *user_data) {
    atomic_fetch_add(&((struct changes *)user_data)->ended, 1);
}

static void changes_are_told(ck_cluster_t *member, const char *addr) {
    static struct changes changes, second;
    ck_client_t *client = make_client(addr);
    OK(ck_client_set_on_change(client, on_change, &changes, ends));
    uint64_t written = 0;
    for (int i = 0; i < 3; i++) {
        OK(ck_custom_data_set(member, "k", 1, "v", 1, CK_EXPECT_ANY, TIMEOUT_MS, &written));
        UNTIL(atomic_load(&changes.revision) >= written);
    }
    // Replaced, the first ends.
    OK(ck_client_set_on_change(client, on_change, &second, ends));
    UNTIL(atomic_load(&changes.ended) == 1 && atomic_load(&second.revision) >= written);
    OK(ck_client_set_on_change(client, NULL, NULL, NULL));
    UNTIL(atomic_load(&second.ended) == 1);
    OK(ck_client_close(client));
    // On failure the data is still the caller's.
    FAILS(CK_ERROR_STOPPED, ck_client_set_on_change(client, on_change, &second, ends));
    CHECK(atomic_load(&second.ended) == 1);
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_set_on_change(NULL, on_change, &second, ends));
    ck_client_free(client);

    // It may free its own client.
    static struct changes freeing;
    freeing.client = make_client(addr);
    OK(ck_client_set_on_change(freeing.client, on_first, &freeing, ends));
    UNTIL(atomic_load(&freeing.ended) == 1);
}

static void on_log(const ck_log_record_t *record, void *user_data) {
    CHECK(strcmp(record->node_id, "") == 0 && record->message_len > 0);
    atomic_fetch_add((atomic_int *)user_data, 1);
}

static void *waits(void *client) {
    FAILS(CK_ERROR_STOPPED, ck_client_wait_ready(client, 600000, NULL));
    return NULL;
}

// Nobody answers: lookups find nothing and wait for nothing, and closing ends what waits.
static void nobody_answers(void) {
    ck_client_t *client = make_client("127.0.0.1:1");
    ck_view_t *view = NULL;
    OK(ck_client_view_acquire(client, &view));
    CHECK(ck_view_revision(view) == 0 && ck_view_node_count(view) == 0);
    CHECK(ck_view_primary_for_key(view, "k", 1) == NULL);
    ck_view_release(view);
    FAILS(CK_ERROR_TIMEOUT, ck_client_wait_ready(client, 1, NULL));
    UNTIL(last_error_code(client) == CK_ERROR_UNREACHABLE);
    ck_client_status_t *status = NULL;
    OK(ck_client_status(client, &status));
    CHECK(status->connected == NULL && status->is_stale && status->last_contact_ms == UINT64_MAX);
    ck_client_status_free(status);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, waits, client) == 0);
    OK(ck_client_close(client));
    CHECK(pthread_join(thread, NULL) == 0);
    ck_client_free(client);
}

// What is refused before it begins, and a cluster that is not the one that is wanted.
static void wrong_options_and_arguments(const char *addr) {
    ck_client_options_t *options = NULL;
    OK(ck_client_options_new(&options));
    ck_client_t *client = (ck_client_t *)&options;
    FAILS(CK_ERROR_INVALID_OPTION, ck_client_new(options, &client));
    CHECK(client == NULL);
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_new(options, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_new(NULL, &client));
    FAILS(CK_ERROR_INVALID_OPTION, ck_client_options_set(options, "addr", 4, addr, strlen(addr)));
    FAILS(CK_ERROR_INVALID_OPTION, ck_client_options_set(options, "addrs", 5, "nowhere", 7));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_options_set(options, "addrs", 5, "\xff", 1));
    FAILS(CK_ERROR_INVALID_OPTION, ck_client_options_load_json(options, "{\"poll_timeout\": true}", 22));
    OK(ck_client_options_set(options, "addrs", 5, addr, strlen(addr)));
    OK(ck_client_options_set(options, "cluster_name", 12, "another", 7));
    OK(ck_client_options_validate(options));
    OK(ck_client_new(options, &client));
    ck_client_options_free(options);
    ck_client_options_free(NULL);
    // It is not the cluster that is wanted.
    UNTIL(last_error_code(client) == CK_ERROR_WRONG_CLUSTER);
    ck_client_free(client);
    ck_client_free(NULL);
    ck_client_status_free(NULL);
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_close(NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_status(NULL, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_view_acquire(NULL, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_client_view_refresh(NULL, NULL));
}

// The member ends, and the client says that it follows it no longer.
static void messages_are_told(ck_cluster_t *member, const char *addr) {
    static atomic_int heard;
    ck_client_t *client = make_client(addr);
    OK(ck_client_wait_ready(client, TIMEOUT_MS, NULL));
    OK(ck_client_set_log(client, on_log, &heard, NULL));
    ck_cluster_free(member);
    UNTIL(atomic_load(&heard) > 0);
    ck_client_free(client);
}

int main(void) {
    ck_cluster_t *member = make_node("node-1");
    OK(ck_cluster_start(member));
    char addr[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(member, addr, sizeof addr));
    a_client_answers_as_a_member(member, addr);
    calls_have_a_form_that_does_not_wait(addr);
    changes_are_told(member, addr);
    nobody_answers();
    wrong_options_and_arguments(addr);
    messages_are_told(member, addr);
    return 0;
}
