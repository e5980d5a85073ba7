// C between Go and clusterkit.h: what cgo cannot say, or would need several calls for. It decides nothing.
#ifndef CLUSTERKIT_GLUE_H
#define CLUSTERKIT_GLUE_H

#include "clusterkit.h"

#include <stdbool.h>
#include <stdint.h>

// User data is a runtime/cgo.Handle: a number, which must never lie in Go's memory as if it were a pointer.

// ---- Callbacks -------------------------------------------------------------------------------------------------

// Remembers the signals that a thread of the program blocks, for the threads that call hooks. Only the first call counts.
void ckgo_remember_signals(void);

// True while the calling thread is inside a hook of any node.
bool ckgo_in_hook(void);

ck_error_t *ckgo_hook_add(ck_cluster_t *cluster, uint32_t events, uintptr_t handle, uint64_t *id);
ck_error_t *ckgo_observer_add(ck_cluster_t *cluster, uintptr_t handle, uint64_t *id);
// handle 0 drops messages.
ck_error_t *ckgo_set_log(ck_cluster_t *cluster, uintptr_t handle);
ck_error_t *ckgo_client_set_log(ck_client_t *client, uintptr_t handle);
// handle 0 ends them.
ck_error_t *ckgo_client_set_on_change(ck_client_t *client, uintptr_t handle);

// ---- Calls that do not wait: the same as without go, with a handle that hears of the outcome. ----------------------

ck_error_t *ckgo_start(ck_cluster_t *cluster, uintptr_t handle);
ck_error_t *ckgo_stop(ck_cluster_t *cluster, uintptr_t handle);
ck_error_t *ckgo_leave(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_wait_for_leader(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_wait_for_revision(ck_cluster_t *cluster, uint64_t revision, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_read_barrier(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_step_down(ck_cluster_t *cluster, uintptr_t handle);
ck_error_t *ckgo_promote(ck_cluster_t *cluster, const char *id, size_t id_len, uintptr_t handle);
ck_error_t *ckgo_demote(ck_cluster_t *cluster, uint32_t cooldown_ms, uintptr_t handle);
ck_error_t *ckgo_data_set(ck_cluster_t *cluster, const char *key, size_t key_len, const void *value, size_t value_len,
                          uint64_t expect, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_data_delete(ck_cluster_t *cluster, const char *key, size_t key_len, uint64_t expect, uint32_t timeout_ms,
                             uintptr_t handle);
ck_error_t *ckgo_create_partitions(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_rebalance(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_rebalance_status(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_remove_node(ck_cluster_t *cluster, const char *id, size_t id_len, bool force, uint32_t timeout_ms,
                             uintptr_t handle);
ck_error_t *ckgo_recover_partition(ck_cluster_t *cluster, uint32_t partition, const char *from, size_t from_len, bool force,
                                   uint32_t timeout_ms, uintptr_t handle);
// has_reason false ends maintenance.
ck_error_t *ckgo_maintenance(ck_cluster_t *cluster, bool has_reason, const char *reason, size_t reason_len,
                             uint32_t timeout_ms, uintptr_t handle);

ck_error_t *ckgo_client_wait_ready(ck_client_t *client, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_client_wait_for_change(ck_client_t *client, uint64_t revision, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_client_wait_for_revision(ck_client_t *client, uint64_t revision, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_client_refresh(ck_client_t *client, uint32_t timeout_ms, uintptr_t handle);
ck_error_t *ckgo_client_read_barrier(ck_client_t *client, uint32_t timeout_ms, uintptr_t handle);

// ---- Views ------------------------------------------------------------------------------------------------------

// What Go keeps of a view. Pointers are numbers here, because they end with the view.
typedef struct {
    uint64_t revision;
    uint32_t partition_count;
    size_t node_count;
    // Made of the addresses of all records of members: the same for views that share them, and are alive at the same time.
    uint64_t members;
    // The index of this node's own record; SIZE_MAX where it is no member.
    size_t my_index;
} ckgo_view_info_t;

void ckgo_view_info(const ck_view_t *view, ckgo_view_info_t *out);

typedef struct {
    uint64_t epoch;
    int32_t state;
    bool has_primary;
    size_t replica_count;
    size_t pending_count;
} ckgo_partition_t;

// Reads a partition: nodes gets the primary, where there is one, then the replicas, then those that are still copying, as
// many as there is room for. Returns how many there are.
size_t ckgo_partition(const ck_view_t *view, uint32_t number, ckgo_partition_t *out, uintptr_t *nodes, size_t capacity);

// The partitions of count keys, which lie one after the other in blob; ends has where each ends. With a view, by that view;
// without one, among partition_count.
ck_error_t *ckgo_route_many(const ck_view_t *view, uint32_t partition_count, const char *blob, const size_t *ends,
                            size_t count, uint32_t *out);

#endif
