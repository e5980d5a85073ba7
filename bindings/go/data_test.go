package clusterkit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

func TestCustomDataIsWrittenAndRead(t *testing.T) {
	nodes := cluster(t, 2)
	must(t, nodes[0].SetCustomData("greeting", []byte("hello")))
	value, revision, err := nodes[0].GetCustomDataRevision("greeting")
	must(t, err)
	if string(value) != "hello" || revision == 0 {
		t.Error(value, revision)
	}
	must(t, nodes[1].WaitForRevision(revision))
	value, err = nodes[1].GetCustomData("greeting")
	must(t, err)
	if string(value) != "hello" {
		t.Error(value)
	}
	// The other node writes, and a barrier sees it.
	must(t, nodes[1].SetCustomDataContext(soon(t), "greeting", []byte{0, 255}))
	applied, err := nodes[0].ReadBarrier()
	must(t, err)
	value, err = nodes[0].GetCustomDataContext(soon(t), "greeting")
	must(t, err)
	if !bytes.Equal(value, []byte{0, 255}) || applied <= revision {
		t.Error(value, applied)
	}
	must(t, nodes[0].DeleteCustomData("greeting"))
	_, err = nodes[0].GetCustomData("greeting")
	is(t, err, clusterkit.ErrNotFound)
	must(t, nodes[0].DeleteCustomDataContext(soon(t), "greeting"))
	// An empty value is a value.
	must(t, nodes[0].SetCustomData("empty", nil))
	value, err = nodes[0].GetCustomData("empty")
	must(t, err)
	if len(value) != 0 {
		t.Error(value)
	}
	if data := nodes[0].GetCluster().CustomData; len(data) != 1 || len(data["empty"]) != 0 {
		t.Error(data)
	}
}

func TestCompareAndSet(t *testing.T) {
	ck := founded(t, "node-1")
	ctx := soon(t)
	first, err := ck.CompareAndSetCustomData(ctx, "key", []byte("1"), clusterkit.ExpectAbsent)
	must(t, err)
	_, err = ck.CompareAndSetCustomData(ctx, "key", []byte("2"), clusterkit.ExpectAbsent)
	is(t, err, clusterkit.ErrConflict)
	next, err := ck.CompareAndSetCustomData(ctx, "key", []byte("2"), clusterkit.Expect(first))
	must(t, err)
	_, err = ck.CompareAndSetCustomData(ctx, "key", []byte("3"), clusterkit.Expect(first))
	is(t, err, clusterkit.ErrConflict)
	var found *clusterkit.Error
	if !errors.As(err, &found) || found.Ambiguous {
		t.Error(err)
	}
	value, revision, err := ck.GetCustomDataRevision("key")
	must(t, err)
	if string(value) != "2" || revision != next {
		t.Error(value, revision)
	}
	_, _, err = ck.CompareAndDeleteCustomData(ctx, "key", clusterkit.Expect(first))
	is(t, err, clusterkit.ErrConflict)
	existed, deleted, err := ck.CompareAndDeleteCustomData(ctx, "key", clusterkit.Expect(next))
	must(t, err)
	if !existed || deleted <= next {
		t.Error(existed, deleted)
	}
	existed, _, err = ck.CompareAndDeleteCustomData(ctx, "key", clusterkit.ExpectAny)
	must(t, err)
	if existed {
		t.Error("it was there")
	}
}

func TestKeysOfCustomDataAreListed(t *testing.T) {
	ck := founded(t, "node-1")
	var want []string
	for i := range 30 {
		key := fmt.Sprintf("a/%02d", i)
		want = append(want, key)
		must(t, ck.SetCustomData(key, []byte("x")))
	}
	must(t, ck.SetCustomData("b", nil))
	if keys := ck.ListCustomDataKeys(); !slices.Equal(keys, append(slices.Clone(want), "b")) {
		t.Error(keys)
	}
	if keys := slices.Collect(ck.CustomDataKeys("a/")); !slices.Equal(keys, want) {
		t.Error(keys)
	}
	for key := range ck.CustomDataKeys("a/1") {
		if key != "a/10" {
			t.Error(key)
		}
		break
	}
	page, err := ck.CustomDataKeysPage("a/", "a/03", 2)
	must(t, err)
	if !slices.Equal(page, []string{"a/04", "a/05"}) {
		t.Error(page)
	}
	page, err = ck.CustomDataKeysPage("", "", -1)
	if must(t, err); len(page) != 0 {
		t.Error(page)
	}
	_, err = ck.CustomDataKeysPage("\xff", "", 1)
	is(t, err, clusterkit.ErrInvalidArgument)
}

