package clusterkit_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

func TestANodeStartsOnceAndStopsAsOftenAsOneLikes(t *testing.T) {
	ck := founded(t, "node-1")
	is(t, ck.Start(), clusterkit.ErrAlreadyStarted)
	var group sync.WaitGroup
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := ck.Stop(); err != nil {
				t.Error(err)
			}
		}()
	}
	within(t, "four stops", group.Wait)
	must(t, ck.Stop())
	must(t, ck.StopContext(soon(t)))
	is(t, ck.Start(), clusterkit.ErrStopped)
	is(t, ck.SetCustomData("key", nil), clusterkit.ErrStopped)
	is(t, second(ck.AddHook(clusterkit.EventAll, func(*clusterkit.Event) error { return nil })), clusterkit.ErrStopped)
	is(t, ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) {}).Err(), clusterkit.ErrStopped)
	is(t, second(ck.ObserveEvents(clusterkit.EventAll)), clusterkit.ErrStopped)
	// What it knew it knows, but it is primary of nothing.
	if partition, err := ck.GetPartition("key"); err != nil || ck.IsPrimary(partition) {
		t.Error(partition, err)
	}
	is(t, second(ck.WaitingFor()), clusterkit.ErrStopped)
	must(t, ck.Close())
	must(t, ck.Close())
}

// After Close every call answers, and none with what is not there any more.
func TestAClosedNodeAnswers(t *testing.T) {
	ck := founded(t, "node-1")
	view, err := ck.View()
	must(t, err)
	partition, err := ck.GetPartition("key")
	must(t, err)
	hook := ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) {})
	must(t, ck.Close())
	cm := ck.GetConsensusManager()
	for i, err := range []error{
		ck.Start(), ck.Stop(), ck.Leave(), second(ck.GetPartition("k")), second(ck.Lookup("k")), second(ck.RoleForKey("k")),
		second(ck.View()), second(ck.HTTPAddr()), second(ck.PrimaryEpoch(0)), second(ck.LeaderEpoch()), second(ck.WaitingFor()),
		second(ck.GetCustomData("k")), ck.SetCustomData("k", nil), ck.CreatePartitions(), ck.SetLogger(nil), second(ck.ClusterJSON()),
		ck.ReportHealth(clusterkit.HealthHealthy, ""), second(ck.GetNodeHealth("n")), second(ck.Leader()), hook.Remove(),
		second(cm.GetLeader()), cm.WaitForLeader(time.Second), second(ck.CustomDataKeysPage("", "", 1)), cm.AddVoter("n", ""),
		second(ck.PartitionsForKeys([]string{"k"})), second(ck.OpenEvents(clusterkit.EventAll)), ck.OnPartitionChange(func(*clusterkit.PartitionChangeEvent) {}).Err(),
		ck.OnPartitionLost(func(*clusterkit.PartitionChangeEvent) {}).Err(),
	} {
		if !errors.Is(err, clusterkit.ErrStopped) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if ck.IsPrimary(partition) || ck.IsReplica(partition) || ck.IsLeader() || ck.IsLeased() || ck.ListPartitions() != nil ||
		ck.GetPartitionsForNode("node-1") != nil || ck.HookStats() != nil || ck.GetMyNodeID() != "node-1" {
		t.Error("a closed node is something")
	}
	if health := ck.HealthCheck(); health.Healthy || health.RaftState != "Shutdown" || health.Message == "" {
		t.Error(health)
	}
	if ck.GetMetrics().RaftState != "Shutdown" || cm.GetStats().State != "Shutdown" || cm.GetCurrentTerm() != 0 {
		t.Error("it is not shut down")
	}
	if found := ck.GetCluster(); len(found.Nodes) != 0 || found.PartitionMap.Partitions == nil || found.CustomData == nil {
		t.Error(found)
	}
	for range ck.Events(context.Background()) {
		continue
	}
	// Views live on.
	if view.NodeCount() != 1 || view.Leader().ID != "node-1" || ck.GetPrimary(partition).ID != "node-1" {
		t.Error(view)
	}
}

