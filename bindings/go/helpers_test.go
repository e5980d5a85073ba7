package clusterkit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// How long a test waits for what must come about. It is a bound, not a pause: nothing takes as long on a quiet machine.
const patience = 60 * time.Second

// until waits until a condition holds.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s\n%s", what, stacks())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// within fails the test when something does not end.
func within(t testing.TB, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("does not end: %s\n%s", what, stacks())
	}
}

func stacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

// received waits for what comes over a channel.
func received[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatalf("not in time: %s\n%s", what, stacks())
		panic("unreachable")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is fails unless an error has a code.
func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("the error is %v instead of %v", err, want)
	}
}

// options are those of a node that keeps everything in memory.
func options(id string, change ...func(*clusterkit.Options)) clusterkit.Options {
	options := clusterkit.Options{
		NodeID:         id,
		HTTPAddr:       "127.0.0.1:0",
		InMemory:       true,
		PartitionCount: 8,
		// What is slow (the race detector, the debug tag) is slow for the election timeouts, too.
		Timing: os.Getenv("CHECK_TIMING"),
	}
	for _, change := range change {
		change(&options)
	}
	return options
}

// joining makes a node join through another.
func joining(t testing.TB, other *clusterkit.ClusterKit) func(*clusterkit.Options) {
	address, err := other.HTTPAddr()
	must(t, err)
	return func(options *clusterkit.Options) { options.JoinAddr = address }
}

// made makes a node that has not been started. It is closed at the end of the test.
func made(t testing.TB, id string, change ...func(*clusterkit.Options)) *clusterkit.ClusterKit {
	t.Helper()
	ck, err := clusterkit.New(options(id, change...))
	must(t, err)
	t.Cleanup(func() { ck.Close() })
	return ck
}

// started makes a node that has been started.
func started(t testing.TB, id string, change ...func(*clusterkit.Options)) *clusterkit.ClusterKit {
	t.Helper()
	ck := made(t, id, change...)
	must(t, ck.Start())
	return ck
}

// founded is a started node of a cluster of its own that takes writes.
func founded(t testing.TB, id string, change ...func(*clusterkit.Options)) *clusterkit.ClusterKit {
	t.Helper()
	ck := started(t, id, change...)
	until(t, "the node is primary of everything", func() bool { return primaries(ck) == 8 })
	return ck
}

// cluster is a cluster of several nodes, in which every partition has all of its copies.
func cluster(t testing.TB, count int, change ...func(*clusterkit.Options)) []*clusterkit.ClusterKit {
	t.Helper()
	nodes := []*clusterkit.ClusterKit{started(t, "node-1", change...)}
	for number := 2; number <= count; number++ {
		nodes = append(nodes, started(t, fmt.Sprintf("node-%d", number), append(slices.Clone(change), joining(t, nodes[0]))...))
	}
	for _, node := range nodes {
		until(t, "copies and roles are where they stay", func() bool { return isSettled(node, count) })
	}
	return nodes
}

// isSettled is true when nothing has to move any more in a cluster of so many nodes: every partition has its copies, the roles are
// shared out, and the node that is asked holds a lease.
func isSettled(ck *clusterkit.ClusterKit, count int) bool {
	view, err := ck.View()
	if err != nil || view.NodeCount() != count || view.PartitionCount() != 8 || !ck.IsLeased() {
		return false
	}
	for partition := range view.Partitions() {
		if !hasCopies(partition, min(count, 3)) {
			return false
		}
	}
	for node := range view.Nodes() {
		if view.PrimariesOf(node.ID) < 8/count || node.Status != clusterkit.StatusActive {
			return false
		}
	}
	return true
}

// isSpread is true when every partition has a primary and all of its copies.
func isSpread(ck *clusterkit.ClusterKit, copies int) bool {
	partitions := ck.ListPartitions()
	return len(partitions) == 8 && !slices.ContainsFunc(partitions, func(p *clusterkit.Partition) bool {
		return !hasCopies(p, copies)
	})
}

func hasCopies(p *clusterkit.Partition, copies int) bool {
	return p.PrimaryNode != "" && len(p.ReplicaNodes) == copies-1 && len(p.Pending) == 0
}

// primaries is how many partitions a node takes the writes of.
func primaries(ck *clusterkit.ClusterKit) int {
	count := 0
	for _, partition := range ck.ListPartitions() {
		if ck.IsPrimary(partition) {
			count++
		}
	}
	return count
}

// soon is a context that outlasts what a test does.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// repository skips what needs the whole repository: the module alone has no header of its own.
func repository(t testing.TB, path string) string {
	t.Helper()
	const root = "../../"
	if _, err := os.Stat(root + "include/clusterkit.h"); err != nil {
		t.Skip("the rest of the repository is not here")
	}
	return root + path
}

func contains(t testing.TB, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Fatalf("%q does not contain %q", text, part)
	}
}

// tryRead reads a file that may be gone.
func tryRead(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}
