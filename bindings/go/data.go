package clusterkit

// #include "glue.h"
import "C"

import (
	"context"
	"iter"
)

// Expect says what a write of custom data expects to find: [ExpectAny], [ExpectAbsent], or the revision that wrote the present
// value (compare and set).
type Expect uint64

const (
	// ExpectAny: write whatever is there.
	ExpectAny Expect = C.CK_EXPECT_ANY
	// ExpectAbsent: write only where there is no such key.
	ExpectAbsent Expect = C.CK_EXPECT_ABSENT
)

// SetCustomData writes a value that every node has. When it returns nil, the write is on the disks of a majority. The key has
// 1 to 1024 bytes of UTF-8, the value 1 MiB at most.
//
// Errors: INVALID_ARGUMENT, TOO_LARGE, NOT_STARTED, STOPPED, NO_LEADER, IO: it has not happened; TIMEOUT: it may or may not have
// happened ([Error.Ambiguous]).
func (ck *ClusterKit) SetCustomData(key string, value []byte) error {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.SetCustomDataContext(ctx, key, value)
}

// SetCustomDataContext is [ClusterKit.SetCustomData] until the context ends. Then the write may or may not happen.
func (ck *ClusterKit) SetCustomDataContext(ctx context.Context, key string, value []byte) error {
	_, err := ck.CompareAndSetCustomData(ctx, key, value, ExpectAny)
	return err
}

// CompareAndSetCustomData writes a value where what is there is as expected, and returns the revision of the write.
//
// Errors: as [ClusterKit.SetCustomData]; CONFLICT when what is there is not as expected.
func (ck *ClusterKit) CompareAndSetCustomData(ctx context.Context, key string, value []byte, expect Expect) (revision uint64, err error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		text, textLen := textOf(key)
		bytes, length := bytesOf(value)
		return C.ckgo_data_set(cluster, text, textLen, bytes, length, C.uint64_t(expect), timeoutOf(ctx), user)
	})
	return told.revision, err
}

// GetCustomData reads a value as this node has applied it; another node may be ahead ([ClusterKit.ReadBarrier]).
//
// Errors: NOT_STARTED; NOT_FOUND when there is no such key.
func (ck *ClusterKit) GetCustomData(key string) ([]byte, error) {
	value, _, err := ck.GetCustomDataRevision(key)
	return value, err
}

// GetCustomDataContext is [ClusterKit.GetCustomData], and refuses when the context has ended. It never waits.
func (ck *ClusterKit) GetCustomDataContext(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return ck.GetCustomData(key)
}

// GetCustomDataRevision is [ClusterKit.GetCustomData] with the revision that wrote the value, which a compare and set expects.
func (ck *ClusterKit) GetCustomDataRevision(key string) (value []byte, revision uint64, err error) {
	var data *C.ck_data_t
	err = ck.handle.with(func(cluster *C.ck_cluster_t) error {
		text, length := textOf(key)
		return takeError(C.ck_custom_data_get(cluster, text, length, &data))
	})
	if err != nil {
		return nil, 0, err
	}
	defer C.ck_data_free(data)
	var length C.size_t
	first := C.ck_data_value(data, &length)
	return C.GoBytes(first, C.int(length)), uint64(C.ck_data_revision(data)), nil
}

// DeleteCustomData deletes a value. Deleting what is not there is no error.
//
// Errors: as [ClusterKit.SetCustomData].
func (ck *ClusterKit) DeleteCustomData(key string) error {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.DeleteCustomDataContext(ctx, key)
}

// DeleteCustomDataContext is [ClusterKit.DeleteCustomData] until the context ends. Then the deletion may or may not happen.
func (ck *ClusterKit) DeleteCustomDataContext(ctx context.Context, key string) error {
	_, _, err := ck.CompareAndDeleteCustomData(ctx, key, ExpectAny)
	return err
}

// CompareAndDeleteCustomData deletes a value where the revision that wrote it is as expected, and says whether there was one,
// and the revision of the deletion.
//
// Errors: as [ClusterKit.SetCustomData]; CONFLICT when what is there is not as expected.
func (ck *ClusterKit) CompareAndDeleteCustomData(ctx context.Context, key string, expect Expect) (existed bool, revision uint64, err error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		text, length := textOf(key)
		return C.ckgo_data_delete(cluster, text, length, C.uint64_t(expect), timeoutOf(ctx), user)
	})
	return told.existed, told.revision, err
}

// How many keys are fetched from C at a time.
const keysPerPage = 1000

// ListCustomDataKeys are all keys, in order, as this node has applied them.
func (ck *ClusterKit) ListCustomDataKeys() []string {
	keys := []string{}
	for key := range ck.CustomDataKeys("") {
		keys = append(keys, key)
	}
	return keys
}

// CustomDataKeys are the keys that begin with a prefix, in order, as this node has applied them. Keys that are written or deleted
// meanwhile are there or not.
func (ck *ClusterKit) CustomDataKeys(prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		after := ""
		for {
			page, err := ck.CustomDataKeysPage(prefix, after, keysPerPage)
			if err != nil || len(page) == 0 {
				return
			}
			for _, key := range page {
				if !yield(key) {
					return
				}
			}
			after = page[len(page)-1]
		}
	}
}

// CustomDataKeysPage are the keys that begin with a prefix and come after another key, in order, limit at most.
//
// Errors: INVALID_ARGUMENT, NOT_STARTED.
func (ck *ClusterKit) CustomDataKeysPage(prefix, after string, limit int) ([]string, error) {
	var list *C.ck_strings_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error {
		first, firstLen := textOf(prefix)
		second, secondLen := textOf(after)
		return takeError(C.ck_custom_data_keys(cluster, first, firstLen, second, secondLen, C.size_t(max(limit, 0)), &list))
	})
	if err != nil {
		return nil, err
	}
	defer C.ck_strings_free(list)
	keys := make([]string, 0, C.ck_strings_count(list))
	for index := range cap(keys) {
		var length C.size_t
		text := C.ck_strings_get(list, C.size_t(index), &length)
		keys = append(keys, C.GoStringN(text, C.int(length)))
	}
	return keys, nil
}

// WaitForRevision waits until this node has applied a revision: read your writes, also those made through another node.
//
// Errors: NOT_STARTED, STOPPED, TIMEOUT.
func (ck *ClusterKit) WaitForRevision(revision uint64) error {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.WaitForRevisionContext(ctx, revision)
}

// WaitForRevisionContext is [ClusterKit.WaitForRevision] until the context ends.
func (ck *ClusterKit) WaitForRevisionContext(ctx context.Context, revision uint64) error {
	_, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_wait_for_revision(cluster, C.uint64_t(revision), timeoutOf(ctx), user)
	})
	return err
}

// ReadBarrier waits until this node has applied everything that any node acknowledged before this call: a read that follows is
// linearizable. It returns the revision that is applied.
//
// Errors: NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
func (ck *ClusterKit) ReadBarrier() (revision uint64, err error) {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.ReadBarrierContext(ctx)
}

// ReadBarrierContext is [ClusterKit.ReadBarrier] until the context ends.
func (ck *ClusterKit) ReadBarrierContext(ctx context.Context) (revision uint64, err error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_read_barrier(cluster, timeoutOf(ctx), user)
	})
	return told.revision, err
}
