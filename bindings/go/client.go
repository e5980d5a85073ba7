package clusterkit

// #cgo noescape ck_client_view_refresh
// #include "glue.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"runtime/cgo"
	"sync/atomic"
	"time"
	"unsafe"
)

// Client follows a cluster from a process that is no member of it, over HTTP and through any of its nodes, and answers the same
// lookups as a member from its own memory: [Client.View]. No lookup waits, whatever becomes of the network. What it shows never
// goes back, and is never another cluster's. docs/client.md tells the rest.
//
// All of its methods may be called by any number of goroutines; one client is enough for a process. A client that is not used any
// more is closed when the garbage collector finds it, unless a callback of it refers to it: call Close.
type Client struct{ handle *clientHandle }

// clientHandle is a client's C part, which does not refer to the client.
type clientHandle struct {
	shared[*C.ck_client_t]
	logger atomic.Pointer[logCallback]
}

// NewClient makes a client with these options, which begins to look for a member at once.
//
// Errors: INVALID_OPTION names the option; VERSION when the system's library does not suit this package; IO when the system has
// no more threads to give.
func NewClient(options ClientOptions) (*Client, error) {
	set, err := options.OptionSet()
	if err != nil {
		return nil, err
	}
	client, err := NewClientFromOptionSet(set)
	if err != nil {
		return nil, err
	}
	if options.Logger != nil {
		if err := client.SetLogger(options.Logger); err != nil {
			client.Close()
			return nil, err
		}
	}
	return client, nil
}

// NewClientFromOptionSet is [NewClient] with options that were read from elsewhere.
func NewClientFromOptionSet(options *ClientOptionSet) (*Client, error) {
	if options == nil {
		return nil, invalidArgument("the options are nil")
	}
	C.ckgo_remember_signals()
	var c *C.ck_client_t
	failed := C.ck_client_new(options.c, &c)
	runtime.KeepAlive(options)
	if failed != nil {
		return nil, takeError(failed)
	}
	client := &Client{&clientHandle{}}
	client.handle.init(c, "client")
	// Closing may wait, and all cleanups of a program share few goroutines.
	freeWith(client, client.handle, func(dropped *clientHandle) { go dropped.free() })
	return client, nil
}

func (h *clientHandle) free() { h.closeBy(func(c *C.ck_client_t) { C.ck_client_free(c) }) }

// Close ends the client: calls that wait answer STOPPED, and when it returns, no callback of it runs or will, but for one that does
// not return within 1 s. Inside a callback of this client it does not wait for that. The view and the status stay. Closing again
// does nothing.
//
// It always returns nil; it has a result so that a Client is an io.Closer.
func (c *Client) Close() error {
	defer runtime.KeepAlive(c)
	var share *C.ck_client_t
	err := c.handle.with(func(client *C.ck_client_t) error {
		share = C.ck_client_ref(client)
		return nil
	})
	if err != nil {
		return nil
	}
	// With a share, since it waits. It fails for NULL only.
	C.ck_error_free(C.ck_client_close(share))
	C.ck_client_free(share)
	return nil
}

// View is the newest view, at once: every lookup is a call on it. Before the first answer of a member it is empty, at revision 0.
// Since a client is no member, a view says of "this" node that there is none: MyNode is nil, and every role is RoleNone.
//
// It does not fail; it has an error as [ClusterKit.View] has, so that code may take either.
func (c *Client) View() (*View, error) {
	defer runtime.KeepAlive(c)
	return c.handle.view()
}

func (h *clientHandle) view() (*View, error) {
	return h.viewBy(func(lane *lane[*C.ck_client_t], client *C.ck_client_t) *C.ck_error_t {
		return C.ck_client_view_refresh(client, &lane.place)
	}, func(client *C.ck_client_t) (place *C.ck_view_t, failed *C.ck_error_t) {
		failed = C.ck_client_view_acquire(client, &place)
		return place, failed
	})
}

// WaitReady waits for the first view, and returns its revision.
//
// Errors: that of the context; TIMEOUT with what failed last; STOPPED.
func (c *Client) WaitReady(ctx context.Context) (revision uint64, err error) {
	return c.await(ctx, func(client *C.ck_client_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_client_wait_ready(client, timeoutOf(ctx), user)
	})
}

