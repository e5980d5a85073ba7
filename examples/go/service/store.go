package main

import (
	"fmt"
	"maps"
	"sync"
)

// entry is a value, and the write that it is of: a later write has a higher epoch, or the same and a higher number.
type entry struct {
	Value  []byte `json:"value"`
	Epoch  uint64 `json:"epoch"`
	Number uint64 `json:"number"`
}

func (e entry) isOlderThan(other entry) bool {
	return e.Epoch < other.Epoch || e.Epoch == other.Epoch && e.Number < other.Number
}

// partition is what a node holds of one partition.
type partition struct {
	Entries map[string]entry `json:"entries"`
	// Epoch is the highest that has written here, or has become primary here: an older one is refused.
	Epoch uint64 `json:"epoch"`
	// Last is the number of the last write.
	Last uint64 `json:"last"`
}

// store is the data of a node, in memory.
type store struct {
	mu         sync.Mutex
	partitions map[int]*partition
}

func newStore() *store { return &store{partitions: map[int]*partition{}} }

// of is a partition, which is made where there is none. The lock is held.
func (s *store) of(number int) *partition {
	held := s.partitions[number]
	if held == nil {
		held = &partition{Entries: map[string]entry{}}
		s.partitions[number] = held
	}
	return held
}

// errFenced answers a write of an earlier primary.
type errFenced struct{ epoch, newer uint64 }

func (e errFenced) Error() string {
	return fmt.Sprintf("a primary of epoch %d has written here, and this write is of epoch %d", e.newer, e.epoch)
}

// write writes as the primary of an epoch, unless a later primary has written here.
func (s *store) write(number int, epoch uint64, key string, value []byte) (entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.of(number)
	if epoch < held.Epoch {
		return entry{}, errFenced{epoch, held.Epoch}
	}
	held.Epoch = epoch
	held.Last++
	written := entry{value, epoch, held.Last}
	held.Entries[key] = written
	return written, nil
}

// replicate takes over a write of the primary.
func (s *store) replicate(number int, key string, written entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.of(number)
	if written.Epoch < held.Epoch {
		return errFenced{written.Epoch, held.Epoch}
	}
	held.merge(key, written)
	return nil
}

// merge keeps the later of two writes: they may arrive in any order.
func (p *partition) merge(key string, written entry) {
	if present, ok := p.Entries[key]; !ok || present.isOlderThan(written) {
		p.Entries[key] = written
	}
	p.Epoch = max(p.Epoch, written.Epoch)
	p.Last = max(p.Last, written.Number)
}

// take merges a copy of another node with what was written here meanwhile.
func (s *store) take(number int, copied partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.of(number)
	for key, written := range copied.Entries {
		held.merge(key, written)
	}
	held.Epoch = max(held.Epoch, copied.Epoch)
	held.Last = max(held.Last, copied.Last)
}

// fence refuses primaries of earlier epochs from now on.
func (s *store) fence(number int, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.of(number)
	held.Epoch = max(held.Epoch, epoch)
}

func (s *store) read(number int, key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.of(number).Entries[key]
	return found.Value, ok
}

// copyOf is what another node copies.
func (s *store) copyOf(number int) partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.of(number)
	return partition{maps.Clone(held.Entries), held.Epoch, held.Last}
}

func (s *store) drop(number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.partitions, number)
}
