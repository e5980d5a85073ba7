//! All partitions of a cluster: a vector whose revisions share their unchanged parts.
//!
//! Invariant: cloning the vector costs the list of chunks, and changing one partition of a clone costs that list and
//! the one chunk that holds the partition, not all partitions; equality depends on the contents, not on what is shared.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::sync::{Arc, OnceLock};

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::{NodeId, Partition};

/// The number of partitions in a chunk. With 65,536 partitions, the maximum of a cluster, there are as many chunks as
/// partitions in a chunk. Unit tests use few, so that their small clusters have several chunks.
const PARTITIONS_PER_CHUNK: usize = if cfg!(test) { 4 } else { 256 };

/// Partitions by number. Cloning is cheap, and so is a change of a few: both cost about the square root of the number
/// of partitions.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Partitions {
    /// All chunks are full but the last, and none is empty.
    chunks: Vec<Arc<PartitionChunk>>,
}

/// Partitions that are shared and copied together.
pub(crate) struct PartitionChunk {
    partitions: Vec<Arc<Partition>>,
    /// Positions of the partitions that are not stable; computed on first use.
    unstable: OnceLock<Vec<usize>>,
    /// The nodes that the partitions mention, each once and sorted; computed on first use.
    mentioned: OnceLock<Vec<NodeId>>,
}

impl PartitionChunk {
    fn new(partitions: Vec<Arc<Partition>>) -> Arc<Self> {
        Arc::new(PartitionChunk {
            partitions,
            unstable: OnceLock::new(),
            mentioned: OnceLock::new(),
        })
    }

    /// Its partitions, by number.
    pub(crate) fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// Its partitions, to be changed; what was computed from them is discarded.
    fn partitions_mut(&mut self) -> &mut [Arc<Partition>] {
        self.unstable = OnceLock::new();
        self.mentioned = OnceLock::new();
        &mut self.partitions
    }

    fn mentions(&self, node: &str) -> bool {
        let mentioned = self.mentioned.get_or_init(|| {
            let mut mentioned: Vec<NodeId> = Vec::new();
            for node in self.partitions.iter().flat_map(|partition| partition.mentioned()) {
                // Inserted in order, without duplicates: most partitions of a chunk name the same few nodes.
                if let Err(index) = mentioned.binary_search(node) {
                    mentioned.insert(index, node.clone());
                }
            }
            mentioned
        });
        mentioned.binary_search_by(|known| (**known).cmp(node)).is_ok()
    }

    fn unstable(&self) -> impl Iterator<Item = &Arc<Partition>> {
        let places = self.unstable.get_or_init(|| {
            let all = self.partitions.iter().enumerate();
            all.filter(|(_, partition)| !partition.is_stable())
                .map(|(index, _)| index)
                .collect()
        });
        places.iter().filter_map(|index| self.partitions.get(*index))
    }
}

impl Clone for PartitionChunk {
    fn clone(&self) -> Self {
        PartitionChunk {
            partitions: self.partitions.clone(),
            unstable: OnceLock::new(),
            mentioned: OnceLock::new(),
        }
    }
}

impl PartialEq for PartitionChunk {
    fn eq(&self, other: &Self) -> bool {
        self.partitions == other.partitions
    }
}

impl Eq for PartitionChunk {}