// WaitForChange waits for a view that is newer than a revision, and returns its revision. It asks nobody besides.
//
// Errors: that of the context; TIMEOUT when there is none; STOPPED.
func (c *Client) WaitForChange(ctx context.Context, revision uint64) (newer uint64, err error) {
	return c.await(ctx, func(client *C.ck_client_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_client_wait_for_change(client, C.uint64_t(revision), timeoutOf(ctx), user)
	})
}

// WaitForRevision waits until the view has a revision, such as one that a member said that it wrote. Where the member that is
// followed does not bring it in a moment, others are asked.
//
// Errors: that of the context; TIMEOUT, STOPPED.
func (c *Client) WaitForRevision(ctx context.Context, revision uint64) error {
	_, err := c.await(ctx, func(client *C.ck_client_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_client_wait_for_revision(client, C.uint64_t(revision), timeoutOf(ctx), user)
	})
	return err
}

// Refresh asks now: afterwards the view has what a member in contact with the leader had after this call began. It asks until a
// member answers, and returns the revision of the view.
//
// Errors: that of the context; what the members said last (UNREACHABLE, NO_LEADER, WRONG_CLUSTER, VERSION, TOO_LARGE and others),
// or TIMEOUT when they said nothing; STOPPED.
func (c *Client) Refresh(ctx context.Context) (revision uint64, err error) {
	return c.await(ctx, func(client *C.ck_client_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_client_refresh(client, timeoutOf(ctx), user)
	})
}

// ReadBarrier is [Client.Refresh] from a member that has applied every write that was acknowledged before this call: what is looked
// up afterwards is linearizable.
//
// Errors: as [Client.Refresh].
func (c *Client) ReadBarrier(ctx context.Context) (revision uint64, err error) {
	return c.await(ctx, func(client *C.ck_client_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_client_read_barrier(client, timeoutOf(ctx), user)
	})
}

func (c *Client) await(ctx context.Context, begin func(client *C.ck_client_t, user C.uintptr_t) *C.ck_error_t) (uint64, error) {
	// Whoever waits with a client uses it: it is not closed meanwhile.
	defer runtime.KeepAlive(c)
	told, err := c.handle.await(ctx, begin)
	return told.revision, err
}

