package clusterkit_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// inUse is what a process has of threads of the library, open files, and memory in KiB.
func inUse(t testing.TB) (threads, files, memory int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/comm")
	must(t, err)
	for _, file := range names {
		// A thread may end while it is looked at.
		if name, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(name), "ck-") {
			threads++
		}
	}
	open, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, resident, _ := strings.Cut(string(status), "VmRSS:")
	memory, err = strconv.Atoi(strings.Fields(resident)[0])
	must(t, err)
	return threads, len(open), memory
}

// The number of threads is that of the first node of the process, and again of the first after the last has ended.
func TestAThousandNodesLeaveNothing(t *testing.T) {
	for _, threads := range []int{1, 8} {
		live := func(i int) {
			ck, err := clusterkit.New(options("node-1", func(o *clusterkit.Options) { o.RuntimeThreads = threads }))
			must(t, err)
			must(t, ck.OnNodeJoin(func(*clusterkit.NodeJoinEvent) {}).Err())
			queue, err := ck.OpenEvents(clusterkit.EventAll)
			must(t, err)
			_, err = ck.View()
			must(t, err)
			if i%100 == 0 {
				must(t, ck.Start())
				must(t, ck.SetCustomData("key", []byte("value")))
			}
			// Whichever goes first.
			if i%2 == 0 {
				must(t, queue.Close())
			}
			must(t, ck.Close())
			must(t, queue.Close())
		}
		for i := range 200 {
			live(i)
		}
		_, files, memory := inUse(t)
		for i := range 1000 {
			live(i)
		}
		until(t, "the threads of the library have ended", func() bool {
			left, _, _ := inUse(t)
			return left == 0
		})
		_, filesAfter, memoryAfter := inUse(t)
		// One descriptor or a KiB for each would be a thousand; what the allocator and Go keep is not that much.
		if filesAfter > files+20 || memoryAfter > memory+64*1024 {
			t.Errorf("%d threads: from %d files and %d KiB to %d and %d", threads, files, memory, filesAfter, memoryAfter)
		}
	}
}
