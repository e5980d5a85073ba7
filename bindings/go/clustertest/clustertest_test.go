package clustertest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
	"github.com/clusterkit/clusterkit-go/clustertest"
)

// Of the nodes' clock: nobody waits for it.
const timeout = 10 * time.Minute

// How long a test waits for what takes real time, such as a hook.
const patience = 60 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("the error is %v instead of %v", err, want)
	}
}

func received[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatalf("not in time: %s", what)
		panic("unreachable")
	}
}

func start(t testing.TB, nodes int) *clustertest.Cluster {
	t.Helper()
	return clustertest.Start(t, clustertest.Options{Nodes: nodes, PartitionCount: 4})
}

func TestALeaderDiesAndComesBack(t *testing.T) {
	cluster := start(t, 3)
	leader, err := cluster.WaitForLeader(timeout)
	must(t, err)
	if found, ok := cluster.Leader(); !ok || found != leader || cluster.NodeCount() != 3 || len(cluster.Nodes()) != 3 {
		t.Error(found, ok, leader)
	}
	node := cluster.Node(leader)
	if node != cluster.Node(leader) || node.GetMyNodeID() != fmt.Sprintf("node-%d", leader) {
		t.Error("the node is another")
	}
	if index, ok := cluster.IndexOf(node.GetMyNodeID()); !ok || index != leader {
		t.Error(index, ok)
	}
	if _, ok := cluster.IndexOf("nobody"); ok {
		t.Error("there is a node without a name")
	}
	must(t, node.SetCustomData("key", []byte("value")))
	must(t, cluster.Kill(leader))
	if cluster.IsRunning(leader) {
		t.Error("it runs")
	}
	is(t, node.SetCustomData("key", nil), clusterkit.ErrStopped)
	is(t, cluster.Kill(leader), clusterkit.ErrRefused)

	successor, err := cluster.WaitForLeader(timeout)
	must(t, err)
	if successor == leader {
		t.Error("a dead node leads")
	}
	must(t, cluster.WaitSettled(timeout))
	must(t, cluster.Restart(leader))
	must(t, cluster.WaitSettled(timeout))
	back := cluster.Node(leader)
	value, err := back.GetCustomData("key")
	must(t, err)
	if string(value) != "value" || back == node || !cluster.IsRunning(leader) {
		t.Error(value)
	}

	// A handle that was closed is no end of its node.
	must(t, back.Close())
	if other := cluster.Node(leader); other == back || !other.HealthCheck().Healthy {
		t.Errorf("%+v", other.HealthCheck())
	}
	other := cluster.Node(leader)
	must(t, cluster.Close())
	must(t, cluster.Close())
	is(t, other.SetCustomData("key", nil), clusterkit.ErrStopped)
	is(t, cluster.Advance(time.Second), clusterkit.ErrStopped)
	if cluster.NodeCount() != 0 || cluster.Now() != 0 {
		t.Error("it has not ended")
	}
}

func TestAPrimaryThatStandsStillIsNone(t *testing.T) {
	cluster := start(t, 3)
	owner, ok := cluster.PrimaryOf("user:1")
	if !ok {
		t.Fatal("nobody takes its writes")
	}
	isPrimary := func() bool {
		is, err := cluster.Node(owner).IsPrimaryForKey("user:1")
		return is && err == nil
	}
	if !isPrimary() {
		t.Error("it is none")
	}
	must(t, cluster.Pause(owner))
	if !cluster.IsPaused(owner) || !cluster.IsRunning(owner) {
		t.Error("it is not paused")
	}
	must(t, cluster.WaitUntil("its lease has run out", timeout, func() bool { return !isPrimary() }))
	must(t, cluster.WaitForPrimaries(timeout))
	heir, ok := cluster.PrimaryOf("user:1")
	if !ok || heir == owner {
		t.Error(heir, owner)
	}
	must(t, cluster.Resume(owner))
	must(t, cluster.WaitSettled(timeout))

	// A minority loses what it had.
	must(t, cluster.Isolate(heir))
	must(t, cluster.Advance(30*time.Second))
	if now, ok := cluster.PrimaryOf("user:1"); ok && now == heir {
		t.Error("a node that is alone takes writes")
	}
	must(t, cluster.Heal())
	must(t, cluster.WaitSettled(timeout))
	must(t, cluster.Split(0, 1))
	leader, err := cluster.WaitForLeader(timeout)
	must(t, err)
	if leader > 1 {
		t.Error("the minority leads")
	}
	must(t, cluster.Heal())
	must(t, cluster.Cut(0, 1))
	must(t, cluster.Restore(0, 1))
	must(t, cluster.CutOneWay(0, 1))
	must(t, cluster.SetLink(1, 2, clustertest.LinkFaults{Delay: 20 * time.Millisecond, LostPerThousand: 100}))
	must(t, cluster.Heal())
	must(t, cluster.WaitSettled(timeout))
}

