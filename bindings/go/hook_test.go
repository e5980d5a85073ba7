package clusterkit_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// journal is what hooks have told, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

func (j *journal) has(line string) bool { return slices.Contains(j.all(), line) }

func TestEveryHookIsCalled(t *testing.T) {
	var told journal
	// A short absence, so that copies are made elsewhere soon.
	hasty := func(o *clusterkit.Options) { o.Extra = map[string]string{"rebalance_delay": "0s"} }
	first := made(t, "node-1", hasty)
	var gains, losses atomic.Int64
	first.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) {
		if !event.IsGain() || event.CopyToNode == nil || event.CopyToNode.ID != event.NodeID || event.Timestamp.IsZero() ||
			event.Revision == 0 || event.Attempt == 0 || event.PartitionID != clusterkit.PartitionID(event.Number) ||
			event.Epoch == 0 && event.NewPrimary != "" {
			t.Errorf("%+v", event)
		}
		for _, source := range event.CopyFromNodes {
			if source.IP == "" || source.ID == event.NodeID {
				t.Errorf("%+v", source)
			}
		}
		gains.Add(1)
	})
	first.OnPartitionLost(func(event *clusterkit.PartitionChangeEvent) {
		if event.IsGain() || event.CopyToNode == nil || len(event.CopyFromNodes) != 0 {
			t.Errorf("%+v", event)
		}
		losses.Add(1)
	})
	first.OnNodeJoin(func(event *clusterkit.NodeJoinEvent) {
		told.add("join %s %d %v", event.Node.ID, event.ClusterSize, event.IsBootstrap)
	})
	first.OnNodeRejoin(func(event *clusterkit.NodeRejoinEvent) {
		if event.LastSeenAt.IsZero() || event.OfflineDuration < 0 || event.Node.IP == "" {
			t.Errorf("%+v", event)
		}
		told.add("rejoin %s %d", event.Node.ID, len(event.PartitionsBeforeLeave))
	})
	first.OnNodeLeave(func(event *clusterkit.NodeLeaveEvent) {
		told.add("leave %s %s %d", event.Node.ID, event.Reason, len(event.PartitionsOwned)+len(event.PartitionsReplica))
	})
	first.OnRebalanceStart(func(event *clusterkit.RebalanceEvent) {
		told.add("start %s %s", event.Trigger, event.TriggerNodeID)
		if event.PartitionsToMove == 0 || len(event.NodesAffected) == 0 || event.Duration != 0 {
			t.Errorf("%+v", event)
		}
	})
	first.OnRebalanceComplete(func(event *clusterkit.RebalanceEvent, duration time.Duration) {
		if duration != event.Duration {
			t.Errorf("%+v", event)
		}
		told.add("complete %s", event.Trigger)
	})
	first.OnClusterHealthChange(func(event *clusterkit.ClusterHealthEvent) {
		if event.HealthyNodes+event.UnhealthyNodes != event.TotalNodes || len(event.UnhealthyNodeIDs) != event.UnhealthyNodes {
			t.Errorf("%+v", event)
		}
		told.add("health %s", event.Status)
	})
	first.OnBecomeLeader(func(event *clusterkit.LeadershipEvent) {
		told.add("become %s %v", event.NodeID, event.Epoch > 0)
	})
	first.OnLeaderChange(func(event *clusterkit.LeadershipEvent) { told.add("leader %s", event.NodeID) })
	first.OnLoseLeadership(func(event *clusterkit.LeadershipEvent) { told.add("lose %s", event.NodeID) })
	var observed atomic.Int64
	first.OnEvent(func(*clusterkit.Event) { observed.Add(1) })

	must(t, first.Start())
	dir := t.TempDir()
	onDisk := func(o *clusterkit.Options) { o.InMemory, o.DataDir = false, dir }
	second := started(t, "node-2", joining(t, first), onDisk, hasty)
	until(t, "the second holds everything", func() bool { return isSpread(first, 2) })
	until(t, "roles are shared", func() bool { return first.GetPartitionStats().PartitionsPerNode["node-2"] > 0 })
	// Two voters: the third lets one of them stop.
	third := started(t, "node-3", joining(t, first), hasty)
	until(t, "the third holds everything", func() bool { return isSpread(first, 3) })
	must(t, second.Stop())
	until(t, "its leave is told", func() bool { return told.has("leave node-2 graceful_shutdown 8") })
	must(t, second.Close())
	back := started(t, "node-2", joining(t, first), onDisk, hasty)
	until(t, "it is back", func() bool { return told.has("rejoin node-2 8") })
	until(t, "everything is spread again", func() bool { return isSpread(first, 3) })
	must(t, back.ReportHealth(clusterkit.HealthFailing, "a test"))
	until(t, "health is told", func() bool { return told.has("health degraded") })
	leader, err := first.Promote("node-3")
	must(t, err)
	if leader != "node-3" {
		t.Error(leader)
	}
	for _, line := range []string{
		"join node-1 1 true", "join node-2 2 false", "join node-3 3 false", "start node_join node-2", "complete node_join",
		"become node-1 true", "lose node-1", "leader node-3",
	} {
		until(t, line, func() bool { return told.has(line) })
	}
	if gains.Load() < 16 || losses.Load() == 0 || observed.Load() < 10 {
		t.Error(gains.Load(), losses.Load(), observed.Load())
	}
	// The log's order: a node joins before partitions move to it, and the start comes before the end.
	lines := told.all()
	if slices.Index(lines, "join node-2 2 false") > slices.Index(lines, "join node-3 3 false") {
		t.Error(lines)
	}
	_ = third
}

