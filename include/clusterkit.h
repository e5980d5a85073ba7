// ClusterKit: an embeddable cluster coordination layer. The C API.
//
// Generated from ck-ffi/src by cbindgen; do not edit. See docs/ for guides, examples/c/ for programs, docs/abi.md for what
// may change.
//
// INSTALLING AND LINKING
//   make install PREFIX=/usr/local puts library, header, pkg-config file and CMake package in their places.
//   cc program.c $(pkg-config --cflags --libs clusterkit)             shared, soname libclusterkit.so.1
//   cc program.c $(pkg-config --cflags --libs --static clusterkit)    static, with what it needs
//   In CMake: find_package(clusterkit), then clusterkit::shared, clusterkit::static, or clusterkit::cpp for clusterkit.hpp.
//   The number in the soname is CK_ABI_VERSION. The library is not unloaded by dlclose: its threads may outlive that.
//
// STRUCTS
//   Handles are opaque. Structs that the library owns are reached by pointers only, and only grow at their end: never copy one,
//   and never ask for its size. Structs that the caller owns are passed with their size (ck_key_route_t) or never change
//   (ck_bytes_t).
//
// ERRORS
//   A function that can fail returns ck_error_t *: NULL is success, anything else is the caller's to free with
//   ck_error_free. On failure an out parameter is NULL, 0 or false, and there is nothing else to free. Every call
//   can also fail with INTERNAL, a defect in ClusterKit, and with FORKED.
//   Every pointer may be NULL: where that makes no sense the call fails with INVALID_ARGUMENT, or gives what its
//   comment says.
//
// STRINGS
//   Strings go in as pointer and length and are UTF-8, which is checked; NULL is allowed at length 0. Keys of
//   the application are any bytes. Strings that come out are UTF-8, and end with a NUL.
//
// OWNERSHIP, in these words and no others:
//   borrowed for the call               the library reads it and keeps nothing
//   copied                              the library keeps a copy; yours is free to go
//   consumed, consumed on success       the library owns it from then on (on failure: you still do)
//   valid until the view is released    yours to read until ck_view_release of the view that it came from
//   valid until the callback returns    yours to read inside the callback; copy what you keep
//   valid until X is freed              yours to read until the free function of that handle
//   static                              valid for the life of the process
//
// THREADS
//   Every function may be called from any thread, on one handle by several at once; only what consumes a handle
//   must be the last call with it. The library keeps no state per thread that a caller could notice.
//   It has threads of its own, which start with the first node or client and end with the last. A call needs 64 KiB of its
//   caller's stack at most.
//
// A PROGRAM THAT IS NO MEMBER, AND TESTS
//   ck_client_t follows a cluster from outside and gives the same views. ck_testing_t is a cluster in memory for the tests of
//   programs, whose nodes are ordinary ones.
//
// SIGNALS
//   The library installs no signal handlers, writes nothing to stdout or stderr, and sets no global logger. Its threads begin
//   with all signals blocked but SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGSYS, so no handler of yours runs on one of them
//   for a signal from outside, and one that you block in your own threads waits for your sigwait. Threads and programs that
//   a callback starts inherit that: posix_spawn has POSIX_SPAWN_SETSIGMASK.
//   Should the library itself have a defect and panic, the call that met it answers INTERNAL, every log callback is told where it
//   was, and the process lives.
//
// CALLBACKS
//   Hooks, completions and log callbacks run on threads of the library. They may call every function whose comment says that a
//   hook may call it. They must return: an exception or a longjmp out of one ends the process. Whoever does not want to be
//   called reads events from a queue instead (ck_events_open), which an event loop can watch.
//
// CALLS THAT DO NOT WAIT
//   Every function that blocks has a form with _async at its end, which begins the call and returns. Its outcome is told to a
//   callback, ck_done_fn, exactly once. Nothing cancels a call that has begun: whoever does not care any more ignores its outcome.
//
// FORK
//   After fork a child cannot use the library, if the parent used it before: every call that can fail answers
//   FORKED, others give what they give for NULL; values that are only memory (errors, options, texts, views) can be freed, other
//   handles leak on purpose. exec is fine.


#ifndef CLUSTERKIT_H
#define CLUSTERKIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Functions of the library; everything else in it is hidden.
#ifndef CK_API
#if defined(__GNUC__)
#define CK_API __attribute__((visibility("default")))
#else
#define CK_API
#endif
#endif

// An error that nobody looks at is a leak: ck_error_free takes one that does not matter.
#ifndef CK_NODISCARD
#if defined(__GNUC__)
#define CK_NODISCARD __attribute__((warn_unused_result))
#else
#define CK_NODISCARD
#endif
#endif


// The version of the library that this header came with: major.
#define CK_VERSION_MAJOR 0

// The version of the library that this header came with: minor.
#define CK_VERSION_MINOR 1

// The version of the library that this header came with: patch.
#define CK_VERSION_PATCH 0

// The three in one number that grows with every version: major * 1000000 + minor * 1000 + patch.
#define CK_VERSION 1000

// The number of the ABI that this header describes; the soname carries it. Programs built with one number work
// with every library of that number and of the same or a later version. docs/abi.md says what may change within a number.
#define CK_ABI_VERSION 1

// No error. No ck_error_t has this code.
#define CK_OK 0

// An argument of a call is outside what the call accepts.
#define CK_ERROR_INVALID_ARGUMENT 1

// An option is unknown, malformed or out of bounds, or two options contradict each other.
#define CK_ERROR_INVALID_OPTION 2

// The call needs a started node.
#define CK_ERROR_NOT_STARTED 3

// The node was started before; a handle starts once.
#define CK_ERROR_ALREADY_STARTED 4

// The node has stopped or is stopping. A write was not made.
#define CK_ERROR_STOPPED 5

// The deadline passed before an answer came. A write may or may not have happened: the one code that says so.
#define CK_ERROR_TIMEOUT 6

// No leader is known at present. A write was not made.
#define CK_ERROR_NO_LEADER 7

// The node that was asked is not the leader and could not reach it.
#define CK_ERROR_NOT_LEADER 8

// The node holds no valid lease, so it may not act as primary or leader.
#define CK_ERROR_LEASE_EXPIRED 9

// The named node, partition or key does not exist.
#define CK_ERROR_NOT_FOUND 10

// The named thing exists already.
#define CK_ERROR_ALREADY_EXISTS 11

// The state moved on since the caller looked: a compare-and-set or a revision precondition failed.
#define CK_ERROR_CONFLICT 12

// A member refused this node's request to join.
#define CK_ERROR_JOIN_REFUSED 13

// No member could be joined before the deadline.
#define CK_ERROR_JOIN_FAILED 14

// The disk failed. Nothing is acknowledged after a failed write.
#define CK_ERROR_IO 15

// Stored data is damaged; the message names the file and the offset.
#define CK_ERROR_CORRUPT 16

// Another process uses the data directory.
#define CK_ERROR_DATA_DIR_IN_USE 17

// The listen address is in use or cannot be bound.
#define CK_ERROR_ADDRESS_IN_USE 18

// The data directory or the peer belongs to another cluster.
#define CK_ERROR_WRONG_CLUSTER 19

// A live node with the same id is a member already.
#define CK_ERROR_DUPLICATE_NODE 20

// An option that must agree in the whole cluster differs from the cluster's value.
#define CK_ERROR_CLUSTER_MISMATCH 21

// A key, value, body or frame exceeds its bound.
#define CK_ERROR_TOO_LARGE 22

// The caller did not prove that it knows the cluster secret.
#define CK_ERROR_UNAUTHENTICATED 23

// The call would block and was made inside a hook.
#define CK_ERROR_IN_HOOK 24

// The process was forked after the library was used; the child cannot use it.
#define CK_ERROR_FORKED 25

// The peer cannot be reached.
#define CK_ERROR_UNREACHABLE 26

// The node was removed from the cluster by an administrator, or has left it.
#define CK_ERROR_REMOVED 27

// The request is refused because of the cluster's present condition; the message says which.
#define CK_ERROR_REFUSED 28

// Too many requests are under way; try again.
#define CK_ERROR_BUSY 29

// The peer speaks a protocol or state version that this build does not know.
#define CK_ERROR_VERSION 30

// A defect in ClusterKit. Please report it.
#define CK_ERROR_INTERNAL 31

// The size of a buffer that holds every address: "host:port" and a NUL.
#define CK_ADDRESS_SIZE 272

// The size of a buffer that holds every node id and a NUL.
#define CK_NODE_ID_SIZE 256

// Stands for a partition where there is none.
#define CK_NO_PARTITION UINT32_MAX

// The node holds nothing of the partition, or may not act on what it holds.
#define CK_ROLE_NONE 0

// The node takes the writes.
#define CK_ROLE_PRIMARY 1

// The node holds a copy.
#define CK_ROLE_REPLICA 2

// A status that this header does not know.
#define CK_NODE_STATUS_UNKNOWN 0

// Admitted, and catching up with the log. Holds no partition yet.
#define CK_NODE_JOINING 1

// A full member.
#define CK_NODE_ACTIVE 2

// Handing its partitions over before it is removed.
#define CK_NODE_LEAVING 3

// Shut down in an orderly way; expected back.
#define CK_NODE_STOPPED 4

// Declared dead after too long without a heartbeat; may come back.
#define CK_NODE_FAILED 5

// A state of health that this header does not know.
#define CK_HEALTH_UNKNOWN 0

// All is well.
#define CK_HEALTH_HEALTHY 1

// It works, with something to look at.
#define CK_HEALTH_DEGRADED 2

// It cannot do its work.
#define CK_HEALTH_FAILING 3

// There is no such partition, or its state is one that this header does not know.
#define CK_PARTITION_UNKNOWN 0

// It has a primary, nothing moves, and as many nodes that are up hold the data as the replication factor requires.
#define CK_PARTITION_OK 1

// It has a primary and enough copies, and a copy or the primary role is moving to another node.
#define CK_PARTITION_MOVING 2

// It has a primary, and fewer nodes that are up hold the data than the replication factor requires.
#define CK_PARTITION_UNDER_REPLICATED 3

// The primary role is between two holders, or no node has it yet.
#define CK_PARTITION_NO_PRIMARY 4

// No node that is up holds the data.
#define CK_PARTITION_LOST 5

// A state that this header does not know.
#define CK_MIGRATION_UNKNOWN 0

// The node has as many copies in progress as it may.
#define CK_MIGRATION_QUEUED 1

// The node has to copy the data.
#define CK_MIGRATION_COPYING 2

// The node has to copy the data, its hook has failed, and the hook is called again.
#define CK_MIGRATION_RETRYING 3

// No node that is up has the data.
#define CK_MIGRATION_NO_SOURCE 4

// The copy is there; the primary role is taken from its holder and given to the other node.
#define CK_MIGRATION_HANDING_OVER 5

// Write whatever is there.
#define CK_EXPECT_ANY UINT64_MAX

// Write only where there is no such key.
#define CK_EXPECT_ABSENT UINT64_C(0)

// A node gained or lost a partition, or a role in it: ck_event_partition_change. Where this node gains a copy: copy the data
// from one of copy_from, and return success when it is there; only then does the cluster count on it.
#define CK_EVENT_PARTITION_CHANGE (UINT32_C(1) << 0)

// A node that was never a member has joined: ck_event_node_join.
#define CK_EVENT_NODE_JOIN (UINT32_C(1) << 1)

// A member is back, or has restarted: ck_event_node_rejoin.
#define CK_EVENT_NODE_REJOIN (UINT32_C(1) << 2)

// A member stopped, failed, or was removed: ck_event_node_leave.
#define CK_EVENT_NODE_LEAVE (UINT32_C(1) << 3)

// Partitions begin to move: ck_event_rebalance.
#define CK_EVENT_REBALANCE_START (UINT32_C(1) << 4)

// Every partition is where it should be: ck_event_rebalance.
#define CK_EVENT_REBALANCE_COMPLETE (UINT32_C(1) << 5)

// The cluster's health changed: ck_event_cluster_health.
#define CK_EVENT_CLUSTER_HEALTH_CHANGE (UINT32_C(1) << 6)

// This node leads now: ck_event_leadership. Told on this node only.
#define CK_EVENT_BECOME_LEADER (UINT32_C(1) << 7)

// This node leads no longer: ck_event_leadership. Told on this node only.
#define CK_EVENT_LOSE_LEADERSHIP (UINT32_C(1) << 8)

// Another node leads now: ck_event_leadership.
#define CK_EVENT_LEADER_CHANGE (UINT32_C(1) << 9)

// Every event, kinds that later libraries add included.
#define CK_EVENT_ALL UINT32_MAX

// A change that this header does not know.
#define CK_CHANGE_UNKNOWN 0

// The node is to hold a copy: copy the data, and return success when it is there.
#define CK_CHANGE_GAINED_REPLICA 1

// The node takes the writes from now on.
#define CK_CHANGE_GAINED_PRIMARY 2

// The node takes writes no longer; it still holds its copy.
#define CK_CHANGE_LOST_PRIMARY 3

// The node holds the partition no longer, and may delete the data.
#define CK_CHANGE_LOST_COPY 4

// A reason that this header does not know.
#define CK_REASON_UNKNOWN 0

// A node joined.
#define CK_REASON_NODE_JOIN 1

// A node stopped, failed or was removed.
#define CK_REASON_NODE_LEAVE 2

// A better distribution was found.
#define CK_REASON_REBALANCE 3

// It was asked for.
#define CK_REASON_MANUAL 4

// A reason that this header does not know.
#define CK_LEAVE_UNKNOWN 0

// It sent no heartbeat for too long.
#define CK_LEAVE_HEALTH_CHECK_FAILURE 1

// It stopped or left in an orderly way.
#define CK_LEAVE_GRACEFUL_SHUTDOWN 2

// An administrator removed it.
#define CK_LEAVE_REMOVED_BY_ADMIN 3

// A trigger that this header does not know, or none.
#define CK_TRIGGER_UNKNOWN 0