impl Partitions {
    /// The number of partitions.
    pub fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * PARTITIONS_PER_CHUNK + last.partitions.len(),
            None => 0,
        }
    }

    /// True when there are no partitions.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Partition `number`.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&Arc<Partition>> {
        let (chunk, index) = Partitions::chunk_and_index(number);
        self.chunks.get(chunk)?.partitions.get(index)
    }

    /// Partition `number`, to be changed: its chunk is copied first if it is shared.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Arc<Partition>> {
        let (chunk, index) = Partitions::chunk_and_index(number);
        let chunk = Arc::make_mut(self.chunks.get_mut(chunk)?);
        chunk.partitions_mut().get_mut(index)
    }

    /// All partitions, by number.
    pub fn iter(&self) -> PartitionsIter<'_> {
        PartitionsIter {
            chunks: self.chunks.iter(),
            chunk: Default::default(),
            left: self.len(),
        }
    }

    /// The partitions that are not stable ([`Partition::is_stable`]), by number. Costs their number, and a scan of
    /// each chunk that has changed since the last call.
    pub fn unstable(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.chunks.iter().flat_map(|chunk| chunk.unstable())
    }

    /// The partitions that may concern a node, by number: all that name it, and the others in their chunks. Costs
    /// these, and a scan of each chunk that has changed since the last call.
    pub(crate) fn maybe_involving<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Arc<Partition>> {
        let chunks = self.chunks.iter().filter(move |chunk| chunk.mentions(node));
        chunks.flat_map(|chunk| chunk.partitions())
    }

    /// The partitions that have changed since `old`, compared by reference. Costs the number of chunks, and the
    /// contents of those that have changed.
    pub(crate) fn changed_since<'a>(
        &'a self,
        old: &'a Partitions,
    ) -> impl Iterator<Item = &'a Arc<Partition>> {
        let chunks = self.chunks.iter().enumerate();
        let changed =
            chunks.filter(|(index, chunk)| old.chunks.get(*index).is_none_or(|old| !Arc::ptr_eq(old, chunk)));
        changed.flat_map(|(index, chunk)| {
            let before = old.chunks.get(index).map_or(&[][..], |chunk| chunk.partitions());
            let differs = move |at: usize, now: &Arc<Partition>| {
                before.get(at).is_none_or(|old| !Arc::ptr_eq(old, now))
            };
            let partitions = chunk.partitions().iter().enumerate();
            partitions
                .filter(move |(at, now)| differs(*at, now))
                .map(|(_, now)| now)
        })
    }

    /// The chunks, in order: two revisions that share a chunk (the same `Arc`) have the same partitions in it.
    pub(crate) fn chunks(&self) -> &[Arc<PartitionChunk>] {
        &self.chunks
    }

    /// The number of the first partition of a chunk.
    pub(crate) const fn first_of(chunk: usize) -> usize {
        chunk * PARTITIONS_PER_CHUNK
    }

    /// The chunk of a partition, and its position in the chunk.
    #[inline]
    pub(crate) const fn chunk_and_index(number: usize) -> (usize, usize) {
        (number / PARTITIONS_PER_CHUNK, number % PARTITIONS_PER_CHUNK)
    }
}

impl Index<usize> for Partitions {
    type Output = Arc<Partition>;

    fn index(&self, number: usize) -> &Arc<Partition> {
        let (chunk, index) = Partitions::chunk_and_index(number);
        &self.chunks[chunk].partitions[index]
    }
}

impl IndexMut<usize> for Partitions {
    fn index_mut(&mut self, number: usize) -> &mut Arc<Partition> {
        let (chunk, index) = Partitions::chunk_and_index(number);
        &mut Arc::make_mut(&mut self.chunks[chunk]).partitions_mut()[index]
    }
}

impl FromIterator<Arc<Partition>> for Partitions {
    fn from_iter<I: IntoIterator<Item = Arc<Partition>>>(partitions: I) -> Self {
        let mut chunks = Vec::new();
        let mut chunk = Vec::new();
        for partition in partitions {
            chunk.push(partition);
            if chunk.len() == PARTITIONS_PER_CHUNK {
                chunks.push(PartitionChunk::new(std::mem::take(&mut chunk)));
            }
        }
        if !chunk.is_empty() {
            chunks.push(PartitionChunk::new(chunk));
        }
        Partitions { chunks }
    }
}

impl From<Vec<Arc<Partition>>> for Partitions {
    fn from(partitions: Vec<Arc<Partition>>) -> Self {
        partitions.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Partitions {
    type Item = &'a Arc<Partition>;
    type IntoIter = PartitionsIter<'a>;

    fn into_iter(self) -> PartitionsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl Serialize for Partitions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for Partitions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

/// All partitions, by number.
#[derive(Clone)]
pub struct PartitionsIter<'a> {
    chunks: std::slice::Iter<'a, Arc<PartitionChunk>>,
    chunk: std::slice::Iter<'a, Arc<Partition>>,
    left: usize,
}

impl<'a> Iterator for PartitionsIter<'a> {
    type Item = &'a Arc<Partition>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(partition) = self.chunk.next() {
                self.left -= 1;
                return Some(partition);
            }
            self.chunk = self.chunks.next()?.partitions.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for PartitionsIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u32) -> Arc<Partition> {
        Arc::new(Partition::sample(number))
    }

