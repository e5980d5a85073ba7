package clusterkit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// A queue is a hook to be read: what it acknowledges counts as a copy, and what it refuses comes again.
func TestAQueueConfirmsCopies(t *testing.T) {
	first := founded(t, "node-1")
	second := made(t, "node-2", joining(t, first))
	queue, err := second.OpenEvents(clusterkit.EventPartitionChange)
	must(t, err)
	must(t, second.Start())
	seen := map[int]int{}
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	for event, err := range queue.All(ctx) {
		must(t, err)
		told := event.PartitionChange
		if told.NodeID == "node-2" && told.Change == clusterkit.ChangeGainedReplica {
			if len(told.CopyFromNodes) != 1 || told.Attempt != event.Attempt {
				t.Errorf("%+v", told)
			}
			text, err := event.JSON()
			must(t, err)
			if !json.Valid(text) {
				t.Error(string(text))
			}
			if seen[told.Number]++; seen[told.Number] == 1 {
				must(t, event.Ack(errors.New("not yet \xff")))
				continue
			}
		}
		must(t, event.Ack(nil))
		is(t, event.Ack(nil), clusterkit.ErrInvalidArgument)
		if _, err := event.JSON(); !errors.Is(err, clusterkit.ErrInvalidArgument) {
			t.Error("an event that was acknowledged has JSON")
		}
		if isSpread(first, 2) {
			break
		}
	}
	for number, times := range seen {
		if times != 2 {
			t.Errorf("partition %d was asked for %d times", number, times)
		}
	}
	must(t, queue.Close())
	must(t, queue.Close())
	_, err = queue.Next(ctx)
	is(t, err, clusterkit.ErrStopped)
}

func TestEventsInALoop(t *testing.T) {
	ck := made(t, "node-1")
	ctx, cancel := context.WithCancel(context.Background())
	joined, ended := make(chan string, 1), make(chan error, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		for event, err := range ck.Events(ctx, clusterkit.EventNodeJoin, clusterkit.EventNodeLeave) {
			if err != nil {
				ended <- err
				return
			}
			joined <- event.NodeJoin.Node.ID
		}
		ended <- nil
	}()
	<-started
	// It observes from when the loop begins, and that shows in no other way.
	until(t, "the loop has begun", func() bool { return len(ck.HookStats()) == 1 })
	must(t, ck.Start())
	if id := received(t, "a join", joined); id != "node-1" {
		t.Error(id)
	}
	cancel()
	if err := received(t, "the end of the loop", ended); err != context.Canceled {
		t.Error(err)
	}
	// A loop that is left takes its queue with it, and so does the end of the node.
	until(t, "the queue is closed", func() bool { return len(ck.HookStats()) == 0 })
	for range ck.Events(ctx) {
		break
	}
	if len(ck.HookStats()) != 0 {
		t.Error(ck.HookStats())
	}
	done := make(chan int, 1)
	go func() {
		count := 0
		for _, err := range ck.Events(context.Background()) {
			if err != nil {
				t.Error(err)
			}
			count++
		}
		done <- count
	}()
	until(t, "the loop has begun", func() bool { return len(ck.HookStats()) == 1 })
	must(t, ck.Stop())
	received(t, "the end of the loop", done)
}

func TestAWaitForAnEventEnds(t *testing.T) {
	ck := founded(t, "node-1")
	queue, err := ck.OpenEvents(clusterkit.EventNodeLeave)
	must(t, err)
	defer queue.Close()
	before := runtime.NumGoroutine()
	// Several wait, each until its own end.
	var group sync.WaitGroup
	for i := range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
			defer cancel()
			if event, err := queue.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(event, err)
			}
		}()
	}
	within(t, "twenty waits", group.Wait)
	until(t, "nobody waits any more", func() bool { return runtime.NumGoroutine() <= before })
	// After one was given up, the next gets what comes.
	got := make(chan *clusterkit.Event, 1)
	go func() {
		event, err := queue.Next(context.Background())
		if err != nil {
			t.Error(err)
		}
		got <- event
	}()
	other := started(t, "node-2", joining(t, ck))
	must(t, other.Stop())
	event := received(t, "the leave", got)
	if event.NodeLeave.Node.ID != "node-2" || event.NodeLeave.Reason != clusterkit.LeaveGracefulShutdown {
		t.Errorf("%+v", event.NodeLeave)
	}
	must(t, event.Ack(nil))
	// Close ends whoever waits.
	failed := make(chan error, 1)
	go func() { _, err := queue.Next(context.Background()); failed <- err }()
	must(t, queue.Close())
	is(t, received(t, "the end of the wait", failed), clusterkit.ErrStopped)
}

// Every event comes once and in order, however many read.
func TestManyReadOneQueue(t *testing.T) {
	ck := founded(t, "node-1")
	queue, err := ck.OpenEvents(clusterkit.EventClusterHealthChange)
	must(t, err)
	defer queue.Close()
	var revisions sync.Map
	var count, last atomic.Uint64
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for event, err := range queue.All(ctx) {
				if err != nil {
					return
				}
				if _, twice := revisions.LoadOrStore(event.Revision, true); twice || last.Swap(event.Revision) > event.Revision {
					t.Error(event)
				}
				count.Add(1)
				if err := event.Ack(nil); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for i := range 10 {
		state := []string{clusterkit.HealthFailing, clusterkit.HealthHealthy}[i%2]
		must(t, ck.ReportHealth(state, fmt.Sprint(i)))
		until(t, "the health is told", func() bool { return count.Load() > uint64(i) })
	}
	cancel()
	group.Wait()
}

func TestAReaderThatFallsBehindIsToldSo(t *testing.T) {
	first := founded(t, "node-1")
	queue, err := first.ObserveEvents(clusterkit.EventAll)
	must(t, err)
	defer queue.Close()
	if queue.Lost() != 0 {
		t.Error(queue.Lost())
	}
	other := started(t, "node-2", joining(t, first))
	must(t, other.Stop())
	ctx := soon(t)
	var previous *clusterkit.Event
	for {
		event, err := queue.Next(ctx)
		must(t, err)
		if previous != nil {
			if _, err := previous.JSON(); !errors.Is(err, clusterkit.ErrInvalidArgument) {
				t.Error("the event before is there still")
			}
		}
		if _, err := event.JSON(); err != nil {
			t.Error(err)
		}
		if event.Kind == clusterkit.EventNodeLeave {
			must(t, event.Ack(nil))
			break
		}
		previous = event
	}
	event, err := queue.Next(ctx)
	must(t, err)
	must(t, queue.Close())
	if _, err := event.JSON(); !errors.Is(err, clusterkit.ErrInvalidArgument) {
		t.Error("an event outlives its queue")
	}
	is(t, event.Ack(nil), clusterkit.ErrStopped)
	if queue.Lost() != 0 {
		t.Error("a closed queue has lost something")
	}
}

// A queue that was forgotten holds up nothing: it is closed.
func TestAForgottenQueueIsClosed(t *testing.T) {
	ck := founded(t, "node-1")
	func() {
		queue, err := ck.OpenEvents(clusterkit.EventAll)
		must(t, err)
		_ = queue
	}()
	until(t, "it is closed", func() bool { runtime.GC(); return len(ck.HookStats()) == 0 })
}
