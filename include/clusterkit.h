// ClusterKit: an embeddable cluster coordination layer. The C API.
//
// Generated from ck-ffi/src by cbindgen; do not edit. See docs/ for guides, examples/c/ for a program.
//
// LINKING
//   Shared: -lclusterkit (soname libclusterkit.so.0). Static: libclusterkit.a -lpthread -lm -ldl.
//   The number in the soname is CK_ABI_VERSION. Within one number functions and constants are only added, and
//   structs that the library owns (ck_node_t, ck_event_t) only grow at their end; structs that the caller owns
//   (ck_key_route_t, ck_leader_t) never change. The library is not unloaded by dlclose.
//
// ERRORS
//   A function that can fail returns ck_error_t *: NULL is success, anything else is the caller's to free with
//   ck_error_free. On failure an out parameter for a handle is NULL, and there is nothing else to free. Every call
//   can also fail with INTERNAL, a defect in ClusterKit.
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
//   It has threads of its own, which start with the first node and end with the last. It installs no signal
//   handlers, writes nothing to stdout or stderr, and sets no global logger. Its threads begin with all signals
//   blocked but SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGSYS, so no handler of yours runs on one of them for a
//   signal from outside, and one that you block in your own threads waits for your sigwait. Threads and programs that
//   a callback starts inherit that: posix_spawn has POSIX_SPAWN_SETSIGMASK. A call needs 64 KiB of its caller's
//   stack at most. (Should the library itself have a
//   defect and panic, Rust reports that on stderr; the call that met it answers INTERNAL.)
//
// CALLBACKS
//   Callbacks run on threads of the library. They may call every function whose comment says that a hook may
//   call it. They must return: an exception or a longjmp out of one ends the process.
//
// FORK
//   After fork a child cannot use the library, if the parent used it before: every call that can fail answers
//   FORKED, others give what they give for NULL, and functions that free leak on purpose. exec is fine.


#ifndef CLUSTERKIT_H
#define CLUSTERKIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


// The version of the library that this header came with: major.
#define CK_VERSION_MAJOR 0

// The version of the library that this header came with: minor.
#define CK_VERSION_MINOR 1

// The version of the library that this header came with: patch.
#define CK_VERSION_PATCH 0

// The number of the ABI that this header describes; the soname carries it. Programs built with one number work
// with every library of that number and of the same or a later version.
#define CK_ABI_VERSION 0

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

// The node has stopped or is stopping.
#define CK_ERROR_STOPPED 5

// The deadline passed before an answer came. A write may or may not have happened.
#define CK_ERROR_TIMEOUT 6

// No leader is known at present.
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

// The node was removed from the cluster by an administrator.
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

// Declared dead after too long without a sync; may come back.
#define CK_NODE_FAILED 5

// A state of health that this header does not know.
#define CK_HEALTH_UNKNOWN 0

// All is well.
#define CK_HEALTH_HEALTHY 1

// It works, with something to look at.
#define CK_HEALTH_DEGRADED 2

// It cannot do its work.
#define CK_HEALTH_FAILING 3

// A node gained or lost a partition, or a role in it. Where this node gains a copy: copy the data from one of
// copy_from, and return success when it is there; only then does the cluster count on it.
#define CK_EVENT_PARTITION_CHANGE (1 << 0)

// A node that was never a member has joined.
#define CK_EVENT_NODE_JOIN (1 << 1)

// A member is back, or has restarted.
#define CK_EVENT_NODE_REJOIN (1 << 2)

// A member stopped, failed, or was removed.
#define CK_EVENT_NODE_LEAVE (1 << 3)

// Partitions begin to move.
#define CK_EVENT_REBALANCE_START (1 << 4)

// Every partition is where it should be.
#define CK_EVENT_REBALANCE_COMPLETE (1 << 5)

// The cluster's health changed.
#define CK_EVENT_CLUSTER_HEALTH_CHANGE (1 << 6)

// This node leads now. Told on this node only.
#define CK_EVENT_BECOME_LEADER (1 << 7)

// This node leads no longer. Told on this node only.
#define CK_EVENT_LOSE_LEADERSHIP (1 << 8)

// Another node leads now.
#define CK_EVENT_LEADER_CHANGE (1 << 9)

// Every event, kinds that later libraries add included.
#define CK_EVENT_ALL UINT32_MAX

// The event is about no partition, or about a change that this header does not know.
#define CK_CHANGE_NONE 0