// Nodes joined.
#define CK_TRIGGER_NODE_JOIN 1

// A node left.
#define CK_TRIGGER_NODE_LEAVE 2

// It was asked for.
#define CK_TRIGGER_MANUAL 3

// For ck_events_open: read to observe. Nothing waits for the reader, and what it acknowledges confirms no copy; a reader that
// falls behind by 1024 events loses the oldest.
#define CK_EVENTS_OBSERVE (UINT32_C(1) << 0)

// What needs a human.
#define CK_LOG_ERROR 1

// What may need one.
#define CK_LOG_WARN 2

// What an operator wants to see: joins, leaders, moves.
#define CK_LOG_INFO 3

// What helps to find a fault.
#define CK_LOG_DEBUG 4

// Everything.
#define CK_LOG_TRACE 5

// Nothing more can be written: the disk is full.
#define CK_TESTING_DISK_FULL 1

// Nothing more can be written: the disk has turned read-only.
#define CK_TESTING_DISK_READ_ONLY 2

// Writes that should have become durable have not: the next sync fails.
#define CK_TESTING_DISK_SYNC_FAILS 3

// Writes do not return until the disk is mended.
#define CK_TESTING_DISK_HANGS 4

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What a client is created with. docs/client.md lists every option with its default and bounds.
typedef struct ck_client_options_t ck_client_options_t;

// A client of a cluster: no member of it. It follows the cluster over HTTP through any of its nodes, keeps the newest view that
// it has seen, and goes on looking for a member whatever happens. Its view never goes back, and never changes to another
// cluster. docs/client.md tells the rest.
typedef struct ck_client_t ck_client_t;

// A node of a cluster, embedded in this process. Several in one process share one set of threads, which start
// with the first and end with the last.
typedef struct ck_cluster_t ck_cluster_t;

// Ends a call of a hook that has returned before its work was done.
typedef struct ck_completion_t ck_completion_t;

// A value of the replicated store, and the revision that wrote it.
typedef struct ck_data_t ck_data_t;

// Why a call failed. Every function that can fail returns one; NULL is success. The caller frees it.
typedef struct ck_error_t ck_error_t;

// A queue of events.
typedef struct ck_events_t ck_events_t;

// Statistics of every hook.
typedef struct ck_hook_stats_list_t ck_hook_stats_list_t;

// Numbers that the caller frees.
typedef struct ck_numbers_t ck_numbers_t;

// What a node is started with. docs/options.md lists every option with its default and bounds.
typedef struct ck_options_t ck_options_t;

// Texts that the caller frees.
typedef struct ck_strings_t ck_strings_t;

// What a test cluster is made with.
typedef struct ck_testing_options_t ck_testing_options_t;

// Real nodes in one process, without sockets and files, for the tests of programs: each is an ordinary ck_cluster_t, so the
// code of the program runs on it unchanged. The test kills nodes, pauses them, cuts them off, and moves their clock: what takes
// minutes elsewhere takes milliseconds here. Nodes are named by their index, from 0; node 0 has the id "node-0". They have one
// clock, by which all times here are: it passes with real time, or faster where a call moves it. The nodes listen on no socket,
// and serve no HTTP. docs/testing.md has recipes.
typedef struct ck_testing_t ck_testing_t;

// A text that the caller frees.
typedef struct ck_text_t ck_text_t;

// The cluster at one revision. It never changes: all answers taken from one view agree with each other. It may be
// used by any number of threads at once, and outlives the cluster that it came from.
typedef struct ck_view_t ck_view_t;

// The leader. The library owns it; it is valid until it is freed with ck_leader_info_free. New fields go to the end.
typedef struct ck_leader_info_t {
    // The leader's node id.
    const char *leader_id;
    // Its name for people.
    const char *leader_name;
    // The "host:port" at which others reach it.
    const char *leader_ip;
    // The leader epoch, a fencing token: it only grows.
    uint64_t epoch;
    // The Raft term that it was elected in; no fencing token.
    uint64_t term;
    // When it was elected, in milliseconds since 1970.
    uint64_t elected_at_ms;
} ck_leader_info_t;

// One step of a partition's migration. The library owns it; it is valid until its status is freed. New fields go to the end.
typedef struct ck_migration_t {
    // The nodes that it can be copied from, or the node that gives up the role.
    const char *const *from;
    // How many they are.
    size_t from_count;
    // The node that gets the copy or the role.
    const char *to;
    // What the step waits for, or why its hook failed last; empty when it makes progress.
    const char *reason;
    // When the step began, in milliseconds since 1970 by the leader's clock; 0 when it has not begun, and when the answer is not
    // the leader's.
    uint64_t since_ms;
    // The partition's number.
    uint32_t partition;
    // The state of the step: CK_MIGRATION_*.
    int32_t state;
    // How often the hook of the node that copies has failed.
    uint32_t attempts;
} ck_migration_t;

// A member that is away and keeps its copies for now. The library owns it; it is valid until its status is freed. New fields go
// to the end.
typedef struct ck_away_node_t {
    // The member.
    const char *node_id;
    // When its absence began, in milliseconds since 1970.
    uint64_t since_ms;
    // When its copies are made elsewhere, in milliseconds since 1970; 0 when the answer is not the leader's.
    uint64_t replaced_after_ms;
} ck_away_node_t;

// An abandoned copy, which is not planned on that node for a while. The library owns it; it is valid until its status is freed.
// New fields go to the end.
typedef struct ck_avoided_copy_t {
    // The node that failed to copy it.
    const char *node_id;
    // The time until which the node is avoided, in milliseconds since 1970.
    uint64_t until_ms;
    // The partition's number.
    uint32_t partition;
    // How often the copy was abandoned; each time the node is avoided for twice as long.
    uint32_t times;
} ck_avoided_copy_t;

// How partitions move. The library owns it and all that it points at; it is valid until it is freed with
// ck_rebalance_status_free, or until the callback returns that it came with. New fields go to the end.
typedef struct ck_rebalance_status_t {
    // The node that this information comes from.
    const char *answered_by;
    // The node that caused the rebalance; empty for one that was asked for, and when nothing moves.
    const char *trigger_node_id;
    // The revision of this information.
    uint64_t revision;
    // When the rebalance began, in milliseconds since 1970; 0 when none runs.
    uint64_t started_at_ms;
    // The number of partitions that were to change a holder or their primary.
    size_t partitions_to_move;
    // The number of those that are where they should be, or were given up.
    size_t moved;
    // The steps in progress, then the waiting ones: at most a thousand.
    const struct ck_migration_t *const *migrations;
    // How many steps are listed.
    size_t migration_count;
    // The number of all steps.
    size_t migrations_total;
    // The members that are away.
    const struct ck_away_node_t *const *away;
    // How many they are.
    size_t away_count;
    // The abandoned copies, which are not tried again for a while.
    const struct ck_avoided_copy_t *const *avoided;
    // How many they are.
    size_t avoided_count;
    // The reason of the maintenance during which nothing is moved; NULL where there is none.
    const char *maintenance;
    // What caused the rebalance: CK_TRIGGER_*; CK_TRIGGER_UNKNOWN when nothing moves.
    int32_t trigger;
    // True when the answer is the leader's. Other nodes know neither times nor attempts nor avoided copies.
    bool from_leader;
    // True while partitions are moving.
    bool running;
} ck_rebalance_status_t;

// The outcome of a call that did not wait. The library owns it; it is valid until the callback returns. New fields go to the
// end.
typedef struct ck_result_t {
    // Why the call failed; NULL when it succeeded. Valid until the callback returns, and not the caller's to free.
    const struct ck_error_t *error;
    // The revision of a write, or that which was waited for; else 0.
    uint64_t revision;
    // How many partitions there are, or move; else 0.
    size_t count;
    // A deletion: whether there was a value.
    bool existed;
    // A change of leadership: the leader afterwards; else NULL.
    const char *node_id;
    // ck_wait_for_leader_async: the leader; else NULL.
    const struct ck_leader_info_t *leader;
    // ck_rebalance_status_async: the status; else NULL.
    const struct ck_rebalance_status_t *rebalance_status;
} ck_result_t;

// Told the outcome of a call that did not wait, exactly once, also when the node or the client is freed meanwhile. result: valid until the
// callback returns. user_data: what was given with the call.
//
// Called on a thread of the library that does nothing else, one call after the other for each node and each client: while one does not return,
// the others wait. It may call every function of this library; one that blocks delays what others wait to hear. It must
// return: no exception, no longjmp.
typedef void (*ck_done_fn)(const struct ck_result_t *result, void *user_data);

// A name and a value. The library owns it. New fields go to the end.
typedef struct ck_pair_t {
    // NUL-terminated UTF-8.
    const char *name;
    // NUL-terminated UTF-8.
    const char *value;
} ck_pair_t;

// A member of the cluster. The library owns it and its strings, which are NUL-terminated UTF-8; it is valid until
// the view is released, or until the callback returns that it came with. New fields go to the end.
typedef struct ck_node_t {
    // The name that the application gave it.
    const char *id;
    // A name for people.
    const char *name;
    // The "host:port" at which others reach it.
    const char *ip;
    // The failure zone; NULL when the operator named none.
    const char *zone;
    // The application's own endpoints: name to ":port" (the node's own host) or "host:port", sorted by name.
    const struct ck_pair_t *const *services;
    // How many services there are.
    size_t service_count;
    // Free-form labels, sorted by name.
    const struct ck_pair_t *const *labels;
    // How many labels there are.
    size_t label_count;
    // Grows with every start of the node's process: the revision at which the process was admitted.
    uint64_t incarnation;
    // When the cluster last recorded contact with it, in milliseconds since 1970.
    uint64_t last_seen_ms;
    // When it first joined, in milliseconds since 1970.
    uint64_t joined_at_ms;
    // Where it is in its life: CK_NODE_*.
    int32_t status;
    // What the application last said of itself: CK_HEALTH_*.
    int32_t health;
    // Why, when it is not healthy; else empty.
    const char *health_reason;
    // Its share of the partitions relative to other nodes: 100 is usual, 0 takes no new ones.
    uint32_t weight;
    // The port in ip.
    uint16_t port;
    // True when it votes in elections.
    bool voter;
} ck_node_t;

// Where a key belongs. The caller owns it, and passes its size to the calls that fill it: a later library may have more
// fields at the end, which it does not fill then.
typedef struct ck_key_route_t {
    // The revision of the cluster that the answer was taken from.
    uint64_t revision;
    // Grows whenever the primary changes: the fencing token for the application's storage.
    uint64_t epoch;
    // The node that takes the writes, valid until its view is released; NULL while there is none, and where no view was
    // asked for.
    const struct ck_node_t *primary;
    // The partition's number, from 0.
    uint32_t partition;
    // What this node is to the partition: CK_ROLE_*.
    int32_t role;
    // How many other nodes hold the data.
    uint32_t replica_count;
    // The index of that primary in its view; UINT32_MAX while there is none.
    uint32_t primary_index;
} ck_key_route_t;

// Bytes of the caller's: an argument for calls that take many keys. It never changes.
typedef struct ck_bytes_t {
    // The first byte; may be NULL when len is 0.
    const void *data;
    // How many there are.
    size_t len;
} ck_bytes_t;

// Raft statistics of this node. The library owns it; it is valid until it is freed with ck_consensus_stats_free. New fields go
// to the end.
typedef struct ck_consensus_stats_t {
    // "Leader", "Follower", "Candidate", "Learner" or "Shutdown".
    const char *state;
    // The leader's node id; empty when none is known.
    const char *leader;
    // The Raft term.
    uint64_t term;
    // The index of the last entry in the log.
    uint64_t last_log_index;
    // The term of that entry.
    uint64_t last_log_term;
    // The last index known to be committed.
    uint64_t commit_index;
    // The last index applied here.
    uint64_t applied_index;
    // The number of other nodes that take part in Raft.
    size_t num_peers;
    // True when this node leads.
    bool is_leader;
} ck_consensus_stats_t;

// Counters and gauges of this node. The library owns it; it is valid until it is freed with ck_metrics_free. New fields go to
// the end.
typedef struct ck_metrics_t {
    // The number of members.
    size_t node_count;
    // The number of partitions.
    size_t partition_count;
    // The number of HTTP requests answered by this node.
    uint64_t request_count;
    // The number of those that were answered with a 4xx or 5xx status.
    uint64_t error_count;
    // When this node last heard from the leader, or led, in milliseconds since 1970.
    uint64_t last_sync_ms;
    // Seconds since this node started.
    uint64_t uptime_seconds;
    // As in ck_consensus_stats_t.
    const char *raft_state;
    // True when this node leads.
    bool is_leader;
} ck_metrics_t;

// The health of this node. The library owns it; it is valid until it is freed with ck_health_status_free. New fields go to the
// end.
typedef struct ck_health_status_t {
    // This node's id.
    const char *node_id;
    // Its name for people.
    const char *node_name;
    // As in ck_consensus_stats_t.
    const char *raft_state;
    // How long it has been running, such as "1h2m3.5s".
    const char *uptime;
    // Why it is not healthy; empty when it is.
    const char *message;
    // The number of members.
    size_t node_count;
    // The number of partitions.
    size_t partition_count;
    // When this node last heard from the leader, or led, in milliseconds since 1970.
    uint64_t last_sync_ms;
    // How late this node's timers and messages from the leader were recently, in milliseconds.
    uint64_t delay_ms;
    // The factor by which the cluster stretches election timeouts: 1 on quiet machines.
    uint32_t election_stretch;
    // True when it is a member, knows a leader and applies the log.
    bool healthy;
    // True when it leads.
    bool is_leader;
} ck_health_status_t;

// The health of a member, which the leader knows best. The library owns it; it is valid until it is freed with
// ck_node_health_free. New fields go to the end.
typedef struct ck_node_health_t {
    // The member.
    const char *node_id;
    // When it was last heard from, in milliseconds since 1970.
    uint64_t last_seen_ms;
    // The number of heartbeats missed in a row.
    uint32_t failures;
    // True when it is up and healthy.
    bool healthy;
} ck_node_health_t;

