package clusterkit

// #include "glue.h"
import "C"

import "context"

// Change is what an administrative call did.
type Change struct {
	// Revision is that of the change.
	Revision uint64
	// Count is how many partitions there are, or move.
	Count int
}

// CreatePartitions creates the partitions where there are none, which a leader also does by itself. Any node may be asked.
//
// Errors: NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
func (ck *ClusterKit) CreatePartitions() error {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.CreatePartitionsContext(ctx)
}

// CreatePartitionsContext is [ClusterKit.CreatePartitions] until the context ends.
func (ck *ClusterKit) CreatePartitionsContext(ctx context.Context) error {
	_, err := ck.EnsurePartitions(ctx)
	return err
}

// EnsurePartitions is [ClusterKit.CreatePartitionsContext], and says how many partitions there are.
func (ck *ClusterKit) EnsurePartitions(ctx context.Context) (Change, error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_create_partitions(cluster, timeoutOf(ctx), user)
	})
	return Change{told.revision, told.count}, err
}

// RebalancePartitions plans a rebalance and begins it, which a leader also does by itself. Any node may be asked. The partitions
// move afterwards.
//
// Errors: NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
func (ck *ClusterKit) RebalancePartitions() error {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.RebalancePartitionsContext(ctx)
}

// RebalancePartitionsContext is [ClusterKit.RebalancePartitions] until the context ends.
func (ck *ClusterKit) RebalancePartitionsContext(ctx context.Context) error {
	_, err := ck.Rebalance(ctx)
	return err
}

// Rebalance is [ClusterKit.RebalancePartitionsContext], and says how many partitions move.
func (ck *ClusterKit) Rebalance(ctx context.Context) (Change, error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_rebalance(cluster, timeoutOf(ctx), user)
	})
	return Change{told.revision, told.count}, err
}

// RemoveNode removes a member for ever. It never gives up the data of a partition: see [ClusterKit.ForceRemoveNode].
//
// Errors: NOT_STARTED; NOT_FOUND; REFUSED for the leader, for the last member, and for the last one that counts as holding a
// partition's data; NO_LEADER, TIMEOUT, STOPPED.
func (ck *ClusterKit) RemoveNode(nodeID string) error {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.RemoveNodeContext(ctx, nodeID)
}

// RemoveNodeContext is [ClusterKit.RemoveNode] until the context ends.
func (ck *ClusterKit) RemoveNodeContext(ctx context.Context, nodeID string) error {
	_, err := ck.removeNode(ctx, nodeID, false)
	return err
}

// ForceRemoveNode is [ClusterKit.RemoveNodeContext] also where partitions lose their data by it. It returns the revision.
func (ck *ClusterKit) ForceRemoveNode(ctx context.Context, nodeID string) (revision uint64, err error) {
	return ck.removeNode(ctx, nodeID, true)
}

func (ck *ClusterKit) removeNode(ctx context.Context, nodeID string, force bool) (uint64, error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		text, length := textOf(nodeID)
		return C.ckgo_remove_node(cluster, text, length, C.bool(force), timeoutOf(ctx), user)
	})
	return told.revision, err
}

// RecoverPartition makes the copy on a member the data of a partition that is lost: docs/operations.md, "A partition is lost".
// force does so also where that member does not count as having held the data last.
//
// Errors: NOT_STARTED; NOT_FOUND; REFUSED where a node that is up holds the data, or that member is not up; NO_LEADER, TIMEOUT,
// STOPPED.
func (ck *ClusterKit) RecoverPartition(number int, from string, force bool) (revision uint64, err error) {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.RecoverPartitionContext(ctx, number, from, force)
}

// RecoverPartitionContext is [ClusterKit.RecoverPartition] until the context ends.
func (ck *ClusterKit) RecoverPartitionContext(ctx context.Context, number int, from string, force bool) (revision uint64, err error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		text, length := textOf(from)
		return C.ckgo_recover_partition(cluster, numberOrNone(number), text, length, C.bool(force), timeoutOf(ctx), user)
	})
	return told.revision, err
}

// BeginMaintenance begins maintenance, during which no partitions are moved and primaries still fail over. The reason is for
// people. It returns the revision.
//
// Errors: NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
func (ck *ClusterKit) BeginMaintenance(reason string) (revision uint64, err error) {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.BeginMaintenanceContext(ctx, reason)
}

// BeginMaintenanceContext is [ClusterKit.BeginMaintenance] until the context ends.
func (ck *ClusterKit) BeginMaintenanceContext(ctx context.Context, reason string) (revision uint64, err error) {
	return ck.maintenance(ctx, true, reason)
}

// EndMaintenance ends maintenance, also one that the cluster began by itself. It returns the revision.
//
// Errors: NOT_STARTED, NO_LEADER, TIMEOUT, STOPPED.
func (ck *ClusterKit) EndMaintenance() (revision uint64, err error) {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.EndMaintenanceContext(ctx)
}

// EndMaintenanceContext is [ClusterKit.EndMaintenance] until the context ends.
func (ck *ClusterKit) EndMaintenanceContext(ctx context.Context) (revision uint64, err error) {
	return ck.maintenance(ctx, false, "")
}

func (ck *ClusterKit) maintenance(ctx context.Context, begins bool, reason string) (uint64, error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		text, length := textOf(reason)
		return C.ckgo_maintenance(cluster, C.bool(begins), text, length, timeoutOf(ctx), user)
	})
	return told.revision, err
}

// ReportHealth tells every node how this node's application is: HealthHealthy, HealthDegraded or HealthFailing. It counts for the
// health of the cluster, not for the placement of partitions. The reason is for people. It does not wait: the next heartbeat
// carries it.
//
// Errors: INVALID_ARGUMENT.
func (ck *ClusterKit) ReportHealth(health, reason string) error {
	number := C.int32_t(C.CK_HEALTH_UNKNOWN)
	for known, name := range healthNames {
		if name == health {
			number = known
		}
	}
	return ck.handle.with(func(cluster *C.ck_cluster_t) error {
		text, length := textOf(reason)
		return takeError(C.ck_report_health(cluster, number, text, length))
	})
}
