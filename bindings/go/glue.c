#include "glue.h"

#include <pthread.h>
#include <signal.h>

#include "_cgo_export.h"

// ---- Callbacks -------------------------------------------------------------------------------------------------

static pthread_once_t signals_once = PTHREAD_ONCE_INIT;
static sigset_t program_signals;
static _Thread_local int hooks_entered;

static void remember_signals(void) {
    pthread_sigmask(SIG_SETMASK, NULL, &program_signals);
}

void ckgo_remember_signals(void) {
    pthread_once(&signals_once, remember_signals);
}

bool ckgo_in_hook(void) {
    return hooks_entered > 0;
}

// The library's threads block all signals. Go code of the application needs them as they are in the rest of the program:
// Go preempts a loop by a signal, and what a hook starts with os/exec inherits the mask.
static int32_t on_event(const ck_event_t *event, void *user_data) {
    sigset_t library_signals;
    pthread_sigmask(SIG_SETMASK, &program_signals, &library_signals);
    hooks_entered++;
    int32_t result = ckgoHook((ck_event_t *)event, (uintptr_t)user_data);
    hooks_entered--;
    pthread_sigmask(SIG_SETMASK, &library_signals, NULL);
    return result;
}

static void on_log(const ck_log_record_t *record, void *user_data) {
    sigset_t library_signals;
    pthread_sigmask(SIG_SETMASK, &program_signals, &library_signals);
    ckgoLog((ck_log_record_t *)record, (uintptr_t)user_data);
    pthread_sigmask(SIG_SETMASK, &library_signals, NULL);
}

static void on_change(const ck_view_t *view, void *user_data) {
    sigset_t library_signals;
    pthread_sigmask(SIG_SETMASK, &program_signals, &library_signals);
    ckgoChange((ck_view_t *)view, (uintptr_t)user_data);
    pthread_sigmask(SIG_SETMASK, &library_signals, NULL);
}

static void on_done(const ck_result_t *result, void *user_data) {
    ckgoDone((ck_result_t *)result, (uintptr_t)user_data);
}

static void on_destroy(void *user_data) {
    ckgoDestroy((uintptr_t)user_data);
}

ck_error_t *ckgo_hook_add(ck_cluster_t *cluster, uint32_t events, uintptr_t handle, uint64_t *id) {
    return ck_hook_add(cluster, events, on_event, (void *)handle, on_destroy, id);
}

ck_error_t *ckgo_observer_add(ck_cluster_t *cluster, uintptr_t handle, uint64_t *id) {
    return ck_observer_add(cluster, on_event, (void *)handle, on_destroy, id);
}

ck_error_t *ckgo_set_log(ck_cluster_t *cluster, uintptr_t handle) {
    if (handle == 0) {
        return ck_cluster_set_log(cluster, NULL, NULL, NULL);
    }
    return ck_cluster_set_log(cluster, on_log, (void *)handle, on_destroy);
}

ck_error_t *ckgo_client_set_log(ck_client_t *client, uintptr_t handle) {
    if (handle == 0) {
        return ck_client_set_log(client, NULL, NULL, NULL);
    }
    return ck_client_set_log(client, on_log, (void *)handle, on_destroy);
}

ck_error_t *ckgo_client_set_on_change(ck_client_t *client, uintptr_t handle) {
    if (handle == 0) {
        return ck_client_set_on_change(client, NULL, NULL, NULL);
    }
    return ck_client_set_on_change(client, on_change, (void *)handle, on_destroy);
}

// ---- Calls that do not wait ---------------------------------------------------------------------------------------

ck_error_t *ckgo_start(ck_cluster_t *cluster, uintptr_t handle) {
    return ck_cluster_start_async(cluster, on_done, (void *)handle);
}

ck_error_t *ckgo_stop(ck_cluster_t *cluster, uintptr_t handle) {
    return ck_cluster_stop_async(cluster, on_done, (void *)handle);
}