// A panic in a hook is a failed hook, with the panic's words, and the copy is asked for again.
func TestAPanicInAHookIsAFailure(t *testing.T) {
	first := founded(t, "node-1")
	messages := &collector{}
	second := made(t, "node-2", joining(t, first), func(o *clusterkit.Options) { o.Logger = messages })
	var calls sync.Map
	second.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) {
		if event.NodeID != "node-2" || event.Change != clusterkit.ChangeGainedReplica {
			return
		}
		if _, again := calls.LoadOrStore(event.Number, true); !again {
			if event.Attempt != 1 {
				t.Error(event.Attempt)
			}
			panic(fmt.Sprint("no room for ", event.PartitionID))
		}
		if event.Attempt < 2 {
			t.Error(event.Attempt)
		}
	})
	must(t, second.Start())
	until(t, "every copy is there at the second attempt", func() bool { return isSpread(first, 2) })
	until(t, "the log has the panic's words", func() bool { return messages.has("WARN", "panic: no room for partition-") })
	stats := second.HookStats()
	if len(stats) != 1 || stats[0].Failures < 8 || stats[0].Retries < 8 || stats[0].Panics != 0 || stats[0].Events != clusterkit.EventPartitionChange {
		t.Errorf("%+v", stats)
	}
}

func TestAHookMayFail(t *testing.T) {
	first := founded(t, "node-1")
	second := made(t, "node-2", joining(t, first))
	full := errors.New("the disk is full \xff")
	var failing atomic.Bool
	failing.Store(true)
	second.OnPartitionChangeErr(func(event *clusterkit.PartitionChangeEvent) error {
		if event.NodeID == "node-2" && event.Change == clusterkit.ChangeGainedReplica && failing.Load() {
			return full
		}
		return nil
	})
	must(t, second.Start())
	// Everybody can ask why nothing moves.
	until(t, "the status has the reason", func() bool {
		status, err := first.RebalanceStatus()
		must(t, err)
		return slices.ContainsFunc(status.Migrations, func(step clusterkit.Migration) bool {
			return step.State == clusterkit.MigrationRetrying && step.Attempts > 0 && strings.Contains(step.Reason, "the disk is full \uFFFD") &&
				step.To == "node-2" && slices.Equal(step.From, []string{"node-1"}) && !step.Since.IsZero()
		})
	})
	failing.Store(false)
	until(t, "every copy is there", func() bool { return isSpread(first, 2) })
}

