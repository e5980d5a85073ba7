// A member of the mixed cluster, in Go: see examples/mixed/README.md.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

const timeout = 5 * time.Second

// partitionCopy is what a member holds of one partition.
type partitionCopy struct {
	epoch   uint64
	entries map[string]string
}

// member has the storage of a member, and its node.
type member struct {
	node   *clusterkit.ClusterKit
	mu     sync.Mutex
	copies map[int]*partitionCopy
}

// ask asks another member: the lines of its answer.
func ask(addr, line string) ([]string, error) {
	connection, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintln(connection, line); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(connection)
	return strings.Split(strings.TrimSuffix(string(answer), "\n"), "\n"), err
}

func (m *member) put(partition int, epoch uint64, key, value string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.copies[partition]
	if held == nil || held.epoch > epoch {
		return false
	}
	held.epoch = epoch
	held.entries[key] = value
	return true
}

// write writes where this member is primary: here, and to every copy.
func (m *member) write(key, value string) string {
	partition, err := m.node.GetPartition(key)
	if err != nil {
		return "not primary"
	}
	number, err := clusterkit.PartitionNumber(partition.ID)
	if err != nil {
		return "not primary"
	}
	epoch, err := m.node.PrimaryEpoch(number)
	if err != nil || !m.put(number, epoch, key, value) {
		return "not primary"
	}
	written := 1
	for _, node := range m.node.GetReplicas(partition) {
		answer, err := ask(node.Services["data"], fmt.Sprintf("put %d %d %s %s", number, epoch, key, value))
		if err == nil && answer[0] == "ok" {
			written++
		}
	}
	return fmt.Sprintf("ok %d", written)
}

func (m *member) get(partition int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.copies[partition]
	if held == nil {
		return "none"
	}
	var answer strings.Builder
	fmt.Fprintf(&answer, "epoch %d", held.epoch)
	for key, value := range held.entries {
		fmt.Fprintf(&answer, "\n%s %s", key, value)
	}
	return answer.String()
}

func (m *member) read(key string) string {
	partition, err := m.node.GetPartition(key)
	if err != nil {
		return "none"
	}
	number, err := clusterkit.PartitionNumber(partition.ID)
	if err != nil {
		return "none"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.copies[number]; held != nil {
		if value, ok := held.entries[key]; ok {
			return "value " + value
		}
	}
	return "none"
}

func (m *member) isSettled(members int) bool {
	active := 0
	for node := range m.node.Nodes() {
		if node.Status == clusterkit.StatusActive {
			active++
		}
	}
	partitions := m.node.ListPartitions()
	for _, partition := range partitions {
		if partition.State != clusterkit.PartitionOK {
			return false
		}
	}
	return active == members && len(partitions) > 0
}

func (m *member) primaries() (count int) {
	for _, partition := range m.node.ListPartitions() {
		if m.node.IsPrimary(partition) {
			count++
		}
	}
	return count
}

func (m *member) answer(line string) string {
	words := strings.Fields(line)
	number := func(word string) int {
		n, _ := strconv.Atoi(word)
		return n
	}
	yes := func(holds bool, yes, no string) string {
		if holds {
			return yes
		}
		return no
	}
	switch {
	case len(words) == 3 && words[0] == "write":
		return m.write(words[1], words[2])
	case len(words) == 5 && words[0] == "put":
		return yes(m.put(number(words[1]), uint64(number(words[2])), words[3], words[4]), "ok", "refused")
	case len(words) == 2 && words[0] == "get":
		return m.get(number(words[1]))
	case len(words) == 2 && words[0] == "read":
		return m.read(words[1])
	case len(words) == 2 && words[0] == "settled":
		return yes(m.isSettled(number(words[1])), "yes", "no")
	case len(words) == 1 && words[0] == "primaries":
		return strconv.Itoa(m.primaries())
	}
	return "what?"
}

func (m *member) serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			// Whoever asks may be gone: it asks again.
			if line, err := bufio.NewReader(connection).ReadString('\n'); err == nil {
				fmt.Fprintln(connection, m.answer(line))
			}
		}()
	}
}

// copied is the data of a partition from a member that has it.
func copied(number int, from []*clusterkit.Node) (*partitionCopy, error) {
	for _, node := range from {
		lines, err := ask(node.Services["data"], fmt.Sprintf("get %d", number))
		if err != nil {
			continue
		}
		epoch, ok := strings.CutPrefix(lines[0], "epoch ")
		if !ok {
			continue
		}
		found := &partitionCopy{entries: map[string]string{}}
		if found.epoch, err = strconv.ParseUint(epoch, 10, 64); err != nil {
			return nil, err
		}
		for _, line := range lines[1:] {
			key, value, _ := strings.Cut(line, " ")
			found.entries[key] = value
		}
		return found, nil
	}
	return nil, errors.New("no member that holds it answers")
}

// onPartitionChange is the hook: what success means is that the data is here.
func (m *member) onPartitionChange(event *clusterkit.PartitionChangeEvent) error {
	if event.NodeID != m.node.GetMyNodeID() {
		return nil
	}
	held := &partitionCopy{entries: map[string]string{}}
	if event.Change == clusterkit.ChangeGainedReplica && len(event.CopyFromNodes) > 0 {
		var err error
		if held, err = copied(event.Number, event.CopyFromNodes); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch event.Change {
	case clusterkit.ChangeGainedReplica:
		m.copies[event.Number] = held
	case clusterkit.ChangeGainedPrimary:
		if m.copies[event.Number] == nil {
			m.copies[event.Number] = held
		}
	case clusterkit.ChangeLostCopy:
		delete(m.copies, event.Number)
	}
	return nil
}

func run(id, dataDir, join string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	addr := listener.Addr().String()
	options := clusterkit.Options{
		NodeID: id, HTTPAddr: "127.0.0.1:0", DataDir: dataDir, Services: map[string]string{"data": addr},
		PartitionCount: 24, ReplicationFactor: 3, RebalanceDelay: time.Second,
	}
	if join != "-" {
		options.JoinAddr = join
	}
	node, err := clusterkit.New(options)
	if err != nil {
		return err
	}
	defer node.Close()
	m := &member{node: node, copies: map[int]*partitionCopy{}}
	// For gains and losses, each in its turn.
	onEvent := func(event *clusterkit.Event) error { return m.onPartitionChange(event.PartitionChange) }
	if _, err := node.AddHook(clusterkit.EventPartitionChange, onEvent); err != nil {
		return err
	}
	// Before it starts: others copy from it as soon as it is a member.
	go m.serve(listener)
	if err := node.Start(); err != nil {
		return err
	}
	http, err := node.HTTPAddr()
	if err != nil {
		return err
	}
	fmt.Printf("ready %s %s\n", http, addr)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return node.Stop()
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: member ID DATA_DIR JOIN_ADDRS")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}
