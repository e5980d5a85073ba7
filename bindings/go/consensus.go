package clusterkit

// #include "glue.h"
import "C"

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// ConsensusManager has what concerns the leader of the cluster.
type ConsensusManager struct{ ck *ClusterKit }

// GetConsensusManager has what concerns the leader of the cluster.
func (ck *ClusterKit) GetConsensusManager() *ConsensusManager { return &ConsensusManager{ck} }

// LeaderInfo is the leader.
type LeaderInfo struct {
	LeaderID string `json:"leader_id"`
	// LeaderName is for people.
	LeaderName string `json:"leader_name"`
	// LeaderIP is the "host:port" at which others reach it.
	LeaderIP string `json:"leader_ip"`
	// Term is the Raft term that it was elected in; no fencing token.
	Term uint64 `json:"term"`
	// ElectedAt is when it was elected.
	ElectedAt time.Time `json:"elected_at"`
	// Epoch is the leader epoch, a fencing token: it only grows.
	Epoch uint64 `json:"epoch"`
}

// ConsensusStats are Raft statistics of this node.
type ConsensusStats struct {
	// State is "Leader", "Follower", "Candidate", "Learner" or "Shutdown".
	State string `json:"state"`
	// Term is the Raft term.
	Term uint64 `json:"term"`
	// LastLogIndex and LastLogTerm are those of the last entry in the log.
	LastLogIndex uint64 `json:"last_log_index"`
	LastLogTerm  uint64 `json:"last_log_term"`
	// CommitIndex is the last index known to be committed, AppliedIndex the last one applied here.
	CommitIndex  uint64 `json:"commit_index"`
	AppliedIndex uint64 `json:"applied_index"`
	// NumPeers is the number of other nodes that take part in Raft.
	NumPeers int `json:"num_peers"`
	// Leader is the leader's node id; empty when none is known.
	Leader string `json:"leader"`
	// CurrentTerm is the same as Term, and CurrentLeader as Leader.
	CurrentTerm   uint64 `json:"current_term"`
	CurrentLeader string `json:"current_leader"`
	// IsLeader is true when this node leads.
	IsLeader bool `json:"is_leader"`
}

// IsLeader is true when this node leads the cluster at this moment: its leader lease runs, so nobody else can lead.
func (ck *ClusterKit) IsLeader() bool {
	if lane, cluster := ck.handle.enter(); lane != nil {
		is := bool(C.ck_is_leader(cluster))
		lane.leave()
		return is
	}
	return ck.handle.ask(func(cluster *C.ck_cluster_t) bool { return bool(C.ck_is_leader(cluster)) })
}

// LeaderEpoch is the leader epoch with which this node leads: a fencing token.
//
// Errors: NOT_STARTED, STOPPED, LEASE_EXPIRED when it does not lead.
func (ck *ClusterKit) LeaderEpoch() (uint64, error) {
	var epoch C.uint64_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error {
		return takeError(C.ck_leader_epoch(cluster, &epoch))
	})
	return uint64(epoch), err
}

// readLeader copies a leader of C's; nil for NULL.
func readLeader(leader *C.ck_leader_info_t) *LeaderInfo {
	if leader == nil {
		return nil
	}
	return &LeaderInfo{
		LeaderID:   C.GoString(leader.leader_id),
		LeaderName: C.GoString(leader.leader_name),
		LeaderIP:   C.GoString(leader.leader_ip),
		Term:       uint64(leader.term),
		ElectedAt:  timeOf(leader.elected_at_ms),
		Epoch:      uint64(leader.epoch),
	}
}

// Leader is the leader, as this node knows it; nil when it has had no contact with one for the duration of a lease.
func (ck *ClusterKit) Leader() (*LeaderInfo, error) {
	var leader *C.ck_leader_info_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error { return takeError(C.ck_leader(cluster, &leader)) })
	if err != nil {
		return nil, err
	}
	defer C.ck_leader_info_free(leader)
	return readLeader(leader), nil
}

// WaitForLeader waits until a leader is known.
//
// Errors: NOT_STARTED, NO_LEADER when there is none in time, STOPPED.
func (ck *ClusterKit) WaitForLeader(ctx context.Context) (*LeaderInfo, error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_wait_for_leader(cluster, timeoutOf(ctx), user)
	})
	return told.leader, err
}

// StepDown asks the leader to hand leadership to another voter, and returns the id of the leader afterwards. Any node may be
// asked.
//
// Errors: NOT_STARTED; REFUSED with the reason when no voter could take over; NO_LEADER; TIMEOUT.
func (ck *ClusterKit) StepDown() (leader string, err error) {
	return ck.StepDownContext(context.Background())
}

// StepDownContext is [ClusterKit.StepDown] until the context ends. It takes a few seconds at most.
func (ck *ClusterKit) StepDownContext(ctx context.Context) (leader string, err error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_step_down(cluster, user)
	})
	return told.nodeID, err
}

// Promote asks the leader to hand leadership to a certain voter, and returns the id of the leader afterwards.
//
// Errors: as [ClusterKit.StepDown]; NOT_FOUND when there is no such member.
func (ck *ClusterKit) Promote(nodeID string) (leader string, err error) {
	return ck.PromoteContext(context.Background(), nodeID)
}

// PromoteContext is [ClusterKit.Promote] until the context ends. It takes a few seconds at most.
func (ck *ClusterKit) PromoteContext(ctx context.Context, nodeID string) (leader string, err error) {
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		text, length := textOf(nodeID)
		return C.ckgo_promote(cluster, text, length, user)
	})
	return told.nodeID, err
}