// The node is to hold a copy: copy the data, and return success when it is there.
#define CK_CHANGE_GAINED_REPLICA 1

// The node takes the writes from now on.
#define CK_CHANGE_GAINED_PRIMARY 2

// The node takes writes no longer; it still holds its copy.
#define CK_CHANGE_LOST_PRIMARY 3

// The node holds the partition no longer, and may delete the data.
#define CK_CHANGE_LOST_COPY 4

// Write whatever is there.
#define CK_EXPECT_ANY UINT64_MAX

// Write only where there is no such key.
#define CK_EXPECT_ABSENT 0

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

// A node of a cluster, embedded in this process. Several in one process share one set of threads, which start
// with the first and end with the last.
typedef struct ck_cluster_t ck_cluster_t;

// A value of the replicated store, and the revision that wrote it.
typedef struct ck_data_t ck_data_t;

// Why a call failed. Every function that can fail returns one; NULL is success. The caller frees it.
typedef struct ck_error_t ck_error_t;

// What a node is started with. docs/options.md lists every option with its default and bounds.
typedef struct ck_options_t ck_options_t;

// The cluster at one revision. It never changes: all answers taken from one view agree with each other. It may be
// used by any number of threads at once, and outlives the cluster that it came from.
typedef struct ck_view_t ck_view_t;

// Who leads.
typedef struct ck_leader_t {
    // The leader epoch, a fencing token: it only grows.
    uint64_t epoch;
    // The Raft term; no fencing token.
    uint64_t term;
    // The leader's node id.
    char node_id[CK_NODE_ID_SIZE];
} ck_leader_t;

// Where a key belongs.
typedef struct ck_key_route_t {
    // The revision of the cluster that the answer was taken from.
    uint64_t revision;
    // Grows whenever the primary changes: the fencing token for the application's storage.
    uint64_t epoch;
    // The partition's number, from 0.
    uint32_t partition;
    // What this node is to the partition at this moment, its lease included: CK_ROLE_*.
    int32_t role;
    // How many other nodes hold the data.
    uint32_t replica_count;
    // The node that takes writes; empty while there is none.
    char primary_node_id[CK_NODE_ID_SIZE];
} ck_key_route_t;

// A name and a value.
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
    // The application's own endpoints: name to ":port" (the node's own host) or "host:port".
    const struct ck_pair_t *services;
    // How many services there are.
    size_t service_count;
    // Counts the starts of the node's process.
    uint64_t incarnation;
    // Where it is in its life: CK_NODE_*.
    int32_t status;
    // What the application last said of itself: CK_HEALTH_*.
    int32_t health;
    // Its share of the partitions relative to other nodes.
    uint32_t weight;
    // The port in ip.
    uint16_t port;
    // True when it votes in elections.
    bool voter;
} ck_node_t;

// One event. The library owns it and all that it points at, which is valid until the callback returns. Strings are
// NUL-terminated UTF-8. New fields go to the end.
typedef struct ck_event_t {
    // What happened: one of CK_EVENT_*, or one that this header does not know.
    uint32_t kind;
    // A partition change: what the node has of the partition now, CK_CHANGE_*.
    int32_t change;
    // The revision that brought it about.
    uint64_t revision;
    // When, in milliseconds since 1970, by the wall clock of the node that proposed it.
    uint64_t timestamp_ms;
    // The node that the event is about; NULL when it is about none.
    const char *node_id;
    // That node as a member, whether it gains or loses; NULL when it is none.
    const struct ck_node_t *node;
    // A partition change: the partition's epoch after it. A leadership event: the leader epoch. Else 0.
    uint64_t epoch;
    // A partition change: the partition. Else CK_NO_PARTITION.
    uint32_t partition;
    // A partition change: live nodes that hold the data, where the node has to copy it; none where it has nothing to copy.
    const struct ck_node_t *copy_from;
    // How many there are.
    size_t copy_from_count;
    // The whole event as a JSON object, the same as over HTTP.
    const char *json;
    // The length of json, without its NUL.
    size_t json_len;
} ck_event_t;

// Called for an event. Returns 0 for success; anything else is a failure: it is logged, and where this node gains
// a copy of a partition the call is made again later. event: valid until the callback returns.
//
// Called on threads of the library, for partition changes on several at once. It may block, and may call every
// function whose comment says so. It must return: no exception, no longjmp.
typedef int32_t (*ck_hook_fn)(const struct ck_event_t *event, void *user_data);

