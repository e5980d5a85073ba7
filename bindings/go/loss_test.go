package clusterkit_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// Losses are told once, however many hooks copy, and none waits behind what copies.
func TestALossIsToldOnce(t *testing.T) {
	first := made(t, "node-1")
	var mu sync.Mutex
	told := map[string]int{}
	lost := func(event *clusterkit.PartitionChangeEvent) {
		mu.Lock()
		defer mu.Unlock()
		told[fmt.Sprint(event.Revision, event.PartitionID, event.NodeID, event.Change)]++
	}
	events, err := first.ObserveEvents(clusterkit.EventPartitionChange)
	must(t, err)
	var want atomic.Int64
	go func() {
		for event := range events.All(t.Context()) {
			if event != nil && !event.PartitionChange.IsGain() {
				want.Add(1)
			}
		}
	}()
	// The one that was there first is told by what observes, until a hook copies.
	first.OnPartitionLost(lost)
	for range 3 {
		first.OnPartitionChange(func(*clusterkit.PartitionChangeEvent) {})
	}
	must(t, first.Start())
	started(t, "node-2", joining(t, first))
	until(t, "the second holds everything", func() bool { return isSpread(first, 2) })
	// Primaries move: each old one loses its role.
	until(t, "roles were shared", func() bool { return first.GetPartitionStats().PartitionsPerNode["node-2"] == 4 })
	until(t, "every loss was told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) > 0 && int64(len(told)) == want.Load()
	})
	mu.Lock()
	defer mu.Unlock()
	for key, times := range told {
		if times != 1 {
			t.Errorf("%s was told %d times", key, times)
		}
	}
}

// A loss comes before a later gain of the same partition, also in the moment in which hooks that copy come and go.
func TestALossComesBeforeALaterGain(t *testing.T) {
	// It mostly waits.
	t.Parallel()
	first := started(t, "node-1")
	second := started(t, "node-2", joining(t, first))
	until(t, "both hold everything", func() bool { return isSpread(first, 2) })
	var mu sync.Mutex
	last := map[string]uint64{}
	check := func(what string, event *clusterkit.PartitionChangeEvent) {
		mu.Lock()
		defer mu.Unlock()
		key := event.PartitionID + event.NodeID
		// A late hook is told of gains of old once more.
		if !event.IsGain() && event.Revision < last[key] {
			t.Errorf("%s of revision %d was told after a gain of revision %d", what, event.Revision, last[key])
		}
		if event.IsGain() && event.Attempt == 1 && event.Revision > last[key] {
			last[key] = event.Revision
		}
	}
	var losses atomic.Int64
	second.OnPartitionLost(func(event *clusterkit.PartitionChangeEvent) {
		losses.Add(1)
		check("a loss", event)
	})
	for range 3 {
		hook := second.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) { check("a gain", event) })
		must(t, hook.Err())
		seen := losses.Load()
		// Weights move roles and copies between the two: maintenance of a node that leaves and comes would take longer.
		third := started(t, "node-3", joining(t, first), func(o *clusterkit.Options) { o.Weight = 300 })
		until(t, "all three hold everything", func() bool { return isSpread(second, 3) })
		until(t, "roles have moved", func() bool { return losses.Load() > seen })
		must(t, third.LeaveContext(soon(t)))
		must(t, third.Close())
		until(t, "two hold everything", func() bool { return isSpread(second, 2) })
		must(t, hook.Remove())
	}
}

func TestAPanicInOneLossHookKeepsNoOtherFromHearing(t *testing.T) {
	first := founded(t, "node-1")
	var heard atomic.Int64
	first.OnPartitionChange(func(*clusterkit.PartitionChangeEvent) {})
	first.OnPartitionLost(func(*clusterkit.PartitionChangeEvent) { panic("no words") })
	removed := first.OnPartitionLost(func(*clusterkit.PartitionChangeEvent) { t.Error("it was removed") })
	first.OnPartitionLost(func(*clusterkit.PartitionChangeEvent) { heard.Add(1) })
	must(t, removed.Remove())
	is(t, removed.Remove(), clusterkit.ErrNotFound)
	started(t, "node-2", joining(t, first))
	until(t, "a loss is heard of", func() bool { return heard.Load() > 0 })
	until(t, "the panic is a failure", func() bool {
		return slices.ContainsFunc(first.HookStats(), func(stats clusterkit.HookStats) bool { return stats.Failures > 0 })
	})
}
