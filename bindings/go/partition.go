package clusterkit

// #include "glue.h"
import "C"

import (
	"crypto/md5"
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"
)

// Partition is one of the fixed number of parts that the keys are divided into, at one revision. What lookups answer with is
// shared and never changes: read it, and copy what is to be changed.
type Partition struct {
	// ID is its name, such as "partition-5".
	ID string `json:"id"`
	// PrimaryNode is the id of the node that takes the writes; empty while there is none.
	PrimaryNode string `json:"primary_node"`
	// ReplicaNodes are the ids of the other nodes that hold the data, sorted.
	ReplicaNodes []string `json:"replica_nodes"`
	// Number is the number in ID.
	Number int `json:"number"`
	// Pending are the ids of the nodes that are still copying the data, sorted.
	Pending []string `json:"pending"`
	// Epoch grows whenever the primary changes: the fencing token for the application's storage.
	Epoch uint64 `json:"epoch"`
	// State is its condition: one of the Partition constants.
	State string `json:"state"`

	// The records of the nodes that it names, from the same view; nil in a partition that no lookup made.
	holders *holders
}

type holders struct {
	primary  *Node
	replicas []*Node
}

// The condition of a partition.
const (
	// PartitionOK: it has a primary, nothing moves, and enough nodes that are up hold the data.
	PartitionOK = "ok"
	// PartitionMoving: it has a primary and enough copies, and a copy or the primary role is moving to another node.
	PartitionMoving = "moving"
	// PartitionUnderReplicated: it has a primary, and fewer nodes that are up hold the data than should.
	PartitionUnderReplicated = "under_replicated"
	// PartitionNoPrimary: the primary role is between two holders, or no node has it yet.
	PartitionNoPrimary = "no_primary"
	// PartitionLost: no node that is up holds the data.
	PartitionLost = "lost"
)

var partitionStates = map[C.int32_t]string{
	C.CK_PARTITION_OK:               PartitionOK,
	C.CK_PARTITION_MOVING:           PartitionMoving,
	C.CK_PARTITION_UNDER_REPLICATED: PartitionUnderReplicated,
	C.CK_PARTITION_NO_PRIMARY:       PartitionNoPrimary,
	C.CK_PARTITION_LOST:             PartitionLost,
}

// Role is what a node is to a partition.
type Role int

// The roles.
const (
	// RoleNone: it holds nothing of the partition, or may not act on what it holds.
	RoleNone Role = C.CK_ROLE_NONE
	// RolePrimary: it takes the writes.
	RolePrimary Role = C.CK_ROLE_PRIMARY
	// RoleReplica: it holds a copy.
	RoleReplica Role = C.CK_ROLE_REPLICA
)

// String is "primary", "replica", or empty.
func (r Role) String() string {
	switch r {
	case RolePrimary:
		return "primary"
	case RoleReplica:
		return "replica"
	}
	return ""
}

// PartitionID is the name of a partition.
func PartitionID(number int) string { return "partition-" + strconv.Itoa(number) }

// PartitionNumber is the number in the name of a partition, such as "partition-5".
func PartitionNumber(id string) (int, error) {
	text, length := textOf(id)
	number := C.ck_partition_number(text, length)
	if number == C.CK_NO_PARTITION {
		return 0, invalidArgument(strconv.Quote(id) + ` is no name of a partition, such as "partition-5"`)
	}
	return int(number), nil
}

// PartitionFor is the partition that a key belongs to among partitionCount: the published mapping, for programs that are no
// member. 0 for a count that is not positive.
func PartitionFor(key string, partitionCount int) int {
	if partitionCount <= 0 {
		return 0
	}
	return int(numberOf(key, bounded(partitionCount)))
}

// bounded makes a count of partitions one that the library can take. No cluster comes near it.
func bounded(partitionCount int) uint32 {
	return uint32(min(uint64(partitionCount), math.MaxUint32))
}

// PartitionsFor is [PartitionFor] of many keys, in one call: less time per key, where the processor can.
func PartitionsFor(keys []string, partitionCount int) []int {
	numbers := make([]int, len(keys))
	if partitionCount <= 0 {
		return numbers
	}
	// It cannot fail: there is room for every answer.
	_ = routeMany(nil, bounded(partitionCount), keys, numbers)
	return numbers
}

// numberOf is the partition of a key: the first four bytes of its MD5, big-endian, modulo the count.
func numberOf(key string, count uint32) uint32 {
	if !md5IsAllowed {
		bytes, length := keyOf(key)
		return uint32(C.ck_partition_for(bytes, length, C.uint32_t(count)))
	}
	sum := md5.Sum(unsafe.Slice(unsafe.StringData(key), len(key)))
	return binary.BigEndian.Uint32(sum[:4]) % count
}

// md5IsAllowed is false in a program that is to use approved cryptography only (GODEBUG=fips140=only): crypto/md5 panics
// there. It is no cryptography here, so the library's own does.
var md5IsAllowed = func() (allowed bool) {
	defer func() { allowed = recover() == nil }()
	md5.Sum(nil)
	return
}()

// routeMany hands keys to C as one text and where each ends: a list of their addresses would have to be pinned one by one.
func routeMany(view *C.ck_view_t, partitionCount uint32, keys []string, numbers []int) error {
	if len(keys) == 0 {
		return nil
	}
	size := 0
	for _, key := range keys {
		size += len(key)
	}
	blob := make([]byte, 0, max(size, 1))
	ends := make([]C.size_t, len(keys))
	for i, key := range keys {
		blob = append(blob, key...)
		ends[i] = C.size_t(len(blob))
	}
	found := make([]C.uint32_t, len(keys))
	failed := C.ckgo_route_many(view, C.uint32_t(partitionCount), (*C.char)(unsafe.Pointer(unsafe.SliceData(blob))),
		unsafe.SliceData(ends), C.size_t(len(keys)), unsafe.SliceData(found))
	if failed != nil {
		return takeError(failed)
	}
	for i, number := range found {
		numbers[i] = int(number)
	}
	return nil
}

// nodesOf are the records of a partition's nodes, the primary first.
func (h *holders) nodes() []Node {
	nodes := make([]Node, 0, 1+len(h.replicas))
	if h.primary != nil {
		nodes = append(nodes, *h.primary)
	}
	for _, node := range h.replicas {
		nodes = append(nodes, *node)
	}
	return nodes
}
