package clusterkit

// #include "glue.h"
import "C"

import (
	"context"
	"fmt"
	"runtime/cgo"
	"strings"
)

// Hook is a function of the application that is called with events.
type Hook struct {
	handle *handle
	// 0 where it could not be added.
	id  C.uint64_t
	err error
	// destroyed is closed when no call of it runs or will.
	destroyed chan struct{}
	// removed is told when the application removes it; may be nil.
	removed func()
	// part is set of a hook that shares the registration of others, and has none of its own.
	part *hookPart
}

// ID names the hook in [ClusterKit.HookStats]; 0 where it could not be added, and for one of [ClusterKit.OnPartitionLost], which
// has no registration of its own.
func (h *Hook) ID() uint64 { return uint64(h.id) }

// Err is why the hook could not be added: STOPPED after Stop or Close, INVALID_ARGUMENT for a nil function. Methods such as
// [ClusterKit.OnNodeJoin] have no error of their own.
func (h *Hook) Err() error { return h.err }

// Remove removes the hook. When it returns nil, no call of it runs or will; but inside a hook of this node it waits for nothing,
// and the call under way is the last.
//
// A hook of [ClusterKit.OnPartitionLost] is not waited for: a call under way may still end.
//
// Errors: NOT_FOUND when it was removed before, or could not be added; TIMEOUT when a call has not returned: the hook is removed
// all the same.
func (h *Hook) Remove() error {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return h.RemoveContext(ctx)
}

// RemoveContext is [Hook.Remove] until the context ends. The hook is removed all the same.
func (h *Hook) RemoveContext(ctx context.Context) error {
	if h.part != nil {
		return h.part.remove()
	}
	if h.id == 0 {
		return &Error{Code: CodeNotFound, Message: "there is no such hook: it could not be added"}
	}
	if h.removed != nil {
		h.removed()
	}
	// It is removed at once, and says whether a call runs still. The wait for that is Go's, which can be given up.
	err := h.handle.with(func(cluster *C.ck_cluster_t) error {
		return takeError(C.ck_hook_remove(cluster, h.id, 0))
	})
	if failed, ok := err.(*Error); !ok || failed.Code != CodeTimeout {
		return err
	}
	select {
	case <-h.destroyed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// callback is what C's user data leads to: what is called with events, and what is told when no call runs or will.
type hookCallback struct {
	self string
	// It is called on a thread of the library, by several at once.
	call func(event *Event) error
	hook *Hook
}

func (c *hookCallback) destroyed() { close(c.hook.destroyed) }

// addHook adds a hook, or one that observes.
func (ck *ClusterKit) addHook(kinds EventKind, observes bool, call func(event *Event) error) *Hook {
	return ck.handle.addHook(ck.id, kinds, observes, call)
}

func (h *handle) addHook(self string, kinds EventKind, observes bool, call func(event *Event) error) *Hook {
	hook := &Hook{handle: h, destroyed: make(chan struct{})}
	if call == nil {
		hook.err = invalidArgument("the hook's function is nil")
		return hook
	}
	hook.err = h.with(func(cluster *C.ck_cluster_t) error {
		user := keep(&hookCallback{self, call, hook})
		var failed *C.ck_error_t
		var id C.uint64_t
		if observes {
			failed = C.ckgo_observer_add(cluster, C.uintptr_t(user), &id)
		} else {
			failed = C.ckgo_hook_add(cluster, C.uint32_t(kinds), C.uintptr_t(user), &id)
		}
		if failed != nil {
			release(user)
			return takeError(failed)
		}
		hook.id = id
		return nil
	})
	return hook
}

// ckgoHook is called with an event, on a thread of the library. The hook runs on that thread, so that the library knows what is
// called inside it.
//
//export ckgoHook
func ckgoHook(c *C.ck_event_t, user C.uintptr_t) (result C.int32_t) {
	callback := cgo.Handle(user).Value().(*hookCallback)
	err := callback.run(c)
	if err == nil {
		return 0
	}
	words := strings.ToValidUTF8(err.Error(), "\uFFFD")
	text, length := textOf(words)
	// It fails for words that are no UTF-8 only.
	C.ck_error_free(C.ck_event_set_failure(c, text, length))
	return 1
}

func (c *hookCallback) run(event *C.ck_event_t) (err error) {
	read := readEvent(event, c.self)
	defer read.end()
	// A panic that got out would end the process.
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	return c.call(read)
}

// ckgoDestroy is told that no call of a callback runs or will.
//
//export ckgoDestroy
func ckgoDestroy(user C.uintptr_t) {
	handle := cgo.Handle(user)
	callback := handle.Value().(interface{ destroyed() })
	release(handle)
	callback.destroyed()
}
