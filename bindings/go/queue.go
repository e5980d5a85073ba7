package clusterkit

// #cgo noescape ck_events_next
// #include "glue.h"
import "C"

import (
	"context"
	"errors"
	"iter"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// EventQueue is a queue of events: what a hook is told, to be read instead. A queue that is not used any more is closed when the
// garbage collector finds it.
type EventQueue struct {
	source   *eventSource
	self     string
	observes bool
	// Whoever waits for events holds the turn: the deadline of what it waits on is that of one reader.
	turn chan struct{}
	// previous is the event that was read last from a queue that observes.
	previousMu sync.Mutex
	previous   *Event
}

// eventSource is the queue's C part, which does not refer to the queue.
type eventSource struct {
	// Held for reading by calls, none of which waits, and for writing by close.
	mu sync.RWMutex
	c  *C.ck_events_t
	// ready turns readable while events wait to be read. nil when the process had no descriptor left.
	ready *os.File
}

// OpenEvents opens a queue of events of several kinds: EventNodeJoin | EventNodeLeave. Each is read with [EventQueue.Next] and
// acknowledged with [Event.Ack], which is what the return of a hook is: for a gained partition, success confirms the copy. What
// docs/hooks.md says of the order of hooks holds here, so events that are not partition changes come one at a time: the next
// follows when the one before it is acknowledged.
//
// Errors: INVALID_ARGUMENT, STOPPED.
func (ck *ClusterKit) OpenEvents(kinds EventKind) (*EventQueue, error) {
	return ck.openEvents(kinds, 0)
}

// ObserveEvents opens a queue of events that observes: nothing waits for the reader, and what it acknowledges confirms no copy. A
// reader that falls behind by 1024 events loses the oldest.
//
// Errors: INVALID_ARGUMENT, STOPPED.
func (ck *ClusterKit) ObserveEvents(kinds EventKind) (*EventQueue, error) {
	return ck.openEvents(kinds, C.CK_EVENTS_OBSERVE)
}

// Events are events from now on: a queue that observes ([ClusterKit.ObserveEvents]) for a loop. It ends with the node, and with
// the context, whose error comes last. Without kinds it has all.
func (ck *ClusterKit) Events(ctx context.Context, kinds ...EventKind) iter.Seq2[*Event, error] {
	var wanted EventKind
	for _, kind := range kinds {
		wanted |= kind
	}
	if len(kinds) == 0 {
		wanted = EventAll
	}
	return func(yield func(*Event, error) bool) {
		queue, err := ck.ObserveEvents(wanted)
		if err != nil {
			yield(nil, err)
			return
		}
		defer queue.Close()
		queue.All(ctx)(yield)
	}
}

func (ck *ClusterKit) openEvents(kinds EventKind, flags C.uint32_t) (*EventQueue, error) {
	source := &eventSource{}
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error {
		return takeError(C.ck_events_open(cluster, C.uint32_t(kinds), flags, &source.c))
	})
	if err != nil {
		return nil, err
	}
	source.ready = watch(int(C.ck_events_fd(source.c)))
	queue := &EventQueue{source: source, self: ck.id, observes: flags != 0, turn: make(chan struct{}, 1)}
	freeWith(queue, source, func(source *eventSource) { source.close() })
	return queue, nil
}

// watch makes a file of the queue's descriptor, on which Go's poller waits: no thread does. nil where that cannot be had.
func watch(descriptor int) *os.File {
	if descriptor < 0 {
		return nil
	}
	// The descriptor stays the library's. A program that starts meanwhile does not inherit the copy.
	syscall.ForkLock.RLock()
	own, err := syscall.Dup(descriptor)
	if err == nil {
		syscall.CloseOnExec(own)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil
	}
	// The poller takes only what does not block. The library reads its end only when a byte is there.
	if err := syscall.SetNonblock(own, true); err != nil {
		_ = syscall.Close(own)
		return nil
	}
	return os.NewFile(uintptr(own), "events")
}

// Next waits for the next event until the context ends. Several goroutines may read at once.
//
// Errors: that of the context; STOPPED when the node has stopped and everything was read, and when the queue was closed.
func (q *EventQueue) Next(ctx context.Context) (*Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if event, err := q.read(); event != nil || err != nil {
		return event, err
	}
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if q.source.ready == nil {
		return q.nextByAsking(ctx)
	}
	return q.nextByWaiting(ctx)
}

