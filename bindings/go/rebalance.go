package clusterkit

// #include "glue.h"
import "C"

import (
	"context"
	"time"
	"unsafe"
)

// RebalanceStatus says how partitions move.
type RebalanceStatus struct {
	// AnsweredBy is the node that this information comes from.
	AnsweredBy string `json:"answered_by"`
	// FromLeader is true when that is the leader. Other nodes know neither times nor attempts nor avoided copies.
	FromLeader bool `json:"from_leader"`
	// Revision is that of this information.
	Revision uint64 `json:"revision"`
	// Running is true while partitions are moving.
	Running bool `json:"running"`
	// Trigger is what caused the rebalance: one of the Trigger constants; empty when nothing moves.
	Trigger string `json:"trigger,omitempty"`
	// TriggerNodeID is the node that caused it; empty for one that was asked for, and when nothing moves.
	TriggerNodeID string `json:"trigger_node_id,omitempty"`
	// StartedAt is when it began; the zero time when none runs.
	StartedAt time.Time `json:"started_at,omitzero"`
	// PartitionsToMove is the number of partitions that were to change a holder or their primary.
	PartitionsToMove int `json:"partitions_to_move"`
	// Moved is the number of those that are where they should be, or were given up.
	Moved int `json:"moved"`
	// Maintenance is the reason of the maintenance during which nothing is moved; nil where there is none.
	Maintenance *string `json:"maintenance,omitempty"`
	// Migrations are the steps in progress, then the waiting ones: at most a thousand.
	Migrations []Migration `json:"migrations"`
	// MigrationsTotal is the number of all steps.
	MigrationsTotal int `json:"migrations_total"`
	// Away are the members that are away.
	Away []AwayNode `json:"away"`
	// Avoided are the abandoned copies, which are not tried again for a while.
	Avoided []AvoidedCopy `json:"avoided"`
}

// Migration is one step of a partition's migration.
type Migration struct {
	PartitionID string `json:"partition_id"`
	Number      int    `json:"number"`
	// From are the nodes that it can be copied from, or the node that gives up the role.
	From []string `json:"from"`
	// To gets the copy or the role.
	To string `json:"to"`
	// State is one of the Migration constants.
	State string `json:"state"`
	// Since is when the step began, by the leader's clock; the zero time when it has not, or the answer is not the leader's.
	Since time.Time `json:"since,omitzero"`
	// Attempts is how often the hook of the node that copies has failed.
	Attempts int `json:"attempts,omitempty"`
	// Reason is what the step waits for, or why its hook failed last; empty when it makes progress.
	Reason string `json:"reason,omitempty"`
}

// AwayNode is a member that is away and keeps its copies for now.
type AwayNode struct {
	Node string `json:"node"`
	// Since is when its absence began.
	Since time.Time `json:"since"`
	// ReplacedAfter is when its copies are made elsewhere; the zero time when the answer is not the leader's.
	ReplacedAfter time.Time `json:"replaced_after,omitzero"`
}

// AvoidedCopy is an abandoned copy, which is not planned on that node for a while.
type AvoidedCopy struct {
	PartitionID string `json:"partition_id"`
	Number      int    `json:"number"`
	// Node failed to copy it.
	Node string `json:"node"`
	// Times is how often the copy was abandoned; each time the node is avoided for twice as long.
	Times int `json:"times"`
	// Until is when the node is avoided no longer.
	Until time.Time `json:"until"`
}

// The state of a step of a migration.
const (
	// MigrationQueued: the node has as many copies in progress as it may.
	MigrationQueued = "queued"
	// MigrationCopying: the node has to copy the data.
	MigrationCopying = "copying"
	// MigrationRetrying: the node has to copy the data, its hook has failed, and the hook is called again.
	MigrationRetrying = "retrying"
	// MigrationNoSource: no node that is up has the data.
	MigrationNoSource = "no_source"
	// MigrationHandingOver: the copy is there; the primary role is taken from its holder and given to the other node.
	MigrationHandingOver = "handing_over"
)

var migrationStates = map[C.int32_t]string{
	C.CK_MIGRATION_QUEUED:       MigrationQueued,
	C.CK_MIGRATION_COPYING:      MigrationCopying,
	C.CK_MIGRATION_RETRYING:     MigrationRetrying,
	C.CK_MIGRATION_NO_SOURCE:    MigrationNoSource,
	C.CK_MIGRATION_HANDING_OVER: MigrationHandingOver,
}

// RebalanceStatus says how partitions move: as the leader knows it, or, when it does not answer in time, as this node does.
//
// Errors: NOT_STARTED, STOPPED.
func (ck *ClusterKit) RebalanceStatus() (*RebalanceStatus, error) {
	ctx, cancel := withDefaultTimeout()
	defer cancel()
	return ck.RebalanceStatusContext(ctx)
}

// RebalanceStatusContext is [ClusterKit.RebalanceStatus] until the context ends.
func (ck *ClusterKit) RebalanceStatusContext(ctx context.Context) (*RebalanceStatus, error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_rebalance_status(cluster, timeoutOf(ctx), user)
	})
	return told.status, err
}

// readRebalanceStatus copies a status of C's; nil for NULL.
func readRebalanceStatus(status *C.ck_rebalance_status_t) *RebalanceStatus {
	if status == nil {
		return nil
	}
	read := &RebalanceStatus{
		AnsweredBy:       C.GoString(status.answered_by),
		FromLeader:       bool(status.from_leader),
		Revision:         uint64(status.revision),
		Running:          bool(status.running),
		TriggerNodeID:    C.GoString(status.trigger_node_id),
		StartedAt:        timeOf(status.started_at_ms),
		PartitionsToMove: int(status.partitions_to_move),
		Moved:            int(status.moved),
		Migrations:       make([]Migration, 0, status.migration_count),
		MigrationsTotal:  int(status.migrations_total),
		Away:             make([]AwayNode, 0, status.away_count),
		Avoided:          make([]AvoidedCopy, 0, status.avoided_count),
	}
	if status.trigger != C.CK_TRIGGER_UNKNOWN {
		read.Trigger = nameOf(triggerNames, status.trigger)
	}
	if status.maintenance != nil {
		reason := C.GoString(status.maintenance)
		read.Maintenance = &reason
	}
	for _, step := range unsafe.Slice(status.migrations, status.migration_count) {
		read.Migrations = append(read.Migrations, Migration{
			PartitionID: PartitionID(int(step.partition)),
			Number:      int(step.partition),
			From:        textsOf(step.from, step.from_count),
			To:          C.GoString(step.to),
			State:       nameOf(migrationStates, step.state),
			Since:       timeOf(step.since_ms),
			Attempts:    int(step.attempts),
			Reason:      C.GoString(step.reason),
		})
	}
	for _, node := range unsafe.Slice(status.away, status.away_count) {
		read.Away = append(read.Away, AwayNode{
			Node:          C.GoString(node.node_id),
			Since:         timeOf(node.since_ms),
			ReplacedAfter: timeOf(node.replaced_after_ms),
		})
	}
	for _, copied := range unsafe.Slice(status.avoided, status.avoided_count) {
		read.Avoided = append(read.Avoided, AvoidedCopy{
			PartitionID: PartitionID(int(copied.partition)),
			Number:      int(copied.partition),
			Node:        C.GoString(copied.node_id),
			Times:       int(copied.times),
			Until:       timeOf(copied.until_ms),
		})
	}
	return read
}
