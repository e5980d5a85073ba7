package clusterkit

// #cgo noescape ckgo_partition
// #include "glue.h"
import "C"

import (
	"fmt"
	"iter"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

// View is the cluster at one revision. It never changes: all answers taken from one view agree with each other. It may be
// used by any number of goroutines, and outlives the node that it came from.
//
// Whether this node may act on what a view says depends on its lease at that moment, which a view does not know: ask
// [ClusterKit.IsPrimaryForKey] or [ClusterKit.Lookup] for that.
type View struct {
	c              *C.ck_view_t
	revision       uint64
	partitionCount uint32
	nodes          *nodeTable
	my             *Node
	// Partitions in Go's form, made when they are first asked for: most views are asked for few, and a cluster may have many.
	chunks []atomic.Pointer[partitionChunk]
}

const chunkSize = 64

type partitionChunk [chunkSize]atomic.Pointer[Partition]

// newView makes the Go form of a view, and owns the share of C's that it is given. An older view of the same node, which is
// alive, may lend its members.
func newView(c *C.ck_view_t, older *View) *View {
	var info C.ckgo_view_info_t
	C.ckgo_view_info(c, &info)
	view := &View{
		c:              c,
		revision:       uint64(info.revision),
		partitionCount: uint32(info.partition_count),
		chunks:         make([]atomic.Pointer[partitionChunk], (int(info.partition_count)+chunkSize-1)/chunkSize),
	}
	if older != nil && older.nodes.members == uint64(info.members) {
		view.nodes = older.nodes
	} else {
		view.nodes = readNodeTable(c, info)
	}
	if index := uint64(info.my_index); index < uint64(len(view.nodes.sorted)) {
		view.my = view.nodes.sorted[index]
	}
	freeWith(view, c, func(c *C.ck_view_t) { C.ck_view_release(c) })
	return view
}

// Revision is the revision that the view shows.
func (v *View) Revision() uint64 { return v.revision }

// NodeCount is how many members there are.
func (v *View) NodeCount() int { return len(v.nodes.sorted) }

// Nodes are the members, sorted by id.
func (v *View) Nodes() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for _, node := range v.nodes.sorted {
			if !yield(node) {
				return
			}
		}
	}
}

// Node is the member with an id; nil where there is none.
func (v *View) Node(id string) *Node { return v.nodes.byID[id] }

// MyNode is this node, when it is a member; else nil.
func (v *View) MyNode() *Node { return v.my }

// Leader is the member whose leadership was recorded last; nil where there is none. Whether it leads at this moment is a matter
// of leases: ask [ConsensusManager.GetLeader].
func (v *View) Leader() *Node {
	defer runtime.KeepAlive(v)
	stress()
	leader := C.ck_view_leader(v.c)
	if leader == nil {
		return nil
	}
	return v.nodes.byID[C.GoString(leader.id)]
}

// LeaderEpoch is the leader epoch of the leadership that was recorded last, a fencing token: it only grows. 0 before there was a
// leader.
func (v *View) LeaderEpoch() uint64 {
	defer runtime.KeepAlive(v)
	stress()
	return uint64(C.ck_view_leader_epoch(v.c))
}

// LeaderTerm is the Raft term of that leadership; no fencing token.
func (v *View) LeaderTerm() uint64 {
	defer runtime.KeepAlive(v)
	stress()
	return uint64(C.ck_view_leader_term(v.c))
}

// LeaderElectedAt is when that leadership began, by the leader's wall clock; the zero time before there was a leader.
func (v *View) LeaderElectedAt() time.Time {
	defer runtime.KeepAlive(v)
	stress()
	return timeOf(C.ck_view_leader_elected_at_ms(v.c))
}

// ReplicationFactor is the number of copies that each partition should have. 0 before there is a cluster.
func (v *View) ReplicationFactor() int {
	defer runtime.KeepAlive(v)
	stress()
	return int(C.ck_view_replication_factor(v.c))
}

// LeaseTTL is how long a lease lasts in this cluster.
func (v *View) LeaseTTL() time.Duration {
	defer runtime.KeepAlive(v)
	stress()
	return durationOf(C.ck_view_lease_ttl_ms(v.c))
}

