package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// How long a test waits for what must come about: a bound, not a pause.
const patience = 60 * time.Second

const keyCount = 40

func keyOf(number int) string { return fmt.Sprintf("user:%d/näme", number) }

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// member is one node with its service, in this process.
type member struct {
	node    *clusterkit.ClusterKit
	service *service
	server  *http.Server
	address string
}

func started(t *testing.T, number int, join string) *member {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	node, err := clusterkit.New(clusterkit.Options{
		NodeID: fmt.Sprintf("node-%d", number), HTTPAddr: "127.0.0.1:0", JoinAddr: join, InMemory: true, PartitionCount: 16,
		ReplicationFactor: 2, Services: map[string]string{serviceName: address}, Timing: os.Getenv("CHECK_TIMING"),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &member{node, newService(node), &http.Server{}, address}
	m.server.Handler = m.service.handler()
	go m.server.Serve(listener)
	t.Cleanup(func() {
		node.Close()
		m.server.Close()
	})
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *member) join(t *testing.T) string {
	t.Helper()
	address, err := m.node.HTTPAddr()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// settled waits until every partition is where it should be, and every node has a share of the roles.
func settled(t *testing.T, members ...*member) {
	t.Helper()
	for _, m := range members {
		until(t, "partitions are where they should be", func() bool {
			view, err := m.node.View()
			if err != nil || view.PartitionCount() == 0 {
				return false
			}
			for partition := range view.Partitions() {
				if partition.State != clusterkit.PartitionOK {
					return false
				}
			}
			for _, other := range members {
				if view.PrimariesOf(other.node.GetMyNodeID()) == 0 {
					return false
				}
			}
			return true
		})
	}
}

// call makes a request, again where it is asked to: roles move.
func (m *member) call(t *testing.T, method, path, body string) (status int, by, text string) {
	t.Helper()
	until(t, method+" "+path, func() bool {
		request, err := http.NewRequest(method, "http://"+m.address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		read, err := io.ReadAll(answer.Body)
		status, by, text = answer.StatusCode, answer.Header.Get(answeredBy), string(read)
		return err == nil && status != http.StatusServiceUnavailable
	})
	return status, by, text
}

func (m *member) putKey(t *testing.T, key, value string) {
	t.Helper()
	if status, _, text := m.call(t, http.MethodPut, "/kv/"+escaped(key), value); status != http.StatusNoContent {
		t.Fatalf("PUT %s: %d %s", key, status, text)
	}
}

func (m *member) hasKeys(t *testing.T, value string) (answered map[string]int) {
	t.Helper()
	answered = map[string]int{}
	for number := range keyCount {
		status, by, text := m.call(t, http.MethodGet, "/kv/"+escaped(keyOf(number)), "")
		if status != http.StatusOK || text != value {
			t.Fatalf("GET %s: %d %q", keyOf(number), status, text)
		}
		answered[by]++
	}
	return answered
}

func TestAnyNodeAnswersForAnyKey(t *testing.T) {
	first := started(t, 1, "")
	second := started(t, 2, first.join(t))
	third := started(t, 3, first.join(t))
	settled(t, first, second, third)
	for number := range keyCount {
		first.putKey(t, keyOf(number), "hello")
	}
	for _, m := range []*member{first, second, third} {
		if answered := m.hasKeys(t, "hello"); len(answered) != 3 {
			t.Errorf("not every node has keys: %v", answered)
		}
	}
	if status, _, _ := second.call(t, http.MethodGet, "/kv/nothing", ""); status != http.StatusNotFound {
		t.Error(status)
	}
	if status, _, _ := third.call(t, http.MethodPut, "/kv/large", strings.Repeat("x", maxValue+1)); status != http.StatusBadRequest {
		t.Error(status)
	}

	// A node that stops: the others have what it had.
	if err := third.node.Stop(); err != nil {
		t.Fatal(err)
	}
	third.server.Close()
	first.hasKeys(t, "hello")
	for number := range keyCount {
		second.putKey(t, keyOf(number), "again")
	}
	// One that joins copies its share, while values change.
	fourth := started(t, 4, second.join(t))
	last := map[string]string{}
	number := 0
	until(t, "the fourth has roles", func() bool {
		key, value := keyOf(number%keyCount), fmt.Sprint(number)
		second.putKey(t, key, value)
		last[key] = value
		number++
		view, err := fourth.node.View()
		return err == nil && view.PrimariesOf("node-4") > 0 && number > keyCount
	})
	answeredByFourth := 0
	for key, value := range last {
		status, by, text := second.call(t, http.MethodGet, "/kv/"+escaped(key), "")
		if status != http.StatusOK || text != value {
			t.Errorf("GET %s: %d %q instead of %q", key, status, text, value)
		}
		if by == "node-4" {
			answeredByFourth++
		}
	}
	if answeredByFourth == 0 {
		t.Error("the fourth has no keys")
	}
}

// A primary that was cut off and writes late is refused by the other copy.
func TestAnOldPrimaryIsRefused(t *testing.T) {
	first := started(t, 1, "")
	second := started(t, 2, first.join(t))
	settled(t, first, second)
	first.putKey(t, "key", "new")
	late := `{"value": "bGF0ZQ==", "epoch": 0, "number": 99}`
	for _, m := range []*member{first, second} {
		if status, _, text := m.call(t, http.MethodPut, "/replicas/key", late); status != http.StatusConflict {
			t.Errorf("%d %s", status, text)
		}
		if _, _, text := m.call(t, http.MethodGet, "/kv/key", ""); text != "new" {
			t.Error(text)
		}
	}
	number := clusterkit.PartitionFor("key", 16)
	if _, err := first.service.store.write(number, 0, "key", []byte("late")); err == nil {
		t.Error("it was written")
	}
}

// What was forwarded is not forwarded once more, also when the two do not agree.
func TestARequestIsForwardedOnce(t *testing.T) {
	first := started(t, 1, "")
	second := started(t, 2, first.join(t))
	settled(t, first, second)
	refused := 0
	for number := range keyCount {
		request, err := http.NewRequest(http.MethodGet, "http://"+first.address+"/kv/"+escaped(keyOf(number)), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(forwardedBy, "node-2")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusServiceUnavailable {
			refused++
		} else if answer.StatusCode != http.StatusNotFound || answer.Header.Get(answeredBy) != "node-1" {
			t.Error(answer.Status)
		}
	}
	if refused == 0 || refused == keyCount {
		t.Error(refused)
	}
}

// The program as a whole: it founds a cluster, answers, and ends when it is told to.
func TestTheProgramEndsWhenItIsTold(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &member{address: listener.Addr().String()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, clusterkit.Options{NodeID: "node-1", HTTPAddr: "127.0.0.1:0", InMemory: true}, listener)
	}()
	m.putKey(t, "key", "value")
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

func TestTheLaterOfTwoWritesStays(t *testing.T) {
	s := newStore()
	if err := s.replicate(1, "key", entry{[]byte("b"), 2, 2}); err != nil {
		t.Fatal(err)
	}
	if err := s.replicate(1, "key", entry{[]byte("a"), 2, 1}); err != nil {
		t.Fatal(err)
	}
	s.take(1, partition{Entries: map[string]entry{"key": {[]byte("old"), 1, 9}, "other": {[]byte("x"), 1, 3}}, Epoch: 1, Last: 9})
	if value, _ := s.read(1, "key"); string(value) != "b" {
		t.Error(string(value))
	}
	if value, found := s.read(1, "other"); !found || string(value) != "x" {
		t.Error(string(value))
	}
	written, err := s.write(1, 2, "key", []byte("c"))
	if err != nil || written.Number != 10 {
		t.Error(written, err)
	}
	s.fence(1, 5)
	if _, err := s.write(1, 4, "key", nil); err == nil {
		t.Error("an earlier primary writes")
	}
	s.drop(1)
	if _, found := s.read(1, "key"); found {
		t.Error("it was dropped")
	}
}