    #[test]
    fn it_behaves_like_a_vector() {
        for count in [
            0,
            1,
            PARTITIONS_PER_CHUNK - 1,
            PARTITIONS_PER_CHUNK,
            PARTITIONS_PER_CHUNK + 1,
            1000,
        ] {
            let count = u32::try_from(count).unwrap();
            let all: Partitions = (0..count).map(partition).collect();
            assert_eq!(all.len(), count as usize);
            assert_eq!(all.is_empty(), count == 0);
            assert_eq!(all.iter().len(), count as usize);
            assert!(all.iter().map(|p| p.number).eq(0..count));
            assert!((0..count).all(|n| all.get(n as usize).is_some_and(|p| p.number == n)));
            assert!((0..count).all(|n| all[n as usize].number == n));
            assert!(all.get(count as usize).is_none());
        }
    }

    #[test]
    fn a_change_of_one_shares_all_but_its_chunk() {
        let (size, changed) = (
            u32::try_from(4 * PARTITIONS_PER_CHUNK).unwrap(),
            PARTITIONS_PER_CHUNK + 1,
        );
        let before: Partitions = (0..size).map(partition).collect();
        let mut after = before.clone();
        Arc::make_mut(after.get_mut(changed).unwrap()).epoch += 1;
        assert_ne!(before, after);
        assert_eq!(before[changed].epoch + 1, after[changed].epoch);
        let shared = |chunk: usize| Arc::ptr_eq(&before.chunks()[chunk], &after.chunks()[chunk]);
        assert_eq!([0, 1, 2, 3].map(shared), [true, false, true, true]);
        assert!(after.get_mut(4 * PARTITIONS_PER_CHUNK).is_none());
    }

    #[test]
    fn unstable_partitions_follow_each_change() {
        let mut all: Partitions = (0..600).map(partition).collect();
        let unstable = |all: &Partitions| all.unstable().map(|p| p.number).collect::<Vec<_>>();
        assert!(unstable(&all).is_empty());
        for number in [599, 3, 300] {
            Arc::make_mut(&mut all[number]).primary = None;
            assert!(unstable(&all).contains(&u32::try_from(number).unwrap()));
        }
        let before = all.clone();
        Arc::make_mut(all.get_mut(3).unwrap()).primary = Some("a".into());
        assert_eq!(unstable(&all), [300, 599]);
        assert_eq!(unstable(&before), [3, 300, 599]);
    }

    #[test]
    fn partitions_that_may_involve_a_node_follow_each_change() {
        let mut all: Partitions = (0..600).map(partition).collect();
        let involving = |all: &Partitions, node: &str| all.maybe_involving(node).count();
        assert_eq!((involving(&all, "a"), involving(&all, "b")), (600, 0));
        Arc::make_mut(&mut all[300]).released = Some(("b".into(), 1));
        assert_eq!(
            (involving(&all, "a"), involving(&all, "b")),
            (600, PARTITIONS_PER_CHUNK)
        );
        let before = all.clone();
        *all.get_mut(300).unwrap() = partition(300);
        assert_eq!(
            (involving(&all, "b"), involving(&before, "b")),
            (0, PARTITIONS_PER_CHUNK)
        );
    }

    #[test]
    fn it_is_stored_as_a_vector() {
        let plain: Vec<Arc<Partition>> = (0..300).map(partition).collect();
        let chunked = Partitions::from(plain.clone());
        let bytes = rmp_serde::to_vec_named(&chunked).unwrap();
        assert_eq!(bytes, rmp_serde::to_vec_named(&plain).unwrap());
        assert_eq!(rmp_serde::from_slice::<Partitions>(&bytes).unwrap(), chunked);
    }
}