// Statistics of one hook since it was added. The library owns it; it is valid until its list is freed. New fields go to the
// end.
typedef struct ck_hook_stats_t {
    // The hook, as ck_hook_add named it.
    uint64_t hook;
    // Calls that have ended, however.
    uint64_t calls;
    // Ended calls that did not return success.
    uint64_t failures;
    // Failed calls of hooks of other languages that ended with a panic.
    uint64_t panics;
    // Calls that were made again for a partition that this node gains.
    uint64_t retries;
    // Events that were removed before they were told, because a later one made them pointless.
    uint64_t coalesced;
    // Events that wait to be told.
    size_t queued;
    // Calls that run.
    size_t running;
    // The events that it is called for: a sum of CK_EVENT_*, or CK_EVENT_ALL.
    uint32_t events;
} ck_hook_stats_t;

// A node gained or lost a partition, or a role in it. The library owns it and all that it points at, which is valid for as long
// as the event. New fields go to the end.
typedef struct ck_partition_change_t {
    // The partition's name, such as "partition-5".
    const char *partition_id;
    // The node that gains or loses.
    const char *node_id;
    // That node as a member, whether it gains or loses; NULL when it is none any more.
    const struct ck_node_t *node;
    // Live nodes that hold the data, where the node has to copy it; none where it has nothing to copy.
    const struct ck_node_t *const *copy_from;
    // How many there are.
    size_t copy_from_count;
    // The primary before; empty when there was none.
    const char *old_primary;
    // The primary after; empty when there is none.
    const char *new_primary;
    // The partition's epoch after the change.
    uint64_t epoch;
    // The partition's number.
    uint32_t partition;
    // What the node gains or loses: CK_CHANGE_*.
    int32_t change;
    // Why: CK_REASON_*.
    int32_t reason;
} ck_partition_change_t;

// One event. The library owns it and all that it points at, which is valid until the callback returns, or, of an event from a
// queue, until it is acknowledged. New fields go to the end.
typedef struct ck_event_t {
    // The revision that brought it about.
    uint64_t revision;
    // When, in milliseconds since 1970, by the wall clock of the node that proposed it.
    uint64_t timestamp_ms;
    // What happened: one of CK_EVENT_*, or one that this header does not know.
    uint32_t kind;
    // Number of the call for this event, from 1: a failed copy is tried again.
    uint32_t attempt;
} ck_event_t;

// A node that was never a member has joined. The library owns it, as ck_partition_change_t. New fields go to the end.
typedef struct ck_node_join_t {
    // The new member.
    const struct ck_node_t *node;
    // The number of members, this one included.
    size_t cluster_size;
    // True for the first node of a new cluster.
    bool is_bootstrap;
} ck_node_join_t;

// A member is back, after an absence or a restart. The library owns it, as ck_partition_change_t. New fields go to the end.
typedef struct ck_node_rejoin_t {
    // The member, with its new address and incarnation.
    const struct ck_node_t *node;
    // How long it was away, in milliseconds.
    uint64_t offline_ms;
    // When it stopped or was last heard from, in milliseconds since 1970.
    uint64_t last_seen_at_ms;
    // The numbers of the partitions that it held when it left.
    const uint32_t *partitions;
    // How many they are.
    size_t partition_count;
} ck_node_rejoin_t;

// A member stopped, failed, or was removed. The library owns it, as ck_partition_change_t. New fields go to the end.
typedef struct ck_node_leave_t {
    // The member as it was.
    const struct ck_node_t *node;
    // The numbers of the partitions that it took the writes of.
    const uint32_t *primaries;
    // How many they are.
    size_t primary_count;
    // The numbers of the partitions that it held another copy of.
    const uint32_t *replicas;
    // How many they are.
    size_t replica_count;
    // Why: CK_LEAVE_*.
    int32_t reason;
} ck_node_leave_t;

// Partitions begin to move, or have moved. The library owns it, as ck_partition_change_t. New fields go to the end.
typedef struct ck_rebalance_t {
    // The node that caused it; empty for one that was asked for.
    const char *trigger_node_id;
    // The ids of the nodes that gain or lose something, sorted.
    const char *const *nodes_affected;
    // How many they are.
    size_t nodes_affected_count;
    // The number of partitions that change a holder or their primary.
    size_t partitions_to_move;
    // How long it took, in milliseconds; 0 at the start.
    uint64_t duration_ms;
    // What caused it: CK_TRIGGER_*.
    int32_t trigger;
} ck_rebalance_t;

// The health of the cluster. The library owns it, as ck_partition_change_t. New fields go to the end.
typedef struct ck_cluster_health_t {
    // "healthy", "degraded" (some members are not) or "critical" (more than half are not, or partitions are lost).
    const char *status;
    // The ids of the unhealthy members, sorted.
    const char *const *unhealthy_node_ids;
    // The number of members that are up and say that they are healthy.
    size_t healthy_nodes;
    // The number of the other members.
    size_t unhealthy_nodes;
    // The number of all members.
    size_t total_nodes;
    // The numbers of the partitions of which no node that is up holds the data.
    const uint32_t *lost_partitions;
    // How many they are.
    size_t lost_partition_count;
} ck_cluster_health_t;

// Leadership began, ended, or moved to another node. The library owns it, as ck_partition_change_t. New fields go to the end.
typedef struct ck_leadership_t {
    // A leader change: the new leader's node id. Else NULL: it is about this node.
    const char *node_id;
    // The leader epoch, a fencing token: it only grows.
    uint64_t epoch;
} ck_leadership_t;

// Called for an event. Returns 0 for success; anything else is a failure: it is logged, with the reason that
// ck_event_set_failure gave, and where this node gains a copy of a partition the call is made again later. A callback that needs
// longer may return first and end its call later: ck_event_defer. event: valid until the callback returns.
//
// Called on threads of the library, for partition changes on several at once. It may block, and may call every
// function whose comment says so. It must return: no exception, no longjmp.
typedef int32_t (*ck_hook_fn)(const struct ck_event_t *event, void *user_data);

// Ends user data that was given with a callback. Called exactly once, on any thread, when no call of the callback
// runs or will. It must return: no exception, no longjmp.
typedef void (*ck_destroy_fn)(void *user_data);

// A message for people. The library owns it; it is valid until the callback returns. New fields go to the end.
typedef struct ck_log_record_t {
    // The node that wrote it; empty where a client did.
    const char *node_id;
    // The message, without a line end.
    const char *message;
    // Its length in bytes, without its NUL.
    size_t message_len;
    // CK_LOG_*.
    int32_t level;
} ck_log_record_t;

// Called with a message for people, one after the other in the order in which they were written, on a thread that
// does nothing else (one for each node and each client). Nothing waits for it: it may block, and may call every function
// of this library, also the one that frees its own node or client, which does not wait for it then. What is written while it does
// not return waits, up to 1024 messages or 1 MiB; what does not fit is dropped, and a message says how many were. It
// must return at last: no exception, no longjmp.
typedef void (*ck_log_fn)(const struct ck_log_record_t *record, void *user_data);

// What is known of one address of a client. The library owns it; it is valid until its status is freed. New fields go to the
// end.
typedef struct ck_client_addr_t {
    // The address, "host:port".
    const char *addr;
    // Why it failed last; NULL once it has answered since, and where it was never asked.
    const char *last_error;
    // The code of that error, CK_ERROR_*; 0 where there is none.
    int32_t last_error_code;
    // The number of failures since it last answered.
    uint32_t failures;
    // True where the options name it, false where the cluster does.
    bool is_given;
} ck_client_addr_t;

// How a client is connected, and how old its view may be. The library owns it; it is valid until it is freed with
// ck_client_status_free. New fields go to the end.
typedef struct ck_client_status_t {
    // The address of the member that is followed at present; NULL while none is.
    const char *connected;
    // The id of the cluster that is followed; empty before its first answer.
    const char *cluster_id;
    // Its name; empty before its first answer.
    const char *cluster_name;
    // What failed last, with the address; NULL where nothing has. It stays when all is well again.
    const char *last_error;
    // Every address that may be asked, the given ones first.
    const struct ck_client_addr_t *const *addrs;
    // How many they are.
    size_t addr_count;
    // The revision of the view; 0 before the first answer.
    uint64_t revision;
    // The time since the last answer of a member that knew a leader, in milliseconds; UINT64_MAX before the first. While the
    // cluster is quiet it grows up to the option poll_timeout.
    uint64_t last_contact_ms;
    // The code of last_error, CK_ERROR_*: WRONG_CLUSTER where another cluster answers; 0 where there is none.
    int32_t last_error_code;
    // True when the view may be older than the cluster by more than a moment: no member is followed, the one that is has lost
    // contact with the leader, or nothing was heard for longer than a poll and its answer may take.
    bool is_stale;
    // True from ck_client_close on.
    bool is_closed;
} ck_client_status_t;

// Called with each newer view of a client, first with the present one where there is one. Where several came during a call, the
// next call has the newest. view: valid until the callback returns; ck_view_ref makes a share to keep. user_data: what was
// given with the callback.
//
// Called on a thread that does nothing else, one call after the other. It may block, and may call every function of this
// library. It must return: no exception, no longjmp.
typedef void (*ck_change_fn)(const struct ck_view_t *view, void *user_data);

// Called with the options of each node of a test cluster before the node is made, so that they can differ: index is that of the
// node, options its options, valid until the callback returns, to be changed with ck_options_set. Addresses, data_dir and how
// it joins are the test cluster's: what is set there is replaced. user_data: what was given with the callback. Returns 0, or
// another number to refuse: the call that makes the node then fails with REFUSED. It must return: no exception, no longjmp.
typedef int32_t (*ck_testing_configure_fn)(size_t index, struct ck_options_t *options, void *user_data);

// Called with every process of a node of a test cluster before it is started, also by ck_testing_restart: the place for hooks,
// event queues and log callbacks. cluster: valid until the callback returns; ck_cluster_ref makes a share to keep. index,
// user_data and the result: as for ck_testing_configure_fn.
typedef int32_t (*ck_testing_prepare_fn)(size_t index, struct ck_cluster_t *cluster, void *user_data);

// Whether what a test waits for has come about. Called on the thread of the call that waits. It must return: no exception, no
// longjmp.
typedef bool (*ck_testing_condition_fn)(void *user_data);

// The version of the library that runs, as "major.minor.patch".
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_version(void);

// The version of the library that runs, in the form of CK_VERSION.
//
// Never fails, never blocks, works in a forked child; a hook may call it.
CK_API uint32_t ck_version_number(void);

// The number of the ABI of the library that runs. A program that finds another than its CK_ABI_VERSION must
// not go on.
//
// Never fails, never blocks, works in a forked child; a hook may call it.
CK_API uint32_t ck_abi_version(void);

// The code: one of CK_ERROR_*. Codes are never reused; a later library may have more. CK_OK for NULL.
//
// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API int32_t ck_error_code(const struct ck_error_t *error);

// The code's name, the same in every language, such as "NO_LEADER". NULL for NULL.
//
// error: borrowed for the call. Returns: valid until the error is freed. Never fails, never blocks, works in a
// forked child; a hook may call it.
CK_API const char *ck_error_name(const struct ck_error_t *error);

// The message, for people: what was wrong, the value, what would be right. It may change between versions.
// NULL for NULL.
//
// error: borrowed for the call. Returns: valid until the error is freed. Never fails, never blocks, works in a
// forked child; a hook may call it.
CK_API const char *ck_error_message(const struct ck_error_t *error);

// True when the same call may succeed later without the caller changing anything. False for NULL.
//
// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API bool ck_error_is_retriable(const struct ck_error_t *error);

// The length of the message in bytes, without its NUL. 0 for NULL.
//
// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API size_t ck_error_message_len(const struct ck_error_t *error);

// True when the call may have had its effect all the same: a write may or may not have happened. After every other error of
// a write it has not. False for NULL.
//
// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API bool ck_error_is_ambiguous(const struct ck_error_t *error);

// The name of a code, such as "NO_LEADER", and "OK" for CK_OK. NULL for a number that is no code of this library.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_error_code_name(int32_t code);

// Frees an error. NULL is allowed.
//
// error: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_error_free(struct ck_error_t *error);

// The text. NULL for NULL.
//
// text: borrowed for the call. out_len: its length in bytes, without its NUL; may be NULL. Returns: valid until the text is
// freed. Never fails, never blocks; a hook may call it.
CK_API const char *ck_text_data(const struct ck_text_t *text, size_t *out_len);

// Frees a text. NULL is allowed.
//
// text: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_text_free(struct ck_text_t *text);

// How many texts there are. 0 for NULL.
//
// strings: borrowed for the call. Never fails, never blocks; a hook may call it.
CK_API size_t ck_strings_count(const struct ck_strings_t *strings);

// The text at an index. NULL where there is none.
//
// strings: borrowed for the call. out_len: its length in bytes, without its NUL; may be NULL. Returns: valid until the
// strings are freed. Never fails, never blocks; a hook may call it.
CK_API const char *ck_strings_get(const struct ck_strings_t *strings, size_t index, size_t *out_len);

// Frees strings. NULL is allowed.
//
// strings: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_strings_free(struct ck_strings_t *strings);

// The numbers, one after the other. NULL for NULL and where there are none.
//
// numbers: borrowed for the call. out_count: how many there are; may be NULL. Returns: valid until the numbers are freed.
// Never fails, never blocks; a hook may call it.
CK_API const uint32_t *ck_numbers_data(const struct ck_numbers_t *numbers, size_t *out_count);

// Frees numbers. NULL is allowed.
//
// numbers: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_numbers_free(struct ck_numbers_t *numbers);

// Makes options with every default. node_id and http_addr have none and must be set.
//
// Options may be made before a fork and used after it, in both processes: only a node starts threads.
//
// out: set on success, to be freed with ck_options_free; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_options_new(struct ck_options_t **out);

// Frees options. Nodes made from them live on. NULL is allowed.
//
// options: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_options_free(struct ck_options_t *options);

