package clusterkit

// #include "glue.h"
import "C"

import "time"

// Metrics are counters and gauges of this node.
type Metrics struct {
	NodeCount      int `json:"node_count"`
	PartitionCount int `json:"partition_count"`
	// RequestCount is the number of HTTP requests answered by this node.
	RequestCount int64 `json:"request_count"`
	// ErrorCount is the number of those that were answered with a 4xx or 5xx status.
	ErrorCount int64 `json:"error_count"`
	// LastSync is when this node last heard from the leader, or led.
	LastSync time.Time `json:"last_sync"`
	IsLeader bool      `json:"is_leader"`
	// RaftState is "Leader", "Follower", "Candidate", "Learner" or "Shutdown".
	RaftState string `json:"raft_state"`
	// UptimeSeconds counts from the start of this node.
	UptimeSeconds int64 `json:"uptime_seconds"`
}

// HealthStatus is the health of this node.
type HealthStatus struct {
	// Healthy is true when it is a member, knows a leader and applies the log.
	Healthy        bool   `json:"healthy"`
	NodeID         string `json:"node_id"`
	NodeName       string `json:"node_name"`
	IsLeader       bool   `json:"is_leader"`
	NodeCount      int    `json:"node_count"`
	PartitionCount int    `json:"partition_count"`
	// RaftState is as in Metrics.
	RaftState string `json:"raft_state"`
	// LastSync is when this node last heard from the leader, or led.
	LastSync time.Time `json:"last_sync"`
	// Uptime is how long it has been running, such as "1h2m3.5s": time.ParseDuration reads it.
	Uptime string `json:"uptime"`
	// ElectionStretch is the factor by which the cluster stretches election timeouts: 1 on quiet machines.
	ElectionStretch int `json:"election_stretch"`
	// DelayMs is how late this node's timers and messages from the leader were recently, in milliseconds.
	DelayMs int64 `json:"delay_ms"`
	// Message says why it is not healthy; empty when it is.
	Message string `json:"message,omitempty"`
}

// NodeHealth is the health of a member, which the leader knows best.
type NodeHealth struct {
	NodeID string `json:"node_id"`
	// Failures is the number of heartbeats missed in a row.
	Failures int `json:"failures"`
	// LastSeen is when it was last heard from.
	LastSeen time.Time `json:"last_seen"`
	// Healthy is true when it is up and healthy.
	Healthy bool `json:"healthy"`
}

// What is said of a node that was closed.
const raftStateShutdown = "Shutdown"

// GetMetrics are counters and gauges of this node. Those of a closed node are zero.
func (ck *ClusterKit) GetMetrics() *Metrics {
	var metrics *C.ck_metrics_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error { return takeError(C.ck_metrics(cluster, &metrics)) })
	if err != nil {
		return &Metrics{RaftState: raftStateShutdown}
	}
	defer C.ck_metrics_free(metrics)
	return &Metrics{
		NodeCount:      int(metrics.node_count),
		PartitionCount: int(metrics.partition_count),
		RequestCount:   int64(metrics.request_count),
		ErrorCount:     int64(metrics.error_count),
		LastSync:       timeOf(metrics.last_sync_ms),
		IsLeader:       bool(metrics.is_leader),
		RaftState:      C.GoString(metrics.raft_state),
		UptimeSeconds:  int64(metrics.uptime_seconds),
	}
}

// HealthCheck is the health of this node. A closed node is not healthy.
func (ck *ClusterKit) HealthCheck() *HealthStatus {
	var health *C.ck_health_status_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error { return takeError(C.ck_health_check(cluster, &health)) })
	if err != nil {
		return &HealthStatus{NodeID: ck.id, RaftState: raftStateShutdown, Uptime: "0s", Message: err.Error()}
	}
	defer C.ck_health_status_free(health)
	return &HealthStatus{
		Healthy:         bool(health.healthy),
		NodeID:          C.GoString(health.node_id),
		NodeName:        C.GoString(health.node_name),
		IsLeader:        bool(health.is_leader),
		NodeCount:       int(health.node_count),
		PartitionCount:  int(health.partition_count),
		RaftState:       C.GoString(health.raft_state),
		LastSync:        timeOf(health.last_sync_ms),
		Uptime:          C.GoString(health.uptime),
		ElectionStretch: int(health.election_stretch),
		DelayMs:         int64(health.delay_ms),
		Message:         C.GoString(health.message),
	}
}

// GetNodeHealth is the health of a member, which the leader knows best.
//
// Errors: NOT_STARTED; NOT_FOUND when there is no such member.
func (ck *ClusterKit) GetNodeHealth(nodeID string) (*NodeHealth, error) {
	var health *C.ck_node_health_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error {
		text, length := textOf(nodeID)
		return takeError(C.ck_node_health(cluster, text, length, &health))
	})
	if err != nil {
		return nil, err
	}
	defer C.ck_node_health_free(health)
	return &NodeHealth{
		NodeID:   C.GoString(health.node_id),
		Failures: int(health.failures),
		LastSeen: timeOf(health.last_seen_ms),
		Healthy:  bool(health.healthy),
	}, nil
}

// HookStats are statistics of one hook since it was added.
type HookStats struct {
	// ID names the hook: [Hook.ID].
	ID uint64
	// Events are the kinds that it is called for.
	Events EventKind
	// Calls have ended, however; Failures did not return success. A panic of a hook of Go is one of them.
	Calls, Failures uint64
	// Panics are those of hooks in Rust; hooks of Go have none of them.
	Panics uint64
	// Retries are calls that were made again for a partition that this node gains.
	Retries uint64
	// Coalesced events were removed before they were told, because a later one made them pointless.
	Coalesced uint64
	// Queued events wait to be told; Running calls run.
	Queued, Running int
}

// HookStats are statistics of every hook of this node, in the order in which they were added.
func (ck *ClusterKit) HookStats() []HookStats {
	stats, err := ck.handle.hookStats()
	if err != nil {
		return nil
	}
	return stats
}

func (h *handle) hookStats() ([]HookStats, error) {
	var list *C.ck_hook_stats_list_t
	err := h.with(func(cluster *C.ck_cluster_t) error { return takeError(C.ck_hook_stats(cluster, &list)) })
	if err != nil {
		return nil, err
	}
	defer C.ck_hook_stats_free(list)
	read := make([]HookStats, 0, C.ck_hook_stats_count(list))
	for index := range cap(read) {
		stats := C.ck_hook_stats_get(list, C.size_t(index))
		read = append(read, HookStats{
			ID:        uint64(stats.hook),
			Events:    EventKind(stats.events),
			Calls:     uint64(stats.calls),
			Failures:  uint64(stats.failures),
			Panics:    uint64(stats.panics),
			Retries:   uint64(stats.retries),
			Coalesced: uint64(stats.coalesced),
			Queued:    int(stats.queued),
			Running:   int(stats.running),
		})
	}
	return read, nil
}
