// A cluster in memory, for the tests of programs: nodes are killed, paused and cut off, and their clock is moved.
#include "check.h"

#include <stdatomic.h>

// Of the nodes' clock: nobody waits for it.
enum { CLOCK_MS = 600000 };

static void option(ck_testing_options_t *options, const char *name, const char *value) {
    OK(ck_testing_options_set(options, name, strlen(name), value, strlen(value)));
}

static ck_testing_t *start(const char *nodes) {
    ck_testing_options_t *options = NULL;
    OK(ck_testing_options_new(&options));
    option(options, "nodes", nodes);
    option(options, "partition_count", "8");
    ck_testing_t *testing = NULL;
    OK(ck_testing_start(options, &testing));
    ck_testing_options_free(options);
    return testing;
}

static void a_leader_dies_and_comes_back(void) {
    ck_testing_t *testing = start("3");
    CHECK(ck_testing_node_count(testing) == 3);
    size_t leader = 9;
    CHECK(ck_testing_index_of(testing, "node-2", 6, &leader) && leader == 2);
    CHECK(!ck_testing_index_of(testing, "nobody", 6, NULL));
    OK(ck_testing_wait_for_leader(testing, CLOCK_MS, &leader));
    ck_cluster_t *node = NULL;
    OK(ck_testing_node(testing, leader, &node));
    OK(ck_custom_data_set(node, "k", 1, "v", 1, CK_EXPECT_ANY, CLOCK_MS, NULL));
    OK(ck_testing_kill(testing, leader));
    CHECK(!ck_testing_is_running(testing, leader));
    FAILS(CK_ERROR_STOPPED, ck_custom_data_set(node, "k", 1, "v", 1, CK_EXPECT_ANY, CLOCK_MS, NULL));
    ck_cluster_free(node);

    size_t successor = leader;
    OK(ck_testing_wait_for_leader(testing, CLOCK_MS, &successor));
    CHECK(successor != leader);
    OK(ck_testing_wait_settled(testing, CLOCK_MS));
    OK(ck_testing_restart(testing, leader));
    OK(ck_testing_wait_settled(testing, CLOCK_MS));
    OK(ck_testing_node(testing, leader, &node));
    ck_data_t *data = NULL;
    OK(ck_custom_data_get(node, "k", 1, &data));
    size_t length = 0;
    CHECK(memcmp(ck_data_value(data, &length), "v", 1) == 0 && length == 1);
    ck_data_free(data);
    // The share outlives the test cluster, and answers that it has ended.
    ck_testing_free(testing);
    FAILS(CK_ERROR_STOPPED, ck_custom_data_set(node, "k", 1, "v", 1, CK_EXPECT_ANY, CLOCK_MS, NULL));
    ck_cluster_free(node);
}

static bool is_not_primary(void *user_data) {
    return !ck_is_primary_for_key(user_data, "user:1", 6);
}

static void a_primary_that_stands_still_is_none(void) {
    ck_testing_t *testing = start("3");
    size_t owner = 9, heir = 9;
    CHECK(ck_testing_primary_of(testing, "user:1", 6, &owner) && owner < 3);
    ck_cluster_t *node = NULL;
    OK(ck_testing_node(testing, owner, &node));
    CHECK(ck_is_primary_for_key(node, "user:1", 6));
    OK(ck_testing_pause(testing, owner));
    CHECK(ck_testing_is_paused(testing, owner) && ck_testing_is_running(testing, owner));
    OK(ck_testing_wait_until(testing, "its lease has run out", 21, CLOCK_MS, is_not_primary, node));
    OK(ck_testing_wait_for_primaries(testing, CLOCK_MS));
    CHECK(ck_testing_primary_of(testing, "user:1", 6, &heir) && heir != owner);
    OK(ck_testing_resume(testing, owner));
    OK(ck_testing_wait_settled(testing, CLOCK_MS));
    ck_cluster_free(node);

    // A minority loses what it had, and a cut that is healed leaves one primary of each.
    OK(ck_testing_isolate(testing, heir));
    OK(ck_testing_advance(testing, 30000));
    CHECK(!ck_testing_primary_of(testing, "user:1", 6, &owner) || owner != heir);
    OK(ck_testing_heal(testing));
    OK(ck_testing_wait_settled(testing, CLOCK_MS));
    size_t side[] = {0, 1};
    OK(ck_testing_split(testing, side, 2));
    OK(ck_testing_wait_for_leader(testing, CLOCK_MS, &owner));
    CHECK(owner < 2);
    OK(ck_testing_heal(testing));
    OK(ck_testing_cut(testing, 0, 1));
    OK(ck_testing_restore(testing, 0, 1));
    OK(ck_testing_cut_one_way(testing, 0, 1));
    OK(ck_testing_set_link(testing, 1, 2, 20, 100));
    OK(ck_testing_heal(testing));
    OK(ck_testing_wait_settled(testing, CLOCK_MS));
    ck_testing_free(testing);
}