// Sets an option by its name, from its text form: "5s", "true", "64", "10.0.0.1:8080,10.0.0.2:8080".
// "services.NAME" and "labels.NAME" set one entry. An empty value unsets what may be unset. On failure nothing
// changes.
//
// options: borrowed for the call. name, value: UTF-8, copied. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name (the message suggests the nearest) and a value
// that is malformed or out of bounds.
CK_API CK_NODISCARD struct ck_error_t *ck_options_set(struct ck_options_t *options, const char *name, size_t name_len,
        const char *value, size_t value_len);

// Sets what a JSON object names and leaves the rest. Names are those of docs/options.md, groups as objects or
// with dots. On failure nothing changes.
//
// options: borrowed for the call. json: UTF-8, copied. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, INVALID_OPTION.
CK_API CK_NODISCARD struct ck_error_t *ck_options_load_json(struct ck_options_t *options, const char *json,
        size_t json_len);

// The value of an option in its text form, as ck_options_set takes it: what was set, or else the default where that is one
// value. Empty where nothing is set and the default is derived from other options or is none.
//
// options: borrowed for the call. name: UTF-8, borrowed for the call. out: set on success, to be freed with ck_text_free;
// NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name.
CK_API CK_NODISCARD struct ck_error_t *ck_options_get(const struct ck_options_t *options, const char *name,
        size_t name_len, struct ck_text_t **out);

// Sets what a JSON file names and leaves the rest, as ck_options_load_json. On failure nothing changes.
//
// options: borrowed for the call. path: UTF-8, borrowed for the call. Blocks: for as long as reading the file takes. A hook
// may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION; IO when the file cannot be read.
CK_API CK_NODISCARD struct ck_error_t *ck_options_load_file(struct ck_options_t *options, const char *path,
        size_t path_len);

// Sets what environment variables name and leaves the rest: CLUSTERKIT_NODE_ID and so on; docs/options.md lists them. On
// failure nothing changes.
//
// The environment is read during the call: no other thread may change it meanwhile, which is true of every getenv.
//
// options: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION, which names the variable.
CK_API CK_NODISCARD struct ck_error_t *ck_options_load_env(struct ck_options_t *options);

// Checks the options as ck_cluster_new does: that what is required is set, and that no two contradict each other.
//
// options: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION.
CK_API CK_NODISCARD struct ck_error_t *ck_options_validate(const struct ck_options_t *options);

// What the options come to, as a JSON object: every option by its name, with the value that a node would use in its text
// form, derived ones included. Empty where there is none, and where only the running node knows it.
//
// options: borrowed for the call. out: set on success, to be freed with ck_text_free; NULL on failure. Never blocks; a
// hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION as ck_options_validate.
CK_API CK_NODISCARD struct ck_error_t *ck_options_effective(const struct ck_options_t *options, struct ck_text_t **out);

// Reads a duration: "5s", "500ms", "1m30s", or a number of milliseconds.
//
// text: UTF-8, borrowed for the call. out_ms: the duration in milliseconds, set on success, else 0. Never blocks; a hook may
// call it.
// Errors: INVALID_ARGUMENT when it is no duration.
CK_API CK_NODISCARD struct ck_error_t *ck_parse_duration(const char *text, size_t text_len, uint64_t *out_ms);

// How many options there are.
//
// Never fails, never blocks, works in a forked child; a hook may call it.
CK_API size_t ck_option_count(void);

// The name of an option, which ck_options_set takes. NULL where there is none at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_option_name(size_t index);

// The type of an option in one word: text, address, list, map, boolean, integer, duration or choice. NULL where there is no
// option at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_option_type(size_t index);

// The value that applies when an option is not set, or in words where it comes from. NULL where there is none: the option
// must be set, or is left out.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_option_default(size_t index);

// What an option accepts, in words, such as "1 to 65536". NULL where there is no option at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_option_bounds(size_t index);

// The environment variables that set an option, separated by blanks; where several are set, the first counts. NULL where
// there is no option at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_option_env(size_t index);

// What an option means, in a sentence or two. NULL where there is no option at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_option_help(size_t index);

// Makes a node with these options. Opens nothing before ck_cluster_start.
//
// options: copied. out: set on success, to be freed with ck_cluster_free; NULL on failure. Never blocks; a hook
// may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION; IO when the system has no more threads to give.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_new(const struct ck_options_t *options, struct ck_cluster_t **out);

// Another share of a node, for another owner: each is freed once, and the last of them ends the node. NULL for NULL.
//
// cluster: borrowed for the call. Returns: the same pointer, to be freed with ck_cluster_free. Never fails, never blocks; a
// hook may call it.
CK_API struct ck_cluster_t *ck_cluster_ref(const struct ck_cluster_t *cluster);

// Ends a node and frees it: closes its files and sockets, without telling the other nodes where ck_cluster_stop
// has not. Where ck_cluster_ref has made other shares, only the last free does that. Views that were acquired from it live
// on. NULL is allowed.
//
// When it returns, no hook, no completion and no log callback of this node runs or will, all messages were told, every destroy
// function has run, every call that was begun has been told its outcome, and with the last node of the process the threads of
// the library have ended. The exceptions: a hook that does not return within 5 s (together with a stop before), a completion
// callback that does not within 5 s, and a log callback that does not within 1 s, are left to themselves: each is called no
// more, and its destroy function runs when it returns. Inside a hook of this node nothing is waited for: all that happens soon
// afterwards, in the background. Inside its log callback or a completion callback that call is not waited for; for the log
// callback it is the last one.
//
// cluster: consumed; no other call with it may be under way or follow. Blocks: for as long as closing takes,
// milliseconds as a rule, and never longer than 11 s and what the disk takes. A hook may call it. In a forked child it
// leaks on purpose.
CK_API void ck_cluster_free(struct ck_cluster_t *cluster);

// Starts the node: it bootstraps a cluster, joins one, or rejoins its own, as its options and its data_dir
// say. Returns when it is a member. A node starts once; after a failure free it.
//
// cluster: borrowed for the call. Blocks: for at most the option join_timeout and a little; a node that was a
// member before then returns success and goes on trying. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT, ALREADY_STARTED, STOPPED, JOIN_FAILED with what every address answered,
// JOIN_REFUSED, ADDRESS_IN_USE, DATA_DIR_IN_USE, WRONG_CLUSTER, CLUSTER_MISMATCH, DUPLICATE_NODE, REMOVED,
// CORRUPT, IO, IN_HOOK.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_start(struct ck_cluster_t *cluster);

// ck_cluster_start without waiting for it.
//
// cluster: borrowed for the call; it may be freed at once, which ends the start. done, user_data: see ck_done_fn. Never blocks;
// a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_start_async(struct ck_cluster_t *cluster, ck_done_fn done,
        void *user_data);

// Stops the node in an orderly way: the other nodes take over what it has, then everything is closed. After
// success no hook of this node runs or will, and every destroy function of a hook has run, once, those of hooks that were
// added or removed at the same time included: none runs later. The log callback stays until ck_cluster_free, and so does
// its destroy function; this call waits for up to 1 s of its time until the callback has heard everything, and does not
// fail where it has not. Stopping again is legal and waits for the first.
//
// cluster: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may not call it (IN_HOOK);
// it may free the node.
// Errors: INVALID_ARGUMENT; IN_HOOK; TIMEOUT when time is up, stopping then goes on and can be waited for by
// another call, or when a hook has not returned after 5 s, everything else being closed: the message names the hook and its
// event; IO.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_stop(struct ck_cluster_t *cluster, uint32_t timeout_ms);

// ck_cluster_stop without waiting for it. It takes a few seconds at most.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_stop_async(struct ck_cluster_t *cluster, ck_done_fn done,
        void *user_data);

// Leaves the cluster for ever: leadership and all copies of this node move to other nodes, then it is removed and stops.
//
// cluster: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; NOT_STARTED; IN_HOOK; REFUSED when no node could take over, the only active node cannot leave;
// TIMEOUT with what is left to move: the node goes on leaving, and the call may be made again; STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_leave(struct ck_cluster_t *cluster, uint32_t timeout_ms);

// ck_cluster_leave without waiting for it.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_leave_async(struct ck_cluster_t *cluster, uint32_t timeout_ms,
        ck_done_fn done, void *user_data);

// The address at which others reach this node, "host:port": what another node is given as join_addrs.
//
// cluster: borrowed for the call. buffer: size bytes, filled with the address and a NUL; CK_ADDRESS_SIZE bytes
// are enough; an empty text on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, TOO_LARGE when the buffer is too small.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_http_addr(const struct ck_cluster_t *cluster, char *buffer,
        size_t size);

// This node's id. NULL for NULL.
//
// cluster: borrowed for the call. Returns: valid until the cluster is freed. Never blocks; a hook may call it.
CK_API const char *ck_my_node_id(const struct ck_cluster_t *cluster);

// What this node waits for before it is ready, in words for people: NULL in *out when it is ready, a member that knows a leader
// and holds a lease. A node that was a member before returns from ck_cluster_start when join_timeout has passed, ready or not.
//
// cluster: borrowed for the call. out: set on success where it waits, to be freed with ck_text_free; else NULL. Never blocks;
// a hook may call it.
// Errors: INVALID_ARGUMENT; why it will never be ready and has to be started anew or given up: REMOVED, DUPLICATE_NODE and the
// like, IO, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_waiting_for(const struct ck_cluster_t *cluster, struct ck_text_t **out);

// Where a key belongs: its partition, who takes its writes, and what this node is to it at this moment, its lease included.
// All of the answer is from one view of the cluster.
//
// cluster: borrowed for the call. key: any bytes, borrowed for the call. view: NULL, or a place that holds NULL or a view of
// this cluster, which no other thread uses meanwhile: on success it holds the view that the answer was taken from, as after
// ck_view_refresh, and out->primary is a node of it. out: filled on success, all zero on failure; out_size: sizeof *out. Never
// blocks, takes no lock, allocates nothing where it succeeds; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_STARTED; NOT_FOUND before there are partitions.
CK_API CK_NODISCARD struct ck_error_t *ck_lookup_key(const struct ck_cluster_t *cluster, const void *key,
        size_t key_len, struct ck_view_t **view, struct ck_key_route_t *out, size_t out_size);

// The partition that a key belongs to; CK_NO_PARTITION before partitions exist, for NULL and in a forked child.
//
// cluster: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, takes no lock, allocates nothing; a
// hook may call it.
CK_API uint32_t ck_partition_for_key(const struct ck_cluster_t *cluster, const void *key, size_t key_len);

// True when this node takes the writes of a partition at this moment: it is the primary, and its lease runs.
// False for NULL and in a forked child.
//
// cluster: borrowed for the call. Never blocks, takes no lock, allocates nothing; a hook may call it.
CK_API bool ck_is_primary(const struct ck_cluster_t *cluster, uint32_t partition);

// True when this node takes the writes of a key at this moment. False for NULL and in a forked child.
//
// cluster: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, takes no lock, allocates
// nothing; a hook may call it.
CK_API bool ck_is_primary_for_key(const struct ck_cluster_t *cluster, const void *key, size_t key_len);

// What this node is to a partition at this moment, its lease included: CK_ROLE_*. CK_ROLE_NONE for NULL and in a forked
// child.
//
// cluster: borrowed for the call. Never blocks, takes no lock, allocates nothing; a hook may call it.
CK_API int32_t ck_role(const struct ck_cluster_t *cluster, uint32_t partition);

// What this node is to a key at this moment, its lease included: CK_ROLE_*. CK_ROLE_NONE for NULL and in a forked child.
//
// cluster: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, takes no lock, allocates
// nothing; a hook may call it.
CK_API int32_t ck_role_for_key(const struct ck_cluster_t *cluster, const void *key, size_t key_len);

// The epoch of a partition that this node takes the writes of at this moment: the fencing token with which the application's
// storage refuses an earlier primary. Ask right before the write, and hand the number to the storage with it.
//
// cluster: borrowed for the call. out: the epoch, set on success, else 0. Never blocks, takes no lock, allocates nothing where
// it succeeds; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_STARTED; LEASE_EXPIRED when this node would be primary but holds no lease; CONFLICT when
// another node is primary, or none; NOT_FOUND when there is no such partition.
CK_API CK_NODISCARD struct ck_error_t *ck_primary_epoch(const struct ck_cluster_t *cluster, uint32_t partition,
        uint64_t *out);

// True while this node holds a lease, without which it is primary of nothing. False for NULL and in a forked child.
//
// cluster: borrowed for the call. Never blocks, takes no lock, allocates nothing; a hook may call it.
CK_API bool ck_is_leased(const struct ck_cluster_t *cluster);

// True when this node leads the cluster at this moment: its leader lease runs, so nobody else can lead. False
// for NULL and in a forked child.
//
// cluster: borrowed for the call. Never blocks; a hook may call it.
CK_API bool ck_is_leader(const struct ck_cluster_t *cluster);

// Acquires the present view of the cluster.
//
// cluster: borrowed for the call. out: set on success, to be released with ck_view_release; NULL on failure.
// Never blocks, allocates nothing; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_view_acquire(const struct ck_cluster_t *cluster, struct ck_view_t **out);

// Sees to it that *view is the present view of the cluster. Where it is already, this costs a few nanoseconds and changes
// nothing; otherwise *view is released and replaced, so what was borrowed from it ends. For loops that ask again and again.
//
// cluster: borrowed for the call. view: a place that holds NULL or a view of this cluster, which no other thread uses
// meanwhile; on failure it stays as it is. Never blocks, allocates nothing; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_view_refresh(const struct ck_cluster_t *cluster, struct ck_view_t **view);

// Another share of a view, for another owner: each is released once. NULL for NULL.
//
// view: borrowed for the call. Returns: the same pointer, to be released with ck_view_release. Never fails, never blocks,
// allocates nothing; a hook may call it.
CK_API struct ck_view_t *ck_view_ref(const struct ck_view_t *view);