// How often a queue is asked that could not be waited for.
const askInterval = 10 * time.Millisecond

func (q *EventQueue) nextByAsking(ctx context.Context) (*Event, error) {
	ticker := time.NewTicker(askInterval)
	defer ticker.Stop()
	for {
		if event, err := q.read(); event != nil || err != nil {
			return event, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *EventQueue) nextByWaiting(ctx context.Context) (event *Event, err error) {
	ready := q.source.ready
	raw, err := ready.SyscallConn()
	if err != nil {
		return nil, errQueueClosed()
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = ready.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-ended
			_ = ready.SetReadDeadline(time.Time{})
		}
	}()
	// It calls the function, and again whenever the descriptor has turned readable, until that answers true.
	failed := raw.Read(func(uintptr) bool {
		event, err = q.read()
		return event != nil || err != nil
	})
	switch {
	case event != nil || err != nil:
		return event, err
	case errors.Is(failed, os.ErrDeadlineExceeded):
		return nil, ctx.Err()
	}
	return nil, errQueueClosed()
}

// read is the next event, when there is one; nil and nil when there is none yet.
func (q *EventQueue) read() (*Event, error) {
	q.source.mu.RLock()
	defer q.source.mu.RUnlock()
	if q.source.c == nil {
		return nil, errQueueClosed()
	}
	var c *C.ck_event_t
	stress()
	if failed := C.ck_events_next(q.source.c, 0, &c); failed != nil {
		return nil, takeError(failed)
	}
	if c == nil {
		return nil, nil
	}
	event := readEvent(c, q.self)
	event.queue = q
	if q.observes {
		q.previousMu.Lock()
		previous := q.previous
		q.previous = event
		q.previousMu.Unlock()
		if previous != nil {
			// Nothing waits for it. It fails for one that the application has acknowledged.
			_ = q.source.acknowledge(previous.end(), nil)
		}
	}
	return event, nil
}

// All are the events of the queue, for a loop: it ends with the node, and with the context, whose error comes last. The queue stays
// open.
func (q *EventQueue) All(ctx context.Context) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for {
			event, err := q.Next(ctx)
			if errors.Is(err, ErrStopped) {
				return
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Ack acknowledges an event of a queue: its call has ended. An error is a failure: it is logged, and where this node gains a copy
// of a partition the event comes again later. In a queue that observes it does nothing that anybody waits for.
//
// Errors: INVALID_ARGUMENT for an event that was acknowledged before, and for one of a hook; STOPPED when the queue was closed.
func (e *Event) Ack(failure error) error {
	if e.queue == nil {
		return invalidArgument("only an event of a queue is acknowledged; the call of a hook ends when it returns")
	}
	source := e.queue.source
	source.mu.RLock()
	defer source.mu.RUnlock()
	return source.acknowledge(e.end(), failure)
}

// acknowledge is called with the lock held for reading.
func (s *eventSource) acknowledge(event *C.ck_event_t, failure error) error {
	if s.c == nil {
		return errQueueClosed()
	}
	if event == nil {
		return invalidArgument("the event was acknowledged before")
	}
	if failure == nil {
		return takeError(C.ck_events_ack(s.c, event, 0, nil, 0))
	}
	text, length := textOf(strings.ToValidUTF8(failure.Error(), "\uFFFD"))
	return takeError(C.ck_events_ack(s.c, event, 1, text, length))
}

// Lost is how many events a queue that observes has lost since it was opened, because they were not read in time: look at a view
// then.
func (q *EventQueue) Lost() uint64 {
	q.source.mu.RLock()
	defer q.source.mu.RUnlock()
	return uint64(C.ck_events_lost(q.source.c))
}

// Close closes the queue. Events that were not acknowledged end as failed, and whoever waits in Next is told STOPPED. Closing again
// does nothing. It always returns nil; it has a result so that a queue is an io.Closer.
func (q *EventQueue) Close() error {
	q.source.close()
	return nil
}

func (s *eventSource) close() {
	if s.ready != nil {
		// Whoever waits for it is woken. It fails the second time only.
		_ = s.ready.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	C.ck_events_close(s.c)
	s.c = nil
}

func errQueueClosed() error {
	return &Error{Code: CodeStopped, Message: "the queue of events was closed"}
}