static void a_disk_that_fails(void) {
    ck_testing_t *testing = start("3");
    OK(ck_testing_fail_disk(testing, 0, CK_TESTING_DISK_SYNC_FAILS));
    OK(ck_testing_advance(testing, 30000));
    size_t leader = 0;
    OK(ck_testing_wait_for_leader(testing, CLOCK_MS, &leader));
    CHECK(leader != 0);
    OK(ck_testing_mend_disk(testing, 0));
    OK(ck_testing_wipe(testing, 0));
    OK(ck_testing_advance(testing, 30000));
    OK(ck_testing_restart(testing, 0));
    OK(ck_testing_wait_settled(testing, CLOCK_MS));
    OK(ck_testing_stop(testing, 0));
    FAILS(CK_ERROR_REFUSED, ck_testing_stop(testing, 0));
    OK(ck_testing_recreate(testing, 0));
    ck_cluster_t *node = NULL;
    OK(ck_testing_node(testing, 0, &node));
    OK(ck_cluster_start(node));
    ck_cluster_free(node);
    size_t added = 0;
    OK(ck_testing_add_node(testing, &added));
    CHECK(added == 3);
    OK(ck_testing_create_node(testing, NULL));
    CHECK(ck_testing_node_count(testing) == 5);
    OK(ck_testing_wait_settled(testing, CLOCK_MS));
    uint64_t now = ck_testing_now_ms(testing);
    OK(ck_testing_advance(testing, 10000));
    CHECK(ck_testing_now_ms(testing) >= now + 10000);
    OK(ck_testing_close(testing));
    OK(ck_testing_close(testing));
    FAILS(CK_ERROR_STOPPED, ck_testing_node(testing, 0, &node));
    CHECK(node == NULL);
    ck_testing_free(testing);
}

struct told {
    atomic_int configured;
    atomic_int prepared;
    atomic_int hook_calls;
    atomic_int ended;
    int32_t refusal;
};

static int32_t configure(size_t index, ck_options_t *options, void *user_data) {
    struct told *told = user_data;
    atomic_fetch_add(&told->configured, 1);
    char zone[] = "zone-0";
    zone[5] = (char)('0' + index);
    set(options, "zone", zone);
    return told->refusal == 1 ? 5 : 0;
}

static int32_t on_event(const ck_event_t *event, void *user_data) {
    (void)event;
    atomic_fetch_add(&((struct told *)user_data)->hook_calls, 1);
    return 0;
}

static int32_t prepare(size_t index, ck_cluster_t *cluster, void *user_data) {
    struct told *told = user_data;
    atomic_fetch_add(&told->prepared, 1);
    char id[] = "node-0";
    id[5] = (char)('0' + index);
    CHECK(strcmp(ck_my_node_id(cluster), id) == 0);
    OK(ck_hook_add(cluster, CK_EVENT_PARTITION_CHANGE, on_event, told, NULL, NULL));
    return told->refusal == 2 ? 6 : 0;
}

static void ends(void *user_data) {
    atomic_fetch_add(&((struct told *)user_data)->ended, 1);
}

static void every_process_is_prepared(void) {
    static struct told told;
    ck_testing_options_t *options = NULL;
    OK(ck_testing_options_new(&options));
    option(options, "nodes", "2");
    option(options, "partition_count", "4");
    option(options, "seed", "7");
    OK(ck_testing_options_set_configure(options, configure, &told, ends));
    OK(ck_testing_options_set_prepare(options, prepare, &told, ends));
    ck_testing_t *testing = NULL;
    OK(ck_testing_start(options, &testing));
    CHECK(atomic_load(&told.configured) == 2 && atomic_load(&told.prepared) == 2);
    UNTIL(atomic_load(&told.hook_calls) > 0);
    ck_cluster_t *node = NULL;
    OK(ck_testing_node(testing, 1, &node));
    ck_view_t *view = NULL;
    OK(ck_view_acquire(node, &view));
    CHECK(strcmp(ck_view_my_node(view)->zone, "zone-1") == 0);
    ck_view_release(view);
    ck_cluster_free(node);
    OK(ck_testing_kill(testing, 1));
    OK(ck_testing_restart(testing, 1));
    CHECK(atomic_load(&told.prepared) == 3);

    // What a callback refuses is not made.
    told.refusal = 1;
    FAILS(CK_ERROR_REFUSED, ck_testing_add_node(testing, NULL));
    told.refusal = 2;
    FAILS(CK_ERROR_REFUSED, ck_testing_add_node(testing, NULL));
    ck_testing_t *second = testing;
    FAILS(CK_ERROR_REFUSED, ck_testing_start(options, &second));
    CHECK(second == NULL);
    ck_testing_options_free(options);
    CHECK(atomic_load(&told.ended) == 0);
    ck_testing_free(testing);
    CHECK(atomic_load(&told.ended) == 2);
}

