package clusterkit_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// What programs for the Go ClusterKit call, with the types that they expect. It compiles, or it does not.
var (
	_ = []func(clusterkit.Options) (*clusterkit.ClusterKit, error){clusterkit.New, clusterkit.NewClusterKit}

	_ = []func(*clusterkit.ClusterKit) error{
		(*clusterkit.ClusterKit).Start, (*clusterkit.ClusterKit).Stop, (*clusterkit.ClusterKit).CreatePartitions,
		(*clusterkit.ClusterKit).RebalancePartitions, (*clusterkit.ClusterKit).Leave, (*clusterkit.ClusterKit).Close,
	}
	_ = []func(*clusterkit.ClusterKit, context.Context) error{
		(*clusterkit.ClusterKit).StartContext, (*clusterkit.ClusterKit).StopContext, (*clusterkit.ClusterKit).LeaveContext,
		(*clusterkit.ClusterKit).CreatePartitionsContext, (*clusterkit.ClusterKit).RebalancePartitionsContext,
	}
	_ = []func(*clusterkit.ClusterKit, string) (*clusterkit.Partition, error){
		(*clusterkit.ClusterKit).GetPartition, (*clusterkit.ClusterKit).GetPartitionForKey,
	}
	_ func(*clusterkit.ClusterKit, *clusterkit.Partition) *clusterkit.Node = (*clusterkit.ClusterKit).GetPrimary

	_ = []func(*clusterkit.ClusterKit, *clusterkit.Partition) []clusterkit.Node{
		(*clusterkit.ClusterKit).GetReplicas, (*clusterkit.ClusterKit).GetNodes,
	}
	_ = []func(*clusterkit.ClusterKit, *clusterkit.Partition) bool{
		(*clusterkit.ClusterKit).IsPrimary, (*clusterkit.ClusterKit).IsReplica,
	}
	_ func(*clusterkit.ClusterKit) string                            = (*clusterkit.ClusterKit).GetMyNodeID
	_ func(*clusterkit.ClusterKit, string) (*clusterkit.Node, error) = (*clusterkit.ClusterKit).GetPrimaryNode

	_ = []func(*clusterkit.ClusterKit, string) ([]clusterkit.Node, error){
		(*clusterkit.ClusterKit).GetReplicaNodes, (*clusterkit.ClusterKit).GetNodesForKey,
	}
	_ func(*clusterkit.ClusterKit, string) (*clusterkit.Node, []clusterkit.Node, error) = (*clusterkit.ClusterKit).GetAllNodesForKey

	_ = []func(*clusterkit.ClusterKit, string) (bool, error){
		(*clusterkit.ClusterKit).IsPrimaryForKey, (*clusterkit.ClusterKit).IsReplicaForKey,
	}
	_ func(*clusterkit.ClusterKit, string) (bool, string, error)                    = (*clusterkit.ClusterKit).ShouldHandleKey
	_ func(*clusterkit.ClusterKit, string) (bool, string, []clusterkit.Node, error) = (*clusterkit.ClusterKit).AmIResponsibleFor
	_ func(*clusterkit.ClusterKit) []*clusterkit.Partition                          = (*clusterkit.ClusterKit).ListPartitions
	_ func(*clusterkit.ClusterKit, string) []*clusterkit.Partition                  = (*clusterkit.ClusterKit).GetPartitionsForNode
	_ func(*clusterkit.ClusterKit) *clusterkit.PartitionStats                       = (*clusterkit.ClusterKit).GetPartitionStats
	_ func(*clusterkit.ClusterKit) *clusterkit.Cluster                              = (*clusterkit.ClusterKit).GetCluster
	_ func(*clusterkit.ClusterKit) *clusterkit.Metrics                              = (*clusterkit.ClusterKit).GetMetrics
	_ func(*clusterkit.ClusterKit) *clusterkit.HealthStatus                         = (*clusterkit.ClusterKit).HealthCheck
	_ func(*clusterkit.ClusterKit) *clusterkit.ConsensusManager                     = (*clusterkit.ClusterKit).GetConsensusManager
	_ func(*clusterkit.ClusterKit, string, []byte) error                            = (*clusterkit.ClusterKit).SetCustomData
	_ func(*clusterkit.ClusterKit, string) ([]byte, error)                          = (*clusterkit.ClusterKit).GetCustomData
	_ func(*clusterkit.ClusterKit) []string                                         = (*clusterkit.ClusterKit).ListCustomDataKeys
	_ func(*clusterkit.ClusterKit, string) (*clusterkit.NodeHealth, error)          = (*clusterkit.ClusterKit).GetNodeHealth
	_ func(*clusterkit.ClusterKit, context.Context, string, []byte) error           = (*clusterkit.ClusterKit).SetCustomDataContext
	_ func(*clusterkit.ClusterKit, context.Context, string) ([]byte, error)         = (*clusterkit.ClusterKit).GetCustomDataContext
	_ func(*clusterkit.ClusterKit, context.Context, string) error                   = (*clusterkit.ClusterKit).DeleteCustomDataContext

	_ = []func(*clusterkit.ClusterKit, string) error{
		(*clusterkit.ClusterKit).DeleteCustomData, (*clusterkit.ClusterKit).RemoveNode,
	}
	_ func(*clusterkit.Cluster, string) (*clusterkit.Node, error) = (*clusterkit.Cluster).GetNodeByID
	_ func(*clusterkit.Cluster) []clusterkit.Node                 = (*clusterkit.Cluster).ListNodes

	_ func(*clusterkit.ConsensusManager) bool                            = (*clusterkit.ConsensusManager).IsLeader
	_ func(*clusterkit.ConsensusManager) (*clusterkit.LeaderInfo, error) = (*clusterkit.ConsensusManager).GetLeader
	_ func(*clusterkit.ConsensusManager) uint64                          = (*clusterkit.ConsensusManager).GetCurrentTerm
	_ func(*clusterkit.ConsensusManager, time.Duration) error            = (*clusterkit.ConsensusManager).WaitForLeader
	_ func(*clusterkit.ConsensusManager) *clusterkit.ConsensusStats      = (*clusterkit.ConsensusManager).GetStats
	_ func(*clusterkit.ConsensusManager, string, string) error           = (*clusterkit.ConsensusManager).AddVoter
	_ func(*clusterkit.ConsensusManager, string) error                   = (*clusterkit.ConsensusManager).RemoveServer
	_ func(*clusterkit.ConsensusManager, string, interface{}) error      = (*clusterkit.ConsensusManager).ProposeAction

	// The fields, by the types that they have there.
	_ = clusterkit.Options{
		NodeID: "", NodeName: "", HTTPAddr: "", RaftAddr: "", JoinAddr: "", DataDir: "", ClusterName: "", KnownNodes: []string{},
		Bootstrap: false, SyncInterval: time.Second, PartitionCount: 0, ReplicationFactor: 0,
		Config:      &clusterkit.Config{ClusterName: "", PartitionCount: 0, ReplicationFactor: 0},
		HealthCheck: clusterkit.HealthCheckConfig{Enabled: true, Interval: time.Second, Timeout: time.Second, FailureThreshold: 3},
		Services:    map[string]string{}, Logger: clusterkit.Logger(nil),
	}
	_ = clusterkit.Node{ID: "", IP: "", Port: 0, Name: "", Status: "", Services: map[string]string{}}
	_ = clusterkit.Partition{ID: "", PrimaryNode: "", ReplicaNodes: []string{}}
	_ = clusterkit.PartitionMap{Partitions: map[string]*clusterkit.Partition{}}
	_ = clusterkit.Cluster{
		ID: "", Name: "", Nodes: []clusterkit.Node{}, NodeMap: map[string]*clusterkit.Node{},
		PartitionMap: &clusterkit.PartitionMap{}, Config: &clusterkit.Config{}, CustomData: map[string][]byte{},
	}
	_ = clusterkit.PartitionStats{TotalPartitions: 0, PartitionsPerNode: map[string]int{}, ReplicasPerNode: map[string]int{}}
	_ = clusterkit.Metrics{
		NodeCount: 0, PartitionCount: 0, RequestCount: int64(0), ErrorCount: int64(0), LastSync: time.Time{}, IsLeader: false,
		RaftState: "", UptimeSeconds: int64(0),
	}
	_ = clusterkit.HealthStatus{
		Healthy: false, NodeID: "", NodeName: "", IsLeader: false, NodeCount: 0, PartitionCount: 0, RaftState: "",
		LastSync: time.Time{}, Uptime: "",
	}
	_ = clusterkit.NodeHealth{NodeID: "", Failures: 0, LastSeen: time.Time{}, Healthy: false}
	_ = clusterkit.LeaderInfo{LeaderID: "", LeaderName: "", LeaderIP: "", Term: uint64(0), ElectedAt: time.Time{}}
	_ = clusterkit.ConsensusStats{
		State: "", Term: uint64(0), LastLogIndex: uint64(0), LastLogTerm: uint64(0), CommitIndex: uint64(0), AppliedIndex: uint64(0),
		NumPeers: 0, Leader: "", CurrentTerm: uint64(0), CurrentLeader: "", IsLeader: false,
	}
	_ = clusterkit.PartitionChangeEvent{
		PartitionID: "", CopyFromNodes: []*clusterkit.Node{}, CopyToNode: &clusterkit.Node{}, ChangeReason: "", OldPrimary: "",
		NewPrimary: "", Timestamp: time.Time{},
	}
	_ = clusterkit.NodeJoinEvent{Node: &clusterkit.Node{}, ClusterSize: 0, IsBootstrap: false, Timestamp: time.Time{}}
	_ = clusterkit.NodeRejoinEvent{
		Node: &clusterkit.Node{}, OfflineDuration: time.Second, LastSeenAt: time.Time{}, PartitionsBeforeLeave: []string{},
		Timestamp: time.Time{},
	}
	_ = clusterkit.NodeLeaveEvent{
		Node: &clusterkit.Node{}, Reason: "", PartitionsOwned: []string{}, PartitionsReplica: []string{}, Timestamp: time.Time{},
	}
	_ = clusterkit.RebalanceEvent{Trigger: "", TriggerNodeID: "", PartitionsToMove: 0, NodesAffected: []string{}, Timestamp: time.Time{}}
	_ = clusterkit.ClusterHealthEvent{
		HealthyNodes: 0, UnhealthyNodes: 0, TotalNodes: 0, Status: "", UnhealthyNodeIDs: []string{}, Timestamp: time.Time{},
	}

	_ = []any{
		clusterkit.PartitionChangeHook(func(*clusterkit.PartitionChangeEvent) {}),
		clusterkit.NodeJoinHook(func(*clusterkit.NodeJoinEvent) {}),
		clusterkit.NodeRejoinHook(func(*clusterkit.NodeRejoinEvent) {}),
		clusterkit.NodeLeaveHook(func(*clusterkit.NodeLeaveEvent) {}),
		clusterkit.RebalanceStartHook(func(*clusterkit.RebalanceEvent) {}),
		clusterkit.RebalanceCompleteHook(func(*clusterkit.RebalanceEvent, time.Duration) {}),
		clusterkit.ClusterHealthChangeHook(func(*clusterkit.ClusterHealthEvent) {}),
	}
)