// A hook that is registered after the start is told what the node holds already, and no copy counts before it has returned.
func TestALateHookLosesNothing(t *testing.T) {
	first := founded(t, "node-1")
	second := started(t, "node-2", joining(t, first))
	until(t, "the second holds everything, as far as anybody knows", func() bool { return isSpread(first, 2) })
	open := make(chan struct{})
	var asked, copied sync.Map
	second.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) {
		if event.NodeID != "node-2" || event.Change != clusterkit.ChangeGainedReplica {
			return
		}
		asked.Store(event.Number, len(event.CopyFromNodes))
		<-open
		copied.Store(event.Number, true)
	})
	until(t, "it is asked for every copy, with who has the data", func() bool {
		count := 0
		asked.Range(func(_, sources any) bool { count += sources.(int); return true })
		return count == 8
	})
	if count := first.GetPartitionStats().ReplicasPerNode["node-2"] + first.GetPartitionStats().PartitionsPerNode["node-2"]; count != 0 {
		t.Errorf("%d copies count although the hook has not returned", count)
	}
	close(open)
	until(t, "every copy counts", func() bool { return isSpread(first, 2) })
	for number := range 8 {
		if _, ok := copied.Load(number); !ok {
			t.Errorf("partition %d counts and was not copied", number)
		}
	}
}

// The order of calls that a program makes after the start does not matter.
func TestALateHookForLossesConfirmsNoCopy(t *testing.T) {
	first := founded(t, "node-1")
	second := started(t, "node-2", joining(t, first))
	second.OnPartitionLost(func(*clusterkit.PartitionChangeEvent) {})
	until(t, "the second holds everything, as far as anybody knows", func() bool { return isSpread(first, 2) })
	var asked sync.Map
	second.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) {
		if event.NodeID == "node-2" && event.Change == clusterkit.ChangeGainedReplica && len(event.CopyFromNodes) == 1 {
			asked.Store(event.Number, true)
		}
	})
	until(t, "it is asked for every copy", func() bool {
		count := 0
		asked.Range(func(any, any) bool { count++; return true })
		return count == 8
	})
	until(t, "every copy counts", func() bool { return isSpread(first, 2) })
}

func TestAHookIsRemoved(t *testing.T) {
	ck := founded(t, "node-1")
	entered, open := make(chan struct{}, 100), make(chan struct{})
	var calls atomic.Int64
	hook, err := ck.AddHook(clusterkit.EventClusterHealthChange, func(*clusterkit.Event) error {
		calls.Add(1)
		entered <- struct{}{}
		<-open
		return nil
	})
	must(t, err)
	if hook.ID() == 0 || hook.Err() != nil {
		t.Error(hook)
	}
	must(t, ck.ReportHealth(clusterkit.HealthFailing, "a test"))
	received(t, "a call", entered)
	// A call runs: a wait for its end can be given up.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := hook.RemoveContext(ctx); err != context.Canceled {
		t.Error(err)
	}
	// It is removed all the same.
	is(t, hook.Remove(), clusterkit.ErrNotFound)
	close(open)
	must(t, ck.ReportHealth(clusterkit.HealthHealthy, ""))
	other := ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) {})
	must(t, other.Remove())
	is(t, other.Remove(), clusterkit.ErrNotFound)
	if len(ck.HookStats()) != 0 {
		t.Error(ck.HookStats())
	}
	if calls.Load() != 1 {
		t.Error(calls.Load())
	}
}

// A removal waits for the call that runs.
func TestARemovalWaitsForACall(t *testing.T) {
	ck := founded(t, "node-1")
	entered, open := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	hook := ck.OnClusterHealthChange(func(*clusterkit.ClusterHealthEvent) {
		close(entered)
		<-open
		ended.Store(true)
	})
	must(t, ck.ReportHealth(clusterkit.HealthFailing, "a test"))
	received(t, "the call", entered)
	done := make(chan error, 1)
	go func() { done <- hook.Remove() }()
	until(t, "the removal has begun", func() bool { return len(ck.HookStats()) == 0 })
	close(open)
	must(t, received(t, "the removal", done))
	if !ended.Load() {
		t.Error("the removal did not wait")
	}
}

