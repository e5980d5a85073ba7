package clusterkit_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

func TestKeysBelongWhereTheVectorsSay(t *testing.T) {
	var vectors struct {
		Counts []int `json:"partition_counts"`
		Keys   []struct {
			Hex        string `json:"hex"`
			Partitions []int  `json:"partitions"`
		} `json:"keys"`
	}
	must(t, json.Unmarshal([]byte(readFile(t, repository(t, "tests/vectors/keys.json"))), &vectors))
	if len(vectors.Keys) < 100 {
		t.Fatal("there are few vectors")
	}
	for i, count := range vectors.Counts {
		var keys []string
		var want []int
		for _, vector := range vectors.Keys {
			key, err := hex.DecodeString(vector.Hex)
			must(t, err)
			if found := clusterkit.PartitionFor(string(key), count); found != vector.Partitions[i] {
				t.Errorf("%s among %d is in %d instead of %d", vector.Hex, count, found, vector.Partitions[i])
			}
			keys, want = append(keys, string(key)), append(want, vector.Partitions[i])
		}
		if found := clusterkit.PartitionsFor(keys, count); !slices.Equal(found, want) {
			t.Errorf("many keys at once among %d are elsewhere", count)
		}
	}
}

func TestPartitionsHaveNames(t *testing.T) {
	number, err := clusterkit.PartitionNumber("partition-5")
	must(t, err)
	if number != 5 || clusterkit.PartitionID(5) != "partition-5" {
		t.Error(number)
	}
	for _, name := range []string{"", "partition-", "partition-05", "partition-x", "Partition-5", "partition-99999999999"} {
		_, err := clusterkit.PartitionNumber(name)
		is(t, err, clusterkit.ErrInvalidArgument)
	}
	if clusterkit.PartitionFor("key", 0) != 0 || clusterkit.PartitionFor("key", -1) != 0 {
		t.Error("no partition is 0")
	}
	if found := clusterkit.PartitionsFor([]string{"a", "", "c"}, 0); !slices.Equal(found, []int{0, 0, 0}) {
		t.Error(found)
	}
	if found := clusterkit.PartitionsFor(nil, 8); len(found) != 0 {
		t.Error(found)
	}
}

// All ways to ask where a key belongs give one answer.
func TestLookupsAgree(t *testing.T) {
	nodes := cluster(t, 3)
	ck := nodes[1]
	roles := map[clusterkit.Role]int{}
	for i := range 50 {
		key := fmt.Sprint("key-", i)
		var role clusterkit.Role
		var disagreement error
		// On a slow machine a lease may end, and a role move, between two of the questions.
		until(t, "all answers about "+key+" agree", func() bool {
			role, disagreement = lookupsOf(ck, key)
			if disagreement != nil {
				t.Log(disagreement)
			}
			return disagreement == nil
		})
		roles[role]++
	}
	if roles[clusterkit.RolePrimary] == 0 || roles[clusterkit.RoleReplica] == 0 {
		t.Error(roles)
	}
	_, err := ck.PrimaryEpoch(8)
	is(t, err, clusterkit.ErrNotFound)
	_, err = ck.PrimaryEpoch(-1)
	is(t, err, clusterkit.ErrNotFound)
	if ck.Role(8) != clusterkit.RoleNone || ck.Role(-1) != clusterkit.RoleNone || ck.IsPrimaryOf(1<<40) {
		t.Error("a partition that is not there")
	}
}

