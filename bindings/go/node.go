package clusterkit

// #include "glue.h"
import "C"

import (
	"time"
	"unsafe"
)

// Node is a member of the cluster. What lookups answer with is shared and never changes: read it, and copy what is to be
// changed.
type Node struct {
	// ID is the name that the application gave it.
	ID string `json:"id"`
	// IP is the "host:port" at which others reach it.
	IP string `json:"ip"`
	// Port is the port in IP.
	Port int `json:"port"`
	// Name is for people.
	Name string `json:"name"`
	// Status is where it is in its life: one of the Status constants.
	Status string `json:"status"`
	// Services are the application's own endpoints: name to ":port" (the node's own host) or "host:port".
	Services map[string]string `json:"services"`
	// Zone is the failure zone; empty when the operator named none.
	Zone string `json:"zone,omitempty"`
	// Weight is its share of the partitions relative to other nodes: 100 is usual, 0 takes no new ones.
	Weight int `json:"weight"`
	// Labels are free-form.
	Labels map[string]string `json:"labels"`
	// Incarnation grows with every start of the node's process: the revision at which the process was admitted.
	Incarnation uint64 `json:"incarnation"`
	// Voter is true when it votes in elections.
	Voter bool `json:"voter"`
	// Health is what the application last said of itself: one of the Health constants.
	Health string `json:"health"`
	// HealthReason says why, when it is not healthy.
	HealthReason string `json:"health_reason,omitempty"`
	// LastSeen is when the cluster last recorded contact with it.
	LastSeen time.Time `json:"last_seen"`
	// JoinedAt is when it first joined.
	JoinedAt time.Time `json:"joined_at"`
}

// Where a member is in its life.
const (
	// StatusJoining: admitted, and catching up with the log. Holds no partition yet.
	StatusJoining = "joining"
	// StatusActive: a full member.
	StatusActive = "active"
	// StatusLeaving: handing its partitions over before it is removed.
	StatusLeaving = "leaving"
	// StatusStopped: shut down in an orderly way; expected back.
	StatusStopped = "stopped"
	// StatusFailed: declared dead after too long without a heartbeat; may come back.
	StatusFailed = "failed"
)

// How an application says that it is: [ClusterKit.ReportHealth].
const (
	HealthHealthy  = "healthy"
	HealthDegraded = "degraded"
	HealthFailing  = "failing"
)

var statusNames = map[C.int32_t]string{
	C.CK_NODE_JOINING: StatusJoining,
	C.CK_NODE_ACTIVE:  StatusActive,
	C.CK_NODE_LEAVING: StatusLeaving,
	C.CK_NODE_STOPPED: StatusStopped,
	C.CK_NODE_FAILED:  StatusFailed,
}

var healthNames = map[C.int32_t]string{
	C.CK_HEALTH_HEALTHY:  HealthHealthy,
	C.CK_HEALTH_DEGRADED: HealthDegraded,
	C.CK_HEALTH_FAILING:  HealthFailing,
}

// nameOf is a constant's name, and "unknown" for one that a later library may have.
func nameOf(names map[C.int32_t]string, number C.int32_t) string {
	if name, ok := names[number]; ok {
		return name
	}
	return "unknown"
}

// readNode copies a node of C's; nil for NULL.
func readNode(node *C.ck_node_t) *Node {
	if node == nil {
		return nil
	}
	read := &Node{
		ID:           C.GoString(node.id),
		IP:           C.GoString(node.ip),
		Port:         int(node.port),
		Name:         C.GoString(node.name),
		Status:       nameOf(statusNames, node.status),
		Services:     readPairs(node.services, node.service_count),
		Weight:       int(node.weight),
		Labels:       readPairs(node.labels, node.label_count),
		Incarnation:  uint64(node.incarnation),
		Voter:        bool(node.voter),
		Health:       nameOf(healthNames, node.health),
		HealthReason: C.GoString(node.health_reason),
		LastSeen:     timeOf(node.last_seen_ms),
		JoinedAt:     timeOf(node.joined_at_ms),
	}
	if node.zone != nil {
		read.Zone = C.GoString(node.zone)
	}
	return read
}

// readNodes copies a list of nodes.
func readNodes(nodes **C.ck_node_t, count C.size_t) []*Node {
	read := make([]*Node, 0, count)
	for _, node := range unsafe.Slice(nodes, count) {
		read = append(read, readNode(node))
	}
	return read
}

func readPairs(pairs **C.ck_pair_t, count C.size_t) map[string]string {
	read := make(map[string]string, count)
	for _, pair := range unsafe.Slice(pairs, count) {
		read[C.GoString(pair.name)] = C.GoString(pair.value)
	}
	return read
}

// nodeTable has the members of a view in Go's form: made once for all views of the same members that follow each other.
type nodeTable struct {
	// members tells the records of C's that the table was made of from all others that are alive.
	members uint64
	// sorted is by id.
	sorted []*Node
	byID   map[string]*Node
	// byAddress finds a node by the address of C's record. The record ends with its view, so the address is a number.
	byAddress map[uintptr]*Node
}

// readNodeTable copies the members of a view.
func readNodeTable(view *C.ck_view_t, info C.ckgo_view_info_t) *nodeTable {
	count := info.node_count
	table := &nodeTable{
		members:   uint64(info.members),
		sorted:    make([]*Node, 0, count),
		byID:      make(map[string]*Node, count),
		byAddress: make(map[uintptr]*Node, count),
	}
	for i := range count {
		record := C.ck_view_node(view, i)
		node := readNode(record)
		if node == nil {
			continue
		}
		table.sorted = append(table.sorted, node)
		table.byID[node.ID] = node
		table.byAddress[uintptr(unsafe.Pointer(record))] = node
	}
	return table
}
