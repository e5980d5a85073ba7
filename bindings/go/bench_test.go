package clusterkit_test

import (
	"context"
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

// How many events a second reach the application: each is handed on over a channel, as programs do, and its call has then ended. A
// hook or queue that comes late is told of every partition that the node holds, so there is as much to tell as one likes.
func BenchmarkEvents(b *testing.B) {
	const count = 10_000
	ck := started(b, "node-1", func(o *clusterkit.Options) { o.PartitionCount = count })
	until(b, "it is primary of everything", func() bool { return primaries(ck) == count })
	events := make(chan *clusterkit.Event, 100)
	isGain := func(event *clusterkit.Event) bool { return event.PartitionChange.IsGain() }
	measure := func(b *testing.B, register func() (end func())) {
		for b.Loop() {
			end := register()
			for told := 0; told < count; {
				if isGain(<-events) {
					told++
				}
			}
			b.StopTimer()
			end()
			// What was told twice is of no use.
			for len(events) > 0 {
				<-events
			}
			until(b, "it is primary of everything", func() bool { return primaries(ck) == count })
			b.StartTimer()
		}
		b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "events/s")
	}
	b.Run("by a hook", func(b *testing.B) {
		measure(b, func() func() {
			closed := make(chan struct{})
			hook, err := ck.AddHook(clusterkit.EventPartitionChange, func(event *clusterkit.Event) error {
				select {
				case events <- event:
				case <-closed:
				}
				return nil
			})
			must(b, err)
			return func() {
				close(closed)
				must(b, hook.Remove())
			}
		})
	})
	b.Run("from a queue", func(b *testing.B) {
		measure(b, func() func() {
			queue, err := ck.OpenEvents(clusterkit.EventPartitionChange)
			must(b, err)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for event, err := range queue.All(ctx) {
					if err != nil {
						return
					}
					select {
					case events <- event:
					case <-ctx.Done():
					}
					if err := event.Ack(nil); err != nil {
						b.Error(err)
					}
				}
			}()
			return func() {
				cancel()
				<-ended
				must(b, queue.Close())
			}
		})
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