// lookupsOf asks node-2 of three about a key in every way, and says where two answers do not agree.
func lookupsOf(ck *clusterkit.ClusterKit, key string) (clusterkit.Role, error) {
	none := clusterkit.RoleNone
	partition, err := ck.GetPartition(key)
	again, err1 := ck.GetPartitionForKey(key)
	primary, replicas, err2 := ck.GetAllNodesForKey(key)
	one, err3 := ck.GetPrimaryNode(key)
	others, err4 := ck.GetReplicaNodes(key)
	all, err5 := ck.GetNodesForKey(key)
	if err := errors.Join(err, err1, err2, err3, err4, err5); err != nil {
		return none, err
	}
	if partition.Number != clusterkit.PartitionFor(key, 8) || partition.ID != clusterkit.PartitionID(partition.Number) {
		return none, fmt.Errorf("it is in %+v", partition)
	}
	ids := append([]string{primary.ID}, partition.ReplicaNodes...)
	if again.ID != partition.ID || primary.ID != partition.PrimaryNode || one.ID != primary.ID || len(replicas) != 2 ||
		!slices.Equal(idsOf(others), partition.ReplicaNodes) || !slices.Equal(idsOf(all), ids) {
		return none, fmt.Errorf("nodes by the key: %v %v %v %v %v %v", partition, again, primary, replicas, others, all)
	}
	if ck.GetPrimary(partition).ID != primary.ID || !slices.Equal(idsOf(ck.GetReplicas(partition)), idsOf(others)) ||
		!slices.Equal(idsOf(ck.GetNodes(partition)), ids) {
		return none, errors.New("nodes by the partition are others")
	}
	should, role, responsible, err := ck.AmIResponsibleFor(key)
	handles, sameRole, err1 := ck.ShouldHandleKey(key)
	isPrimary, err2 := ck.IsPrimaryForKey(key)
	isReplica, err3 := ck.IsReplicaForKey(key)
	route, err4 := ck.Lookup(key)
	if err := errors.Join(err, err1, err2, err3, err4); err != nil {
		return none, err
	}
	if !should || !handles || role != sameRole || len(responsible) != 3 || isPrimary == isReplica ||
		isPrimary != (role == "primary") || isPrimary != (primary.ID == "node-2") || ck.IsPrimary(partition) != isPrimary ||
		ck.IsReplica(partition) != isReplica || ck.Role(partition.Number) != route.Role || !ck.IsLeased() {
		return none, fmt.Errorf("roles: %v %v %q %q %v %v %v", should, handles, role, sameRole, responsible, isPrimary, isReplica)
	}
	if route.Partition.ID != partition.ID || route.Role.String() != role || route.Epoch != partition.Epoch ||
		route.Primary.ID != primary.ID || len(route.Replicas) != 2 || route.Revision == 0 {
		return none, fmt.Errorf("the route: %+v", route)
	}
	epoch, err := ck.PrimaryEpoch(partition.Number)
	if isPrimary && (err != nil || epoch != partition.Epoch) || !isPrimary && !errors.Is(err, clusterkit.ErrConflict) {
		return none, fmt.Errorf("the epoch: %d, %w", epoch, err)
	}
	return route.Role, nil
}

func idsOf(nodes []clusterkit.Node) []string {
	var ids []string
	for _, node := range nodes {
		ids = append(ids, node.ID)
	}
	return ids
}

// A partition that came from elsewhere, out of JSON say, has the present records of the nodes that it names.
func TestAPartitionMadeByHandIsLookedUp(t *testing.T) {
	nodes := cluster(t, 2)
	known, err := nodes[0].GetPartition("key")
	must(t, err)
	made := &clusterkit.Partition{ID: known.ID, PrimaryNode: known.PrimaryNode, ReplicaNodes: append(known.ReplicaNodes, "gone")}
	if primary := nodes[0].GetPrimary(made); primary == nil || primary.IP == "" || primary.ID != known.PrimaryNode {
		t.Error(primary)
	}
	if replicas := nodes[0].GetReplicas(made); len(replicas) != 1 || replicas[0].ID != known.ReplicaNodes[0] {
		t.Error(replicas)
	}
	if len(nodes[0].GetNodes(made)) != 2 {
		t.Error(nodes[0].GetNodes(made))
	}
	if nodes[0].IsPrimary(made) == nodes[1].IsPrimary(made) || nodes[0].IsReplica(made) == nodes[1].IsReplica(made) {
		t.Error("one node is primary, the other holds a copy")
	}
	for _, none := range []*clusterkit.Partition{nil, {}, {ID: "partition-x"}} {
		if nodes[0].GetPrimary(none) != nil || len(nodes[0].GetNodes(none)) != 0 || nodes[0].IsPrimary(none) || nodes[0].IsReplica(none) {
			t.Error("no partition has nodes")
		}
	}
}