func TestCloseWhileOthersCall(t *testing.T) {
	for range 20 {
		ck := founded(t, "node-1")
		var group sync.WaitGroup
		for range 8 {
			group.Add(1)
			go func() {
				defer group.Done()
				for {
					_, err := ck.Lookup("key")
					_, other := ck.GetPartition("key")
					ck.IsLeader()
					ck.GetMetrics()
					if written := ck.SetCustomData("key", nil); err != nil || other != nil || written != nil {
						return
					}
				}
			}()
		}
		_, err := ck.ReadBarrier()
		must(t, err)
		within(t, "Close", func() { ck.Close() })
		within(t, "those who call", group.Wait)
	}
}

func TestAStartThatIsGivenUp(t *testing.T) {
	// Nobody listens there.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	join := func(o *clusterkit.Options) { o.JoinAddr, o.JoinTimeout = address, time.Hour }

	ctx, cancel := context.WithCancel(context.Background())
	ck := made(t, "node-1", join)
	done := make(chan error, 1)
	go func() { done <- ck.StartContext(ctx) }()
	until(t, "it has begun", func() bool { waiting, err := ck.WaitingFor(); return err == nil && waiting != "" })
	cancel()
	if err := received(t, "StartContext", done); err != context.Canceled {
		t.Error(err)
	}
	within(t, "Close", func() { ck.Close() })

	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	ck = made(t, "node-1", join)
	is(t, ck.StartContext(short), context.DeadlineExceeded)
	// It goes on, and a stop ends it.
	within(t, "Stop", func() { must(t, ck.Stop()) })

	ck = made(t, "node-1", func(o *clusterkit.Options) { o.JoinAddr, o.JoinTimeout = address, 100*time.Millisecond })
	err = ck.Start()
	is(t, err, clusterkit.ErrJoinFailed)
	contains(t, err.Error(), address)
}

func TestErrorsOfAStart(t *testing.T) {
	first := founded(t, "node-1")
	address, err := first.HTTPAddr()
	must(t, err)
	taken := made(t, "node-2", func(o *clusterkit.Options) { o.HTTPAddr = address })
	is(t, taken.Start(), clusterkit.ErrAddressInUse)
	other := made(t, "node-2", joining(t, first), func(o *clusterkit.Options) { o.PartitionCount = 16 })
	is(t, other.Start(), clusterkit.ErrClusterMismatch)
	same := made(t, "node-1", joining(t, first))
	is(t, same.Start(), clusterkit.ErrDuplicateNode)
	named := made(t, "node-2", joining(t, first), func(o *clusterkit.Options) { o.ClusterName, o.JoinTimeout = "another", time.Second })
	is(t, named.Start(), clusterkit.ErrWrongCluster)
	dir := t.TempDir()
	onDisk := func(o *clusterkit.Options) { o.InMemory, o.DataDir = false, dir }
	durable := started(t, "node-3", onDisk)
	again := made(t, "node-4", onDisk)
	is(t, again.Start(), clusterkit.ErrDataDirInUse)
	must(t, durable.Stop())
}

// A node that comes back from its disk is the member that it was.
func TestANodeComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	onDisk := func(o *clusterkit.Options) { o.InMemory, o.DataDir = false, dir }
	ck := founded(t, "node-1", onDisk)
	must(t, ck.SetCustomData("key", []byte("value")))
	id := ck.GetCluster().ID
	must(t, ck.Stop())
	must(t, ck.Close())
	back := founded(t, "node-1", onDisk)
	value, err := back.GetCustomData("key")
	must(t, err)
	if string(value) != "value" || back.GetCluster().ID != id {
		t.Error(value)
	}
}

func TestANodeLeaves(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	is(t, made(t, "node-9").Leave(), clusterkit.ErrNotStarted)
	must(t, nodes[1].LeaveContext(soon(t)))
	until(t, "it is gone", func() bool { return len(nodes[0].GetCluster().Nodes) == 1 })
	// The last one has nobody to hand anything to.
	is(t, nodes[0].LeaveContext(soon(t)), clusterkit.ErrRefused)
}

// A node that the program has forgotten ends.
func TestAForgottenNodeIsClosed(t *testing.T) {
	address := forgottenNode(t)
	until(t, "nobody listens where it did", func() bool {
		runtime.GC()
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			connection.Close()
		}
		return err != nil
	})
}

