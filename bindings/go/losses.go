//go:build cgo

package clusterkit

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// lossTeller tells the hooks of OnPartitionLost what nodes lose.
//
// What must stay true: a loss is told once, and before a later gain of the same partition is told to any hook of
// OnPartitionChange; otherwise the data that has just been copied would be deleted. The library keeps that order within one
// registration only, and a registration of its own for losses would confirm copies that nobody has made. So losses are told by
// the registrations of OnPartitionChange, each of which hears of every loss: the first to hear of one tells it, the others wait
// until it has. Only where there is none, a registration that observes tells them, until there is one.
type lossTeller struct {
	mu    sync.Mutex
	hooks []*lostHook
	// Losses that were told, or are being told, and their order of age.
	told  map[lossKey]chan struct{}
	order []lossKey
	// How many registrations of OnPartitionChange there are.
	copiers int
	// The registration that observes; nil where none does.
	observer *Hook
	// Closed when what observed has told everything that it heard of before the newest registration of OnPartitionChange.
	handedOver chan struct{}
}

type lostHook struct{ call PartitionLostHook }

type lossKey struct {
	revision uint64
	number   int
	nodeID   string
	change   string
}

// How many losses are remembered as told. A registration that is so many behind would tell one again.
const maxLossesTold = 1 << 14

// OnPartitionLost adds a hook that is called when a node, this one or another, loses a partition (ChangeLostCopy: it may delete
// the data) or the primary role in it (ChangeLostPrimary). event.CopyToNode is the node that loses. It comes before any later gain
// of the same partition is told to a hook of [ClusterKit.OnPartitionChange].
func (ck *ClusterKit) OnPartitionLost(call PartitionLostHook) *Hook {
	if call == nil {
		return ck.addHook(EventPartitionChange, false, nil)
	}
	losses := &ck.handle.losses
	lost := &lostHook{call}
	losses.mu.Lock()
	defer losses.mu.Unlock()
	if losses.copiers == 0 && losses.observer == nil {
		observer := ck.handle.observeLosses(ck.id)
		if observer.err != nil {
			return observer
		}
		losses.observer = observer
	}
	losses.hooks = append(losses.hooks, lost)
	return &Hook{handle: ck.handle, part: &hookPart{losses, lost}}
}

// hookPart is a hook that shares the registration of others.
type hookPart struct {
	losses *lossTeller
	lost   *lostHook
}

func (p *hookPart) remove() error {
	p.losses.mu.Lock()
	defer p.losses.mu.Unlock()
	index := slices.Index(p.losses.hooks, p.lost)
	if index < 0 {
		return &Error{Code: CodeNotFound, Message: "there is no such hook any more"}
	}
	p.losses.hooks = slices.Delete(slices.Clone(p.losses.hooks), index, index+1)
	return nil
}

// observeLosses adds the registration that tells losses while no hook copies.
func (h *handle) observeLosses(self string) *Hook {
	return h.addHook(self, EventPartitionChange, true, func(event *Event) error {
		if event.PartitionChange == nil || event.PartitionChange.IsGain() {
			return nil
		}
		return h.losses.tell(event.PartitionChange)
	})
}

// addCopier adds a hook that is called for gains, and tells losses.
func (ck *ClusterKit) addCopier(call PartitionChangeErrHook) *Hook {
	h := ck.handle
	losses := &h.losses
	losses.mu.Lock()
	defer losses.mu.Unlock()
	observer, handedOver := losses.observer, losses.handedOver
	if observer != nil {
		handedOver = make(chan struct{})
	}
	hook := ck.addHook(EventPartitionChange, false, func(event *Event) error {
		if event.PartitionChange == nil {
			return nil
		}
		if handedOver != nil {
			<-handedOver
		}
		if event.PartitionChange.IsGain() {
			return call(event.PartitionChange)
		}
		return losses.tell(event.PartitionChange)
	})
	if hook.err != nil {
		return hook
	}
	losses.copiers++
	if observer != nil {
		losses.observer, losses.handedOver = nil, handedOver
		go h.handOver(observer, handedOver)
	}
	var once sync.Once
	hook.removed = func() { once.Do(func() { h.copierRemoved(ck.id) }) }
	return hook
}

// handOver lets what observed tell the losses that it heard of before a hook copied, and ends it. Meanwhile the hook waits.
func (h *handle) handOver(observer *Hook, handedOver chan struct{}) {
	defer close(handedOver)
	// Each loss that it hears of from now on is heard by the hook, too, and told once. So any moment in which nothing waits for it
	// will do.
	for !h.isIdle(observer) {
		time.Sleep(time.Millisecond)
	}
	// NOT_FOUND and STOPPED say that it has ended.
	_ = observer.Remove()
}

// isIdle is true when nothing waits to be told to a hook, and no call of it runs; also when there is no such hook any more.
func (h *handle) isIdle(hook *Hook) bool {
	stats, err := h.hookStats()
	if err != nil {
		return true
	}
	index := slices.IndexFunc(stats, func(stats HookStats) bool { return stats.ID == hook.ID() })
	return index < 0 || stats[index].Queued == 0 && stats[index].Running == 0
}

// copierRemoved sees to it that losses are told when the last hook that copies is removed.
func (h *handle) copierRemoved(self string) {
	losses := &h.losses
	losses.mu.Lock()
	defer losses.mu.Unlock()
	losses.copiers--
	if losses.copiers > 0 || len(losses.hooks) == 0 {
		return
	}
	// Before the other is removed, so that none is missed; what both hear of is told once.
	if observer := h.observeLosses(self); observer.err == nil {
		losses.observer = observer
	}
}

// tell tells a loss, unless another registration has; then it waits until that is done.
func (l *lossTeller) tell(event *PartitionChangeEvent) error {
	key := lossKey{event.Revision, event.Number, event.NodeID, event.Change}
	l.mu.Lock()
	if done, isTold := l.told[key]; isTold {
		l.mu.Unlock()
		<-done
		return nil
	}
	if l.told == nil {
		l.told = map[lossKey]chan struct{}{}
	}
	done := make(chan struct{})
	l.told[key] = done
	l.order = append(l.order, key)
	if len(l.order) > maxLossesTold {
		delete(l.told, l.order[0])
		l.order = l.order[1:]
	}
	hooks := slices.Clone(l.hooks)
	l.mu.Unlock()
	defer close(done)
	var failures []error
	for _, hook := range hooks {
		failures = append(failures, hook.tell(event))
	}
	return errors.Join(failures...)
}

// tell calls one hook. A panic keeps no other from hearing of it.
func (h *lostHook) tell(event *PartitionChangeEvent) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	own := *event
	h.call(&own)
	return nil
}
