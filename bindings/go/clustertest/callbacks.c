#include "callbacks.h"

#include "_cgo_export.h"

// All but on_end are called on the thread that has called: Go's own, with the program's signals.

static int32_t on_configure(size_t index, ck_options_t *options, void *user_data) {
    return ckgoTestingConfigure(index, options, (uintptr_t)user_data);
}

static int32_t on_prepare(size_t index, ck_cluster_t *cluster, void *user_data) {
    return ckgoTestingPrepare(index, cluster, (uintptr_t)user_data);
}

static bool on_condition(void *user_data) {
    return ckgoTestingCondition((uintptr_t)user_data);
}

static void on_end(void *user_data) {
    ckgoTestingEnd((uintptr_t)user_data);
}

ck_error_t *ckgo_testing_set_configure(ck_testing_options_t *options, uintptr_t handle) {
    return ck_testing_options_set_configure(options, on_configure, (void *)handle, on_end);
}

ck_error_t *ckgo_testing_set_prepare(ck_testing_options_t *options, uintptr_t handle) {
    return ck_testing_options_set_prepare(options, on_prepare, (void *)handle, on_end);
}

ck_error_t *ckgo_testing_wait_until(ck_testing_t *testing, const char *what, size_t what_len, uint32_t timeout_ms,
                                    uintptr_t handle) {
    return ck_testing_wait_until(testing, what, what_len, timeout_ms, on_condition, (void *)handle);
}
