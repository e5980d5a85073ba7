package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

const (
	// serviceName is where other nodes find this service: in the services of a node's record.
	serviceName = "kv"
	// forwardedBy is set on what one node forwards to another: it is not forwarded once more.
	forwardedBy = "Kv-Forwarded-By"
	// answeredBy says which node has answered.
	answeredBy = "Kv-Node"
	// atRevision is the revision that a copy has to be as new as.
	atRevision = "Kv-Revision"

	maxValue    = 1 << 20
	callTimeout = 10 * time.Second
)

// service keeps keys with values, each on the nodes that ClusterKit names.
type service struct {
	node   *clusterkit.ClusterKit
	store  *store
	client *http.Client
}

// newService makes a service on a node that has not been started, and adds the hooks that copy.
func newService(node *clusterkit.ClusterKit) *service {
	s := &service{node: node, store: newStore(), client: &http.Client{Timeout: callTimeout}}
	node.OnPartitionChangeErr(s.onGain)
	node.OnPartitionLost(func(event *clusterkit.PartitionChangeEvent) {
		if event.NodeID == node.GetMyNodeID() && event.Change == clusterkit.ChangeLostCopy {
			s.store.drop(event.Number)
		}
	})
	return s
}

// onGain copies what this node gains. When it returns nil, the cluster counts on the copy.
func (s *service) onGain(event *clusterkit.PartitionChangeEvent) error {
	if event.NodeID != s.node.GetMyNodeID() {
		return nil
	}
	if event.Change == clusterkit.ChangeGainedPrimary {
		s.store.fence(event.Number, event.Epoch)
		return nil
	}
	// From all of them: the primary has the newest writes, and is not always there.
	var failures []error
	for _, source := range event.CopyFromNodes {
		if err := s.copyFrom(source, event); err != nil {
			failures = append(failures, fmt.Errorf("copy %s from %s: %w", event.PartitionID, source.ID, err))
		}
	}
	if len(failures) > 0 && len(failures) == len(event.CopyFromNodes) {
		return errors.Join(failures...)
	}
	return nil
}

func (s *service) copyFrom(source *clusterkit.Node, event *clusterkit.PartitionChangeEvent) error {
	request, err := http.NewRequest(http.MethodGet, urlOf(source, "/partitions/"+strconv.Itoa(event.Number)), nil)
	if err != nil {
		return err
	}
	// Once the other knows that this node copies, it sends its new writes here, too: nothing falls between.
	request.Header.Set(atRevision, strconv.FormatUint(event.Revision, 10))
	answer, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	var copied partition
	if err := json.NewDecoder(answer.Body).Decode(&copied); err != nil {
		return err
	}
	s.store.take(event.Number, copied)
	return nil
}

// urlOf is a path of the service on a node: its record has "host:port", or ":port" on the node's own host.
func urlOf(node *clusterkit.Node, path string) string {
	address := node.Services[serviceName]
	if strings.HasPrefix(address, ":") {
		host, _, _ := net.SplitHostPort(node.IP)
		address = net.JoinHostPort(host, address[1:])
	}
	return "http://" + address + path
}

// handler is what the service answers.
func (s *service) handler() http.Handler {
	routes := http.NewServeMux()
	// For everybody.
	routes.HandleFunc("PUT /kv/{key...}", s.put)
	routes.HandleFunc("GET /kv/{key...}", s.get)
	// Between nodes.
	routes.HandleFunc("PUT /replicas/{key...}", s.putReplica)
	routes.HandleFunc("GET /partitions/{number}", s.getPartition)
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		answer.Header().Set(answeredBy, s.node.GetMyNodeID())
		routes.ServeHTTP(answer, request)
	})
}

// unavailable asks to try again: roles move, and come to rest.
func unavailable(answer http.ResponseWriter, err error) {
	answer.Header().Set("Retry-After", "1")
	http.Error(answer, err.Error(), http.StatusServiceUnavailable)
}

// route answers with where a key belongs, and whether this node is its primary. Where it is not, the request is forwarded.
func (s *service) route(answer http.ResponseWriter, request *http.Request) (route clusterkit.Route, isMine bool) {
	route, err := s.node.Lookup(request.PathValue("key"))
	switch {
	case err != nil:
		unavailable(answer, err)
	case route.Role == clusterkit.RolePrimary:
		return route, true
	case route.Primary == nil:
		unavailable(answer, fmt.Errorf("%s has no primary at this moment", route.Partition.ID))
	case request.Header.Get(forwardedBy) != "":
		unavailable(answer, fmt.Errorf("%s is moving: this node is not its primary", route.Partition.ID))
	default:
		s.forward(answer, request, route.Primary)
	}
	return route, false
}

