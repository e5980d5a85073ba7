package clusterkit_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

func TestAHookMayEndLater(t *testing.T) {
	first := founded(t, "node-1")
	second := made(t, "node-2", joining(t, first))
	completions := make(chan *clusterkit.Completion, 100)
	_, err := second.AddHook(clusterkit.EventPartitionChange, func(event *clusterkit.Event) error {
		told := event.PartitionChange
		if told.NodeID != "node-2" || told.Change != clusterkit.ChangeGainedReplica {
			return nil
		}
		completion, err := event.Defer()
		if err != nil {
			t.Error(err)
			return err
		}
		if _, err := event.Defer(); !errors.Is(err, clusterkit.ErrInvalidArgument) {
			t.Error("it was deferred twice")
		}
		completions <- completion
		return errors.New("this does not count")
	})
	must(t, err)
	must(t, second.Start())
	// The first fails, and comes again; then all succeed.
	first1 := received(t, "the first call", completions)
	first1.End(errors.New("not yet"))
	first1.End(nil)
	for count := 0; count < 8; count++ {
		completion := received(t, "a call", completions)
		go completion.End(nil)
	}
	until(t, "all copies are there", func() bool { return isSpread(first, 2) })

	// One that is forgotten fails, and does not hold up what waits for it.
	third := made(t, "node-3", joining(t, first))
	var forgotten atomic.Int64
	_, err = third.AddHook(clusterkit.EventPartitionChange, func(event *clusterkit.Event) error {
		if told := event.PartitionChange; told.NodeID == "node-3" && told.Change == clusterkit.ChangeGainedReplica && forgotten.Add(1) == 1 {
			_, err := event.Defer()
			return err
		}
		return nil
	})
	must(t, err)
	must(t, third.Start())
	until(t, "all copies are there", func() bool { runtime.GC(); return isSpread(first, 3) })
}

func TestAnEventHasJSON(t *testing.T) {
	ck := made(t, "node-1")
	type checked struct {
		event *clusterkit.Event
		text  []byte
		err   error
	}
	events := make(chan checked, 1000)
	_, err := ck.AddHook(clusterkit.EventAll, func(event *clusterkit.Event) error {
		text, err := event.JSON()
		events <- checked{event, text, err}
		return nil
	})
	must(t, err)
	must(t, ck.Start())
	kinds := map[clusterkit.EventKind]bool{}
	for !kinds[clusterkit.EventNodeJoin] || !kinds[clusterkit.EventPartitionChange] || !kinds[clusterkit.EventBecomeLeader] {
		told := received(t, "an event", events)
		must(t, told.err)
		var decoded map[string]any
		must(t, json.Unmarshal(told.text, &decoded))
		contains(t, string(told.text), told.event.Kind.String())
		kinds[told.event.Kind] = true
		until(t, "the call has ended", func() bool { _, err := told.event.JSON(); return errors.Is(err, clusterkit.ErrInvalidArgument) })
		_, err := told.event.Defer()
		is(t, err, clusterkit.ErrInvalidArgument)
		is(t, told.event.Ack(nil), clusterkit.ErrInvalidArgument)
	}
}

func TestKindsHaveNames(t *testing.T) {
	for kind, name := range map[clusterkit.EventKind]string{
		clusterkit.EventPartitionChange: "partition_change", clusterkit.EventAll: "all", 0: "unknown", 1 << 20: "unknown",
		clusterkit.EventNodeJoin | clusterkit.EventNodeLeave: "node_join|node_leave",
		clusterkit.EventLeaderChange | 1<<20:                 "leader_change|unknown",
	} {
		if kind.String() != name {
			t.Errorf("%d is called %q instead of %q", kind, kind, name)
		}
	}
}