func TestAViewAgreesWithHTTP(t *testing.T) {
	nodes := cluster(t, 3, func(o *clusterkit.Options) {
		o.Services, o.Labels, o.Zone = map[string]string{"kv": ":9080"}, map[string]string{"rack": "r1"}, "eu-"+o.NodeID
	})
	ck := nodes[0]
	stats := struct {
		Total     int            `json:"total_partitions"`
		Primaries map[string]int `json:"partitions_per_node"`
		Replicas  map[string]int `json:"replicas_per_node"`
	}{}
	get(t, ck, "/partitions/stats", &stats)
	own := ck.GetPartitionStats()
	if own.TotalPartitions != stats.Total || fmt.Sprint(own.PartitionsPerNode) != fmt.Sprint(stats.Primaries) ||
		fmt.Sprint(own.ReplicasPerNode) != fmt.Sprint(stats.Replicas) {
		t.Errorf("%+v and %+v", own, stats)
	}

	var listed struct {
		Partitions []clusterkit.Partition `json:"partitions"`
	}
	get(t, ck, "/partitions", &listed)
	view, err := ck.View()
	must(t, err)
	var partitions []clusterkit.Partition
	for partition := range view.Partitions() {
		partitions = append(partitions, *partition)
	}
	if want, found := asJSON(t, listed.Partitions), asJSON(t, partitions); want != found {
		t.Errorf("HTTP has %s\nthe view %s", want, found)
	}

	var whole struct {
		Cluster clusterkit.Cluster `json:"cluster"`
	}
	get(t, ck, "/cluster", &whole)
	nodesOfView := slices.Collect(view.Nodes())
	if want, found := asJSON(t, whole.Cluster.Nodes), asJSON(t, nodesOfView); want != found {
		t.Errorf("HTTP has %s\nthe view %s", want, found)
	}
	text, err := view.JSON()
	must(t, err)
	var fromView clusterkit.Cluster
	must(t, json.Unmarshal(text, &fromView))
	if view.NodeCount() != 3 || view.PartitionCount() != 8 || fromView.ID != whole.Cluster.ID || fromView.ID == "" {
		t.Error(string(text))
	}
	if view.MyNode().ID != "node-1" || view.Node("node-2").Zone != "eu-node-2" || view.Node("node-9") != nil ||
		view.Node("node-3").Services["kv"] != ":9080" || view.Node("node-3").Labels["rack"] != "r1" {
		t.Error(nodesOfView)
	}
	leader, err := ck.WaitForLeader(soon(t))
	must(t, err)
	if view.Leader().ID != leader.LeaderID || view.LeaderEpoch() != leader.Epoch || view.LeaderTerm() != leader.Term ||
		!view.LeaderElectedAt().Equal(leader.ElectedAt) {
		t.Error(view.Leader(), leader)
	}
	if view.ReplicationFactor() != 3 || view.LeaseTTL() != whole.Cluster.Config.LeaseTTL() || view.LeaseTTL() == 0 {
		t.Error(view.ReplicationFactor(), view.LeaseTTL())
	}
	if on, automatic := view.Maintenance(); on || automatic || len(view.LostPartitions()) != 0 {
		t.Error("all is well")
	}
	primary, replica, err := view.PartitionsOf("node-2")
	must(t, err)
	if len(primary)+len(replica) != 8 || view.PrimariesOf("node-2") != len(primary) || view.PrimariesOf("node-9") != 0 ||
		len(ck.GetPartitionsForNode("node-2")) != 8 || len(ck.GetPartitionsForNode("node-9")) != 0 {
		t.Error(primary, replica)
	}
	_, _, err = view.PartitionsOf("node-9")
	is(t, err, clusterkit.ErrNotFound)
	for number := range 8 {
		partition := view.Partition(number)
		role := view.Role(number)
		if (partition.PrimaryNode == "node-1") != (role == clusterkit.RolePrimary) || role == clusterkit.RoleNone ||
			view.PartitionByID(partition.ID) != partition {
			t.Error(partition, role)
		}
	}
	if view.Partition(8) != nil || view.Partition(-1) != nil || view.PartitionByID("x") != nil || view.Role(8) != clusterkit.RoleNone {
		t.Error("a partition that is not there")
	}
	keys := []string{"a", "", "key-3"}
	numbers, err := view.PartitionsForKeys(keys)
	must(t, err)
	again, err := ck.PartitionsForKeys(keys)
	must(t, err)
	for i, key := range keys {
		partition, err := view.PartitionForKey(key)
		must(t, err)
		route, err := view.Route(key)
		must(t, err)
		if partition.Number != numbers[i] || again[i] != numbers[i] || route.Partition != partition ||
			route.Role != view.RoleForKey(key) || view.PrimaryForKey(key).ID != partition.PrimaryNode ||
			len(view.NodesForKey(key)) != 3 || route.Revision != view.Revision() {
			t.Error(key, partition, numbers, route)
		}
	}
}

// get reads what a node answers over HTTP.
func get(t testing.TB, ck *clusterkit.ClusterKit, path string, into any) {
	t.Helper()
	address, err := ck.HTTPAddr()
	must(t, err)
	answer, err := http.Get("http://" + address + path)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	must(t, json.Unmarshal(text, into))
}

func asJSON(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	must(t, err)
	return string(text)
}

