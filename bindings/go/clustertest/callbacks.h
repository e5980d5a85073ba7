// Its name is not that of a header in the folder above, which is searched, too.
// C between Go and the part of clusterkit.h that is for tests: callbacks, whose user data is a runtime/cgo.Handle.
#ifndef CLUSTERKIT_CLUSTERTEST_CALLBACKS_H
#define CLUSTERKIT_CLUSTERTEST_CALLBACKS_H

#include "clusterkit.h"

#include <stdint.h>

ck_error_t *ckgo_testing_set_configure(ck_testing_options_t *options, uintptr_t handle);
ck_error_t *ckgo_testing_set_prepare(ck_testing_options_t *options, uintptr_t handle);
ck_error_t *ckgo_testing_wait_until(ck_testing_t *testing, const char *what, size_t what_len, uint32_t timeout_ms,
                                    uintptr_t handle);

#endif