// programsLogger is a Logger as programs write them.
type programsLogger struct{}

func (programsLogger) Info(msg string, args ...interface{})  {}
func (programsLogger) Warn(msg string, args ...interface{})  {}
func (programsLogger) Error(msg string, args ...interface{}) {}
func (programsLogger) Debug(msg string, args ...interface{}) {}

var _ clusterkit.Logger = programsLogger{}

// Programs add hooks by statements, look at no result, and read what lies behind pointers without asking for nil.
func TestHooksAreAddedAsProgramsAddThem(t *testing.T) {
	ck, err := clusterkit.NewClusterKit(clusterkit.Options{
		NodeID: "node-1", HTTPAddr: "127.0.0.1:0", AdvertiseAddr: "", InMemory: true,
		HealthCheck: clusterkit.HealthCheckConfig{Disabled: true}, Logger: programsLogger{},
	})
	must(t, err)
	defer ck.Close()
	told := make(chan string, 1000)
	ck.OnPartitionChange(func(event *clusterkit.PartitionChangeEvent) {
		for _, source := range event.CopyFromNodes {
			told <- source.IP
		}
		told <- event.CopyToNode.ID
	})
	ck.OnNodeJoin(func(event *clusterkit.NodeJoinEvent) { told <- event.Node.ID })
	ck.OnNodeRejoin(func(event *clusterkit.NodeRejoinEvent) { told <- event.Node.ID })
	ck.OnNodeLeave(func(event *clusterkit.NodeLeaveEvent) { told <- event.Node.IP + event.Reason })
	ck.OnRebalanceStart(func(event *clusterkit.RebalanceEvent) { told <- event.Trigger })
	ck.OnRebalanceComplete(func(event *clusterkit.RebalanceEvent, duration time.Duration) { told <- event.TriggerNodeID })
	ck.OnClusterHealthChange(func(event *clusterkit.ClusterHealthEvent) { told <- event.Status })
	must(t, ck.Start())
	for received(t, "a hook for this node", told) != "node-1" {
		continue
	}
}

