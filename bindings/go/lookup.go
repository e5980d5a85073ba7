package clusterkit

// #cgo noescape ck_lookup_key
// #cgo noescape ck_primary_epoch
// #include "glue.h"
import "C"

import (
	"iter"
	"slices"
	"unsafe"
)

// Route is where a key belongs, and what this node is to it.
type Route struct {
	// Revision is that of the cluster that the answer was taken from.
	Revision uint64
	// Partition is the key's.
	Partition *Partition
	// Role is what this node is to the partition.
	Role Role
	// Epoch grows whenever the primary changes: the fencing token for the application's storage.
	Epoch uint64
	// Primary takes the writes; nil while no node does.
	Primary *Node
	// Replicas are the other nodes that hold the data, by id.
	Replicas []*Node
}

// Lookup says where a key belongs: its partition, who takes its writes, and what this node is to it at this moment, its lease
// included. All of the answer is from one view of the cluster.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) Lookup(key string) (Route, error) {
	var route C.ck_key_route_t
	lane, cluster := ck.handle.enter()
	if lane == nil {
		return ck.lookupWithoutLane(key)
	}
	bytes, length := keyOf(key)
	failed := C.ck_lookup_key(cluster, bytes, length, &lane.place, &route, C.size_t(unsafe.Sizeof(route)))
	if failed != nil {
		lane.leave()
		return Route{}, takeError(failed)
	}
	if lane.view == nil || lane.view.c != lane.place {
		lane.view = ck.handle.viewOf(lane.place)
	}
	view := lane.view
	lane.leave()
	return view.routeOf(view.Partition(int(route.partition)), Role(route.role)), nil
}

func (ck *ClusterKit) lookupWithoutLane(key string) (Route, error) {
	var place *C.ck_view_t
	var route C.ck_key_route_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error {
		bytes, length := keyOf(key)
		return takeError(C.ck_lookup_key(cluster, bytes, length, &place, &route, C.size_t(unsafe.Sizeof(route))))
	})
	if err != nil {
		return Route{}, err
	}
	view := ck.handle.viewOf(place)
	C.ck_view_release(place)
	return view.routeOf(view.Partition(int(route.partition)), Role(route.role)), nil
}

// GetPartition is the partition that a key belongs to.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) GetPartition(key string) (*Partition, error) {
	view, err := ck.handle.view()
	if err != nil {
		return nil, err
	}
	if view.partitionCount == 0 {
		return nil, ck.whyNoPartitions()
	}
	return view.Partition(int(numberOf(key, view.partitionCount))), nil
}

// whyNoPartitions asks the library why there are no partitions: it knows whether the node was started.
func (ck *ClusterKit) whyNoPartitions() error {
	if _, err := ck.Lookup(""); err != nil {
		return err
	}
	// They have come about meanwhile: the next call finds them.
	return errNoPartitions()
}

// GetPartitionForKey is [ClusterKit.GetPartition].
func (ck *ClusterKit) GetPartitionForKey(key string) (*Partition, error) { return ck.GetPartition(key) }

// PartitionsForKeys are the numbers of the partitions that many keys belong to, in one call: less time per key, where the
// processor can.
func (ck *ClusterKit) PartitionsForKeys(keys []string) ([]int, error) {
	view, err := ck.handle.view()
	if err != nil {
		return nil, err
	}
	return view.PartitionsForKeys(keys)
}

// holdersOf are the records of a partition's nodes: those that it was looked up with, or, for one that came from elsewhere, the
// present records of the nodes that it names.
func (ck *ClusterKit) holdersOf(partition *Partition) *holders {
	if partition == nil {
		return &holders{}
	}
	if partition.holders != nil {
		return partition.holders
	}
	found := &holders{}
	view, err := ck.handle.view()
	if err != nil {
		return found
	}
	found.primary = view.Node(partition.PrimaryNode)
	for _, id := range partition.ReplicaNodes {
		if node := view.Node(id); node != nil {
			found.replicas = append(found.replicas, node)
		}
	}
	return found
}

// GetPrimary is the node that takes the writes of a partition, as it was when the partition was looked up. nil while there is
// none.
func (ck *ClusterKit) GetPrimary(partition *Partition) *Node { return ck.holdersOf(partition).primary }

// GetReplicas are the other nodes that hold the data of a partition, as they were when it was looked up.
func (ck *ClusterKit) GetReplicas(partition *Partition) []Node {
	return valuesOf(ck.holdersOf(partition).replicas)
}

// GetNodes are the nodes that hold the data of a partition, the one that takes its writes first, as they were when it was looked
// up.
func (ck *ClusterKit) GetNodes(partition *Partition) []Node { return ck.holdersOf(partition).nodes() }