// Releases a view: what was borrowed from it ends. NULL is allowed.
//
// view: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_view_release(struct ck_view_t *view);

// The revision that the view shows. 0 for NULL.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API uint64_t ck_view_revision(const struct ck_view_t *view);

// How many members there are. 0 for NULL.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API size_t ck_view_node_count(const struct ck_view_t *view);

// The member at an index; members are sorted by id. NULL where there is none.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
CK_API const struct ck_node_t *ck_view_node(const struct ck_view_t *view, size_t index);

// The member with an id. NULL where there is none.
//
// view: borrowed for the call. id: UTF-8, borrowed for the call. Returns: valid until the view is released. Never
// blocks; a hook may call it.
CK_API const struct ck_node_t *ck_view_find_node(const struct ck_view_t *view, const char *id, size_t id_len);

// This node, when it is a member; else NULL.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
CK_API const struct ck_node_t *ck_view_my_node(const struct ck_view_t *view);

// The member whose leadership was recorded last; NULL where there is none. Whether it leads at this moment is a
// matter of leases, which a view does not know: ask ck_leader.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
CK_API const struct ck_node_t *ck_view_leader(const struct ck_view_t *view);

// The leader epoch of the leadership that was recorded last, a fencing token: it only grows. 0 before there was a leader.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API uint64_t ck_view_leader_epoch(const struct ck_view_t *view);

// The Raft term of that leadership; no fencing token.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API uint64_t ck_view_leader_term(const struct ck_view_t *view);

// When that leadership began, in milliseconds since 1970 by the leader's wall clock.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API uint64_t ck_view_leader_elected_at_ms(const struct ck_view_t *view);

// The number of copies that each partition should have. 0 before there is a cluster.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API uint32_t ck_view_replication_factor(const struct ck_view_t *view);

// How long a lease lasts in this cluster, in milliseconds.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API uint64_t ck_view_lease_ttl_ms(const struct ck_view_t *view);

// True during maintenance, while no partitions are moved and primaries still fail over.
//
// view: borrowed for the call. out_automatic: whether the cluster began it by itself, because more than half of its members
// had failed; may be NULL. Never blocks; a hook may call it.
CK_API bool ck_view_maintenance(const struct ck_view_t *view, bool *out_automatic);

// The whole cluster as a JSON object, the same as "cluster" in the answer of GET /cluster: its id and name, members,
// partitions, and the reason of a maintenance, without custom data.
//
// view: borrowed for the call. out: set on success, to be freed with ck_text_free; NULL on failure. Never blocks, takes time
// in proportion to members and partitions; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_view_json(const struct ck_view_t *view, struct ck_text_t **out);

// How many partitions there are; 0 before they exist, and for NULL.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API uint32_t ck_view_partition_count(const struct ck_view_t *view);

// The epoch of a partition, which grows whenever its primary changes: the fencing token for the application's
// storage. 0 where there is no such partition.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API uint64_t ck_view_epoch(const struct ck_view_t *view, uint32_t partition);

// What this node is to a partition by this view: CK_ROLE_*. Whether its lease lets it act on that is not known
// here: ask ck_is_primary.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API int32_t ck_view_role(const struct ck_view_t *view, uint32_t partition);

// The condition of a partition: CK_PARTITION_*.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API int32_t ck_view_partition_state(const struct ck_view_t *view, uint32_t partition);

// The node that takes the writes of a partition. NULL while there is none, and where there is no such partition.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
CK_API const struct ck_node_t *ck_view_primary(const struct ck_view_t *view, uint32_t partition);

// How many nodes besides the primary hold the data of a partition. 0 where there is no such partition.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API size_t ck_view_replica_count(const struct ck_view_t *view, uint32_t partition);

// One of the nodes besides the primary that hold the data of a partition; they are sorted by id. NULL where there
// is none.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
CK_API const struct ck_node_t *ck_view_replica(const struct ck_view_t *view, uint32_t partition, size_t index);

// How many nodes are still copying the data of a partition. 0 where there is no such partition.
//
// view: borrowed for the call. Never blocks; a hook may call it.
CK_API size_t ck_view_pending_count(const struct ck_view_t *view, uint32_t partition);

// One of the nodes that are still copying the data of a partition, and hold no role yet; they are sorted by id. NULL where
// there is none.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
CK_API const struct ck_node_t *ck_view_pending(const struct ck_view_t *view, uint32_t partition, size_t index);

// The partitions that a member holds: those that it takes the writes of, and those that it holds another copy of, by number.
//
// view: borrowed for the call. id: UTF-8, borrowed for the call. out_primary, out_replica: set on success, to be freed with
// ck_numbers_free; NULL on failure; each may be NULL. Never blocks, takes time in proportion to the partitions; a hook may
// call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no such member.
CK_API CK_NODISCARD struct ck_error_t *ck_view_partitions_of(const struct ck_view_t *view, const char *id,
        size_t id_len, struct ck_numbers_t **out_primary, struct ck_numbers_t **out_replica);

// How many partitions the member at an index takes the writes of. 0 where there is none.
//
// view: borrowed for the call. Never blocks, takes time in proportion to the partitions; a hook may call it.
CK_API size_t ck_view_primaries_of(const struct ck_view_t *view, size_t index);

// How many partitions have lost their data: no node that is up holds it. 0 for NULL.
//
// view: borrowed for the call. Never blocks, takes time in proportion to the partitions; a hook may call it.
CK_API size_t ck_view_lost_count(const struct ck_view_t *view);

// The number of one of the partitions that have lost their data, in ascending order. CK_NO_PARTITION where there is none.
//
// view: borrowed for the call. Never blocks, takes time in proportion to the partitions; a hook may call it.
CK_API uint32_t ck_view_lost(const struct ck_view_t *view, size_t index);

// The number in the public name of a partition, such as "partition-5". CK_NO_PARTITION when it is no such name.
//
// name: UTF-8, borrowed for the call. Never blocks; a hook may call it.
CK_API uint32_t ck_partition_number(const char *name, size_t name_len);

// The partition that a key belongs to; CK_NO_PARTITION before partitions exist, and for NULL.
//
// view: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, allocates nothing; a hook may call it.
CK_API uint32_t ck_view_partition_for_key(const struct ck_view_t *view, const void *key, size_t key_len);

// What this node is to a key by this view: CK_ROLE_*. Whether its lease lets it act on that is not known here: ask
// ck_role_for_key.
//
// view: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, allocates nothing; a hook may call it.
CK_API int32_t ck_view_role_for_key(const struct ck_view_t *view, const void *key, size_t key_len);

// The node that takes the writes of a key. NULL while there is none, and before partitions exist.
//
// view: borrowed for the call. key: any bytes, borrowed for the call. Returns: valid until the view is released. Never blocks,
// allocates nothing but what all views of the same members share; a hook may call it.
CK_API const struct ck_node_t *ck_view_primary_for_key(const struct ck_view_t *view, const void *key, size_t key_len);

// The nodes that hold a key: the one that takes its writes first, where there is one, then the others by id.
//
// view: borrowed for the call. key: any bytes, borrowed for the call. out: filled with up to capacity nodes, each valid until
// the view is released; may be NULL when capacity is 0. Returns: how many nodes hold the key, which may be more. Never blocks,
// allocates nothing but what all views of the same members share; a hook may call it.
CK_API size_t ck_view_nodes_for_key(const struct ck_view_t *view, const void *key, size_t key_len,
        const struct ck_node_t **out, size_t capacity);

// Where a key belongs by this view. The role does not regard the lease: ask ck_lookup_key for that.
//
// view: borrowed for the call. key: any bytes, borrowed for the call. out: filled on success, all zero on failure; its primary
// is valid until the view is released; out_size: sizeof *out. Never blocks, allocates nothing but what all views of the same
// members share; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND before there are partitions.
CK_API CK_NODISCARD struct ck_error_t *ck_view_route_key(const struct ck_view_t *view, const void *key, size_t key_len,
        struct ck_key_route_t *out, size_t out_size);

// The partitions that many keys belong to, in one call: less than a quarter of the time per key, where the processor can.
//
// view: borrowed for the call. keys: count keys, any bytes, borrowed for the call. out: count numbers, filled on success.
// Never blocks, allocates nothing; a hook may call it.
// Errors: INVALID_ARGUMENT, also for a NULL key with a length; NOT_FOUND before there are partitions.
CK_API CK_NODISCARD struct ck_error_t *ck_view_route_many(const struct ck_view_t *view, const struct ck_bytes_t *keys,
        size_t count, uint32_t *out);

// The partition that a key belongs to among partition_count: the published mapping, for programs that are no member. The first
// four bytes of the key's MD5 as a big-endian number, modulo the count; 0 for a count of 0.
//
// key: any bytes, borrowed for the call; CK_NO_PARTITION for NULL with a length. Never blocks, allocates nothing, works in a
// forked child; a hook may call it.
CK_API uint32_t ck_partition_for(const void *key, size_t key_len, uint32_t partition_count);

// ck_partition_for of many keys in one call.
//
// keys: count keys, any bytes, borrowed for the call. out: count numbers, filled on success. Never blocks, allocates nothing;
// a hook may call it.
// Errors: INVALID_ARGUMENT, also for a NULL key with a length.
CK_API CK_NODISCARD struct ck_error_t *ck_partitions_for(const struct ck_bytes_t *keys, size_t count,
        uint32_t partition_count, uint32_t *out);

// The leader epoch with which this node leads: a fencing token.
//
// cluster: borrowed for the call. out: the epoch, set on success, else 0. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED, LEASE_EXPIRED when it does not lead.
CK_API CK_NODISCARD struct ck_error_t *ck_leader_epoch(const struct ck_cluster_t *cluster, uint64_t *out);

// The leader, as this node knows it: NULL in *out when it has had no contact with one for the duration of a lease.
//
// cluster: borrowed for the call. out: set on success where there is one, to be freed with ck_leader_info_free; else NULL.
// Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_leader(const struct ck_cluster_t *cluster, struct ck_leader_info_t **out);

// Frees a leader. NULL is allowed.
//
// leader: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_leader_info_free(struct ck_leader_info_t *leader);

// Waits until a leader is known.
//
// cluster: borrowed for the call. out_leader: set on success, to be freed with ck_leader_info_free; NULL on failure; may be NULL.
// Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER when there is none in time, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_wait_for_leader(const struct ck_cluster_t *cluster, uint32_t timeout_ms,
        struct ck_leader_info_t **out_leader);

// ck_wait_for_leader without waiting for it: the result has the leader.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_wait_for_leader_async(const struct ck_cluster_t *cluster, uint32_t timeout_ms,
        ck_done_fn done, void *user_data);

// Asks the leader to hand leadership to another voter.
//
// cluster: borrowed for the call. buffer: size bytes, filled with the id of the leader afterwards and a NUL; CK_NODE_ID_SIZE
// bytes are enough; an empty text on failure; may be NULL. Blocks: for a few seconds at most. A hook may call it.
// Errors: INVALID_ARGUMENT; NOT_STARTED; REFUSED with the reason when no voter could take over; NO_LEADER; TIMEOUT; TOO_LARGE
// when the buffer is too small.
CK_API CK_NODISCARD struct ck_error_t *ck_step_down(struct ck_cluster_t *cluster, char *buffer, size_t size);

// Asks the leader to hand leadership to a certain voter.
//
// cluster: borrowed for the call. id: UTF-8, copied. buffer: as for ck_step_down. Blocks: for a few seconds at most. A hook may
// call it.
// Errors: as ck_step_down; NOT_FOUND when there is no such member.
CK_API CK_NODISCARD struct ck_error_t *ck_promote(struct ck_cluster_t *cluster, const char *id, size_t id_len,
        char *buffer, size_t size);

// ck_step_down, after which the former leader does not stand for election by itself for a while.
//
// cluster: borrowed for the call. cooldown_ms: for how long, an hour at most. buffer: as for ck_step_down. Blocks: for a few
// seconds at most. A hook may call it.
// Errors: as ck_step_down.
CK_API CK_NODISCARD struct ck_error_t *ck_demote(struct ck_cluster_t *cluster, uint32_t cooldown_ms, char *buffer,
        size_t size);

// ck_step_down without waiting for it: the result has the leader's id.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_step_down_async(struct ck_cluster_t *cluster, ck_done_fn done,
        void *user_data);

// ck_promote without waiting for it: the result has the leader's id.
//
// cluster: borrowed for the call. id: UTF-8, copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_promote_async(struct ck_cluster_t *cluster, const char *id, size_t id_len,
        ck_done_fn done, void *user_data);

// ck_demote without waiting for it: the result has the leader's id.
//
// cluster: borrowed for the call. cooldown_ms: an hour at most. done, user_data: see ck_done_fn. Never blocks; a hook may call
// it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_demote_async(struct ck_cluster_t *cluster, uint32_t cooldown_ms,
        ck_done_fn done, void *user_data);

// Raft statistics of this node.
//
// cluster: borrowed for the call. out: set on success, to be freed with ck_consensus_stats_free; NULL on failure. Never blocks;
// a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_consensus_stats(const struct ck_cluster_t *cluster,
        struct ck_consensus_stats_t **out);

// Frees Raft statistics. NULL is allowed.
//
// stats: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_consensus_stats_free(struct ck_consensus_stats_t *stats);

// Counters and gauges of this node.
//
// cluster: borrowed for the call. out: set on success, to be freed with ck_metrics_free; NULL on failure. Never blocks; a hook
// may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_metrics(const struct ck_cluster_t *cluster, struct ck_metrics_t **out);

// Frees metrics. NULL is allowed.
//
// metrics: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_metrics_free(struct ck_metrics_t *metrics);

// The health of this node.
//
// cluster: borrowed for the call. out: set on success, to be freed with ck_health_status_free; NULL on failure. Never blocks; a
// hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_health_check(const struct ck_cluster_t *cluster,
        struct ck_health_status_t **out);

// Frees a node's health. NULL is allowed.
//
// health: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_health_status_free(struct ck_health_status_t *health);

