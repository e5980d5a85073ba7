package clusterkit_test

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// What lookups cost, each beside a bare MD5 of the same key in the same run: the machine's other work slows both alike. The
// number to read is x-md5, not ns/op.
func BenchmarkLookup(b *testing.B) {
	ck := benchmarked(b)
	partition, err := ck.GetPartition(benchmarkKey)
	must(b, err)
	for _, test := range []struct {
		name string
		call func()
	}{
		{"partition", func() { sinkPartition, _ = ck.GetPartition(benchmarkKey) }},
		{"partition and owner's address", func() {
			partition, _ := ck.GetPartition(benchmarkKey)
			sinkText = ck.GetPrimary(partition).IP
		}},
		{"is it mine now", func() { sinkBool, _ = ck.IsPrimaryForKey(benchmarkKey) }},
		{"all with the lease", func() { route, _ := ck.Lookup(benchmarkKey); sinkText = route.Primary.IP }},
		{"is primary of a partition", func() { sinkBool = ck.IsPrimary(partition) }},
		{"am I leader", func() { sinkBool = ck.IsLeader() }},
		{"nodes for a key", func() { nodes, _ := ck.GetNodesForKey(benchmarkKey); sinkInt = len(nodes) }},
		{"without a node", func() { sinkInt = clusterkit.PartitionFor(benchmarkKey, 64) }},
	} {
		b.Run(test.name, func(b *testing.B) { beside(b, 1, test.call) })
	}
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%06d", i)
	}
	b.Run("a thousand keys at once", func(b *testing.B) {
		beside(b, len(keys), func() { numbers, _ := ck.PartitionsForKeys(keys); sinkInt = numbers[0] })
	})
}

const benchmarkKey = "user:123456"

var (
	sinkPartition *clusterkit.Partition
	sinkText      string
	sinkBool      bool
	sinkInt       int
)

//go:noinline
func bareMD5(key string) uint32 {
	sum := md5.Sum([]byte(key))
	return binary.BigEndian.Uint32(sum[:4])
}

func benchmarked(b *testing.B) *clusterkit.ClusterKit {
	ck := started(b, "node-1", func(o *clusterkit.Options) { o.PartitionCount = 64 })
	until(b, "it is primary of everything", func() bool { return primaries(ck) == 64 })
	return ck
}

// beside measures a call in turns with a bare MD5. A turn is short, so that some pass undisturbed on a busy machine: the quickest
// of each are compared.
func beside(b *testing.B, keys int, call func()) {
	const turn = 200
	ours, bare := time.Hour, time.Hour
	callsOfTurn := max(turn/keys, 1)
	b.ResetTimer()
	for calls := 0; calls < b.N; calls += callsOfTurn * keys {
		begin := time.Now()
		for range callsOfTurn {
			call()
		}
		middle := time.Now()
		for range turn {
			sinkInt += int(bareMD5(benchmarkKey))
		}
		bare = min(bare, time.Since(middle))
		ours = min(ours, middle.Sub(begin))
	}
	perKey := float64(ours) / float64(callsOfTurn*keys)
	b.ReportMetric(perKey, "ns/op")
	b.ReportMetric(perKey/(float64(bare)/turn), "x-md5")
}