// Calls whose context ends return at once, and what they began goes on.
func TestACancelledCallReturnsAtOnce(t *testing.T) {
	handles := clusterkit.Handles()
	ck := founded(t, "node-1")
	for name, call := range waitingCalls(ck) {
		t.Run(name, func(t *testing.T) {
			over, cancel := context.WithCancel(context.Background())
			cancel()
			if err := call(over); err != context.Canceled {
				t.Errorf("before it began: %v", err)
			}
			// Some take no time, others for ever: at whatever stage it is, it ends.
			for range 20 {
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- call(ctx) }()
				cancel()
				received(t, name, done)
			}
		})
	}
	must(t, ck.SetCustomData("still", []byte("works")))
	must(t, ck.Close())
	// What was given up has ended, and keeps nothing.
	until(t, "no call is under way", func() bool { return clusterkit.Handles() <= handles })
}

// A write that is given up has happened as a whole or not at all, and those that follow do not wait for it.
func TestAWriteThatIsGivenUpIsWholeOrNone(t *testing.T) {
	ck := founded(t, "node-1")
	written := map[string]bool{}
	givenUp := 0
	for i := range 50 {
		ctx, cancel := context.WithCancel(context.Background())
		value := strings.Repeat(string(rune('a'+i%26)), 1000)
		written[value] = true
		done := make(chan error, 1)
		go func() { done <- ck.SetCustomDataContext(ctx, "key", []byte(value)) }()
		if i%2 == 1 {
			cancel()
		}
		err := received(t, "the write", done)
		cancel()
		if err == context.Canceled {
			givenUp++
		} else if err != nil {
			t.Error(err)
		}
		found, err := ck.GetCustomData("key")
		must(t, err)
		if !written[string(found)] {
			t.Fatalf("nobody has written %q", found)
		}
	}
	if givenUp == 0 {
		t.Error("no write was given up")
	}
}

// waitingCalls has every call that takes a context and changes nothing for good.
func waitingCalls(ck *clusterkit.ClusterKit) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Start": func(ctx context.Context) error { return ck.StartContext(ctx) },
		"SetCustomData": func(ctx context.Context) error {
			return ck.SetCustomDataContext(ctx, "cancelled", []byte("x"))
		},
		"DeleteCustomData": func(ctx context.Context) error { return ck.DeleteCustomDataContext(ctx, "cancelled") },
		"GetCustomData":    func(ctx context.Context) error { return second(ck.GetCustomDataContext(ctx, "cancelled")) },
		"CreatePartitions": ck.CreatePartitionsContext,
		"Rebalance":        ck.RebalancePartitionsContext,
		"RebalanceStatus":  func(ctx context.Context) error { return second(ck.RebalanceStatusContext(ctx)) },
		"RemoveNode":       func(ctx context.Context) error { return ck.RemoveNodeContext(ctx, "nobody") },
		"ForceRemoveNode":  func(ctx context.Context) error { return second(ck.ForceRemoveNode(ctx, "nobody")) },
		"RecoverPartition": func(ctx context.Context) error { return second(ck.RecoverPartitionContext(ctx, 0, "nobody", false)) },
		"EndMaintenance":   func(ctx context.Context) error { return second(ck.EndMaintenanceContext(ctx)) },
		"WaitForLeader":    func(ctx context.Context) error { return second(ck.WaitForLeader(ctx)) },
		"WaitForRevision":  func(ctx context.Context) error { return ck.WaitForRevisionContext(ctx, 1<<60) },
		"ReadBarrier":      func(ctx context.Context) error { return second(ck.ReadBarrierContext(ctx)) },
		"StepDown":         func(ctx context.Context) error { return second(ck.StepDownContext(ctx)) },
		"Promote":          func(ctx context.Context) error { return second(ck.PromoteContext(ctx, "nobody")) },
		"Demote":           func(ctx context.Context) error { return second(ck.DemoteContext(ctx, 0)) },
	}
}

// A call that waits for what never comes ends with its context, and a deadline is the library's, too.
func TestADeadlineIsPassedOn(t *testing.T) {
	ck := founded(t, "node-1")
	ctx, cancel := context.WithTimeout(context.Background(), 50*1e6)
	defer cancel()
	err := ck.WaitForRevisionContext(ctx, 1<<60)
	is(t, err, context.DeadlineExceeded)

	ctx, cancel = context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ck.WaitForRevisionContext(ctx, 1<<60) }()
	cancel()
	if err := received(t, "the wait", done); err != context.Canceled {
		t.Error(err)
	}
	// The call goes on until the node stops, and whoever stops does not wait for it.
	within(t, "Stop", func() { must(t, ck.Stop()) })
	is(t, ck.WaitForRevision(1<<60), clusterkit.ErrStopped)
	is(t, ck.SetCustomData("key", nil), clusterkit.ErrStopped)
}
