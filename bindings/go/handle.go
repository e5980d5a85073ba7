package clusterkit

// #cgo noescape ck_view_refresh
// #cgo noescape ckgo_view_info
// #include "glue.h"
import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// handle is a node's C part, without what the application holds: hooks and calls that are under way refer to it, and do not keep
// the [ClusterKit] alive that it belongs to.
type handle struct {
	shared[*C.ck_cluster_t]
	losses lossTeller
}

func newHandle(cluster *C.ck_cluster_t) *handle {
	h := &handle{}
	h.init(cluster, "node")
	return h
}

// shared is the C part of a node or of a client, T being the pointer to it, and the views that come from there.
//
// What must stay true: it is freed once, when no call with it is under way. Cold calls hold mu for reading meanwhile, hot ones a
// lane; close takes all of them. None of them waits for anything while it holds it.
type shared[T comparable] struct {
	mu sync.RWMutex
	c  T
	// what it is, in words.
	what string

	lanes [laneCount]lane[T]

	// viewMu guards making a view of Go's of one of C's; newest is read without it.
	viewMu sync.Mutex
	newest atomic.Pointer[View]
}

func (h *shared[T]) init(c T, what string) {
	h.c, h.what = c, what
	for i := range h.lanes {
		h.lanes[i].c = c
	}
}

// How many lookups can be made at once without one waiting for another: more than most machines have processors.
const laneCount = 64

// lane is where one goroutine at a time looks something up. Lookups of different goroutines meet in different lanes, so that
// processors do not fight for one counter.
type lane[T comparable] struct {
	busy atomic.Bool
	// c is the node or client; NULL once close has taken the lane.
	c T
	// place holds the view that this lane saw last, as ck_view_refresh wants it, and a share of it. view is the same in Go's
	// form.
	place *C.ck_view_t
	view  *View
	// Two lanes do not share a cache line.
	_ [32]byte
}

// enter takes a lane; nil when several are taken, or there was a close: then the cold path does.
func (h *shared[T]) enter() (*lane[T], T) {
	var none T
	// Where a goroutine's stack lies tells goroutines apart, and costs nothing.
	var here byte
	start := (uintptr(unsafe.Pointer(&here)) >> 11) * 0x9E3779B1 >> 7
	for try := range uintptr(2) {
		lane := &h.lanes[(start+try)%laneCount]
		if lane.busy.CompareAndSwap(false, true) {
			if lane.c != none {
				stress()
				return lane, lane.c
			}
			lane.busy.Store(false)
			return nil, none
		}
	}
	return nil, none
}

func (l *lane[T]) leave() { l.busy.Store(false) }

// view is the present view of the cluster.
func (h *handle) view() (*View, error) {
	return h.viewBy(func(lane *lane[*C.ck_cluster_t], cluster *C.ck_cluster_t) *C.ck_error_t {
		return C.ck_view_refresh(cluster, &lane.place)
	}, func(cluster *C.ck_cluster_t) (place *C.ck_view_t, failed *C.ck_error_t) {
		failed = C.ck_view_acquire(cluster, &place)
		return place, failed
	})
}

// viewBy is the present view: refresh brings that of a lane up to date, acquire does without one.
func (h *shared[T]) viewBy(
	refresh func(lane *lane[T], c T) *C.ck_error_t, acquire func(c T) (*C.ck_view_t, *C.ck_error_t),
) (*View, error) {
	lane, c := h.enter()
	if lane == nil {
		return h.viewWithoutLane(acquire)
	}
	// One call, which is all that a lookup costs where nothing has changed.
	failed := refresh(lane, c)
	if failed != nil {
		lane.leave()
		return nil, takeError(failed)
	}
	view := lane.view
	if view == nil || view.c != lane.place {
		view = h.viewOf(lane.place)
		lane.view = view
		lane.leave()
		h.dropOldViews(view)
		return view, nil
	}
	lane.leave()
	return view, nil
}

// partitionCount is how many partitions there are; 0 before they exist. It never changes then, so no call is needed.
func (h *handle) partitionCount() (uint32, error) {
	if newest := h.newest.Load(); newest != nil && newest.partitionCount != 0 {
		return newest.partitionCount, nil
	}
	view, err := h.view()
	if err != nil {
		return 0, err
	}
	return view.partitionCount, nil
}

func (h *shared[T]) viewWithoutLane(acquire func(c T) (*C.ck_view_t, *C.ck_error_t)) (view *View, err error) {
	err = h.with(func(c T) error {
		place, failed := acquire(c)
		if failed != nil {
			return takeError(failed)
		}
		view = h.viewOf(place)
		C.ck_view_release(place)
		return nil
	})
	return view, err
}

// viewOf is the Go form of a view that the caller holds a share of.
func (h *shared[T]) viewOf(place *C.ck_view_t) *View {
	h.viewMu.Lock()
	defer h.viewMu.Unlock()
	newest := h.newest.Load()
	// Both views are alive, so two that lie at one address are one.
	if newest != nil && newest.c == place {
		return newest
	}
	view := newView(C.ck_view_ref(place), newest)
	if newest == nil || newest.revision <= view.revision {
		h.newest.Store(view)
	}
	return view
}

// dropOldViews lets lanes that nobody has used since forget what they saw, so that no old view is kept for long.
func (h *shared[T]) dropOldViews(newest *View) {
	for i := range h.lanes {
		lane := &h.lanes[i]
		if !lane.busy.CompareAndSwap(false, true) {
			// Somebody looks something up there, and sees what is new.
			continue
		}
		if lane.view != nil && lane.view.revision < newest.revision {
			lane.forget()
		}
		lane.leave()
	}
}

func (l *lane[T]) forget() {
	C.ck_view_release(l.place)
	l.place, l.view = nil, nil
}

// with calls f with the node or client, which is not freed meanwhile. f must not wait.
func (h *shared[T]) with(f func(c T) error) error {
	var none T
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.c == none {
		return &Error{Code: CodeStopped, Message: "the " + h.what + " was closed"}
	}
	stress()
	return f(h.c)
}

// withShare calls f with a share of the node's cluster, so that f may wait.
func (h *handle) withShare(f func(cluster *C.ck_cluster_t) error) error {
	var share *C.ck_cluster_t
	err := h.with(func(cluster *C.ck_cluster_t) error {
		share = C.ck_cluster_ref(cluster)
		return nil
	})
	if err != nil {
		return err
	}
	defer C.ck_cluster_free(share)
	return f(share)
}

// close ends the node, and waits for that as ck_cluster_free does. Only the first call does something.
func (h *handle) close() {
	// On this very thread: inside a hook the library sees that it is one, and waits for nothing.
	h.closeBy(func(cluster *C.ck_cluster_t) { C.ck_cluster_free(cluster) })
}

// closeBy takes everything from those who call, and frees it. Only the first call does something.
func (h *shared[T]) closeBy(free func(c T)) {
	var none T
	h.mu.Lock()
	c := h.c
	h.c = none
	h.mu.Unlock()
	if c == none {
		return
	}
	for i := range h.lanes {
		lane := &h.lanes[i]
		for !lane.busy.CompareAndSwap(false, true) {
			runtime.Gosched()
		}
		lane.c = none
		lane.forget()
		lane.leave()
	}
	h.newest.Store(nil)
	free(c)
}
