//! The published mapping from key to partition, against vectors made with another language's MD5.

#[path = "support/topology.rs"]
mod support;

use std::sync::Arc;

use ck_core::routing::{ClusterView, partition_for};
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
    fn bytes(&self) -> Vec<u8> {
        assert_eq!(self.hex.len() % 2, 0, "{}", self.hex);
        (0..self.hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&self.hex[i..i + 2], 16).unwrap())
            .collect()
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/keys.json")).unwrap()
}

#[test]
fn every_vector_falls_where_it_says() {
    let Vectors {
        partition_counts,
        keys,
    } = vectors();
    assert!(keys.len() >= 500 && partition_counts.len() >= 8);
    for key in keys {
        let bytes = key.bytes();
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
fn a_view_routes_every_vector_to_the_named_partition() {
    let Vectors {
        partition_counts,
        keys,
    } = vectors();
    let keys: Vec<(Vec<u8>, Vec<u32>)> = keys
        .into_iter()
        .map(|key| (key.bytes(), key.partitions))
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
    let keys: Vec<Vec<u8>> = vectors().keys.iter().map(Key::bytes).collect();
    assert!(keys.iter().any(Vec::is_empty));
    assert!(keys.iter().any(|key| key.len() >= 10_000));
    assert!(keys.iter().any(|key| std::str::from_utf8(key).is_err()));
    assert!(
        keys.iter()
            .any(|key| !key.is_ascii() && std::str::from_utf8(key).is_ok())
    );
    assert!(
        vectors().keys.iter().any(|key| key.hash > i32::MAX as u32),
        "a signed hash would pass"
    );
}