func forgottenNode(t *testing.T) string {
	ck, err := clusterkit.New(options("node-1"))
	must(t, err)
	// Hooks and calls that are under way keep nobody alive.
	ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) {})
	ck.OnPartitionLost(func(*clusterkit.PartitionChangeEvent) {})
	must(t, ck.Start())
	if _, err := ck.Lookup("key"); err != nil && !errors.Is(err, clusterkit.ErrNotFound) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = ck.WaitForRevisionContext(ctx, 1<<60)
	queue, err := ck.OpenEvents(clusterkit.EventNodeLeave)
	must(t, err)
	_ = queue
	address, err := ck.HTTPAddr()
	must(t, err)
	return address
}

// What many nodes leave behind does not grow: neither goroutines, nor what C was given to keep.
func TestNothingLeaks(t *testing.T) {
	run := func() {
		ck, err := clusterkit.New(options("node-1", func(o *clusterkit.Options) { o.Logger = quietLogger{} }))
		must(t, err)
		ck.OnPartitionChange(func(*clusterkit.PartitionChangeEvent) {})
		ck.OnPartitionLost(func(*clusterkit.PartitionChangeEvent) {})
		must(t, ck.Start())
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		for range 10 {
			group.Add(1)
			go func() {
				defer group.Done()
				_ = ck.WaitForRevisionContext(ctx, 1<<60)
			}()
			group.Add(1)
			go func() {
				defer group.Done()
				for range ck.Events(ctx) {
					continue
				}
			}()
		}
		cancel()
		group.Wait()
		must(t, ck.Stop())
		must(t, ck.Close())
	}
	run()
	runtime.GC()
	before := runtime.NumGoroutine()
	handles := clusterkit.Handles()
	for range 20 {
		run()
	}
	until(t, "no more goroutines than before", func() bool { return runtime.NumGoroutine() <= before })
	if after := clusterkit.Handles(); after != handles {
		t.Errorf("%d values are kept for C, and were %d", after, handles)
	}
}

// Views, options, queues and nodes that are dropped give back what they have of C's.
func TestWhatIsDroppedIsFreed(t *testing.T) {
	const count = 100
	ck := founded(t, "node-1")
	var kept []any
	for i := range count {
		must(t, ck.SetCustomData("key", []byte{byte(i)}))
		// The next revision is another view.
		view, err := ck.View()
		must(t, err)
		set, err := clusterkit.NewOptionSet()
		must(t, err)
		queue, err := ck.ObserveEvents(clusterkit.EventNodeJoin)
		must(t, err)
		dropped, err := clusterkit.New(options("node-2"))
		must(t, err)
		kept = append(kept, view, set, queue, dropped)
	}
	runtime.GC()
	if owned := clusterkit.Owned(); owned < 4*count {
		t.Errorf("%d objects of C's are alive, and %d are in use", owned, 4*count)
	}
	runtime.KeepAlive(kept)
	kept = nil
	until(t, "few are left", func() bool {
		runtime.GC()
		return clusterkit.Owned() < count
	})
}

type quietLogger struct{}

func (quietLogger) Info(string, ...interface{})  {}
func (quietLogger) Warn(string, ...interface{})  {}
func (quietLogger) Error(string, ...interface{}) {}
func (quietLogger) Debug(string, ...interface{}) {}

// Threads of the library do not outlive the last node.
func TestThreadsEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are counted in /proc")
	}
	ck := founded(t, "node-1")
	if len(libraryThreads(t)) == 0 {
		t.Error("no thread of the library is found")
	}
	must(t, ck.Close())
	// Nodes of other tests are closed at their end.
	until(t, "no thread of the library is left", func() bool { return len(libraryThreads(t)) == 0 })
}

// libraryThreads are the names of the threads that the library has started. A name is not enough to know them by: a thread that
// Go's runtime starts while a hook runs inherits that of the hook's thread. But the library's block signals, and Go's do not.
func libraryThreads(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	must(t, err)
	for _, file := range files {
		// A thread may end while its status is read: then it is empty.
		status := tryRead(file)
		if strings.HasPrefix(status, "Name:\tck-") && !strings.Contains(status, "SigBlk:\t0000000000000000") {
			name, _, _ := strings.Cut(status, "\n")
			names = append(names, name)
		}
	}
	return names
}