func TestADiskThatFails(t *testing.T) {
	cluster := start(t, 3)
	must(t, cluster.FailDisk(0, clustertest.DiskSyncFails))
	must(t, cluster.Advance(30*time.Second))
	leader, err := cluster.WaitForLeader(timeout)
	must(t, err)
	if leader == 0 {
		t.Error("a node whose disk has failed leads")
	}
	must(t, cluster.MendDisk(0))
	must(t, cluster.Wipe(0))
	must(t, cluster.Advance(30*time.Second))
	must(t, cluster.Restart(0))
	must(t, cluster.WaitSettled(timeout))

	// What the program starts itself.
	must(t, cluster.Stop(0))
	is(t, cluster.Stop(0), clusterkit.ErrRefused)
	must(t, cluster.Recreate(0))
	must(t, cluster.Node(0).Start())
	added, err := cluster.AddNode()
	must(t, err)
	created, err := cluster.CreateNode()
	must(t, err)
	if added != 3 || created != 4 || cluster.NodeCount() != 5 || cluster.IsRunning(created) {
		t.Error(added, created)
	}
	must(t, cluster.WaitSettled(timeout))
}

func TestTheClockIsTheTests(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Options{Nodes: 1, PartitionCount: 4, ManualClock: true, Seed: 7})
	now := cluster.Now()
	must(t, cluster.Advance(10*time.Second))
	if passed := cluster.Now() - now; passed != 10*time.Second {
		t.Error(passed)
	}
	err := cluster.WaitUntil("pigs fly", 0, func() bool { return false })
	is(t, err, clusterkit.ErrTimeout)
	if !strings.Contains(err.Error(), "pigs fly") {
		t.Error(err)
	}
	// The panic of a condition is the test's, and the cluster is as it was.
	func() {
		defer func() {
			if panicked := recover(); panicked != "words" {
				t.Error(panicked)
			}
		}()
		_ = cluster.WaitUntil("a panic", timeout, func() bool { panic("words") })
	}()
	must(t, cluster.WaitSettled(timeout))
}

// notes are what callbacks were called with.
type notes struct {
	mu    sync.Mutex
	texts []string
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts = append(n.texts, text)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.texts, " ")
}

func TestEveryProcessIsPrepared(t *testing.T) {
	var told notes
	var lent *clusterkit.OptionSet
	var refuse error
	panics := false
	gained := make(chan string, 1000)
	options := clustertest.Options{
		Nodes: 2, PartitionCount: 4, Extra: map[string]string{"labels.rack": "r1"},
		Configure: func(index int, options *clusterkit.OptionSet) error {
			told.add(fmt.Sprintf("configure %d,", index))
			lent = options
			if panics {
				panic("words")
			}
			return options.Set("zone", fmt.Sprintf("zone-%d", index))
		},
		Prepare: func(index int, node *clusterkit.ClusterKit) error {
			told.add(fmt.Sprintf("prepare %s,", node.GetMyNodeID()))
			node.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) {
				if event.NodeID == node.GetMyNodeID() {
					gained <- event.NodeID
				}
			})
			return refuse
		},
	}
	cluster := clustertest.Start(t, options)
	if told.String() != "configure 0, prepare node-0, configure 1, prepare node-1," {
		t.Error(told.String())
	}
	received(t, "a hook", gained)
	view, err := cluster.Node(1).View()
	must(t, err)
	if view.MyNode().Zone != "zone-1" || view.MyNode().Labels["rack"] != "r1" {
		t.Errorf("%+v", view.MyNode())
	}
	// The options were lent.
	is(t, lent.Set("zone", "elsewhere"), clusterkit.ErrInvalidArgument)
	must(t, cluster.Kill(1))
	must(t, cluster.Restart(1))
	if !strings.HasSuffix(told.String(), "prepare node-1,") {
		t.Error(told.String())
	}

	// What a callback refuses is not made, and its error is the call's.
	refuse = errors.New("not this one")
	_, err = cluster.AddNode()
	is(t, err, clusterkit.ErrRefused)
	is(t, err, refuse)
	if _, err := clustertest.New(options); !errors.Is(err, refuse) {
		t.Error(err)
	}
	panics = true
	_, err = cluster.CreateNode()
	is(t, err, clusterkit.ErrRefused)
	if !strings.Contains(err.Error(), "Configure of node 2: panic: words") {
		t.Error(err)
	}
}