func TestAHookRemovesItself(t *testing.T) {
	ck := made(t, "node-1")
	var hook atomic.Pointer[clusterkit.Hook]
	removed := make(chan error, 100)
	added := ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) { removed <- hook.Load().Remove() })
	hook.Store(added)
	must(t, ck.Start())
	must(t, received(t, "the removal", removed))
	until(t, "it is gone", func() bool { return len(ck.HookStats()) == 0 })
}

func TestNoFunctionIsNoHook(t *testing.T) {
	ck := made(t, "node-1")
	for i, hook := range []*clusterkit.Hook{
		ck.OnEvent(nil), ck.OnPartitionChange(nil), ck.OnPartitionChangeErr(nil), ck.OnPartitionLost(nil), ck.OnNodeJoin(nil),
		ck.OnNodeRejoin(nil), ck.OnNodeLeave(nil), ck.OnRebalanceStart(nil), ck.OnRebalanceComplete(nil),
		ck.OnClusterHealthChange(nil), ck.OnBecomeLeader(nil), ck.OnLoseLeadership(nil), ck.OnLeaderChange(nil),
	} {
		if !errors.Is(hook.Err(), clusterkit.ErrInvalidArgument) || hook.ID() != 0 {
			t.Errorf("hook %d: %v", i, hook.Err())
		}
		is(t, hook.Remove(), clusterkit.ErrNotFound)
	}
	_, err := ck.AddHook(0, func(*clusterkit.Event) error { return nil })
	is(t, err, clusterkit.ErrInvalidArgument)
	_, err = ck.AddHook(1<<30, func(*clusterkit.Event) error { return nil })
	is(t, err, clusterkit.ErrInvalidArgument)
}

// Everything that a hook may call, and what it may not.
func TestWhatAHookMayCall(t *testing.T) {
	ck := made(t, "node-1")
	other := founded(t, "node-2")
	done := make(chan struct{})
	ck.OnBecomeLeader(func(event *clusterkit.LeadershipEvent) {
		defer close(done)
		check := func(what string, err, want error) {
			if !errors.Is(err, want) {
				t.Errorf("%s inside a hook: %v", what, err)
			}
		}
		check("Start", ck.Start(), clusterkit.ErrInHook)
		check("Stop", ck.Stop(), clusterkit.ErrInHook)
		check("Leave", ck.Leave(), clusterkit.ErrInHook)
		check("SetCustomData", ck.SetCustomData("from-hook", []byte("1")), nil)
		check("ReadBarrier", second(ck.ReadBarrier()), nil)
		check("WaitForLeader", second(ck.WaitForLeader(context.Background())), nil)
		// It leads, and has not created them yet perhaps.
		created, err := ck.EnsurePartitions(context.Background())
		check("EnsurePartitions", err, nil)
		check("WaitForRevision", ck.WaitForRevision(created.Revision), nil)
		check("Lookup", second(ck.Lookup("key")), nil)
		check("RebalanceStatus", second(ck.RebalanceStatus()), nil)
		check("AddHook", second(ck.AddHook(clusterkit.EventAll, func(*clusterkit.Event) error { return nil })), nil)
		// Another node may be stopped.
		check("Stop of another", other.Stop(), nil)
		if event.Epoch == 0 {
			t.Error(event)
		}
	})
	must(t, ck.Start())
	received(t, "the hook", done)
}

func TestAHookMayClose(t *testing.T) {
	ck := made(t, "node-1")
	closed := make(chan error, 100)
	var open atomic.Bool
	ck.OnBecomeLeader(func(*clusterkit.LeadershipEvent) {
		until(t, "the start has returned", open.Load)
		closed <- ck.Close()
	})
	must(t, ck.Start())
	open.Store(true)
	must(t, received(t, "Close inside a hook", closed))
	is(t, ck.SetCustomData("key", nil), clusterkit.ErrStopped)
}

