package clusterkit

// #include "glue.h"
import "C"

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Cluster is the whole cluster at one revision, with everything in it copied: it is the caller's to change.
type Cluster struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Nodes        []Node            `json:"nodes"`
	NodeMap      map[string]*Node  `json:"-"`
	PartitionMap *PartitionMap     `json:"partition_map"`
	Config       *Config           `json:"config"`
	CustomData   map[string][]byte `json:"custom_data,omitempty"`
	Revision     uint64            `json:"revision"`
	// Leader is the leader's id; empty when this node has had no contact with one for the duration of a lease: then the rest is
	// as old, too.
	Leader string `json:"leader"`
	// Epoch is the leader epoch.
	Epoch uint64 `json:"epoch"`
	// Maintenance is that during which nothing is moved; nil where there is none.
	Maintenance *Maintenance `json:"maintenance,omitempty"`
	// LostPartitions have lost their data: no node that is up holds it.
	LostPartitions []string `json:"lost_partitions,omitempty"`
}

// PartitionMap has the partitions by their ids.
type PartitionMap struct {
	Partitions map[string]*Partition `json:"partitions"`
}

// Maintenance is a time in which no partitions are moved.
type Maintenance struct {
	Reason string `json:"reason"`
	// Automatic is true when the cluster began it by itself.
	Automatic bool `json:"automatic"`
}

// Config is what all nodes of a cluster have in common. As an option, a field that is zero leaves the choice to the cluster.
type Config struct {
	ClusterName       string `json:"cluster_name"`
	PartitionCount    int    `json:"partition_count"`
	ReplicationFactor int    `json:"replication_factor"`
	// Those of the cluster's values that are fixed when it is founded, in milliseconds; as an option they are not looked at.
	LeaseTTLMs        int64 `json:"lease_ttl_ms,omitempty"`
	FailureTimeoutMs  int64 `json:"failure_timeout_ms,omitempty"`
	ElectionTimeoutMs int64 `json:"election_timeout_ms,omitempty"`
}

// LeaseTTL is how long a lease lasts in the cluster.
func (c *Config) LeaseTTL() time.Duration { return time.Duration(c.LeaseTTLMs) * time.Millisecond }

// GetCluster is the whole cluster, custom data included, which takes time in proportion to all of it: [ClusterKit.View] has the
// rest for less. It is never nil; that of a closed node is empty.
func (ck *ClusterKit) GetCluster() *Cluster {
	cluster := &Cluster{}
	if text, err := ck.ClusterJSON(); err == nil {
		// It is the library's own JSON: what does not fit in here is left out, and a test looks that nothing is.
		_ = json.Unmarshal(text, cluster)
	}
	if cluster.Nodes == nil {
		cluster.Nodes = []Node{}
	}
	if cluster.PartitionMap == nil {
		cluster.PartitionMap = &PartitionMap{}
	}
	if cluster.PartitionMap.Partitions == nil {
		cluster.PartitionMap.Partitions = map[string]*Partition{}
	}
	if cluster.Config == nil {
		cluster.Config = &Config{}
	}
	if cluster.CustomData == nil {
		cluster.CustomData = map[string][]byte{}
	}
	cluster.NodeMap = make(map[string]*Node, len(cluster.Nodes))
	for i := range cluster.Nodes {
		cluster.NodeMap[cluster.Nodes[i].ID] = &cluster.Nodes[i]
	}
	return cluster
}

// ClusterJSON is the whole cluster as GET /cluster?include=custom_data has it.
func (ck *ClusterKit) ClusterJSON() ([]byte, error) {
	var text *C.ck_text_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error { return takeError(C.ck_cluster_json(cluster, &text)) })
	if err != nil {
		return nil, err
	}
	return []byte(takeText(text)), nil
}

// GetNodeByID is the member with an id.
//
// Errors: NOT_FOUND.
func (c *Cluster) GetNodeByID(id string) (*Node, error) {
	if node, ok := c.NodeMap[id]; ok {
		return node, nil
	}
	// A cluster that was decoded from JSON has no map.
	if index := slices.IndexFunc(c.Nodes, func(node Node) bool { return node.ID == id }); index >= 0 {
		return &c.Nodes[index], nil
	}
	return nil, &Error{Code: CodeNotFound, Message: "there is no member " + strconv.Quote(id)}
}

// ListNodes are the members, sorted by id.
func (c *Cluster) ListNodes() []Node { return slices.Clone(c.Nodes) }

// ListPartitions are the partitions, by number.
func (c *Cluster) ListPartitions() []*Partition {
	if c.PartitionMap == nil {
		return nil
	}
	partitions := slices.Collect(maps.Values(c.PartitionMap.Partitions))
	slices.SortFunc(partitions, func(a, b *Partition) int { return a.Number - b.Number })
	return partitions
}