// The health of a member, which the leader knows best.
//
// cluster: borrowed for the call. id: UTF-8, borrowed for the call. out: set on success, to be freed with ck_node_health_free;
// NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_STARTED; NOT_FOUND when there is no such member.
CK_API CK_NODISCARD struct ck_error_t *ck_node_health(const struct ck_cluster_t *cluster, const char *id, size_t id_len,
        struct ck_node_health_t **out);

// Frees a member's health. NULL is allowed.
//
// health: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_node_health_free(struct ck_node_health_t *health);

// Tells every node how this node's application is. It counts for the health of the cluster, not for the placement of
// partitions.
//
// cluster: borrowed for the call. health: CK_HEALTH_HEALTHY, CK_HEALTH_DEGRADED or CK_HEALTH_FAILING. reason: for people,
// UTF-8, copied, cut after 256 characters. Never blocks: the next heartbeat carries it; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_report_health(struct ck_cluster_t *cluster, int32_t health,
        const char *reason, size_t reason_len);

// The whole cluster as a JSON object, custom data included: as GET /cluster?include=custom_data has it. Its leader is empty
// when this node has had no contact with one for the duration of a lease; then the rest is as old too.
//
// cluster: borrowed for the call. out: set on success, to be freed with ck_text_free; NULL on failure. Never blocks, takes time
// in proportion to all of it; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_json(const struct ck_cluster_t *cluster, struct ck_text_t **out);

// Statistics of every hook of this node, in the order in which they were added.
//
// cluster: borrowed for the call. out: set on success, to be freed with ck_hook_stats_free; NULL on failure. Never blocks; a
// hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_hook_stats(const struct ck_cluster_t *cluster,
        struct ck_hook_stats_list_t **out);

// How many hooks there are. 0 for NULL.
//
// stats: borrowed for the call. Never fails, never blocks; a hook may call it.
CK_API size_t ck_hook_stats_count(const struct ck_hook_stats_list_t *stats);

// The statistics of the hook at an index. NULL where there is none.
//
// stats: borrowed for the call. Returns: valid until the statistics are freed. Never fails, never blocks; a hook may call it.
CK_API const struct ck_hook_stats_t *ck_hook_stats_get(const struct ck_hook_stats_list_t *stats, size_t index);

// Frees statistics of hooks. NULL is allowed.
//
// stats: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_hook_stats_free(struct ck_hook_stats_list_t *stats);

// Begins maintenance, or ends it. During maintenance no partitions are moved, and primaries still fail over. The cluster begins
// it by itself when more than half of its members have failed.
//
// cluster: borrowed for the call. reason: for people, UTF-8, copied; NULL ends it. out_revision: the revision, set on success,
// else 0; may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_maintenance(struct ck_cluster_t *cluster, const char *reason,
        size_t reason_len, uint32_t timeout_ms, uint64_t *out_revision);

// ck_maintenance without waiting for it: the result has the revision.
//
// cluster: borrowed for the call. reason: UTF-8, copied; NULL ends it. done, user_data: see ck_done_fn. Never blocks; a hook
// may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_maintenance_async(struct ck_cluster_t *cluster, const char *reason,
        size_t reason_len, uint32_t timeout_ms, ck_done_fn done, void *user_data);

// Removes a member for ever.
//
// cluster: borrowed for the call. id: UTF-8, copied. force: also where partitions lose their data by it. out_revision: the
// revision, set on success, else 0; may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED; NOT_FOUND; REFUSED for the leader, for the last member, and without force for the last
// one that counts as holding a partition's data; NO_LEADER, TIMEOUT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_remove_node(struct ck_cluster_t *cluster, const char *id, size_t id_len,
        bool force, uint32_t timeout_ms, uint64_t *out_revision);

// ck_remove_node without waiting for it: the result has the revision.
//
// cluster: borrowed for the call. id: UTF-8, copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_remove_node_async(struct ck_cluster_t *cluster, const char *id, size_t id_len,
        bool force, uint32_t timeout_ms, ck_done_fn done, void *user_data);

// Makes the copy on a member the data of a partition that is lost: docs/operations.md, "A partition is lost".
//
// cluster: borrowed for the call. from: the member's id, UTF-8, copied. force: also where that member does not count as having
// held the data last. out_revision: the revision, set on success, else 0; may be NULL. Blocks: for at most timeout_ms
// milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED; NOT_FOUND; REFUSED where a node that is up holds the data, or that member is not up;
// NO_LEADER, TIMEOUT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_recover_partition(struct ck_cluster_t *cluster, uint32_t partition,
        const char *from, size_t from_len, bool force, uint32_t timeout_ms, uint64_t *out_revision);

// ck_recover_partition without waiting for it: the result has the revision.
//
// cluster: borrowed for the call. from: UTF-8, copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_recover_partition_async(struct ck_cluster_t *cluster, uint32_t partition,
        const char *from, size_t from_len, bool force, uint32_t timeout_ms, ck_done_fn done, void *user_data);

// Creates the partitions where there are none, which a leader also does by itself.
//
// cluster: borrowed for the call. out_revision: the revision, out_count: how many partitions there are; both set on success,
// else 0; both may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_create_partitions(struct ck_cluster_t *cluster, uint32_t timeout_ms,
        uint64_t *out_revision, size_t *out_count);

// ck_create_partitions without waiting for it: the result has the revision and the count.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_create_partitions_async(struct ck_cluster_t *cluster, uint32_t timeout_ms,
        ck_done_fn done, void *user_data);

// Plans a rebalance and begins it, which a leader also does by itself. The partitions move afterwards.
//
// cluster: borrowed for the call. out_revision: the revision, out_count: how many partitions move; both set on success, else 0;
// both may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_rebalance(struct ck_cluster_t *cluster, uint32_t timeout_ms,
        uint64_t *out_revision, size_t *out_count);

// ck_rebalance without waiting for it: the result has the revision and the count.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_rebalance_async(struct ck_cluster_t *cluster, uint32_t timeout_ms,
        ck_done_fn done, void *user_data);

// How partitions move: as the leader knows it, or, when it does not answer in time, as this node does. The answer says which.
//
// cluster: borrowed for the call. out: set on success, to be freed with ck_rebalance_status_free; NULL on failure. Blocks: for
// at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_rebalance_status(const struct ck_cluster_t *cluster, uint32_t timeout_ms,
        struct ck_rebalance_status_t **out);

// ck_rebalance_status without waiting for it: the result has the status.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_rebalance_status_async(const struct ck_cluster_t *cluster,
        uint32_t timeout_ms, ck_done_fn done, void *user_data);

// Frees a status. NULL is allowed.
//
// status: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_rebalance_status_free(struct ck_rebalance_status_t *status);

// Writes a value that every node has. When it returns success, the write is on the disks of a majority.
//
// cluster: borrowed for the call. key: UTF-8, 1 to 1024 bytes, copied. value: any bytes, at most 1 MiB, copied.
// expect_revision: CK_EXPECT_ANY, CK_EXPECT_ABSENT, or the revision that wrote the present value (compare and
// set). out_revision: the revision of the write, set on success, else 0; may be NULL. Blocks: for at most timeout_ms
// milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, TOO_LARGE; CONFLICT when what is there is not as expected; NOT_STARTED, STOPPED, NO_LEADER, IO: it
// has not happened; TIMEOUT: it may or may not have happened (ck_error_is_ambiguous).
CK_API CK_NODISCARD struct ck_error_t *ck_custom_data_set(struct ck_cluster_t *cluster, const char *key, size_t key_len,
        const void *value, size_t value_len, uint64_t expect_revision, uint32_t timeout_ms, uint64_t *out_revision);

// Reads a value as this node has applied it; another node may be ahead (see ck_wait_for_revision).
//
// cluster: borrowed for the call. key: UTF-8, borrowed for the call. out: set on success, to be freed with
// ck_data_free; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_STARTED; NOT_FOUND when there is no such key.
CK_API CK_NODISCARD struct ck_error_t *ck_custom_data_get(const struct ck_cluster_t *cluster, const char *key,
        size_t key_len, struct ck_data_t **out);

// Deletes a value. Deleting what is not there is no error unless a revision was expected.
//
// cluster: borrowed for the call. key: UTF-8, copied. expect_revision: CK_EXPECT_ANY, or the revision that wrote
// the present value. out_existed: whether there was one, out_revision: the revision of the deletion; both set on
// success, else false and 0; both may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: as ck_custom_data_set.
CK_API CK_NODISCARD struct ck_error_t *ck_custom_data_delete(struct ck_cluster_t *cluster, const char *key,
        size_t key_len, uint64_t expect_revision, uint32_t timeout_ms, bool *out_existed, uint64_t *out_revision);

// ck_custom_data_set without waiting for it: the result has the revision.
//
// cluster: borrowed for the call. key, value: copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_custom_data_set_async(struct ck_cluster_t *cluster, const char *key,
        size_t key_len, const void *value, size_t value_len, uint64_t expect_revision, uint32_t timeout_ms,
        ck_done_fn done, void *user_data);

// ck_custom_data_delete without waiting for it: the result has the revision, and whether there was a value.
//
// cluster: borrowed for the call. key: copied. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_custom_data_delete_async(struct ck_cluster_t *cluster, const char *key,
        size_t key_len, uint64_t expect_revision, uint32_t timeout_ms, ck_done_fn done, void *user_data);

// The keys that begin with a prefix and come after another key, in order, as this node has applied them.
//
// cluster: borrowed for the call. prefix, after: UTF-8, borrowed for the call; both may be empty. limit: how many at most. out:
// set on success, to be freed with ck_strings_free; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_STARTED.
CK_API CK_NODISCARD struct ck_error_t *ck_custom_data_keys(const struct ck_cluster_t *cluster, const char *prefix,
        size_t prefix_len, const char *after, size_t after_len, size_t limit, struct ck_strings_t **out);

// Waits until this node has applied a revision: read your writes, also those made through another node.
//
// cluster: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED, TIMEOUT.
CK_API CK_NODISCARD struct ck_error_t *ck_wait_for_revision(const struct ck_cluster_t *cluster, uint64_t revision,
        uint32_t timeout_ms);

// ck_wait_for_revision without waiting for it.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_wait_for_revision_async(const struct ck_cluster_t *cluster, uint64_t revision,
        uint32_t timeout_ms, ck_done_fn done, void *user_data);

// Waits until this node has applied everything that any node acknowledged before this call: a read that follows is
// linearizable.
//
// cluster: borrowed for the call. out_revision: the revision that is applied, set on success, else 0; may be NULL. Blocks: for
// at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_read_barrier(const struct ck_cluster_t *cluster, uint32_t timeout_ms,
        uint64_t *out_revision);

// ck_read_barrier without waiting for it: the result has the revision.
//
// cluster: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_read_barrier_async(const struct ck_cluster_t *cluster, uint32_t timeout_ms,
        ck_done_fn done, void *user_data);

// The bytes of a value. NULL for NULL.
//
// data: borrowed for the call. out_len: how many there are; may be NULL. Returns: valid until the data is freed.
// Never blocks; a hook may call it.
CK_API const void *ck_data_value(const struct ck_data_t *data, size_t *out_len);

// The revision that wrote a value. 0 for NULL.
//
// data: borrowed for the call. Never blocks; a hook may call it.
CK_API uint64_t ck_data_revision(const struct ck_data_t *data);

// Frees a value. NULL is allowed.
//
// data: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_data_free(struct ck_data_t *data);

// What a CK_EVENT_PARTITION_CHANGE tells. NULL for other events.
//
// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
CK_API const struct ck_partition_change_t *ck_event_partition_change(const struct ck_event_t *event);

// What a CK_EVENT_NODE_JOIN tells. NULL for other events.
//
// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
CK_API const struct ck_node_join_t *ck_event_node_join(const struct ck_event_t *event);

// What a CK_EVENT_NODE_REJOIN tells. NULL for other events.
//
// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
CK_API const struct ck_node_rejoin_t *ck_event_node_rejoin(const struct ck_event_t *event);

// What a CK_EVENT_NODE_LEAVE tells. NULL for other events.
//
// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
CK_API const struct ck_node_leave_t *ck_event_node_leave(const struct ck_event_t *event);

// What a CK_EVENT_REBALANCE_START or CK_EVENT_REBALANCE_COMPLETE tells. NULL for other events.
//
// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
CK_API const struct ck_rebalance_t *ck_event_rebalance(const struct ck_event_t *event);

// What a CK_EVENT_CLUSTER_HEALTH_CHANGE tells. NULL for other events.
//
// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
CK_API const struct ck_cluster_health_t *ck_event_cluster_health(const struct ck_event_t *event);

// What a CK_EVENT_BECOME_LEADER, CK_EVENT_LOSE_LEADERSHIP or CK_EVENT_LEADER_CHANGE tells. NULL for other events.
//
// event: borrowed for the call. Returns: valid for as long as the event. Never fails, never blocks; a hook may call it.
CK_API const struct ck_leadership_t *ck_event_leadership(const struct ck_event_t *event);

// The whole event as a JSON object, the same as over HTTP. NULL for NULL.
//
// event: borrowed for the call. out_len: its length in bytes, without its NUL; may be NULL. Returns: valid for as long as the
// event. Never fails, never blocks; a hook may call it.
CK_API const char *ck_event_json(const struct ck_event_t *event, size_t *out_len);

// Says in words why a callback is about to return failure: for the log, and for whoever asks why a partition does not move.
//
// event: the one that the callback was called with, borrowed for the call. reason: UTF-8, copied. Never blocks; for hooks.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_event_set_failure(const struct ck_event_t *event, const char *reason,
        size_t reason_len);

// Lets a callback return before its work is done: the call ends when ck_completion_end is called with the completion, on any
// thread, and what the callback returns counts no more. Until then what must wait for the call waits, but no thread of the
// library does. When the node stops, the call ends without a result; the completion is still to be ended.
//
// event: the one that the callback was called with, borrowed for the call; it is not valid after the callback has returned. out:
// set on success, to be ended once with ck_completion_end; NULL on failure. Never blocks; for hooks.
// Errors: INVALID_ARGUMENT, also the second time, and for an event of a queue.
CK_API CK_NODISCARD struct ck_error_t *ck_event_defer(const struct ck_event_t *event, struct ck_completion_t **out);