func TestBeforeThereIsAClusterNothingIsFound(t *testing.T) {
	ck := made(t, "node-1")
	for i, err := range []error{
		second(ck.GetPartition("k")), second(ck.Lookup("k")), second(ck.GetPrimaryNode("k")), second(ck.IsPrimaryForKey("k")),
		second(ck.RoleForKey("k")), second(ck.GetNodesForKey("k")), second(ck.GetReplicaNodes("k")), second(ck.HTTPAddr()),
		second(ck.PrimaryEpoch(0)), second(ck.LeaderEpoch()), second(ck.GetCustomData("k")), ck.SetCustomData("k", nil),
		second(ck.GetNodeHealth("node-1")), second(ck.ReadBarrier()), ck.WaitForRevision(1),
	} {
		if !errors.Is(err, clusterkit.ErrNotStarted) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if len(ck.ListPartitions()) != 0 || ck.IsLeader() || ck.IsLeased() || len(ck.ListCustomDataKeys()) != 0 {
		t.Error("there is something")
	}
	view, err := ck.View()
	must(t, err)
	_, err = view.PartitionForKey("k")
	is(t, err, clusterkit.ErrNotFound)
	_, err = view.PartitionsForKeys([]string{"k"})
	is(t, err, clusterkit.ErrNotFound)
	_, err = view.Route("k")
	is(t, err, clusterkit.ErrNotFound)
	if view.PrimaryForKey("k") != nil || view.NodesForKey("k") != nil || view.RoleForKey("k") != clusterkit.RoleNone ||
		view.MyNode() != nil || view.Leader() != nil || view.LeaderEpoch() != 0 || !view.LeaderElectedAt().IsZero() {
		t.Error("there is something in the view")
	}
	stats := ck.GetPartitionStats()
	if stats.TotalPartitions != 0 || len(ck.GetCluster().Nodes) != 0 {
		t.Error(stats)
	}
	_, err = ck.GetConsensusManager().GetLeader()
	is(t, err, clusterkit.ErrNoLeader)
}

func second[T any](_ T, err error) error { return err }

// A view is what it was, whatever happens afterwards; a lookup sees what has happened before it.
func TestViewsDoNotChangeAndLookupsDo(t *testing.T) {
	first := founded(t, "node-1")
	before, err := first.View()
	must(t, err)
	partition, err := first.GetPartition("key")
	must(t, err)
	other := started(t, "node-2", joining(t, first))
	until(t, "both hold everything", func() bool { return isSpread(first, 2) })
	if before.NodeCount() != 1 || len(before.PartitionByID(partition.ID).ReplicaNodes) != 0 || len(partition.ReplicaNodes) != 0 {
		t.Error("an old view has changed")
	}
	// What was waited for is seen by a lookup that follows.
	for i := range 100 {
		revision, err := other.CompareAndSetCustomData(soon(t), "k", []byte(fmt.Sprint(i)), clusterkit.ExpectAny)
		must(t, err)
		must(t, other.WaitForRevision(revision))
		view, err := other.View()
		must(t, err)
		if view.Revision() < revision {
			t.Fatalf("the view is of revision %d after the write of %d", view.Revision(), revision)
		}
	}
}

// Many goroutines look up while the cluster changes: each answer is one of the cluster's.
func TestLookupsFromManyGoroutines(t *testing.T) {
	nodes := cluster(t, 2)
	ck := nodes[0]
	var stop atomic.Bool
	var group sync.WaitGroup
	var looked atomic.Int64
	for g := range 80 {
		group.Add(1)
		go func() {
			defer group.Done()
			var last uint64
			for i := 0; !stop.Load(); i++ {
				key := fmt.Sprint(g, "-", i)
				partition, err := ck.GetPartition(key)
				if err != nil || partition.Number != clusterkit.PartitionFor(key, 8) {
					t.Error(partition, err)
					return
				}
				route, err := ck.Lookup(key)
				if err != nil || route.Revision < last || route.Role == clusterkit.RolePrimary && route.Primary.ID != "node-1" {
					t.Error(route, err, last)
					return
				}
				last = route.Revision
				ck.IsPrimary(partition)
				looked.Add(1)
				if i%10 == 9 {
					// The nodes need the processors, too.
					time.Sleep(5 * time.Millisecond)
				}
			}
		}()
	}
	for i := range 20 {
		must(t, nodes[1].SetCustomData("k", []byte(fmt.Sprint(i))))
	}
	third := started(t, "node-3", joining(t, ck))
	until(t, "the third holds everything, too", func() bool { return isSpread(third, 3) })
	until(t, "a good number of lookups", func() bool { return looked.Load() > 1000 })
	stop.Store(true)
	group.Wait()
}