// Changes are the views for a loop: the present one, where there is one, then each newer one; where several came meanwhile, the
// newest. It ends with the client, and with the context, whose error comes last.
func (c *Client) Changes(ctx context.Context) iter.Seq2[*View, error] {
	return func(yield func(*View, error) bool) {
		seen := uint64(0)
		for {
			_, err := c.WaitForChange(ctx, seen)
			if errors.Is(err, ErrStopped) {
				return
			}
			var view *View
			if err == nil {
				view, err = c.View()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			seen = view.Revision()
			if !yield(view, nil) {
				return
			}
		}
	}
}

// OnChange sets what is called with each newer view, first with the present one, where there is one. Where several came during a
// call, the next call has the newest. It replaces an earlier function; nil ends that.
//
// The calls come one after the other, on a thread that does nothing else: the function may block, and may call every method of this
// package. It must not end its goroutine, as a hook must not. A panic in it is recovered, and told to the logger as an error.
//
// Errors: IO when the system has no more threads to give; STOPPED after Close.
func (c *Client) OnChange(call func(view *View)) error {
	defer runtime.KeepAlive(c)
	return c.handle.with(func(client *C.ck_client_t) error {
		if call == nil {
			return takeError(C.ckgo_client_set_on_change(client, 0))
		}
		user := keep(&changeCallback{c.handle, call})
		if failed := C.ckgo_client_set_on_change(client, C.uintptr_t(user)); failed != nil {
			release(user)
			return takeError(failed)
		}
		return nil
	})
}

// changeCallback is what C's user data leads to. It does not keep the client alive.
type changeCallback struct {
	handle *clientHandle
	call   func(view *View)
}

func (c *changeCallback) destroyed() {}

// ckgoChange is called with a view, on a thread of the library that does nothing else.
//
//export ckgoChange
func ckgoChange(view *C.ck_view_t, user C.uintptr_t) {
	callback := cgo.Handle(user).Value().(*changeCallback)
	// A panic that got out would end the process.
	defer func() {
		if panicked := recover(); panicked != nil {
			callback.handle.report(fmt.Sprintf("the function of OnChange has panicked: %v", panicked))
		}
	}()
	callback.call(callback.handle.viewOf(view))
}

// report tells the logger, where there is one, what the library does not know.
func (h *clientHandle) report(message string) {
	if logger := h.logger.Load(); logger != nil && !logger.ended.Load() {
		logger.tell(C.CK_LOG_ERROR, message)
	}
}

// SetLogger sets where messages of this client go, those that the option log_level lets through. It replaces an earlier logger;
// nil drops messages.
func (c *Client) SetLogger(logger Logger) error {
	defer runtime.KeepAlive(c)
	return c.handle.with(func(client *C.ck_client_t) error {
		if logger == nil {
			c.handle.logger.Store(nil)
			return takeError(C.ckgo_client_set_log(client, 0))
		}
		callback := &logCallback{logger: logger}
		user := keep(callback)
		if failed := C.ckgo_client_set_log(client, C.uintptr_t(user)); failed != nil {
			release(user)
			return takeError(failed)
		}
		c.handle.logger.Store(callback)
		return nil
	})
}

// ClientStatus is how a client is connected, and how old its view may be.
type ClientStatus struct {
	// Connected is the address of the member that is followed at present; empty while none is.
	Connected string
	// ClusterID and ClusterName are those of the cluster that is followed; empty before its first answer.
	ClusterID, ClusterName string
	// Revision is that of the view; 0 before the first answer.
	Revision uint64
	// LastContact is the time since the last answer of a member that knew a leader: the longest that there is before the first. While
	// the cluster is quiet it grows up to the option poll_timeout.
	LastContact time.Duration
	// LastError is what failed last, with the address; nil where nothing has. It stays when all is well again. WRONG_CLUSTER is that
	// another cluster answers.
	LastError error
	// Addrs is every address that may be asked, the given ones first.
	Addrs []ClientAddr
	// IsStale is true when the view may be older than the cluster by more than a moment: no member is followed, the one that is has
	// lost contact with the leader, or nothing was heard for longer than a poll and its answer may take.
	IsStale bool
	// IsClosed is true from Close on.
	IsClosed bool
}

// ClientAddr is what is known of one address of a client.
type ClientAddr struct {
	// Addr is the address, "host:port".
	Addr string
	// LastError is why it failed last; nil once it has answered since, and where it was never asked.
	LastError error
	// Failures counts since it last answered.
	Failures int
	// IsGiven is true where the options name it, false where the cluster does.
	IsGiven bool
}

// Status is how the client is connected, at once.
func (c *Client) Status() *ClientStatus {
	defer runtime.KeepAlive(c)
	var status *C.ck_client_status_t
	err := c.handle.with(func(client *C.ck_client_t) error { return takeError(C.ck_client_status(client, &status)) })
	if err != nil {
		// In a child that was forked without exec.
		return &ClientStatus{LastError: err, IsStale: true, IsClosed: true}
	}
	defer C.ck_client_status_free(status)
	read := &ClientStatus{
		Connected:   C.GoString(status.connected),
		ClusterID:   C.GoString(status.cluster_id),
		ClusterName: C.GoString(status.cluster_name),
		Revision:    uint64(status.revision),
		LastContact: durationOf(status.last_contact_ms),
		LastError:   rememberedError(status.last_error_code, status.last_error),
		Addrs:       make([]ClientAddr, 0, status.addr_count),
		IsStale:     bool(status.is_stale),
		IsClosed:    bool(status.is_closed),
	}
	for _, addr := range unsafe.Slice(status.addrs, status.addr_count) {
		read.Addrs = append(read.Addrs, ClientAddr{
			Addr:      C.GoString(addr.addr),
			LastError: rememberedError(addr.last_error_code, addr.last_error),
			Failures:  int(addr.failures),
			IsGiven:   bool(addr.is_given),
		})
	}
	return read
}

// rememberedError is an error of which the code and the words are left. The client tries again in any case.
func rememberedError(code C.int32_t, message *C.char) error {
	if code == 0 {
		return nil
	}
	return &Error{Code: Code(code), Message: C.GoString(message), Retriable: true}
}
