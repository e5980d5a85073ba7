// A tour of ClusterKit in Go: three nodes hold an application's data, which the application copies itself. The same program
// exists in Rust, C and C++, and prints the same lines (examples/tour.txt).
//
// In a real deployment each node lives in a process of its own, and copies over the network.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"sync"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

const (
	partitions = 16
	timeout    = 20 * time.Second
	pause      = 5 * time.Millisecond
)

var keys = []string{"user:1", "user:2", "user:3", "user:4", "user:5"}

// partitionData is what a node holds of one partition.
type partitionData struct {
	entries map[string]string
	// epoch is that of the last write: one from an earlier primary has an older one, and is refused.
	epoch uint64
}

// storage is the application's own storage on one node, by partition.
type storage struct {
	mu   sync.Mutex
	held map[int]*partitionData
}

func newStorage() *storage { return &storage{held: map[int]*partitionData{}} }

// writeFenced writes to a partition that it holds, unless a later primary has written there.
func (s *storage) writeFenced(partition int, epoch uint64, key, value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.held[partition]
	if data == nil || epoch < data.epoch {
		return false
	}
	data.epoch = epoch
	data.entries[key] = value
	return true
}

func (s *storage) has(partition int, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.held[partition]
	if data == nil {
		return false
	}
	_, found := data.entries[key]
	return found
}

// copyOf is what it holds of a partition; an empty one where that is nothing.
func (s *storage) copyOf(partition int) *partitionData {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.held[partition]
	if data == nil {
		return &partitionData{entries: map[string]string{}}
	}
	return &partitionData{maps.Clone(data.entries), data.epoch}
}

func (s *storage) put(partition int, data *partitionData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[partition] = data
}

// keep is for a copy that is here, or a new partition, which is empty.
func (s *storage) keep(partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[partition] == nil {
		s.held[partition] = &partitionData{entries: map[string]string{}}
	}
}

func (s *storage) drop(partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, partition)
}

// start starts a node with the hooks that copy. Every node hears of every change; each acts on its own.
func start(number int, join string, storages map[string]*storage) (*clusterkit.ClusterKit, error) {
	id := fmt.Sprintf("node-%d", number)
	node, err := clusterkit.New(clusterkit.Options{
		NodeID:            id,
		HTTPAddr:          "127.0.0.1:0",
		JoinAddr:          join,
		InMemory:          true,
		PartitionCount:    partitions,
		ReplicationFactor: 2,
	})
	if err != nil {
		return nil, err
	}
	mine := storages[id]
	// When it returns, the cluster counts on the copy.
	node.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) {
		switch {
		case event.NodeID != id:
		case event.Change == clusterkit.ChangeGainedReplica && len(event.CopyFromNodes) > 0:
			mine.put(event.Number, storages[event.CopyFromNodes[0].ID].copyOf(event.Number))
		default:
			mine.keep(event.Number)
		}
	})
	node.OnPartitionLost(func(event *clusterkit.PartitionChangeEvent) {
		if event.NodeID == id && event.Change == clusterkit.ChangeLostCopy {
			mine.drop(event.Number)
		}
	})
	return node, node.Start()
}

// waitUntilSettled waits until a node sees so many members, and every partition where it should be.
func waitUntilSettled(node *clusterkit.ClusterKit, members int) error {
	for {
		view, err := node.View()
		if err != nil {
			return err
		}
		settled := view.NodeCount() == members && view.PartitionCount() == partitions
		for partition := range view.Partitions() {
			settled = settled && partition.State == clusterkit.PartitionOK
		}
		if settled {
			return nil
		}
		time.Sleep(pause)
	}
}

// primaryOf is the node that takes the writes of a partition at this moment, with the epoch to fence them with.
func primaryOf(nodes []*clusterkit.ClusterKit, partition int) (*clusterkit.ClusterKit, uint64) {
	for {
		for _, node := range nodes {
			if epoch, err := node.PrimaryEpoch(partition); err == nil {
				return node, epoch
			}
		}
		// The role is between two nodes.
		time.Sleep(pause)
	}
}

func run() error {
	storages := map[string]*storage{"node-1": newStorage(), "node-2": newStorage(), "node-3": newStorage()}
	var nodes []*clusterkit.ClusterKit
	join := ""
	for number := 1; number <= 3; number++ {
		node, err := start(number, join, storages)
		if err != nil {
			return err
		}
		defer node.Close()
		nodes = append(nodes, node)
		if join, err = nodes[0].HTTPAddr(); err != nil {
			return err
		}
	}
	for _, node := range nodes {
		if err := waitUntilSettled(node, 3); err != nil {
			return err
		}
	}
	fmt.Printf("3 nodes, %d partitions, 2 copies of each\n", partitions)

	// Where keys belong, and a write to each: on its primary, fenced with the partition's epoch, and on its replica.
	for _, key := range keys {
		partition, err := nodes[0].GetPartition(key)
		if err != nil {
			return err
		}
		_, epoch := primaryOf(nodes, partition.Number)
		written := 0
		for _, storage := range storages {
			if storage.writeFenced(partition.Number, epoch, key, "hello") {
				written++
			}
		}
		fmt.Printf("%s belongs to partition %d, written to %d copies\n", key, partition.Number, written)
	}

	// An earlier primary that was cut off and writes late has an older epoch.
	partition, err := nodes[0].GetPartition(keys[0])
	if err != nil {
		return err
	}
	primary, epoch := primaryOf(nodes, partition.Number)
	outcome := "refused"
	if storages[primary.GetMyNodeID()].writeFenced(partition.Number, epoch-1, keys[0], "late") {
		outcome = "taken"
	}
	fmt.Printf("a write with an older epoch is %s\n", outcome)

	// A small value that every node has: written where there is none, and not a second time.
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	revision, err := nodes[0].CompareAndSetCustomData(ctx, "config/limit", []byte("10"), clusterkit.ExpectAbsent)
	if err != nil {
		return err
	}
	_, err = nodes[1].CompareAndSetCustomData(ctx, "config/limit", []byte("20"), clusterkit.ExpectAbsent)
	outcome = "OK"
	var failed *clusterkit.Error
	if errors.As(err, &failed) {
		outcome = failed.Code.String()
	}
	fmt.Printf("writing config/limit a second time: %s\n", outcome)
	revision, err = nodes[1].CompareAndSetCustomData(ctx, "config/limit", []byte("20"), clusterkit.Expect(revision))
	if err != nil {
		return err
	}
	if err := nodes[2].WaitForRevisionContext(ctx, revision); err != nil {
		return err
	}
	value, err := nodes[2].GetCustomData("config/limit")
	if err != nil {
		return err
	}
	fmt.Printf("config/limit: %s\n", value)

	// A node leaves for ever: what it holds is copied to the others first.
	if err := nodes[2].LeaveContext(ctx); err != nil {
		return err
	}
	if err := waitUntilSettled(nodes[0], 2); err != nil {
		return err
	}
	found := 0
	for _, key := range keys {
		partition, err := nodes[0].GetPartition(key)
		if err != nil {
			return err
		}
		if storages["node-1"].has(partition.Number, key) && storages["node-2"].has(partition.Number, key) {
			found++
		}
	}
	fmt.Printf("node-3 has left: %d of %d keys are on both of the others\n", found, len(keys))
	for _, node := range []*clusterkit.ClusterKit{nodes[1], nodes[0]} {
		if err := node.Stop(); err != nil {
			return err
		}
	}
	fmt.Println("stopped")
	return nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