// Adds a hook: callback is called for every event of the kinds in events, a sum of CK_EVENT_* or CK_EVENT_ALL, in
// the order in which they happened. docs/hooks.md tells of order and concurrency. Any number of hooks may be added, before and
// after the start: one that takes partition changes is first told what this node holds already.
//
// cluster: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it
// is not NULL, is called with it exactly once, when the hook has been removed, the node has stopped or was freed,
// and no call of the hook runs or will. When ck_cluster_stop has returned success it has been, also where the two were
// called at the same time. On failure destroy is not called and user_data is still the caller's.
// out_id: set on success, names the hook to ck_hook_remove; else 0; may be NULL. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_hook_add(struct ck_cluster_t *cluster, uint32_t events, ck_hook_fn callback,
        void *user_data, ck_destroy_fn destroy, uint64_t *out_id);

// Adds a hook that observes: callback is called for every event from now on, one after the other, in order. Nothing waits for
// it, however long it takes: what it returns confirms no copy.
//
// cluster: borrowed for the call. callback, destroy, user_data, out_id: as for ck_hook_add. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_observer_add(struct ck_cluster_t *cluster, ck_hook_fn callback,
        void *user_data, ck_destroy_fn destroy, uint64_t *out_id);

// Removes a hook, also one that observes. When it returns success, no call of the hook runs or will, and its destroy function has
// run, unless it was called inside a hook of this node: then both are true when the call under way returns. A call that was
// deferred goes on to its end, and counts.
//
// cluster: borrowed for the call. Blocks: until a call of the hook that is under way returns, for at most timeout_ms
// milliseconds. A hook may call it, for itself too, and is not waited for; hooks of two nodes that remove each other's wait
// until their time is up.
// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no such hook (any more); TIMEOUT when a call has not returned: the hook is
// removed all the same, and destroy is called when that returns.
CK_API CK_NODISCARD struct ck_error_t *ck_hook_remove(struct ck_cluster_t *cluster, uint64_t id, uint32_t timeout_ms);

// Ends a call that was deferred. Does nothing where the node has stopped meanwhile. NULL is allowed.
//
// completion: consumed. result: 0 for success; anything else is a failure, as if the callback had returned it. reason: why, in
// words, UTF-8, borrowed for the call; may be NULL; what is not UTF-8 in it is replaced. Never fails, never blocks; a hook may
// call it. In a forked child it leaks on purpose.
CK_API void ck_completion_end(struct ck_completion_t *completion, int32_t result, const char *reason,
        size_t reason_len);

// Opens a queue of events: the pull form of ck_hook_add. Each event is read with ck_events_next and acknowledged with
// ck_events_ack, which is what the return of a callback is for a hook: for a gained partition, success confirms the copy.
//
// What docs/hooks.md says of the order holds here, with the time between ck_events_next and ck_events_ack as the call. So events
// that are not partition changes come one at a time: the next follows when the one before it is acknowledged.
//
// cluster: borrowed for the call. events: a sum of CK_EVENT_* or CK_EVENT_ALL. flags: 0 or CK_EVENTS_OBSERVE. out: set on
// success, to be closed with ck_events_close; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_events_open(struct ck_cluster_t *cluster, uint32_t events, uint32_t flags,
        struct ck_events_t **out);

// Reads the next event.
//
// events: borrowed for the call. event: the event, valid until it is acknowledged or the queue is closed; NULL when none came in
// time, which is success, and on failure. Blocks: for at most timeout_ms milliseconds; 0 asks without waiting. Several threads may
// read at once. A hook may call it.
// Errors: INVALID_ARGUMENT; STOPPED when the node has stopped and everything was read.
CK_API CK_NODISCARD struct ck_error_t *ck_events_next(struct ck_events_t *events, uint32_t timeout_ms,
        const struct ck_event_t **event);

// Acknowledges an event: its call has ended. In a queue that observes it only frees the event.
//
// events: borrowed for the call. event: one that was read from this queue; consumed. result: 0 for success; anything else is a
// failure: it is logged, and where this node gains a copy of a partition the event comes again later. reason: why, in words,
// UTF-8, borrowed for the call; may be NULL. Never blocks; a hook may call it, on any thread.
// Errors: INVALID_ARGUMENT, also for an event that was acknowledged before; nothing is touched then.
CK_API CK_NODISCARD struct ck_error_t *ck_events_ack(struct ck_events_t *events, const struct ck_event_t *event,
        int32_t result, const char *reason, size_t reason_len);

// A descriptor that is readable while events wait to be read, and for good when the node has stopped: for poll, epoll, kqueue
// and whatever stands on them. It is level-triggered; nothing may be read from it or written to it, and it is not to be closed.
// -1 for NULL and when the process has no more descriptors.
//
// events: borrowed for the call. Returns: valid until the queue is closed. Never blocks; a hook may call it.
CK_API int ck_events_fd(struct ck_events_t *events);

// How many events a queue that observes has lost since it was opened, because they were not read in time: look at a view then. 0
// for NULL.
//
// events: borrowed for the call. Never fails, never blocks; a hook may call it.
CK_API uint64_t ck_events_lost(const struct ck_events_t *events);

// Closes a queue. Events that were not acknowledged end as failed; their pointers are not valid any more. NULL is allowed.
//
// events: consumed; no other call with it may be under way or follow. It may be called before and after its cluster is freed.
// Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
CK_API void ck_events_close(struct ck_events_t *events);

// Sets where messages of this node go, those that the option log_level lets through. It replaces an earlier
// callback, and is told what waited for that; NULL, which is the default, drops them. The library writes nowhere else.
//
// cluster: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it
// is not NULL, is called with it exactly once, when the callback has been replaced or the node was freed (not when it
// was stopped), and no call of it runs or will. Where a call of it runs while it is replaced, destroy is called when
// that returns, otherwise before this function does. On failure destroy is not called and user_data is still the
// caller's. Never blocks; a hook may call it, and so may the callback, and destroy.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_cluster_set_log(struct ck_cluster_t *cluster, ck_log_fn callback,
        void *user_data, ck_destroy_fn destroy);

// Makes options of a client with every default. addrs has none and must be set.
//
// out: set on success, to be freed with ck_client_options_free; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_client_options_new(struct ck_client_options_t **out);

// Frees options of a client. Clients made from them live on. NULL is allowed.
//
// options: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_client_options_free(struct ck_client_options_t *options);

// Sets an option of a client by its name, from its text form: "10.0.0.1:8080,10.0.0.2:8080", "5s", "false". An empty value
// unsets what may be unset. On failure nothing changes.
//
// options: borrowed for the call. name, value: UTF-8, copied. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name and a value that is malformed or out of bounds.
CK_API CK_NODISCARD struct ck_error_t *ck_client_options_set(struct ck_client_options_t *options, const char *name,
        size_t name_len, const char *value, size_t value_len);

// Sets what a JSON object names and leaves the rest: durations are text or a number of milliseconds, addrs is text or an
// array. On failure nothing changes.
//
// options: borrowed for the call. json: UTF-8, copied. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, INVALID_OPTION.
CK_API CK_NODISCARD struct ck_error_t *ck_client_options_load_json(struct ck_client_options_t *options,
        const char *json, size_t json_len);

// The value of an option of a client in its text form, as ck_client_options_set takes it. Empty where nothing is set.
//
// options: borrowed for the call. name: UTF-8, borrowed for the call. out: set on success, to be freed with ck_text_free;
// NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name.
CK_API CK_NODISCARD struct ck_error_t *ck_client_options_get(const struct ck_client_options_t *options,
        const char *name, size_t name_len, struct ck_text_t **out);

// Checks the options as ck_client_new does.
//
// options: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION, which names the option, its value and what would be right.
CK_API CK_NODISCARD struct ck_error_t *ck_client_options_validate(const struct ck_client_options_t *options);

// How many options a client has.
//
// Never fails, never blocks, works in a forked child; a hook may call it.
CK_API size_t ck_client_option_count(void);

// The name of an option of a client, which ck_client_options_set takes. NULL where there is none at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_client_option_name(size_t index);

// The type of an option of a client in one word, as ck_option_type. NULL where there is no option at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_client_option_type(size_t index);

// The value that applies when an option of a client is not set. NULL where there is none.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_client_option_default(size_t index);

// What an option of a client accepts, in words. NULL where there is no option at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_client_option_bounds(size_t index);

// What an option of a client means, in a sentence or two. NULL where there is no option at the index.
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API const char *ck_client_option_help(size_t index);

// Creates a client, which begins to look for a member at once.
//
// options: copied. out: set on success, to be freed with ck_client_free; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION; IO when the system has no more threads to give.
CK_API CK_NODISCARD struct ck_error_t *ck_client_new(const struct ck_client_options_t *options,
        struct ck_client_t **out);

// Another share of a client, for another owner: each is freed once, and the last of them closes the client. NULL for NULL.
//
// client: borrowed for the call. Returns: the same pointer, to be freed with ck_client_free. Never fails, never blocks; a hook
// may call it.
CK_API struct ck_client_t *ck_client_ref(const struct ck_client_t *client);

// Closes a client and frees it; where ck_client_ref has made other shares, only the last free does that. Views that were
// acquired from it live on. NULL is allowed.
//
// When it returns, no callback of this client runs or will, every destroy function has run, and every call that was begun has
// been told its outcome. The exceptions: a callback for changes and a log callback that do not return within 1 s, and a
// completion callback that does not within 5 s, are left to themselves: each is called no more, and its destroy function runs
// when it returns. Inside a callback of this client that call is not waited for.
//
// client: consumed; no other call with it may be under way or follow. Blocks: milliseconds as a rule, 12 s at most. A hook may
// call it. In a forked child it leaks on purpose.
CK_API void ck_client_free(struct ck_client_t *client);

// Closes a client before it is freed: calls that wait, in whichever thread, answer STOPPED, callbacks end as with
// ck_client_free, and so do their destroy functions. The view stays as it is. Closing again is legal.
//
// client: borrowed for the call. Blocks: milliseconds as a rule, 7 s at most. A hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_client_close(struct ck_client_t *client);

// Acquires the newest view: all functions ck_view_* answer for it what a member's view would, but that there is no "this
// node": ck_view_my_node is NULL, and every role is none. Before the first answer of a member it is empty, at revision 0.
//
// client: borrowed for the call. out: set on success, to be released with ck_view_release; NULL on failure. Never blocks,
// allocates nothing; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_client_view_acquire(const struct ck_client_t *client, struct ck_view_t **out);

// Sees to it that *view is the newest view of the client, as ck_view_refresh does for a node's.
//
// client: borrowed for the call. view: a place that holds NULL or a view of this client, which no other thread uses meanwhile;
// on failure it stays as it is. Never blocks, allocates nothing; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_client_view_refresh(const struct ck_client_t *client,
        struct ck_view_t **view);

// How the client is connected, and how old its view may be.
//
// client: borrowed for the call. out: set on success, to be freed with ck_client_status_free; NULL on failure. Never blocks; a
// hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_client_status(const struct ck_client_t *client,
        struct ck_client_status_t **out);

// Frees a status. NULL is allowed.
//
// status: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
CK_API void ck_client_status_free(struct ck_client_status_t *status);

// Sets what is called with each newer view. It replaces an earlier callback; NULL, which is the default, ends that.
//
// client: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it is not NULL, is
// called with it exactly once, when the callback has been replaced or the client was closed, and no call of it runs or will.
// On failure destroy is not called and user_data is still the caller's. Never blocks; a hook may call it, and so may the
// callback, and destroy.
// Errors: INVALID_ARGUMENT; IO when the system has no more threads to give; STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_client_set_on_change(struct ck_client_t *client, ck_change_fn callback,
        void *user_data, ck_destroy_fn destroy);

// Sets where messages of this client go, as ck_cluster_set_log does for a node. What it had to say before there was a callback
// goes to the first one, the first 16 messages.
//
// client: borrowed for the call. callback, user_data, destroy: as for ck_cluster_set_log. Never blocks; a hook may call it, and
// so may the callback, and destroy.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_client_set_log(struct ck_client_t *client, ck_log_fn callback,
        void *user_data, ck_destroy_fn destroy);

// Waits for the first view.
//
// client: borrowed for the call. out_revision: the revision of the view, set on success, else 0; may be NULL. Blocks: for at most
// timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT; TIMEOUT with what failed last; STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_client_wait_ready(const struct ck_client_t *client, uint32_t timeout_ms,
        uint64_t *out_revision);

// ck_client_wait_ready without waiting for it: the result has the revision.
//
// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_client_wait_ready_async(const struct ck_client_t *client, uint32_t timeout_ms,
        ck_done_fn done, void *user_data);

// Waits for a view that is newer than revision. Asks nobody besides.
//
// client: borrowed for the call. out_revision: the revision of the view, set on success, else 0; may be NULL. Blocks: for at most
// timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT; TIMEOUT when there is none; STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_client_wait_for_change(const struct ck_client_t *client, uint64_t revision,
        uint32_t timeout_ms, uint64_t *out_revision);

// ck_client_wait_for_change without waiting for it: the result has the revision.
//
// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_client_wait_for_change_async(const struct ck_client_t *client,
        uint64_t revision, uint32_t timeout_ms, ck_done_fn done, void *user_data);

// Waits until the view has revision: a client that was told a revision, by a member or by another client, reads at
// least that. Where the member that is followed does not bring it in a moment, others are asked.
//
// client: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT; TIMEOUT, STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_client_wait_for_revision(const struct ck_client_t *client, uint64_t revision,
        uint32_t timeout_ms);

// ck_client_wait_for_revision without waiting for it.
//
// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_client_wait_for_revision_async(const struct ck_client_t *client,
        uint64_t revision, uint32_t timeout_ms, ck_done_fn done, void *user_data);