// Maintenance is true during maintenance, while no partitions are moved and primaries still fail over; automatic when the
// cluster began it by itself, because more than half of its members had failed.
func (v *View) Maintenance() (on, automatic bool) {
	defer runtime.KeepAlive(v)
	stress()
	var byItself C.bool
	on = bool(C.ck_view_maintenance(v.c, &byItself))
	return on, bool(byItself)
}

// JSON is the whole cluster without custom data, the same as "cluster" in the answer of GET /cluster.
func (v *View) JSON() ([]byte, error) {
	defer runtime.KeepAlive(v)
	stress()
	var text *C.ck_text_t
	if failed := C.ck_view_json(v.c, &text); failed != nil {
		return nil, takeError(failed)
	}
	return []byte(takeText(text)), nil
}

// PartitionCount is how many partitions there are; 0 before they exist.
func (v *View) PartitionCount() int { return int(v.partitionCount) }

// Partition is the partition with a number; nil where there is none.
func (v *View) Partition(number int) *Partition {
	if number < 0 || uint64(number) >= uint64(v.partitionCount) {
		return nil
	}
	place := &v.chunks[number/chunkSize]
	chunk := place.Load()
	if chunk == nil {
		// Another goroutine may be first: then its chunk counts.
		place.CompareAndSwap(nil, new(partitionChunk))
		chunk = place.Load()
	}
	if partition := chunk[number%chunkSize].Load(); partition != nil {
		return partition
	}
	partition := v.readPartition(number)
	chunk[number%chunkSize].Store(partition)
	return partition
}

// PartitionByID is the partition with a name, such as "partition-5"; nil where there is none.
func (v *View) PartitionByID(id string) *Partition {
	number, err := PartitionNumber(id)
	if err != nil {
		return nil
	}
	return v.Partition(number)
}

// Partitions are all partitions, by number.
func (v *View) Partitions() iter.Seq[*Partition] {
	return func(yield func(*Partition) bool) {
		for number := range int(v.partitionCount) {
			if !yield(v.Partition(number)) {
				return
			}
		}
	}
}

// readPartition copies a partition of C's.
func (v *View) readPartition(number int) *Partition {
	defer runtime.KeepAlive(v)
	stress()
	var head C.ckgo_partition_t
	var few [16]C.uintptr_t
	records := few[:]
	count := int(C.ckgo_partition(v.c, C.uint32_t(number), &head, &records[0], C.size_t(len(records))))
	if count > len(records) {
		records = make([]C.uintptr_t, count)
		C.ckgo_partition(v.c, C.uint32_t(number), &head, &records[0], C.size_t(len(records)))
	}
	nodes := make([]*Node, 0, count)
	for _, record := range records[:count] {
		nodes = append(nodes, v.nodes.byAddress[uintptr(record)])
	}
	partition := &Partition{
		ID:      PartitionID(number),
		Number:  number,
		Epoch:   uint64(head.epoch),
		State:   nameOf(partitionStates, head.state),
		holders: &holders{},
	}
	if head.has_primary {
		partition.holders.primary = nodes[0]
		partition.PrimaryNode = nodes[0].ID
		nodes = nodes[1:]
	}
	replicas := int(head.replica_count)
	partition.holders.replicas = nodes[:replicas:replicas]
	partition.ReplicaNodes = idsOf(nodes[:replicas])
	partition.Pending = idsOf(nodes[replicas:])
	return partition
}

func idsOf(nodes []*Node) []string {
	ids := make([]string, len(nodes))
	for i, node := range nodes {
		ids[i] = node.ID
	}
	return ids
}

// PartitionForKey is the partition that a key belongs to.
func (v *View) PartitionForKey(key string) (*Partition, error) {
	if v.partitionCount == 0 {
		return nil, errNoPartitions()
	}
	return v.Partition(int(numberOf(key, v.partitionCount))), nil
}

