//! Tests with a disk that does not answer for a while.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use openraft_rt::AsyncRuntime;

use super::{leads, open_on};
use crate::env::disk::MemDisk;
use crate::env::{self, Runtime};
use crate::error::ErrorCode;
use crate::model::Timestamp;
use crate::raft::proposals::write::WriteOutcome;
use crate::rpc::encode;
use crate::state::{Command, Expect, Proposal};

fn proposal(number: u64) -> Bytes {
    encode(&Proposal::without_session(
        Command::SetData {
            key: format!("k{}", number % 10),
            value: vec![7; 1 << 20].into(),
            expect: Expect::Any,
        },
        Timestamp::default(),
    ))
    .unwrap()
}

/// Without a bound, a log whose disk does not answer grows until it has used up its host's memory, within a minute.
#[test]
fn what_waits_for_the_disk_is_bounded_and_nothing_of_it_is_lost() {
    Runtime::run(async {
        let disk = Arc::new(MemDisk::new());
        let node = open_on(disk.clone()).await;
        node.initialize().await.unwrap();
        leads(&node).await;
        disk.hang(true);
        let (mut waiting, mut refused) = (FuturesUnordered::new(), 0);
        for number in 0..100 {
            let mut writing = Box::pin(node.write(proposal(number)));
            // The write either waits for the disk, or is refused at once.
            match env::timeout(Duration::from_millis(20), &mut writing).await {
                Ok(WriteOutcome::Applied(response)) => {
                    let error = response.result.unwrap_err();
                    assert_eq!(error.code(), ErrorCode::Busy);
                    assert!(
                        !response.settles && error.message().contains("wait for the disk"),
                        "{error}"
                    );
                    refused += 1;
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => waiting.push(writing),
            }
        }
        assert!(node.unwritten() < 70 << 20, "{}", node.unwritten());
        assert!(
            waiting.len() > 50 && refused > 20,
            "{} wait, {refused} refused",
            waiting.len()
        );
        assert!(node.disk_silence().is_some());
        disk.hang(false);
        while let Some(written) = waiting.next().await {
            assert!(matches!(written, WriteOutcome::Applied(response) if response.result.is_ok()));
        }
        assert_eq!(node.unwritten(), 0);
        let written = node.write(proposal(0)).await;
        assert!(matches!(written, WriteOutcome::Applied(response) if response.result.is_ok()));
        node.close().await.unwrap();
    });
}

/// Raft is gone, and what it was sent last was dropped by nobody: the call ends all the same, and says that it does not know.
#[test]
fn a_write_that_raft_answers_no_more_ends() {
    Runtime::run(async {
        let disk = Arc::new(MemDisk::new());
        let node = open_on(disk.clone()).await;
        node.initialize().await.unwrap();
        leads(&node).await;
        disk.hang(true);
        let mut early = Box::pin(node.write(proposal(1)));
        assert!(env::timeout(Duration::from_millis(20), &mut early).await.is_err());
        node.shut_down.notify();
        assert!(matches!(early.await, WriteOutcome::Unknown(_)));
        // One that begins afterwards.
        assert!(matches!(node.write(proposal(2)).await, WriteOutcome::Unknown(_)));
        disk.hang(false);
        node.close().await.unwrap();
    });
}
