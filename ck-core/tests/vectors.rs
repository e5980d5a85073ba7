//! The published mapping from key to partition, against vectors made with another language's MD5.

#[path = "support/topology.rs"]
mod support;

use std::num::ParseIntError;
use std::sync::Arc;

use clusterkit::routing::{ClusterView, partition_for, partitions_for_many};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    partition_counts: Vec<u32>,
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    hex: String,
    text: Option<String>,
    hash: u32,
    partitions: Vec<u32>,
}

impl Key {
    fn bytes(&self) -> Result<Vec<u8>, ParseIntError> {
        let digits = self.hex.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16))
            .collect()
    }
}

fn vectors() -> serde_json::Result<Vectors> {
    serde_json::from_str(include_str!("../../tests/vectors/keys.json"))
}

#[test]
fn every_vector_falls_where_it_says() {
    let Vectors {
        partition_counts,
        keys,
    } = vectors().unwrap();
    assert!(keys.len() >= 500 && partition_counts.len() >= 8);
    for key in keys {
        let bytes = key.bytes().unwrap();
        if let Some(text) = &key.text {
            assert_eq!(text.as_bytes(), bytes);
        }
        assert_eq!(key.partitions.len(), partition_counts.len());
        assert_eq!(
            partition_for(&bytes, u32::MAX),
            key.hash % u32::MAX,
            "{}",
            key.hex
        );
        for (count, partition) in partition_counts.iter().zip(&key.partitions) {
            assert_eq!(
                partition_for(&bytes, *count),
                *partition,
                "{} of {count}",
                key.hex
            );
        }
    }
}

#[test]
fn every_vector_falls_there_among_many_keys() {
    let Vectors {
        partition_counts,
        keys,
    } = vectors().unwrap();
    let bytes: Vec<Vec<u8>> = keys.iter().map(|key| key.bytes().unwrap()).collect();
    let mut many = vec![0; keys.len()];
    for (i, count) in partition_counts.into_iter().enumerate() {
        let written = partitions_for_many(bytes.iter().map(Vec::as_slice), count, &mut many);
        assert_eq!(written, keys.len());
        for (key, partition) in keys.iter().zip(&many) {
            assert_eq!(*partition, key.partitions[i], "{} of {count}", key.hex);
        }
    }
}

#[test]
fn a_view_routes_every_vector_to_the_named_partition() {
    let Vectors {
        partition_counts,
        keys,
    } = vectors().unwrap();
    let keys: Vec<(Vec<u8>, Vec<u32>)> = keys
        .into_iter()
        .map(|key| (key.bytes().unwrap(), key.partitions))
        .collect();
    for (i, count) in partition_counts.into_iter().enumerate() {
        let view = ClusterView::new(Arc::new(support::topology(count, 5)), 1, "node-00000");
        let mut many = Vec::new();
        assert!(view.route_many(keys.iter().map(|(key, _)| key.as_slice()), &mut many));
        for ((key, partitions), routed) in keys.iter().zip(many) {
            let found = view.partition(key).unwrap();
            assert_eq!(found.number(), partitions[i]);
            assert_eq!(found.id(), format!("partition-{}", partitions[i]));
            assert_eq!(routed, partitions[i]);
        }
    }
}

#[test]
fn the_vectors_hold_every_kind_of_key() {
    let vectors = vectors().unwrap().keys;
    let keys: Vec<Vec<u8>> = vectors.iter().map(|key| key.bytes().unwrap()).collect();
    let is_text = |key: &Vec<u8>| std::str::from_utf8(key).is_ok();
    assert!(keys.iter().any(Vec::is_empty));
    assert!(keys.iter().any(|key| key.len() >= 10_000));
    assert!(keys.iter().any(|key| !is_text(key)));
    assert!(keys.iter().any(|key| is_text(key) && !key.is_ascii()));
    assert!(
        vectors.iter().any(|key| key.hash > i32::MAX as u32),
        "without such a key a signed hash would pass"
    );
}