// The forms of C that wait, or that look in a view, and have another form here.
var otherForms = map[string]string{
	"ck_client_read_barrier":      "ck_client_read_barrier_async",
	"ck_client_refresh":           "ck_client_refresh_async",
	"ck_client_wait_for_change":   "ck_client_wait_for_change_async",
	"ck_client_wait_for_revision": "ck_client_wait_for_revision_async",
	"ck_client_wait_ready":        "ck_client_wait_ready_async",
	"ck_create_partitions":        "ck_create_partitions_async",
	"ck_custom_data_delete":       "ck_custom_data_delete_async",
	"ck_custom_data_set":          "ck_custom_data_set_async",
	"ck_demote":                   "ck_demote_async",
	"ck_maintenance":              "ck_maintenance_async",
	"ck_promote":                  "ck_promote_async",
	"ck_read_barrier":             "ck_read_barrier_async",
	"ck_rebalance":                "ck_rebalance_async",
	"ck_rebalance_status":         "ck_rebalance_status_async",
	"ck_rebalance_status_free":    "ck_rebalance_status_async",
	"ck_recover_partition":        "ck_recover_partition_async",
	"ck_remove_node":              "ck_remove_node_async",
	"ck_step_down":                "ck_step_down_async",
	"ck_wait_for_leader":          "ck_wait_for_leader_async",
	"ck_wait_for_revision":        "ck_wait_for_revision_async",
	"ck_error_name":               "ck_error_code_name",
	"ck_is_primary_for_key":       "ck_is_primary",
	"ck_role_for_key":             "ck_role",
	"ck_partition_for_key":        "ck_partition_for",
	"ck_view_partition_for_key":   "ck_partition_for",
	"ck_view_role_for_key":        "ck_view_role",
	"ck_view_route_key":           "ck_view_role",
	"ck_view_find_node":           "ck_view_node",
	"ck_view_primary_for_key":     "ck_view_primary",
	"ck_view_nodes_for_key":       "ck_view_replica",
}