// A goroutine that a hook waits for is not known to be inside it; the stop gives up.
func TestAStopThatAHookWaitsForGivesUp(t *testing.T) {
	t.Parallel()
	ck := founded(t, "node-1")
	stopped := make(chan error, 100)
	ck.OnClusterHealthChange(func(*clusterkit.ClusterHealthEvent) {
		done := make(chan error)
		go func() { done <- ck.Stop() }()
		stopped <- <-done
	})
	must(t, ck.ReportHealth(clusterkit.HealthFailing, "a test"))
	is(t, received(t, "the stop", stopped), clusterkit.ErrTimeout)
}

// A stop waits for a hook that runs, and a deadline ends the wait.
func TestAStopWaitsForHooks(t *testing.T) {
	ck := made(t, "node-1")
	entered, open := make(chan struct{}), make(chan struct{})
	ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) {
		close(entered)
		<-open
	})
	must(t, ck.Start())
	received(t, "the call", entered)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	is(t, ck.StopContext(ctx), context.DeadlineExceeded)
	done := make(chan error, 1)
	go func() { done <- ck.Stop() }()
	close(open)
	must(t, received(t, "the stop", done))
}

// Fifty hooks run at the same time, each of which waits for all others.
func TestFiftyHooksAtOnce(t *testing.T) {
	first := founded64(t)
	second := made(t, "node-2", joining(t, first), func(o *clusterkit.Options) {
		o.PartitionCount, o.MaxConcurrentMigrations = 64, 64
	})
	var running, most atomic.Int64
	all := make(chan struct{})
	second.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) {
		if event.NodeID != "node-2" || event.Change != clusterkit.ChangeGainedReplica {
			return
		}
		now := running.Add(1)
		defer running.Add(-1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			continue
		}
		if now == 50 {
			close(all)
		}
		<-all
		runtime.GC()
		if _, err := second.Lookup("key"); err != nil {
			t.Error(err)
		}
	})
	must(t, second.Start())
	received(t, "fifty at once", all)
	until(t, "all copies are there", func() bool {
		return second.GetPartitionStats().ReplicasPerNode["node-2"]+second.GetPartitionStats().PartitionsPerNode["node-2"] == 64
	})
	if most.Load() != 50 {
		t.Errorf("%d ran at once", most.Load())
	}
}

func founded64(t *testing.T) *clusterkit.ClusterKit {
	ck := started(t, "node-1", func(o *clusterkit.Options) { o.PartitionCount, o.MaxConcurrentMigrations = 64, 64 })
	until(t, "it is primary of everything", func() bool { return primaries(ck) == 64 })
	return ck
}

// A slow hook delays no other.
func TestASlowHookDelaysNobody(t *testing.T) {
	ck := made(t, "node-1")
	open := make(chan struct{})
	defer close(open)
	ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) { <-open })
	ck.OnEvent(func(*clusterkit.Event) { <-open })
	told := make(chan struct{}, 100)
	ck.OnBecomeLeader(func(*clusterkit.LeadershipEvent) { told <- struct{}{} })
	ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) { told <- struct{}{} })
	must(t, ck.Start())
	received(t, "one of the others", told)
	received(t, "the other", told)
}

// What a hook starts gets signals as usual, and a loop in it is preempted: the library's threads block all signals.
func TestSignalsInsideAHook(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("masks are read in /proc")
	}
	ck := made(t, "node-1")
	blocked := make(chan string, 100)
	ck.OnBecomeLeader(func(*clusterkit.LeadershipEvent) {
		text, err := exec.Command("grep", "SigBlk", "/proc/self/status").CombinedOutput()
		blocked <- fmt.Sprint(string(text), err)
	})
	must(t, ck.Start())
	if text := received(t, "the child", blocked); !strings.Contains(text, "0000000000000000") {
		t.Error(text)
	}
}