// Ends user data that was given with a callback. Called exactly once, on any thread, when no call of the callback
// runs or will. It must return: no exception, no longjmp.
typedef void (*ck_destroy_fn)(void *user_data);

// Called with a message for people, one after the other in the order in which they were written, on a thread that
// does nothing else (one for each node). Nothing in the node waits for it: it may block, and may call every function
// of this library, ck_cluster_free of its own node too, which does not wait for it then. What is written while it does
// not return waits, up to 1024 messages or 1 MiB; what does not fit is dropped, and a message says how many were. It
// must return at last: no exception, no longjmp.
//
// level: CK_LOG_*. message: NUL-terminated UTF-8 of message_len bytes, valid until the callback returns.
typedef void (*ck_log_fn)(int32_t level, const char *message, size_t message_len, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library that runs, as "major.minor.patch".
//
// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
const char *ck_version(void);

// The number of the ABI of the library that runs. A program that finds another than its CK_ABI_VERSION must
// not go on.
//
// Never fails, never blocks, works in a forked child; a hook may call it.
uint32_t ck_abi_version(void);

// The code: one of CK_ERROR_*. Codes are never reused; a later library may have more. CK_OK for NULL.
//
// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
int32_t ck_error_code(const struct ck_error_t *error);

// The code's name, the same in every language, such as "NO_LEADER". NULL for NULL.
//
// error: borrowed for the call. Returns: valid until the error is freed. Never fails, never blocks, works in a
// forked child; a hook may call it.
const char *ck_error_name(const struct ck_error_t *error);

// The message, for people: what was wrong, the value, what would be right. It may change between versions.
// NULL for NULL.
//
// error: borrowed for the call. Returns: valid until the error is freed. Never fails, never blocks, works in a
// forked child; a hook may call it.
const char *ck_error_message(const struct ck_error_t *error);

// True when the same call may succeed later without the caller changing anything. False for NULL.
//
// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
bool ck_error_is_retriable(const struct ck_error_t *error);

// Frees an error. NULL is allowed.
//
// error: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
void ck_error_free(struct ck_error_t *error);

// Makes options with every default. node_id and http_addr have none and must be set.
//
// out: set on success, to be freed with ck_options_free; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, IO.
struct ck_error_t *ck_options_new(struct ck_options_t **out);

// Frees options. Nodes made from them live on. NULL is allowed.
//
// options: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
void ck_options_free(struct ck_options_t *options);

// Sets an option by its name, from its text form: "5s", "true", "64", "10.0.0.1:8080,10.0.0.2:8080".
// "services.NAME" and "labels.NAME" set one entry. An empty value unsets what may be unset. On failure nothing
// changes.
//
// options: borrowed for the call. name, value: UTF-8, copied. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name (the message suggests the nearest) and a value
// that is malformed or out of bounds.
struct ck_error_t *ck_options_set(struct ck_options_t *options,
                                  const char *name,
                                  size_t name_len,
                                  const char *value,
                                  size_t value_len);

// Sets what a JSON object names and leaves the rest. Names are those of docs/options.md, groups as objects or
// with dots. On failure nothing changes.
//
// options: borrowed for the call. json: UTF-8, copied. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, INVALID_OPTION.
struct ck_error_t *ck_options_load_json(struct ck_options_t *options, const char *json, size_t json_len);

// Makes a node with these options. Opens nothing before ck_cluster_start.
//
// options: copied. out: set on success, to be freed with ck_cluster_free; NULL on failure. Never blocks; a hook
// may call it.
// Errors: INVALID_ARGUMENT; INVALID_OPTION; IO when the system has no more threads to give.
struct ck_error_t *ck_cluster_new(const struct ck_options_t *options,
                                  struct ck_cluster_t **out);

// Ends a node and frees it: closes its files and sockets, without telling the other nodes where ck_cluster_stop
// has not. Views that were acquired from it live on. NULL is allowed.
//
// When it returns, no hook and no log callback of this node runs or will, all messages were told, every destroy
// function has run, and with the last node of the process the threads of the library have ended. Two exceptions: a hook
// that does not return within 5 s, and a log callback that does not within 1 s, are left to themselves: each is called no
// more, and its destroy function runs when it returns. Inside a hook of this node nothing is waited for: all that happens
// soon afterwards, in the background. Inside its log callback that call is not waited for, and it is the last one.
//
// cluster: consumed; no other call with it may be under way or follow. Blocks: for as long as closing takes,
// milliseconds as a rule, and never longer than 6 s and what the disk takes. A hook may call it. In a forked child it
// leaks on purpose.
void ck_cluster_free(struct ck_cluster_t *cluster);

// Starts the node: it founds a cluster, joins one, or comes back to its own, as its options and its data_dir
// say. Returns when it is a member. A node starts once; after a failure free it.
//
// cluster: borrowed for the call. Blocks: for at most the option join_timeout and a little; a node that was a
// member before then returns success and goes on trying. A hook may not call it (IN_HOOK).
// Errors: INVALID_ARGUMENT, ALREADY_STARTED, STOPPED, JOIN_FAILED with what every address answered,
// JOIN_REFUSED, ADDRESS_IN_USE, DATA_DIR_IN_USE, WRONG_CLUSTER, CLUSTER_MISMATCH, DUPLICATE_NODE, REMOVED,
// CORRUPT, IO, IN_HOOK.
struct ck_error_t *ck_cluster_start(struct ck_cluster_t *cluster);

// Stops the node in an orderly way: the other nodes take over what it has, then everything is closed. After
// success no hook of this node runs or will, and every destroy function of a hook has run, once, those of hooks that were
// added or removed at the same time included: none runs later. The log callback stays until ck_cluster_free, and so does
// its destroy function; this call waits for up to 1 s of its time until the callback has heard everything, and does not
// fail where it has not. Stopping again is legal and waits for the first.
//
// cluster: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may not call it (IN_HOOK);
// it may free the node.
// Errors: INVALID_ARGUMENT; IN_HOOK; TIMEOUT when time is up, stopping then goes on and can be waited for by
// another call, or when a hook has not returned after 5 s, everything else being closed; IO.
struct ck_error_t *ck_cluster_stop(struct ck_cluster_t *cluster,
                                   uint32_t timeout_ms);

// The address at which others reach this node, "host:port": what another node is given as join_addrs.
//
// cluster: borrowed for the call. buffer: size bytes, filled with the address and a NUL; CK_ADDRESS_SIZE bytes
// are enough. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, TOO_LARGE when the buffer is too small.
struct ck_error_t *ck_cluster_http_addr(const struct ck_cluster_t *cluster,
                                        char *buffer,
                                        size_t size);

// Waits until a leader is known.
//
// cluster: borrowed for the call. out: filled on success; may be NULL. Blocks: for at most timeout_ms
// milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NO_LEADER when there is none in time, STOPPED.
struct ck_error_t *ck_wait_for_leader(const struct ck_cluster_t *cluster,
                                      uint32_t timeout_ms,
                                      struct ck_leader_t *out);

// Waits until this node has applied a revision: read your writes, also those made through another node.
//
// cluster: borrowed for the call. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED, TIMEOUT.
struct ck_error_t *ck_wait_for_revision(const struct ck_cluster_t *cluster,
                                        uint64_t revision,
                                        uint32_t timeout_ms);

// Where a key belongs: its partition, who takes its writes, and what this node is to it.
//
// cluster: borrowed for the call. key: any bytes, borrowed for the call. out: filled on success, else left
// alone. Never blocks, takes no lock, allocates nothing where it succeeds; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND before there are partitions.
struct ck_error_t *ck_lookup_key(const struct ck_cluster_t *cluster,
                                 const void *key,
                                 size_t key_len,
                                 struct ck_key_route_t *out);

// True when this node takes the writes of a partition at this moment: it is the primary, and its lease runs.
// False for NULL and in a forked child.
//
// cluster: borrowed for the call. Never blocks, takes no lock, allocates nothing; a hook may call it.
bool ck_is_primary(const struct ck_cluster_t *cluster, uint32_t partition);

// True when this node takes the writes of a key at this moment. False for NULL and in a forked child.
//
// cluster: borrowed for the call. key: any bytes, borrowed for the call. Never blocks, takes no lock, allocates
// nothing; a hook may call it.
bool ck_is_primary_for_key(const struct ck_cluster_t *cluster,
                           const void *key,
                           size_t key_len);

// True when this node leads the cluster at this moment: its leader lease runs, so nobody else can lead. False
// for NULL and in a forked child.
//
// cluster: borrowed for the call. Never blocks; a hook may call it.
bool ck_is_leader(const struct ck_cluster_t *cluster);

// The leader epoch with which this node leads: a fencing token.
//
// cluster: borrowed for the call. out: filled on success, else left alone. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, NOT_STARTED, STOPPED, LEASE_EXPIRED when it does not lead.
struct ck_error_t *ck_leader_epoch(const struct ck_cluster_t *cluster, uint64_t *out);

// Acquires the present view of the cluster.
//
// cluster: borrowed for the call. out: set on success, to be released with ck_view_release; NULL on failure.
// Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT.
struct ck_error_t *ck_view_acquire(const struct ck_cluster_t *cluster, struct ck_view_t **out);

// Releases a view: what was borrowed from it ends. NULL is allowed.
//
// view: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
void ck_view_release(struct ck_view_t *view);

// The revision that the view shows. 0 for NULL.
//
// view: borrowed for the call. Never blocks; a hook may call it.
uint64_t ck_view_revision(const struct ck_view_t *view);

// How many members there are. 0 for NULL.
//
// view: borrowed for the call. Never blocks; a hook may call it.
size_t ck_view_node_count(const struct ck_view_t *view);

// The member at an index; members are sorted by id. NULL where there is none.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
const struct ck_node_t *ck_view_node(const struct ck_view_t *view, size_t index);

// The member with an id. NULL where there is none.
//
// view: borrowed for the call. id: UTF-8, borrowed for the call. Returns: valid until the view is released. Never
// blocks; a hook may call it.
const struct ck_node_t *ck_view_find_node(const struct ck_view_t *view,
                                          const char *id,
                                          size_t id_len);

// This node, when it is a member; else NULL.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
const struct ck_node_t *ck_view_my_node(const struct ck_view_t *view);

// The member whose leadership was recorded last; NULL where there is none. Whether it leads at this moment is a
// matter of leases, which a view does not know.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
const struct ck_node_t *ck_view_leader(const struct ck_view_t *view);

// How many partitions there are; 0 before they exist, and for NULL.
//
// view: borrowed for the call. Never blocks; a hook may call it.
uint32_t ck_view_partition_count(const struct ck_view_t *view);

// The partition that a key belongs to; CK_NO_PARTITION before partitions exist, and for NULL.
//
// view: borrowed for the call. key: any bytes, borrowed for the call. Never blocks; a hook may call it.
uint32_t ck_view_partition_for_key(const struct ck_view_t *view, const void *key, size_t key_len);

// The epoch of a partition, which grows whenever its primary changes: the fencing token for the application's
// storage. 0 where there is no such partition.
//
// view: borrowed for the call. Never blocks; a hook may call it.
uint64_t ck_view_epoch(const struct ck_view_t *view, uint32_t partition);

// What this node is to a partition by this view: CK_ROLE_*. Whether its lease lets it act on that is not known
// here: ask ck_is_primary.
//
// view: borrowed for the call. Never blocks; a hook may call it.
int32_t ck_view_role(const struct ck_view_t *view,
                     uint32_t partition);

// The node that takes the writes of a partition. NULL while there is none, and where there is no such partition.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
const struct ck_node_t *ck_view_primary(const struct ck_view_t *view,
                                        uint32_t partition);

// How many nodes besides the primary hold the data of a partition. 0 where there is no such partition.
//
// view: borrowed for the call. Never blocks; a hook may call it.
size_t ck_view_replica_count(const struct ck_view_t *view, uint32_t partition);

// One of the nodes besides the primary that hold the data of a partition; they are sorted by id. NULL where there
// is none.
//
// view: borrowed for the call. Returns: valid until the view is released. Never blocks; a hook may call it.
const struct ck_node_t *ck_view_replica(const struct ck_view_t *view,
                                        uint32_t partition,
                                        size_t index);

// Adds a hook: callback is called for every event of the kinds in events, a sum of CK_EVENT_* or CK_EVENT_ALL, in
// the order in which they happened. docs/hooks.md tells of order and concurrency. Any number of hooks may be added.
//
// cluster: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it
// is not NULL, is called with it exactly once, when the hook has been removed, the node has stopped or was freed,
// and no call of the hook runs or will. When ck_cluster_stop has returned success it has been, also where the two were
// called at the same time. On failure destroy is not called and user_data is still the caller's.
// out_id: set on success, names the hook to ck_hook_remove; may be NULL. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT, STOPPED.
struct ck_error_t *ck_hook_add(struct ck_cluster_t *cluster,
                               uint32_t events,
                               ck_hook_fn callback,
                               void *user_data,
                               ck_destroy_fn destroy,
                               uint64_t *out_id);

// Removes a hook. When it returns, no call of the hook runs or will, and its destroy function has run, unless it
// was called inside a hook of this node: then both are true when the call under way returns.
//
// cluster: borrowed for the call. Blocks: until a call of the hook that is under way returns. A hook may call it,
// for itself too, and is not waited for.
// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no such hook (any more).
struct ck_error_t *ck_hook_remove(struct ck_cluster_t *cluster,
                                  uint64_t id);

// Writes a value that every node has. When it returns success, the write is on the disks of a majority.
//
// cluster: borrowed for the call. key: UTF-8, 1 to 1024 bytes, copied. value: any bytes, at most 1 MiB, copied.
// expect_revision: CK_EXPECT_ANY, CK_EXPECT_ABSENT, or the revision that wrote the present value (compare and
// set). out_revision: the revision of the write, set on success; may be NULL. Blocks: for at most timeout_ms
// milliseconds. A hook may call it.
// Errors: INVALID_ARGUMENT, TOO_LARGE; CONFLICT when what is there is not as expected; NOT_STARTED, STOPPED,
// NO_LEADER: it has not happened; TIMEOUT: it may or may not have happened.
struct ck_error_t *ck_custom_data_set(struct ck_cluster_t *cluster,
                                      const char *key,
                                      size_t key_len,
                                      const void *value,
                                      size_t value_len,
                                      uint64_t expect_revision,
                                      uint32_t timeout_ms,
                                      uint64_t *out_revision);

// Reads a value as this node has applied it; another node may be ahead (see ck_wait_for_revision).
//
// cluster: borrowed for the call. key: UTF-8, borrowed for the call. out: set on success, to be freed with
// ck_data_free; NULL on failure. Never blocks; a hook may call it.
// Errors: INVALID_ARGUMENT; NOT_FOUND when there is no such key.
struct ck_error_t *ck_custom_data_get(const struct ck_cluster_t *cluster,
                                      const char *key,
                                      size_t key_len,
                                      struct ck_data_t **out);

// Deletes a value. Deleting what is not there is no error unless a revision was expected.
//
// cluster: borrowed for the call. key: UTF-8, copied. expect_revision: CK_EXPECT_ANY, or the revision that wrote
// the present value. out_existed: whether there was one, out_revision: the revision of the deletion; both set on
// success, both may be NULL. Blocks: for at most timeout_ms milliseconds. A hook may call it.
// Errors: as ck_custom_data_set.
struct ck_error_t *ck_custom_data_delete(struct ck_cluster_t *cluster,
                                         const char *key,
                                         size_t key_len,
                                         uint64_t expect_revision,
                                         uint32_t timeout_ms,
                                         bool *out_existed,
                                         uint64_t *out_revision);

// The bytes of a value. NULL for NULL.
//
// data: borrowed for the call. out_len: how many there are; may be NULL. Returns: valid until the data is freed.
// Never blocks; a hook may call it.
const void *ck_data_value(const struct ck_data_t *data,
                          size_t *out_len);

// The revision that wrote a value. 0 for NULL.
//
// data: borrowed for the call. Never blocks; a hook may call it.
uint64_t ck_data_revision(const struct ck_data_t *data);

// Frees a value. NULL is allowed.
//
// data: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
void ck_data_free(struct ck_data_t *data);

// Sets where messages of this node go, those that the option log_level lets through. It replaces an earlier
// callback, and is told what waited for that; NULL, which is the default, drops them. The library writes nowhere else.
//
// cluster: borrowed for the call. callback, destroy: static code. user_data: consumed on success: destroy, if it
// is not NULL, is called with it exactly once, when the callback has been replaced or the node was freed (not when it
// was stopped), and no call of it runs or will. Where a call of it runs while it is replaced, destroy is called when
// that returns, otherwise before this function does. On failure destroy is not called and user_data is still the
// caller's. Never blocks; a hook may call it, and so may the callback, and destroy.
// Errors: INVALID_ARGUMENT.
struct ck_error_t *ck_cluster_set_log(struct ck_cluster_t *cluster,
                                      ck_log_fn callback,
                                      void *user_data,
                                      ck_destroy_fn destroy);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CLUSTERKIT_H */