// Demote is [ClusterKit.StepDown], after which the former leader does not stand for election by itself for a while, an hour at
// most.
//
// Errors: as [ClusterKit.StepDown]; INVALID_ARGUMENT.
func (ck *ClusterKit) Demote(cooldown time.Duration) (leader string, err error) {
	return ck.DemoteContext(context.Background(), cooldown)
}

// DemoteContext is [ClusterKit.Demote] until the context ends. It takes a few seconds at most.
func (ck *ClusterKit) DemoteContext(ctx context.Context, cooldown time.Duration) (leader string, err error) {
	if cooldown < 0 {
		return "", invalidArgument("the cooldown " + cooldown.String() + " is negative")
	}
	told, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_demote(cluster, millisOf(cooldown), user)
	})
	return told.nodeID, err
}

// IsLeader is [ClusterKit.IsLeader].
func (cm *ConsensusManager) IsLeader() bool { return cm.ck.IsLeader() }

// GetLeader is the leader, as this node knows it.
//
// Errors: NO_LEADER when it has had no contact with one for the duration of a lease.
func (cm *ConsensusManager) GetLeader() (*LeaderInfo, error) {
	leader, err := cm.ck.Leader()
	if err == nil && leader == nil {
		err = &Error{Code: CodeNoLeader, Message: "no leader is known at this moment", Retriable: true}
	}
	return leader, err
}

// GetCurrentTerm is the Raft term; no fencing token.
func (cm *ConsensusManager) GetCurrentTerm() uint64 { return cm.GetStats().Term }

// WaitForLeader waits until a leader is known.
//
// Errors: NOT_STARTED, NO_LEADER when there is none in time, STOPPED.
func (cm *ConsensusManager) WaitForLeader(timeout time.Duration) error {
	// The library has the timeout, and a little more passes before the context would speak first and say less.
	ctx, cancel := context.WithTimeout(context.Background(), timeout+time.Second)
	defer cancel()
	_, err := cm.ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_wait_for_leader(cluster, millisOf(timeout), user)
	})
	return err
}

// GetStats are Raft statistics of this node. A closed node is shut down.
func (cm *ConsensusManager) GetStats() *ConsensusStats {
	var stats *C.ck_consensus_stats_t
	err := cm.ck.handle.with(func(cluster *C.ck_cluster_t) error { return takeError(C.ck_consensus_stats(cluster, &stats)) })
	if err != nil {
		return &ConsensusStats{State: raftStateShutdown}
	}
	defer C.ck_consensus_stats_free(stats)
	return &ConsensusStats{
		State:         C.GoString(stats.state),
		Term:          uint64(stats.term),
		LastLogIndex:  uint64(stats.last_log_index),
		LastLogTerm:   uint64(stats.last_log_term),
		CommitIndex:   uint64(stats.commit_index),
		AppliedIndex:  uint64(stats.applied_index),
		NumPeers:      int(stats.num_peers),
		Leader:        C.GoString(stats.leader),
		CurrentTerm:   uint64(stats.term),
		CurrentLeader: C.GoString(stats.leader),
		IsLeader:      bool(stats.is_leader),
	}
}

// AddVoter is for programs that know it from other libraries: ClusterKit's nodes join by themselves, and the leader makes
// voters of them, up to the option max_voters. So it adds nobody; nil says that the node is a voter. addr is not looked at.
//
// Errors: NOT_FOUND when there is no such member; REFUSED while it is none.
func (cm *ConsensusManager) AddVoter(nodeID, addr string) error {
	view, err := cm.ck.View()
	if err != nil {
		return err
	}
	node := view.Node(nodeID)
	if node == nil {
		message := fmt.Sprintf("%s is no member: a node joins by itself, through the members that its option join_addrs names",
			strconv.Quote(nodeID))
		return &Error{Code: CodeNotFound, Message: message}
	}
	if !node.Voter {
		message := fmt.Sprintf("%s is a member and no voter: the leader makes voters by itself, up to the option max_voters",
			strconv.Quote(nodeID))
		return &Error{Code: CodeRefused, Message: message, Retriable: true}
	}
	return nil
}

// RemoveServer is [ClusterKit.RemoveNode].
func (cm *ConsensusManager) RemoveServer(nodeID string) error { return cm.ck.RemoveNode(nodeID) }

// actionData is what the actions of ProposeAction take.
type actionData struct {
	ID     string `json:"id"`
	NodeID string `json:"node_id"`
	Key    string `json:"key"`
	Value  []byte `json:"value"`
}

// ProposeAction makes a change by its name, for programs that know it from other libraries: "create_partitions",
// "rebalance_partitions", "remove_node" with a node's id, "set_custom_data" with key and value, and "delete_custom_data" with a
// key. data is a string (the id, or the key), or whatever encodes as a JSON object with id or node_id, key, and value in base64.
//
// Errors: INVALID_ARGUMENT for any other action; those of the call.
func (cm *ConsensusManager) ProposeAction(action string, data interface{}) error {
	var read actionData
	if text, ok := data.(string); ok {
		read = actionData{ID: text, Key: text}
	} else if data != nil {
		encoded, err := json.Marshal(data)
		if err == nil {
			err = json.Unmarshal(encoded, &read)
		}
		if err != nil {
			return invalidArgument("the data of the action " + strconv.Quote(action) + ": " + err.Error())
		}
	}
	switch action {
	case "create_partitions":
		return cm.ck.CreatePartitions()
	case "rebalance_partitions", "rebalance":
		return cm.ck.RebalancePartitions()
	case "remove_node":
		return cm.ck.RemoveNode(cmp.Or(read.ID, read.NodeID))
	case "set_custom_data":
		return cm.ck.SetCustomData(read.Key, read.Value)
	case "delete_custom_data":
		return cm.ck.DeleteCustomData(read.Key)
	}
	return invalidArgument("there is no action " + strconv.Quote(action))
}