// The end, begun inside a hook, which would wait for itself.
struct inside {
    ck_testing_t *testing;
    atomic_int refused;
};

static int32_t advance_inside(const ck_event_t *event, void *user_data) {
    (void)event;
    struct inside *inside = user_data;
    FAILS(CK_ERROR_IN_HOOK, ck_testing_advance(inside->testing, 1));
    FAILS(CK_ERROR_IN_HOOK, ck_testing_kill(inside->testing, 0));
    FAILS(CK_ERROR_IN_HOOK, ck_testing_close(inside->testing));
    atomic_store(&inside->refused, 1);
    return 0;
}

static void a_hook_is_refused_what_waits_for_it(void) {
    static struct inside inside;
    inside.testing = start("1");
    ck_cluster_t *node = NULL;
    OK(ck_testing_node(inside.testing, 0, &node));
    OK(ck_hook_add(node, CK_EVENT_NODE_JOIN, advance_inside, &inside, NULL, NULL));
    ck_cluster_free(node);
    OK(ck_testing_add_node(inside.testing, NULL));
    UNTIL(atomic_load(&inside.refused) == 1);
    ck_testing_free(inside.testing);
}

static void wrong_arguments(void) {
    ck_testing_options_t *options = NULL;
    OK(ck_testing_options_new(&options));
    FAILS(CK_ERROR_INVALID_OPTION, ck_testing_options_set(options, "nodes", 5, "0", 1));
    FAILS(CK_ERROR_INVALID_OPTION, ck_testing_options_set(options, "nodes", 5, "many", 4));
    FAILS(CK_ERROR_INVALID_OPTION, ck_testing_options_set(options, "seed", 4, "-1", 2));
    FAILS(CK_ERROR_INVALID_OPTION, ck_testing_options_set(options, "manual_clock", 12, "yes", 3));
    FAILS(CK_ERROR_INVALID_OPTION, ck_testing_options_set(options, "nonsense", 8, "1", 1));
    FAILS(CK_ERROR_INVALID_OPTION, ck_testing_options_set(options, "partition_count", 15, "0", 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_testing_options_set(NULL, "nodes", 5, "1", 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_testing_options_set_prepare(NULL, NULL, NULL, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_testing_start(options, NULL));
    option(options, "nodes", "1");
    ck_testing_t *testing = NULL;
    OK(ck_testing_start(options, &testing));
    ck_testing_options_free(options);
    ck_testing_options_free(NULL);
    ck_testing_free(NULL);
    ck_cluster_t *node = (ck_cluster_t *)testing;
    FAILS(CK_ERROR_NOT_FOUND, ck_testing_node(testing, 7, &node));
    CHECK(node == NULL);
    FAILS(CK_ERROR_NOT_FOUND, ck_testing_kill(testing, 7));
    FAILS(CK_ERROR_NOT_FOUND, ck_testing_cut(testing, 0, SIZE_MAX));
    FAILS(CK_ERROR_REFUSED, ck_testing_restart(testing, 0));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_testing_fail_disk(testing, 0, 99));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_testing_set_link(testing, 0, 0, 0, 1001));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_testing_split(testing, NULL, 1));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_testing_wait_until(testing, "x", 1, 1, NULL, NULL));
    FAILS(CK_ERROR_INVALID_ARGUMENT, ck_testing_advance(NULL, 1));
    CHECK(ck_testing_node_count(NULL) == 0 && ck_testing_now_ms(NULL) == 0 && !ck_testing_leader(NULL, NULL));
    CHECK(!ck_testing_is_running(testing, 7) && !ck_testing_is_paused(NULL, 0));
    ck_testing_free(testing);
}

// With an argument only what is quick enough for Valgrind.
int main(int argc, char **argv) {
    (void)argv;
    every_process_is_prepared();
    wrong_arguments();
    if (argc > 1) {
        return 0;
    }
    a_leader_dies_and_comes_back();
    a_primary_that_stands_still_is_none();
    a_disk_that_fails();
    a_hook_is_refused_what_waits_for_it();
    return 0;
}