// A hook is refused what would wait for it, and everything else that is asked wrongly is, too.
func TestWhatIsRefused(t *testing.T) {
	cluster := start(t, 1)
	refused := make(chan [3]error, 1)
	var once atomic.Bool
	cluster.Node(0).OnNodeJoin(func(*clusterkit.NodeJoinEvent) {
		if once.CompareAndSwap(false, true) {
			refused <- [3]error{cluster.Advance(time.Second), cluster.Kill(0), cluster.Close()}
		}
	})
	_, err := cluster.AddNode()
	must(t, err)
	for _, err := range received(t, "the hook", refused) {
		is(t, err, clusterkit.ErrInHook)
	}

	is(t, cluster.Kill(7), clusterkit.ErrNotFound)
	is(t, cluster.Kill(-1), clusterkit.ErrNotFound)
	is(t, cluster.Cut(0, 7), clusterkit.ErrNotFound)
	is(t, cluster.Restart(0), clusterkit.ErrRefused)
	is(t, cluster.FailDisk(0, 99), clusterkit.ErrInvalidArgument)
	is(t, cluster.SetLink(0, 1, clustertest.LinkFaults{LostPerThousand: 1001}), clusterkit.ErrInvalidArgument)
	is(t, cluster.SetLink(0, 1, clustertest.LinkFaults{Delay: time.Microsecond}), clusterkit.ErrInvalidArgument)
	is(t, cluster.Advance(-time.Second), clusterkit.ErrInvalidArgument)
	is(t, cluster.WaitUntil("nothing", timeout, nil), clusterkit.ErrInvalidArgument)
	if cluster.IsRunning(7) || cluster.IsPaused(7) {
		t.Error("there is no such node")
	}
	func() {
		defer func() {
			if panicked := recover(); panicked == nil || !strings.Contains(fmt.Sprint(panicked), "no node 7") {
				t.Error(panicked)
			}
		}()
		cluster.Node(7)
	}()
	for name, options := range map[string]clustertest.Options{
		"too many nodes":    {Nodes: 1001},
		"an unknown option": {Extra: map[string]string{"nonsense": "1"}},
		"a bad option":      {PartitionCount: -1},
		"an option twice":   {Extra: map[string]string{"seed": "1"}},
	} {
		if _, err := clustertest.New(options); !errors.Is(err, clusterkit.ErrInvalidOption) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Calls that wait in other goroutines end with the cluster, and the last of them frees it.
func TestACloseWhileOthersWait(t *testing.T) {
	cluster := start(t, 1)
	began := make(chan struct{})
	var once sync.Once
	done := make(chan error, 1)
	go func() {
		// So long that its time on the clock has not passed when the close comes.
		done <- cluster.WaitUntil("never", 1000*time.Hour, func() bool {
			once.Do(func() { close(began) })
			return false
		})
	}()
	received(t, "the wait has begun", began)
	must(t, cluster.Close())
	is(t, received(t, "the wait ends", done), clusterkit.ErrStopped)
}

// What callbacks refer to is let go with the cluster, and no thread of it is left.
func TestNothingIsLeft(t *testing.T) {
	freed := make(chan struct{})
	func() {
		kept := &notes{}
		runtime.AddCleanup(kept, func(freed chan struct{}) { close(freed) }, freed)
		cluster, err := clustertest.New(clustertest.Options{
			Nodes: 1, PartitionCount: 4,
			Configure: func(int, *clusterkit.OptionSet) error { kept.add("configure"); return nil },
			Prepare: func(_ int, node *clusterkit.ClusterKit) error {
				node.OnNodeJoin(func(*clusterkit.NodeJoinEvent) { kept.add(node.GetMyNodeID()) })
				return node.SetLogger(nil)
			},
		})
		must(t, err)
		must(t, cluster.Close())
	}()
	deadline := time.Now().Add(patience)
	for {
		runtime.GC()
		select {
		case <-freed:
			if threads := testThreads(t); len(threads) > 0 {
				t.Error(threads)
			}
			return
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("not in time: what the callbacks refer to is let go")
		}
	}
}

// testThreads are the threads that run the nodes of test clusters.
func testThreads(t testing.TB) (threads []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/comm")
	must(t, err)
	for _, file := range files {
		// A thread may end while it is looked at.
		if name, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(name), "ck-test") {
			threads = append(threads, string(name))
		}
	}
	return threads
}