ck_error_t *ckgo_leave(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle) {
    return ck_cluster_leave_async(cluster, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_wait_for_leader(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle) {
    return ck_wait_for_leader_async(cluster, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_wait_for_revision(ck_cluster_t *cluster, uint64_t revision, uint32_t timeout_ms, uintptr_t handle) {
    return ck_wait_for_revision_async(cluster, revision, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_read_barrier(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle) {
    return ck_read_barrier_async(cluster, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_step_down(ck_cluster_t *cluster, uintptr_t handle) {
    return ck_step_down_async(cluster, on_done, (void *)handle);
}

ck_error_t *ckgo_promote(ck_cluster_t *cluster, const char *id, size_t id_len, uintptr_t handle) {
    return ck_promote_async(cluster, id, id_len, on_done, (void *)handle);
}

ck_error_t *ckgo_demote(ck_cluster_t *cluster, uint32_t cooldown_ms, uintptr_t handle) {
    return ck_demote_async(cluster, cooldown_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_data_set(ck_cluster_t *cluster, const char *key, size_t key_len, const void *value, size_t value_len,
                          uint64_t expect, uint32_t timeout_ms, uintptr_t handle) {
    return ck_custom_data_set_async(cluster, key, key_len, value, value_len, expect, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_data_delete(ck_cluster_t *cluster, const char *key, size_t key_len, uint64_t expect, uint32_t timeout_ms,
                             uintptr_t handle) {
    return ck_custom_data_delete_async(cluster, key, key_len, expect, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_create_partitions(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle) {
    return ck_create_partitions_async(cluster, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_rebalance(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle) {
    return ck_rebalance_async(cluster, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_rebalance_status(ck_cluster_t *cluster, uint32_t timeout_ms, uintptr_t handle) {
    return ck_rebalance_status_async(cluster, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_remove_node(ck_cluster_t *cluster, const char *id, size_t id_len, bool force, uint32_t timeout_ms,
                             uintptr_t handle) {
    return ck_remove_node_async(cluster, id, id_len, force, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_recover_partition(ck_cluster_t *cluster, uint32_t partition, const char *from, size_t from_len, bool force,
                                   uint32_t timeout_ms, uintptr_t handle) {
    return ck_recover_partition_async(cluster, partition, from, from_len, force, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_maintenance(ck_cluster_t *cluster, bool has_reason, const char *reason, size_t reason_len,
                             uint32_t timeout_ms, uintptr_t handle) {
    // An empty text of Go's may have no address, and NULL would end the maintenance.
    const char *text = has_reason ? (reason != NULL ? reason : "") : NULL;
    return ck_maintenance_async(cluster, text, has_reason ? reason_len : 0, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_client_wait_ready(ck_client_t *client, uint32_t timeout_ms, uintptr_t handle) {
    return ck_client_wait_ready_async(client, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_client_wait_for_change(ck_client_t *client, uint64_t revision, uint32_t timeout_ms, uintptr_t handle) {
    return ck_client_wait_for_change_async(client, revision, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_client_wait_for_revision(ck_client_t *client, uint64_t revision, uint32_t timeout_ms, uintptr_t handle) {
    return ck_client_wait_for_revision_async(client, revision, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_client_refresh(ck_client_t *client, uint32_t timeout_ms, uintptr_t handle) {
    return ck_client_refresh_async(client, timeout_ms, on_done, (void *)handle);
}

ck_error_t *ckgo_client_read_barrier(ck_client_t *client, uint32_t timeout_ms, uintptr_t handle) {
    return ck_client_read_barrier_async(client, timeout_ms, on_done, (void *)handle);
}

// ---- Views ------------------------------------------------------------------------------------------------------

void ckgo_view_info(const ck_view_t *view, ckgo_view_info_t *out) {
    out->revision = ck_view_revision(view);
    out->partition_count = ck_view_partition_count(view);
    out->node_count = ck_view_node_count(view);
    out->members = 14695981039346656037u;
    out->my_index = SIZE_MAX;
    const ck_node_t *mine = ck_view_my_node(view);
    for (size_t i = 0; i < out->node_count; i++) {
        const ck_node_t *node = ck_view_node(view, i);
        out->members = (out->members ^ (uintptr_t)node) * 1099511628211u;
        if (node == mine) {
            out->my_index = i;
        }
    }
}

size_t ckgo_partition(const ck_view_t *view, uint32_t number, ckgo_partition_t *out, uintptr_t *nodes, size_t capacity) {
    const ck_node_t *primary = ck_view_primary(view, number);
    out->epoch = ck_view_epoch(view, number);
    out->state = ck_view_partition_state(view, number);
    out->has_primary = primary != NULL;
    out->replica_count = ck_view_replica_count(view, number);
    out->pending_count = ck_view_pending_count(view, number);
    size_t count = 0;
    if (primary != NULL) {
        if (count < capacity) {
            nodes[count] = (uintptr_t)primary;
        }
        count++;
    }
    for (size_t i = 0; i < out->replica_count; i++, count++) {
        if (count < capacity) {
            nodes[count] = (uintptr_t)ck_view_replica(view, number, i);
        }
    }
    for (size_t i = 0; i < out->pending_count; i++, count++) {
        if (count < capacity) {
            nodes[count] = (uintptr_t)ck_view_pending(view, number, i);
        }
    }
    return count;
}

// How many keys are handed on together: enough for the library to hash several at once, few enough for the stack.
#define KEYS_AT_ONCE 256

ck_error_t *ckgo_route_many(const ck_view_t *view, uint32_t partition_count, const char *blob, const size_t *ends,
                            size_t count, uint32_t *out) {
    ck_bytes_t keys[KEYS_AT_ONCE];
    size_t start = 0;
    for (size_t done = 0; done < count;) {
        size_t some = count - done < KEYS_AT_ONCE ? count - done : KEYS_AT_ONCE;
        for (size_t i = 0; i < some; i++) {
            keys[i].data = blob + start;
            keys[i].len = ends[done + i] - start;
            start = ends[done + i];
        }
        ck_error_t *error = view != NULL ? ck_view_route_many(view, keys, some, out + done)
                                         : ck_partitions_for(keys, some, partition_count, out + done);
        if (error != NULL) {
            return error;
        }
        done += some;
    }
    return NULL;
}