func valuesOf(nodes []*Node) []Node {
	values := make([]Node, 0, len(nodes))
	for _, node := range nodes {
		values = append(values, *node)
	}
	return values
}

// numberIn is the number of a partition that may have been made by hand.
func (p *Partition) numberIn() (int, bool) {
	if p == nil {
		return 0, false
	}
	if p.holders != nil {
		return p.Number, true
	}
	number, err := PartitionNumber(p.ID)
	return number, err == nil
}

// IsPrimary is true when this node takes the writes of a partition at this moment: it is the primary, and its lease runs.
// The library is asked each time, because leases end.
func (ck *ClusterKit) IsPrimary(partition *Partition) bool {
	number, ok := partition.numberIn()
	return ok && ck.IsPrimaryOf(number)
}

// IsReplica is true when this node holds a copy of a partition at this moment, and another takes its writes.
func (ck *ClusterKit) IsReplica(partition *Partition) bool {
	number, ok := partition.numberIn()
	return ok && ck.Role(number) == RoleReplica
}

// IsPrimaryOf is [ClusterKit.IsPrimary] of a partition's number.
func (ck *ClusterKit) IsPrimaryOf(number int) bool {
	if lane, cluster := ck.handle.enter(); lane != nil {
		is := bool(C.ck_is_primary(cluster, numberOrNone(number)))
		lane.leave()
		return is
	}
	return ck.handle.ask(func(cluster *C.ck_cluster_t) bool { return bool(C.ck_is_primary(cluster, numberOrNone(number))) })
}

// Role is what this node is to a partition at this moment, its lease included.
func (ck *ClusterKit) Role(number int) Role {
	if lane, cluster := ck.handle.enter(); lane != nil {
		role := Role(C.ck_role(cluster, numberOrNone(number)))
		lane.leave()
		return role
	}
	role := RoleNone
	ck.handle.ask(func(cluster *C.ck_cluster_t) bool {
		role = Role(C.ck_role(cluster, numberOrNone(number)))
		return true
	})
	return role
}

// ask is with for questions that have no errors: false where the node was closed.
func (h *handle) ask(question func(cluster *C.ck_cluster_t) bool) (answer bool) {
	_ = h.with(func(cluster *C.ck_cluster_t) error {
		answer = question(cluster)
		return nil
	})
	return answer
}

// numberOrNone is a partition's number for C, which has no negative ones.
func numberOrNone(number int) C.uint32_t {
	if number < 0 || uint64(number) >= C.CK_NO_PARTITION {
		return C.CK_NO_PARTITION
	}
	return C.uint32_t(number)
}

// IsPrimaryForKey is true when this node takes the writes of a key at this moment: it is the primary, and its lease runs.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) IsPrimaryForKey(key string) (bool, error) {
	role, err := ck.RoleForKey(key)
	return role == RolePrimary, err
}

// IsReplicaForKey is true when this node holds a copy of a key at this moment, and another takes its writes.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) IsReplicaForKey(key string) (bool, error) {
	role, err := ck.RoleForKey(key)
	return role == RoleReplica, err
}

// RoleForKey is what this node is to a key at this moment, its lease included.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) RoleForKey(key string) (Role, error) {
	count, err := ck.handle.partitionCount()
	if err != nil {
		return RoleNone, err
	}
	if count == 0 {
		return RoleNone, ck.whyNoPartitions()
	}
	return ck.Role(int(numberOf(key, count))), nil
}

// ShouldHandleKey says whether this node holds a key at this moment, and as what: "primary", "replica", or empty.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) ShouldHandleKey(key string) (should bool, role string, err error) {
	found, err := ck.RoleForKey(key)
	return found != RoleNone, found.String(), err
}

// AmIResponsibleFor is [ClusterKit.ShouldHandleKey] with the nodes that hold the key, the one that takes its writes first. All
// of the answer is from one view of the cluster.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) AmIResponsibleFor(key string) (should bool, role string, nodes []Node, err error) {
	route, err := ck.Lookup(key)
	if err != nil {
		return false, "", nil, err
	}
	return route.Role != RoleNone, route.Role.String(), route.Partition.holders.nodes(), nil
}

// GetPrimaryNode is the node that takes the writes of a key.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions, and while none takes them, which passes.
func (ck *ClusterKit) GetPrimaryNode(key string) (*Node, error) {
	partition, err := ck.GetPartition(key)
	if err != nil {
		return nil, err
	}
	if partition.holders.primary == nil {
		return nil, errNoPrimary(partition)
	}
	return partition.holders.primary, nil
}