// Every function of the header is called by this package or by that for tests, or has another form here.
func TestEveryFunctionOfTheHeaderIsUsed(t *testing.T) {
	header := readFile(t, repository(t, "include/clusterkit.h"))
	declared := regexp.MustCompile(`(?m)^CK_API .*?\b(ck_\w+)\(`).FindAllStringSubmatch(header, -1)
	if len(declared) < 150 {
		t.Fatalf("only %d functions are found in the header", len(declared))
	}
	var own strings.Builder
	files, err := filepath.Glob("*.[gc]*")
	must(t, err)
	forTests, err := filepath.Glob("clustertest/*.[gc]*")
	must(t, err)
	for _, file := range append(files, forTests...) {
		if !strings.HasSuffix(file, "_test.go") && (strings.HasSuffix(file, ".go") || strings.HasSuffix(file, ".c")) {
			text, err := os.ReadFile(file)
			must(t, err)
			own.Write(text)
		}
	}
	used := map[string]bool{}
	for _, name := range regexp.MustCompile(`\bck_\w+`).FindAllString(own.String(), -1) {
		used[name] = true
	}
	for _, match := range declared {
		name := match[1]
		other, hasOther := otherForms[name]
		if !used[name] && !(hasOther && used[other]) {
			t.Errorf("%s has no form in Go", name)
		}
	}
}
