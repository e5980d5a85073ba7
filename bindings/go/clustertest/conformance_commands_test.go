package clustertest_test

// The commands of the conformance scripts.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	clusterkit "github.com/clusterkit/clusterkit-go"
	"github.com/clusterkit/clusterkit-go/clustertest"
)

func (c *conformance) node(word string) *clusterkit.ClusterKit {
	if word == "alone" {
		return c.alone
	}
	return c.cluster.Node(number(c.t, word))
}

func (c *conformance) running() (nodes []*clusterkit.ClusterKit) {
	for index, node := range c.cluster.Nodes() {
		if c.cluster.IsRunning(index) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func (c *conformance) count(holds func(node *clusterkit.ClusterKit) bool) string {
	running, count := c.running(), 0
	for _, node := range running {
		if holds(node) {
			count++
		}
	}
	return fmt.Sprintf("%d of %d", count, len(running))
}

func (c *conformance) expect(word string) clusterkit.Expect {
	switch word {
	case "any":
		return clusterkit.ExpectAny
	case "absent":
		return clusterkit.ExpectAbsent
	case "last":
		return clusterkit.Expect(c.last)
	}
	return clusterkit.Expect(number(c.t, word))
}

// settings are NAME=VALUE words.
func (c *conformance) settings(words []string, set func(name, value string) error) error {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		if err := set(name, decoded(c.t, value)); err != nil {
			return err
		}
	}
	return nil
}

func (c *conformance) newNode(words []string) (string, error) {
	options, err := clusterkit.NewOptionSet()
	must(c.t, err)
	if err := c.settings(words, options.Set); err != nil {
		return "", err
	}
	node, err := clusterkit.NewFromOptionSet(options)
	if err == nil {
		c.alone = node
		c.t.Cleanup(func() { must(c.t, node.Close()) })
	}
	return "made", err
}

func (c *conformance) newCluster(nodes, partitions, factor string) (err error) {
	c.last = 0
	c.cluster, err = clustertest.New(clustertest.Options{
		Nodes: number(c.t, nodes), PartitionCount: number(c.t, partitions), ReplicationFactor: number(c.t, factor),
	})
	if err == nil {
		cluster := c.cluster
		c.t.Cleanup(func() { must(c.t, cluster.Close()) })
	}
	return err
}

func (c *conformance) holders(key string) (string, error) {
	primaries, replicas := 0, 0
	for _, node := range c.running() {
		role, err := node.RoleForKey(key)
		if err != nil {
			return "", err
		}
		switch role {
		case clusterkit.RolePrimary:
			primaries++
		case clusterkit.RoleReplica:
			replicas++
		}
	}
	return fmt.Sprintf("%d primary, %d replica", primaries, replicas), nil
}

func (c *conformance) watch(node string, types []string) (err error) {
	kinds := map[string]clusterkit.EventKind{
		"node_join": clusterkit.EventNodeJoin, "node_rejoin": clusterkit.EventNodeRejoin, "node_leave": clusterkit.EventNodeLeave,
	}
	var of clusterkit.EventKind
	for _, name := range types {
		of |= kinds[name]
	}
	if queue := c.watched[node]; queue != nil {
		must(c.t, queue.Close())
	}
	c.watched[node], err = c.node(node).OpenEvents(of)
	return err
}

func (c *conformance) next(ctx context.Context, node string) (string, error) {
	event, err := c.watched[node].Next(ctx)
	if err != nil {
		return "", err
	}
	return described(event), event.Ack(nil)
}

func (c *conformance) copy(node, how string) error {
	done := &copies{partitions: map[int]bool{}}
	if how == "fail-once" {
		done.failuresLeft = 1
	}
	c.copies[node] = done
	self := c.node(node).GetMyNodeID()
	_, err := c.node(node).AddHook(clusterkit.EventPartitionChange, func(event *clusterkit.Event) error {
		change := event.PartitionChange
		if change.NodeID != self || change.Change != clusterkit.ChangeGainedReplica {
			return nil
		}
		done.mu.Lock()
		defer done.mu.Unlock()
		if done.failuresLeft > 0 {
			done.failuresLeft--
			done.failures++
			return errors.New("no space")
		}
		done.partitions[change.Number] = true
		return nil
	})
	return err
}

func (c *conformance) askInHook(ctx context.Context, node, call string) error {
	answer := make(chan string, 1)
	c.answers[node] = answer
	asked := c.node(node)
	_, err := asked.AddHook(clusterkit.EventNodeJoin, func(*clusterkit.Event) error {
		var err error
		switch call {
		case "set":
			err = asked.SetCustomDataContext(ctx, "in-hook", []byte("v"))
		case "barrier":
			_, err = asked.ReadBarrierContext(ctx)
		case "leave":
			err = asked.LeaveContext(ctx)
		}
		if err != nil {
			answer <- said(err)
		} else {
			answer <- "it may"
		}
		return nil
	})
	return err
}

func (c *conformance) fault(name string, index int) error {
	return map[string]func(int) error{
		"kill": c.cluster.Kill, "restart": c.cluster.Restart, "pause": c.cluster.Pause, "resume": c.cluster.Resume,
		"isolate": c.cluster.Isolate,
	}[name](index)
}

func (c *conformance) isPowerless(node *clusterkit.ClusterKit) bool {
	if node.IsLeader() {
		return false
	}
	for partition := range node.Partitions() {
		if number, err := clusterkit.PartitionNumber(partition.ID); err != nil || node.IsPrimaryOf(number) {
			return false
		}
	}
	return true
}

func (c *conformance) hasStatus(node *clusterkit.ClusterKit, id, status string) bool {
	view, err := node.View()
	must(c.t, err)
	member := view.Node(id)
	return member == nil && status == "gone" || member != nil && member.Status == status
}

// library has the commands that need no cluster.
func (c *conformance) library(words []string) (string, error) {
	switch words[0] {
	case "partition":
		return strconv.Itoa(clusterkit.PartitionFor(decoded(c.t, words[1]), number(c.t, words[2]))), nil
	case "number":
		n, err := clusterkit.PartitionNumber(words[1])
		if err != nil {
			return "none", nil
		}
		return strconv.Itoa(n), nil
	case "duration":
		duration, err := clusterkit.ParseDuration(decoded(c.t, words[1]))
		if err != nil {
			return "none", nil
		}
		return strconv.FormatInt(duration.Milliseconds(), 10), nil
	case "option":
		return row(c.t, clusterkit.OptionSpecs(), words[1]), nil
	case "client-option":
		return row(c.t, clusterkit.ClientOptionSpecs(), words[1]), nil
	case "node":
		return c.newNode(words[1:])
	case "check-client":
		options, err := clusterkit.NewClientOptionSet()
		must(c.t, err)
		if err := c.settings(words[1:], options.Set); err != nil {
			return "", err
		}
		return "right", options.Validate()
	}
	c.t.Fatalf("there is no command %s", words[0])
	return "", nil
}

func (c *conformance) clients(ctx context.Context, words []string) (string, error) {
	switch words[0] {
	case "client":
		address, err := c.alone.HTTPAddr()
		must(c.t, err)
		c.client, err = clusterkit.NewClient(clusterkit.ClientOptions{Addrs: []string{address}})
		must(c.t, err)
		_, err = c.client.WaitReady(ctx)
		return "ready", err
	case "client-partition":
		view, err := c.client.View()
		must(c.t, err)
		partition, err := view.PartitionForKey(decoded(c.t, words[1]))
		must(c.t, err)
		n, err := clusterkit.PartitionNumber(partition.ID)
		return strconv.Itoa(n), err
	case "client-members":
		view, err := c.client.View()
		must(c.t, err)
		return members(view), nil
	case "client-barrier":
		_, err := c.client.ReadBarrier(ctx)
		return "read", err
	case "client-close":
		return "closed", c.client.Close()
	}
	return c.library(words)
}

func (c *conformance) data(ctx context.Context, words []string) (string, error) {
	switch words[0] {
	case "set":
		revision, err := c.node(words[1]).CompareAndSetCustomData(
			ctx, decoded(c.t, words[2]), []byte(decoded(c.t, words[3])), c.expect(words[4]))
		if err == nil {
			c.last = revision
		}
		return "written", err
	case "get":
		node := c.node(words[1])
		if err := node.WaitForRevisionContext(ctx, c.last); err != nil {
			return "", err
		}
		value, err := node.GetCustomData(decoded(c.t, words[2]))
		if errors.Is(err, clusterkit.ErrNotFound) {
			return "none", nil
		}
		return encoded(string(value)), err
	case "delete":
		existed, revision, err := c.node(words[1]).CompareAndDeleteCustomData(ctx, decoded(c.t, words[2]), c.expect(words[3]))
		if err != nil {
			return "", err
		}
		c.last = revision
		if !existed {
			return "there was none", nil
		}
		return "deleted", nil
	case "keys":
		node := c.node(words[1])
		if err := node.WaitForRevisionContext(ctx, c.last); err != nil {
			return "", err
		}
		found, err := node.CustomDataKeysPage(decoded(c.t, words[2]), decoded(c.t, words[3]), number(c.t, words[4]))
		for i, key := range found {
			found[i] = encoded(key)
		}
		return strings.Join(found, "\n"), err
	case "barrier":
		_, err := c.node(words[1]).ReadBarrierContext(ctx)
		return "read", err
	}
	return c.clients(ctx, words)
}

func (c *conformance) hooks(ctx context.Context, words []string) (string, error) {
	switch words[0] {
	case "watch":
		return "watching", c.watch(words[1], words[2:])
	case "next":
		return c.next(ctx, words[1])
	case "copy":
		return "added", c.copy(words[1], words[2])
	case "copied":
		done := c.copies[words[1]]
		done.mu.Lock()
		defer done.mu.Unlock()
		return fmt.Sprintf("%d partitions after %d failures", len(done.partitions), done.failures), nil
	case "ask-in-hook":
		return "added", c.askInHook(c.t.Context(), words[1], words[2])
	case "answer":
		return received(c.t, "the answer of a call in a hook", c.answers[words[1]]), nil
	}
	return c.data(ctx, words)
}

func (c *conformance) clusters(ctx context.Context, words []string) (string, error) {
	switch words[0] {
	case "cluster":
		return "settled", c.newCluster(words[1], words[2], words[3])
	case "settle":
		return "settled", c.cluster.WaitSettled(timeout)
	case "create":
		index, err := c.cluster.CreateNode()
		return strconv.Itoa(index), err
	case "kill", "restart", "pause", "resume", "isolate":
		return "done", c.fault(words[0], number(c.t, words[1]))
	case "heal":
		return "done", c.cluster.Heal()
	case "holders":
		return c.holders(decoded(c.t, words[1]))
	case "epochs":
		partition, err := c.running()[0].GetPartitionForKey(decoded(c.t, words[1]))
		must(c.t, err)
		n, err := clusterkit.PartitionNumber(partition.ID)
		must(c.t, err)
		return c.count(func(node *clusterkit.ClusterKit) bool {
			_, err := node.PrimaryEpoch(n)
			return err == nil
		}), nil
	case "leaders":
		return c.count((*clusterkit.ClusterKit).IsLeader), nil
	case "await":
		node := c.node(words[1])
		holds := func() bool { return c.hasStatus(node, words[2], words[3]) }
		return "so it is", c.cluster.WaitUntil(words[2]+" is "+words[3], timeout, holds)
	case "powerless":
		node := c.node(words[1])
		return "primary of nothing", c.cluster.WaitUntil("it is powerless", timeout, func() bool { return c.isPowerless(node) })
	}
	return c.hooks(ctx, words)
}

func (c *conformance) command(words []string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	switch words[0] {
	case "start":
		return "started", c.node(words[1]).StartContext(ctx)
	case "stop":
		return "stopped", c.node(words[1]).StopContext(ctx)
	case "leave":
		return "left", c.node(words[1]).LeaveContext(ctx)
	case "remove":
		return "removed", c.node(words[1]).RemoveNodeContext(ctx, words[2])
	case "members":
		view, err := c.node(words[1]).View()
		must(c.t, err)
		return members(view), nil
	case "view":
		view, err := c.node(words[1]).View()
		must(c.t, err)
		return fmt.Sprintf("%d members, %d partitions, %d copies of each",
			view.NodeCount(), view.PartitionCount(), view.ReplicationFactor()), nil
	case "states":
		counts := map[string]int{}
		for partition := range c.node(words[1]).Partitions() {
			counts[partition.State]++
		}
		var of []string
		for _, state := range slices.Sorted(maps.Keys(counts)) {
			of = append(of, fmt.Sprintf("%d %s", counts[state], state))
		}
		return strings.Join(of, ", "), nil
	}
	return c.clusters(ctx, words)
}