// GetReplicaNodes are the other nodes that hold a key.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) GetReplicaNodes(key string) ([]Node, error) {
	partition, err := ck.GetPartition(key)
	if err != nil {
		return nil, err
	}
	return valuesOf(partition.holders.replicas), nil
}

// GetNodesForKey are the nodes that hold a key, the one that takes its writes first.
//
// Errors: NOT_STARTED; NOT_FOUND before there are partitions.
func (ck *ClusterKit) GetNodesForKey(key string) ([]Node, error) {
	partition, err := ck.GetPartition(key)
	if err != nil {
		return nil, err
	}
	return partition.holders.nodes(), nil
}

// GetAllNodesForKey are the node that takes the writes of a key, and the others that hold it.
//
// Errors: as [ClusterKit.GetPrimaryNode].
func (ck *ClusterKit) GetAllNodesForKey(key string) (primary *Node, replicas []Node, err error) {
	partition, err := ck.GetPartition(key)
	if err != nil {
		return nil, nil, err
	}
	if partition.holders.primary == nil {
		return nil, nil, errNoPrimary(partition)
	}
	return partition.holders.primary, valuesOf(partition.holders.replicas), nil
}

// PrimaryEpoch is the epoch of a partition that this node takes the writes of at this moment: the fencing token with which the
// application's storage refuses an earlier primary. Ask right before the write, and hand the number to the storage with it.
//
// Errors: NOT_STARTED; LEASE_EXPIRED when this node would be primary but holds no lease; CONFLICT when another node is primary,
// or none; NOT_FOUND when there is no such partition.
func (ck *ClusterKit) PrimaryEpoch(number int) (uint64, error) {
	var epoch C.uint64_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error {
		return takeError(C.ck_primary_epoch(cluster, numberOrNone(number), &epoch))
	})
	return uint64(epoch), err
}

// IsLeased is true while this node holds a lease, without which it is primary of nothing.
func (ck *ClusterKit) IsLeased() bool {
	return ck.handle.ask(func(cluster *C.ck_cluster_t) bool { return bool(C.ck_is_leased(cluster)) })
}

// ListPartitions are all partitions, by number.
func (ck *ClusterKit) ListPartitions() []*Partition { return slices.Collect(ck.Partitions()) }

// Partitions are all partitions, by number, from one view.
func (ck *ClusterKit) Partitions() iter.Seq[*Partition] {
	return func(yield func(*Partition) bool) {
		if view, err := ck.handle.view(); err == nil {
			view.Partitions()(yield)
		}
	}
}

// Nodes are the members, sorted by id, from one view.
func (ck *ClusterKit) Nodes() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if view, err := ck.handle.view(); err == nil {
			view.Nodes()(yield)
		}
	}
}

// GetPartitionsForNode are the partitions that a member takes the writes of or holds another copy of, by number.
func (ck *ClusterKit) GetPartitionsForNode(nodeID string) []*Partition {
	view, err := ck.handle.view()
	if err != nil {
		return nil
	}
	primary, replica, err := view.PartitionsOf(nodeID)
	if err != nil {
		return nil
	}
	numbers := append(primary, replica...)
	slices.Sort(numbers)
	partitions := make([]*Partition, 0, len(numbers))
	for _, number := range numbers {
		partitions = append(partitions, view.Partition(number))
	}
	return partitions
}

// PartitionStats says how the partitions are spread over the nodes.
type PartitionStats struct {
	TotalPartitions int `json:"total_partitions"`
	// PartitionsPerNode: of how many partitions each node takes the writes.
	PartitionsPerNode map[string]int `json:"partitions_per_node"`
	// ReplicasPerNode: how many other copies each node holds.
	ReplicasPerNode map[string]int `json:"replicas_per_node"`
}

// GetPartitionStats says how the partitions are spread over the nodes.
func (ck *ClusterKit) GetPartitionStats() *PartitionStats {
	stats := &PartitionStats{PartitionsPerNode: map[string]int{}, ReplicasPerNode: map[string]int{}}
	view, err := ck.handle.view()
	if err != nil {
		return stats
	}
	stats.TotalPartitions = view.PartitionCount()
	for node := range view.Nodes() {
		stats.PartitionsPerNode[node.ID], stats.ReplicasPerNode[node.ID] = 0, 0
	}
	for partition := range view.Partitions() {
		if partition.PrimaryNode != "" {
			stats.PartitionsPerNode[partition.PrimaryNode]++
		}
		for _, id := range partition.ReplicaNodes {
			stats.ReplicasPerNode[id]++
		}
	}
	return stats
}