// PartitionsForKeys are the numbers of the partitions that many keys belong to, in one call: less time per key, where the
// processor can.
func (v *View) PartitionsForKeys(keys []string) ([]int, error) {
	defer runtime.KeepAlive(v)
	if v.partitionCount == 0 {
		return nil, errNoPartitions()
	}
	stress()
	numbers := make([]int, len(keys))
	if err := routeMany(v.c, 0, keys, numbers); err != nil {
		return nil, err
	}
	return numbers, nil
}

// Role is what this node is to a partition by this view.
func (v *View) Role(number int) Role {
	partition := v.Partition(number)
	if partition == nil || v.my == nil {
		return RoleNone
	}
	defer runtime.KeepAlive(v)
	stress()
	return Role(C.ck_view_role(v.c, C.uint32_t(number)))
}

// RoleForKey is what this node is to a key by this view.
func (v *View) RoleForKey(key string) Role {
	if v.partitionCount == 0 {
		return RoleNone
	}
	return v.Role(int(numberOf(key, v.partitionCount)))
}

// PrimaryForKey is the node that takes the writes of a key. nil while there is none, and before partitions exist.
func (v *View) PrimaryForKey(key string) *Node {
	partition, err := v.PartitionForKey(key)
	if err != nil {
		return nil
	}
	return partition.holders.primary
}

// NodesForKey are the nodes that hold a key: the one that takes its writes first, where there is one, then the others by id.
func (v *View) NodesForKey(key string) []Node {
	partition, err := v.PartitionForKey(key)
	if err != nil {
		return nil
	}
	return partition.holders.nodes()
}

// Route is where a key belongs by this view. Its role does not regard the lease: ask [ClusterKit.Lookup] for that.
func (v *View) Route(key string) (Route, error) {
	partition, err := v.PartitionForKey(key)
	if err != nil {
		return Route{}, err
	}
	return v.routeOf(partition, v.Role(partition.Number)), nil
}

func (v *View) routeOf(partition *Partition, role Role) Route {
	return Route{
		Revision:  v.revision,
		Partition: partition,
		Role:      role,
		Epoch:     partition.Epoch,
		Primary:   partition.holders.primary,
		Replicas:  partition.holders.replicas,
	}
}

// PartitionsOf are the numbers of the partitions that a member takes the writes of, and of those that it holds another copy of.
func (v *View) PartitionsOf(nodeID string) (primary, replica []int, err error) {
	defer runtime.KeepAlive(v)
	stress()
	text, length := textOf(nodeID)
	var primaries, replicas *C.ck_numbers_t
	if failed := C.ck_view_partitions_of(v.c, text, length, &primaries, &replicas); failed != nil {
		return nil, nil, takeError(failed)
	}
	return takeNumbers(primaries), takeNumbers(replicas), nil
}

// PrimariesOf is how many partitions a member takes the writes of. 0 where there is no such member.
func (v *View) PrimariesOf(nodeID string) int {
	defer runtime.KeepAlive(v)
	for index, node := range v.nodes.sorted {
		if node.ID == nodeID {
			stress()
			return int(C.ck_view_primaries_of(v.c, C.size_t(index)))
		}
	}
	return 0
}

// LostPartitions are the numbers of the partitions that have lost their data: no node that is up holds it.
func (v *View) LostPartitions() []int {
	defer runtime.KeepAlive(v)
	stress()
	lost := make([]int, 0, int(C.ck_view_lost_count(v.c)))
	for index := range cap(lost) {
		lost = append(lost, int(C.ck_view_lost(v.c, C.size_t(index))))
	}
	return lost
}

// takeNumbers reads numbers of C's and frees them.
func takeNumbers(numbers *C.ck_numbers_t) []int {
	defer C.ck_numbers_free(numbers)
	var count C.size_t
	first := C.ck_numbers_data(numbers, &count)
	return intsOf(first, count)
}

func errNoPartitions() error {
	return &Error{Code: CodeNotFound, Message: "there are no partitions yet", Retriable: true}
}

func errNoPrimary(partition *Partition) error {
	message := fmt.Sprintf("%s has no primary at this moment: its state is %s", partition.ID, strconv.Quote(partition.State))
	return &Error{Code: CodeNotFound, Message: message, Retriable: true}
}