// Asks now: afterwards the view has what a member in contact with the leader had after this call began. Asks until a member
// answers; calls at the same time share one answer.
//
// client: borrowed for the call. out_revision: the revision of the view, set on success, else 0; may be NULL. Blocks: for at most
// timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT; what the members said last (UNREACHABLE, NO_LEADER, WRONG_CLUSTER, VERSION, TOO_LARGE and others), or
// TIMEOUT when they said nothing; STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_client_refresh(const struct ck_client_t *client, uint32_t timeout_ms,
        uint64_t *out_revision);

// ck_client_refresh without waiting for it: the result has the revision.
//
// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_client_refresh_async(const struct ck_client_t *client, uint32_t timeout_ms,
        ck_done_fn done, void *user_data);

// ck_client_refresh, from a member that has applied every write that was acknowledged before this call: what is looked up
// afterwards is linearizable.
//
// client: borrowed for the call. out_revision: the revision of the view, set on success, else 0; may be NULL. Blocks: for at most
// timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT; as ck_client_refresh.
CK_API CK_NODISCARD struct ck_error_t *ck_client_read_barrier(const struct ck_client_t *client, uint32_t timeout_ms,
        uint64_t *out_revision);

// ck_client_read_barrier without waiting for it: the result has the revision.
//
// client: borrowed for the call. done, user_data: see ck_done_fn. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO; then done is not called. It hears of all others.
CK_API CK_NODISCARD struct ck_error_t *ck_client_read_barrier_async(const struct ck_client_t *client,
        uint32_t timeout_ms, ck_done_fn done, void *user_data);

// Makes options of a test cluster: three nodes, whose options are the defaults with the timing of wide networks.
//
// out: set on success, to be freed with ck_testing_options_free; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_options_new(struct ck_testing_options_t **out);

// Frees options of a test cluster. Test clusters made from them live on, and keep their callbacks. NULL is allowed.
//
// options: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
CK_API void ck_testing_options_free(struct ck_testing_options_t *options);

// Sets an option of a test cluster: "nodes", how many there are at first (1 to 1000, default 3); "seed", which decides what
// slow links lose and what a killed node's disk keeps (default 0); "manual_clock", whether no time passes but by
// ck_testing_advance and the calls that wait (default false). Every other name is an option of each node, as ck_options_set
// takes it.
//
// options: borrowed for the call. name, value: UTF-8, copied. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_options_set(struct ck_testing_options_t *options, const char *name,
        size_t name_len, const char *value, size_t value_len);

// Sets what is called with the options of each node before it is made. NULL, which is the default, for none.
//
// options: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it is not NULL,
// is called with it once, when these options, which may have another callback by then, and all test clusters made from them
// are gone. On failure destroy is not called and user_data is still the caller's. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_options_set_configure(struct ck_testing_options_t *options,
        ck_testing_configure_fn callback, void *user_data, ck_destroy_fn destroy);

// Sets what is called with every process of a node before it is started. NULL, which is the default, for none.
//
// options, callback, user_data, destroy: as for ck_testing_options_set_configure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_options_set_prepare(struct ck_testing_options_t *options,
        ck_testing_prepare_fn callback, void *user_data, ck_destroy_fn destroy);

// Starts a test cluster. Returns when all nodes are members, every partition has its copies and a primary, and nothing moves.
//
// options: copied, may be freed at once; NULL for the defaults. out: set on success, to be freed with ck_testing_free; NULL on
// failure. Blocks: for some tens of milliseconds as a rule. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; INVALID_OPTION; REFUSED when a callback did; those of ck_cluster_start; TIMEOUT with what is
// missing; IO when the system has no more threads to give; IN_HOOK.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_start(const struct ck_testing_options_t *options,
        struct ck_testing_t **out);

// Ends everything of a test cluster before it is freed, and says how that went. Nodes of which there are shares answer STOPPED
// from then on. Closing again is legal.
//
// testing: borrowed for the call. Blocks: milliseconds as a rule, 20 s of real time at most. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; IN_HOOK; TIMEOUT when a hook does not return, while everything else has ended: the message names it.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_close(struct ck_testing_t *testing);

// Ends everything of a test cluster and frees it: see ck_testing_close. Inside a hook it does not wait: the end happens in the
// background. NULL is allowed.
//
// testing: consumed; no other call with it may be under way or follow. Blocks: as ck_testing_close. A hook may call it. In a
// forked child it leaks on purpose.
CK_API void ck_testing_free(struct ck_testing_t *testing);

// The number of nodes, those included that do not run. 0 for NULL.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
CK_API size_t ck_testing_node_count(const struct ck_testing_t *testing);

// The present process of a node, or its last.
//
// testing: borrowed for the call. out: a share, set on success, to be freed with ck_cluster_free, which does not end the node:
// it is the test cluster's; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no node with this index; STOPPED when the test cluster has ended.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_node(const struct ck_testing_t *testing, size_t index,
        struct ck_cluster_t **out);

// Whether there is a node with an id.
//
// testing: borrowed for the call. id: UTF-8, borrowed for the call. out_index: its index where there is one, else 0; may be NULL.
// Never blocks; a hook may call it.
CK_API bool ck_testing_index_of(const struct ck_testing_t *testing, const char *id, size_t id_len, size_t *out_index);

// True while a node runs: it was started, and neither stopped nor killed. A paused one runs. False where there is no node with
// this index.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
CK_API bool ck_testing_is_running(const struct ck_testing_t *testing, size_t index);

// True while a node is paused.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
CK_API bool ck_testing_is_paused(const struct ck_testing_t *testing, size_t index);

// Adds a node and starts it. ck_testing_wait_settled waits until it has its partitions.
//
// testing: borrowed for the call. out_index: its index, set on success, else 0; may be NULL. Blocks: until it is a member. A
// hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; those of ck_cluster_start, and then the node is there and does not run; REFUSED when there are
// 1000 nodes, or a callback refused; IN_HOOK.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_add_node(struct ck_testing_t *testing, size_t *out_index);

// Adds a node and does not start it: the program does, with ck_cluster_start of ck_testing_node.
//
// testing: borrowed for the call. out_index: its index, set on success, else 0; may be NULL. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; REFUSED when there are 1000 nodes, or a callback refused; INVALID_OPTION.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_create_node(struct ck_testing_t *testing, size_t *out_index);

// Starts a new process of a node that was killed or stopped, on its disk: ck_testing_node has it from then on. Shares of the
// process before stay as they are, stopped.
//
// testing: borrowed for the call. Blocks: until it is a member again, as ck_cluster_start. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; NOT_FOUND; REFUSED for a node that runs, or when a callback refused; those of ck_cluster_start;
// IN_HOOK.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_restart(struct ck_testing_t *testing, size_t index);

// Makes a new process of a node that was killed or stopped, on its disk, and does not start it: the program does, with
// ck_cluster_start of ck_testing_node.
//
// testing: borrowed for the call. Blocks: milliseconds. A hook may not call it (IN_HOOK).
// Errors: as ck_testing_restart, without those of ck_cluster_start.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_recreate(struct ck_testing_t *testing, size_t index);

// Stops a node in an orderly way, as ck_cluster_stop: the others take over its roles at once. It keeps its disk.
//
// testing: borrowed for the call. Blocks: as ck_cluster_stop. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; NOT_FOUND; REFUSED for a node that is paused, or does not run; those of ck_cluster_stop.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_stop(struct ck_testing_t *testing, size_t index);

// Ends a node's process without a word, as SIGKILL and a loss of power do: the others find out by its silence. Its disk keeps
// what was durable, and parts of what was not; its hooks are not called any more, and one that runs goes on to its end. Calls
// with it answer STOPPED. A paused node can be killed.
//
// testing: borrowed for the call. Blocks: milliseconds. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; NOT_FOUND; REFUSED for a node that does not run; IN_HOOK.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_kill(struct ck_testing_t *testing, size_t index);

// Gives a node an empty disk. A node that runs is killed first. ck_testing_restart then starts it as a process that has lost
// its data directory: under its old id it is a member again once the others have found its process before dead, and copies its
// partitions anew.
//
// testing: borrowed for the call. Blocks: milliseconds. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; NOT_FOUND; IN_HOOK.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_wipe(struct ck_testing_t *testing, size_t index);

// Pauses a node, as SIGSTOP does: it answers nobody, and no hook of it is called, but for one that was called already and goes
// on to its end. The handle still answers what needs no other node; calls that do wait until it is resumed, or for their
// timeout.
//
// testing: borrowed for the call. Blocks: microseconds. A hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND; REFUSED for a node that does not run.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_pause(struct ck_testing_t *testing, size_t index);

// Resumes a paused node: it goes on where it stood, with what it was sent meanwhile. Without effect on another.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_resume(struct ck_testing_t *testing, size_t index);

// Loses all messages between two nodes, in both directions.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_cut(struct ck_testing_t *testing, size_t one, size_t other);

// Loses all messages from one node to another, answers of that direction included.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_cut_one_way(struct ck_testing_t *testing, size_t from, size_t to);

// Ends the cuts between two nodes, in both directions. An isolation stays.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_restore(struct ck_testing_t *testing, size_t one, size_t other);

// Cuts a node off from all others, also from those that are added later, until ck_testing_heal.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_isolate(struct ck_testing_t *testing, size_t index);

// Divides the nodes: those that are named lose all messages to and from those that are not, until ck_testing_heal.
//
// testing: borrowed for the call. indexes: count of them, borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND, and nothing is cut then.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_split(struct ck_testing_t *testing, const size_t *indexes,
        size_t count);

// Sets the conditions of the link from one node to another: how long each message takes, and how many of a thousand are lost,
// which are sent again and arrive 200 ms later, as over TCP. 0 and 0 end them.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, also when lost_per_thousand is more than 1000; NOT_FOUND.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_set_link(struct ck_testing_t *testing, size_t from, size_t to,
        uint32_t delay_ms, uint32_t lost_per_thousand);

// Mends the network: no cut, no isolation, no fault of a link is left. Paused nodes stay paused, disks as they are.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_heal(struct ck_testing_t *testing);

// Lets the disk of a node fail from now on, until ck_testing_mend_disk or the node's next process. A node whose log cannot be
// written leaves its leadership and its roles to others, and has to be restarted.
//
// testing: borrowed for the call. fault: CK_TESTING_DISK_*. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_fail_disk(struct ck_testing_t *testing, size_t index, int32_t fault);

// Mends the disk of a node. A node whose log has failed has to be restarted all the same.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_mend_disk(struct ck_testing_t *testing, size_t index);

// Moves the clock of all nodes on, and returns when everything is done that follows from it: leases have run out, timeouts have
// fired, and what they caused has happened, except what needs hooks that still run. A cluster that is well stays as it is.
//
// testing: borrowed for the call. Blocks: for as long as the nodes need to compute what they do in that time. A hook may not
// call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; IN_HOOK; STOPPED when the test cluster ends meanwhile.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_advance(struct ck_testing_t *testing, uint32_t time_ms);

// The time that has passed on the clock of the nodes since the test cluster was made, in milliseconds. 0 for NULL.
//
// testing: borrowed for the call. Never blocks; a hook may call it.
CK_API uint64_t ck_testing_now_ms(const struct ck_testing_t *testing);

// Whether a node leads, by its own word, whom a majority of the voters can go on following: it is neither paused nor cut off
// from them.
//
// testing: borrowed for the call. out_index: its index where there is one, else 0; may be NULL. Never blocks; a hook may call it.
CK_API bool ck_testing_leader(const struct ck_testing_t *testing, size_t *out_index);

// Whether a node takes the writes of a key at this moment, by its own word.
//
// testing: borrowed for the call. key: any bytes, borrowed for the call. out_index: its index where there is one, else 0; may
// be NULL. Never blocks; a hook may call it.
CK_API bool ck_testing_primary_of(const struct ck_testing_t *testing, const void *key, size_t key_len,
        size_t *out_index);

// Waits until a node leads, as ck_testing_leader has it. Moves the clock, by timeout_ms at most.
//
// testing: borrowed for the call. out_index: the leader, set on success, else 0; may be NULL. Blocks: milliseconds as a rule; 10 s
// of real time at most before it gives up. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT; TIMEOUT with what is missing; IN_HOOK; STOPPED.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_wait_for_leader(struct ck_testing_t *testing, uint32_t timeout_ms,
        size_t *out_index);

// Waits until every partition has a primary that says so itself, whatever else is missing: the end of a failover. Moves the
// clock, by timeout_ms at most.
//
// testing: borrowed for the call. Blocks: as ck_testing_wait_for_leader. A hook may not call it (IN_HOOK).
// Errors: as ck_testing_wait_for_leader.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_wait_for_primaries(struct ck_testing_t *testing, uint32_t timeout_ms);

// Waits until the cluster is at rest: every node that runs and is reached is a member that has applied everything, every other
// is known to be down, each partition has all its copies on nodes that are up, and a primary that says so itself, and nothing
// moves or is about to. Moves the clock, by timeout_ms at most.
//
// testing: borrowed for the call. Blocks: as ck_testing_wait_for_leader. A hook may not call it (IN_HOOK).
// Errors: as ck_testing_wait_for_leader.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_wait_settled(struct ck_testing_t *testing, uint32_t timeout_ms);

// Waits until a condition is true, which is looked at after each timer of the nodes: so the clock moves by as little as is
// needed, and by timeout_ms at most. Where that has passed before ten seconds of real time have, the rest of these is waited
// for too: a program may need it.
//
// testing: borrowed for the call. what: UTF-8, names the condition in the error. condition: called with user_data until the
// call returns. Blocks: as ck_testing_wait_for_leader. A hook may not call it (IN_HOOK).
// Errors: as ck_testing_wait_for_leader.
CK_API CK_NODISCARD struct ck_error_t *ck_testing_wait_until(struct ck_testing_t *testing, const char *what,
        size_t what_len, uint32_t timeout_ms, ck_testing_condition_fn condition, void *user_data);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CLUSTERKIT_H */