func (s *service) forward(answer http.ResponseWriter, request *http.Request, primary *clusterkit.Node) {
	further, err := http.NewRequestWithContext(request.Context(), request.Method, urlOf(primary, request.URL.EscapedPath()), request.Body)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusInternalServerError)
		return
	}
	further.ContentLength = request.ContentLength
	further.Header.Set(forwardedBy, s.node.GetMyNodeID())
	answered, err := s.client.Do(further)
	if err != nil {
		unavailable(answer, err)
		return
	}
	defer answered.Body.Close()
	for _, name := range []string{answeredBy, "Content-Type", "Retry-After"} {
		if value := answered.Header.Get(name); value != "" {
			answer.Header().Set(name, value)
		}
	}
	answer.WriteHeader(answered.StatusCode)
	// Whoever has asked sees by the length that it ended early.
	_, _ = io.Copy(answer, answered.Body)
}

func (s *service) get(answer http.ResponseWriter, request *http.Request) {
	route, isMine := s.route(answer, request)
	if !isMine {
		return
	}
	value, found := s.store.read(route.Partition.Number, request.PathValue("key"))
	if !found {
		http.NotFound(answer, request)
		return
	}
	answer.Header().Set("Content-Type", "application/octet-stream")
	_, _ = answer.Write(value)
}

func (s *service) put(answer http.ResponseWriter, request *http.Request) {
	route, isMine := s.route(answer, request)
	if !isMine {
		return
	}
	value, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, maxValue))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.write(request.Context(), route.Partition.Number, request.PathValue("key"), value); err != nil {
		unavailable(answer, err)
		return
	}
	answer.WriteHeader(http.StatusNoContent)
}

// write writes here and on every other copy. When it fails, some may have the write: the client writes again.
func (s *service) write(ctx context.Context, number int, key string, value []byte) error {
	// Right before the write: a lease may have ended while the value was read.
	epoch, err := s.node.PrimaryEpoch(number)
	if err != nil {
		return err
	}
	written, err := s.store.write(number, epoch, key, value)
	if err != nil {
		return err
	}
	// After the write here: a node that begins to copy now copies it, and one that has begun is known.
	view, err := s.node.View()
	if err != nil {
		return err
	}
	partition := view.Partition(number)
	failures := make(chan error)
	others := slices.Concat(partition.ReplicaNodes, partition.Pending)
	for _, id := range others {
		go func() { failures <- s.replicate(ctx, view.Node(id), key, written) }()
	}
	for range others {
		err = cmp.Or(err, <-failures)
	}
	return err
}

func (s *service) replicate(ctx context.Context, to *clusterkit.Node, key string, written entry) error {
	if to.Status == clusterkit.StatusStopped || to.Status == clusterkit.StatusFailed {
		// It copies when it is back, before it counts again.
		return nil
	}
	body, err := json.Marshal(written)
	if err != nil {
		return err
	}
	path := "/replicas/" + escaped(key)
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, urlOf(to, path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s does not take the write: %s", to.ID, answer.Status)
	}
	return nil
}

func (s *service) putReplica(answer http.ResponseWriter, request *http.Request) {
	var written entry
	if err := json.NewDecoder(http.MaxBytesReader(answer, request.Body, 2*maxValue)).Decode(&written); err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	key := request.PathValue("key")
	partition, err := s.node.GetPartition(key)
	if err != nil {
		unavailable(answer, err)
		return
	}
	if err := s.store.replicate(partition.Number, key, written); err != nil {
		http.Error(answer, err.Error(), http.StatusConflict)
		return
	}
	answer.WriteHeader(http.StatusNoContent)
}

func (s *service) getPartition(answer http.ResponseWriter, request *http.Request) {
	number, err := strconv.Atoi(request.PathValue("number"))
	revision, err1 := strconv.ParseUint(request.Header.Get(atRevision), 10, 64)
	if err := errors.Join(err, err1); err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.node.WaitForRevisionContext(request.Context(), revision); err != nil {
		unavailable(answer, err)
		return
	}
	answer.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(answer).Encode(s.store.copyOf(number))
}
