use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::env::disk::RealDisk;

#[test]
fn everything_acknowledged_is_there_after_reopening() {
    let (_, mut rig) = Rig::new();
    rig.vote(3);
    rig.append((0..5).map(|index| entry(1, index, 10)));
    rig.append((5..9).map(|index| entry(2, index, 0)));
    rig.truncate(Some(id(2, 6)));
    rig.append([entry(3, 7, 100)]);
    rig.purge(id(1, 1));
    rig.wal.save_committed(id(1, 4));
    rig.step_ok();
    let before = rig.state();
    assert_eq!(before.entries.len(), 6);
    assert_eq!(before.last, Some(id(3, 7)));
    let rig = rig.reopen();
    assert_eq!(rig.state(), before);
    assert_eq!(rig.wal.vote(), Some(vote(3)));
    assert_eq!(rig.wal.committed(), Some(id(1, 4)));
}

#[test]
fn entries_can_be_read_before_they_are_durable_but_votes_cannot() {
    let (_, mut rig) = Rig::new();
    rig.append([entry(1, 0, 10), entry(1, 1, 10)]);
    rig.vote(4);
    assert_eq!(
        rig.wal.read(0..9, u64::MAX).unwrap(),
        [entry(1, 0, 10), entry(1, 1, 10)]
    );
    assert_eq!((rig.wal.vote(), rig.answers.take().len()), (None, 0));
    rig.truncate(Some(id(1, 0)));
    assert_eq!(rig.wal.read(0..9, u64::MAX).unwrap(), [entry(1, 0, 10)]);
    rig.step_ok();
    assert_eq!(rig.wal.vote(), Some(vote(4)));
}

#[test]
fn one_batch_is_one_sync_and_answers_come_in_order() {
    let (_, mut rig) = Rig::new();
    let syncs = rig.wal.stats().syncs;
    for index in 0..20 {
        rig.append([entry(1, index, 10)]);
    }
    rig.step();
    assert_eq!(rig.wal.stats().syncs, syncs + 1);
    assert_eq!(rig.wal.stats().entries, 20);
    let calls: Vec<usize> = rig.answers.take().into_iter().map(|(call, _)| call).collect();
    assert_eq!(calls, (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_gap_or_an_overlap_is_refused_and_changes_nothing() {
    let (_, mut rig) = Rig::new();
    rig.append([entry(1, 0, 1), entry(1, 2, 1)]);
    rig.append([entry(1, 0, 1)]);
    rig.append([entry(1, 0, 1)]);
    rig.append([entry(1, 2, 1)]);
    rig.append([]);
    rig.truncate(Some(id(9, 0)));
    rig.truncate(Some(id(1, 5)));
    rig.step();
    let codes: Vec<_> = rig
        .answers
        .take()
        .into_iter()
        .map(|(_, r)| r.err().map(|e| e.code()))
        .collect();
    let refused = Some(ErrorCode::InvalidArgument);
    let truncating_the_last_entry_to_another_id = refused;
    assert_eq!(
        codes,
        [
            refused,
            None,
            refused,
            refused,
            None,
            truncating_the_last_entry_to_another_id,
            None
        ]
    );
    assert_eq!(rig.state().entries.len(), 1);
    assert_eq!(rig.reopen().state().entries.len(), 1);
}

#[test]
fn too_long_a_payload_is_refused() {
    let (_, mut rig) = Rig::new();
    rig.append([entry(1, 0, MAX_PAYLOAD + 1)]);
    rig.step();
    assert_eq!(
        rig.answers.take()[0].1.as_ref().unwrap_err().code(),
        ErrorCode::TooLarge
    );
    assert_eq!(rig.wal.last(), None);
}

#[test]
fn an_empty_log_begins_where_the_caller_likes() {
    let (_, mut rig) = Rig::new();
    rig.append([entry(1, 1, 1), entry(1, 2, 1)]);
    rig.step_ok();
    let mut rig = rig.reopen();
    assert_eq!(rig.state().entries.keys().copied().collect::<Vec<_>>(), [1, 2]);
    rig.truncate(None);
    rig.append([entry(2, 0, 1)]);
    assert_eq!(rig.state().entries.keys().copied().collect::<Vec<_>>(), [0]);
    rig.step_ok();
    let mut rig = rig.reopen();
    assert_eq!(rig.state().entries.keys().copied().collect::<Vec<_>>(), [0]);
    rig.truncate(None);
    rig.append([entry(3, 70, 1)]);
    rig.step_ok();
    let rig = rig.reopen();
    assert_eq!(rig.state().entries.keys().copied().collect::<Vec<_>>(), [70]);
}

#[test]
fn purging_beyond_the_end_empties_the_log_and_it_goes_on_after() {
    let (_, mut rig) = Rig::new();
    rig.append((0..5).map(|index| entry(1, index, 10)));
    rig.purge(id(2, 100));
    assert_eq!((rig.wal.last(), rig.state().entries.len()), (Some(id(2, 100)), 0));
    rig.append([entry(2, 101, 10)]);
    rig.purge(id(1, 3));
    rig.step_ok();
    rig.truncate(None);
    assert_eq!(
        rig.wal.last(),
        Some(id(2, 100)),
        "what was purged cannot be truncated"
    );
    rig.append([entry(3, 101, 10)]);
    rig.step_ok();
    let before = rig.state();
    assert_eq!(rig.reopen().state(), before);
}

/// It left a hole between what was purged and the first entry, and every read of the log failed.
#[test]
fn purging_below_the_first_entry_changes_nothing() {
    let (_, mut rig) = Rig::new();
    rig.append([entry(1, 70, 1)]);
    rig.step_ok();
    let before = rig.state();
    rig.purge(id(1, 50));
    rig.step_ok();
    assert_eq!(rig.state(), before);
    let mut rig = rig.reopen();
    assert_eq!(rig.state(), before);
    rig.purge(id(1, 69));
    rig.step_ok();
    assert_eq!(
        (rig.wal.purged(), rig.state().entries.len()),
        (Some(id(1, 69)), 1)
    );
    let before = rig.state();
    assert_eq!(rig.reopen().state(), before);
}

#[test]
fn a_read_is_bounded_by_bytes_but_never_empty() {
    for cache_bytes in [0, 1 << 20] {
        let disk = Arc::new(MemDisk::new());
        let options = WalOptions {
            cache_bytes,
            ..small()
        };
        let mut rig = Rig::open_in(disk, dir(), &options).unwrap();
        rig.append((0..50).map(|index| entry(1, index, 1000)));
        rig.step_ok();
        assert_eq!(rig.wal.read(0..50, 0).unwrap(), [entry(1, 0, 1000)]);
        assert_eq!(
            rig.wal.read(3..50, 2500).unwrap(),
            [entry(1, 3, 1000), entry(1, 4, 1000)]
        );
        assert_eq!(rig.wal.read(48..99, u64::MAX).unwrap().len(), 2);
        assert_eq!(rig.wal.read(50..99, u64::MAX).unwrap(), []);
        #[expect(
            clippy::reversed_empty_ranges,
            reason = "a caller's range may be the wrong way round"
        )]
        let reversed = rig.wal.read(9..3, u64::MAX).unwrap();
        assert_eq!(reversed, []);
    }
}

#[test]
fn the_cache_keeps_to_its_bound_once_entries_are_durable() {
    let (_, mut rig) = Rig::new();
    rig.append((0..100).map(|index| entry(1, index, 100)));
    assert!(rig.wal.stats().cached_bytes > 10_000, "what is not durable stays");
    rig.step_ok();
    assert!(rig.wal.stats().cached_bytes <= 1024);
    assert_eq!(rig.state().entries.len(), 100);
}

#[test]
fn an_entry_leaves_the_cache_only_when_it_is_durable() {
    let (_, mut rig) = Rig::new();
    rig.append([entry(1, 0, 2000)]);
    let first = rig.writer.queue.try_recv().unwrap();
    rig.append([entry(1, 1, 2000)]);
    rig.writer.step(&mut vec![first]);
    assert_eq!(rig.answers.take().len(), 1);
    assert_eq!(
        rig.wal.read(0..9, u64::MAX).unwrap(),
        [entry(1, 0, 2000), entry(1, 1, 2000)]
    );
}

#[test]
fn the_committed_id_waits_for_its_entry_and_costs_no_sync() {
    let (_, mut rig) = Rig::new();
    rig.append([entry(1, 0, 1)]);
    rig.step_ok();
    let syncs = rig.wal.stats().syncs;
    rig.wal.save_committed(id(1, 0));
    rig.step_ok();
    assert_eq!(rig.wal.stats().syncs, syncs);
    rig.append([entry(1, 1, 1)]);
    rig.step_ok();
    assert_eq!(rig.wal.stats().syncs, syncs + 1);
    // The vote is written before the entry that the id names, so the id is not written with it.
    rig.vote(8);
    let vote = rig.writer.queue.try_recv().unwrap();
    rig.append([entry(1, 2, 1)]);
    rig.wal.save_committed(id(1, 2));
    rig.writer.step(&mut vec![vote]);
    let disk = rig.disk.clone();
    drop(rig);
    let rig = Rig::open(disk).unwrap();
    assert_eq!(
        (rig.wal.last(), rig.wal.committed()),
        (Some(id(1, 1)), Some(id(1, 0)))
    );
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let real: (Arc<dyn Disk>, _) = (Arc::new(RealDisk), folder.path().join("wal.log"));
    for (disk, dir) in [real, (Arc::new(MemDisk::new()), dir().to_owned())] {
        let mut rig = Rig::open_in(disk.clone(), &dir, &small()).unwrap();
        rig.append([entry(1, 0, 1)]);
        let error = Rig::open_in(disk.clone(), &dir, &small()).err().unwrap();
        assert_eq!(error.code(), ErrorCode::DataDirInUse);
        assert!(error.message().contains(dir.to_str().unwrap()), "{error}");
        let wal = rig.wal.clone();
        rig.close();
        Rig::open_in(disk, &dir, &small()).unwrap();
        assert_eq!(wal.read(0..1, 1).unwrap().len(), 1, "reads go on after the close");
    }
}

#[test]
fn after_the_close_every_call_is_answered_stopped() {
    let (_, mut rig) = Rig::new();
    rig.append([entry(1, 0, 1)]);
    let closed = rig.done();
    rig.wal.close(closed);
    rig.append([entry(1, 1, 1)]);
    let again = rig.done();
    rig.wal.close(again);
    rig.step();
    drop(rig.writer);
    let done = rig.answers.done(9);
    rig.wal.save_vote(vote(1), done);
    let mut codes: Vec<_> = rig
        .answers
        .take()
        .into_iter()
        .map(|(call, r)| (call, r.err().map(|e| e.code())))
        .collect();
    codes.sort_unstable_by_key(|(call, _)| *call);
    let stopped = Some(ErrorCode::Stopped);
    assert_eq!(
        codes,
        [(1, None), (2, None), (3, stopped), (4, stopped), (9, stopped)]
    );
    assert_eq!(rig.wal.last(), Some(id(1, 0)));
}

#[test]
fn a_dropped_writer_answers_what_is_queued() {
    let (_, mut rig) = Rig::new();
    rig.vote(1);
    drop(rig.writer);
    assert_eq!(
        rig.answers.take()[0].1.as_ref().unwrap_err().code(),
        ErrorCode::Stopped
    );
}

#[test]
fn the_thread_acknowledges_and_ends_with_the_close_or_the_last_handle() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("wal.log");
    for round in 0..4 {
        let (wal, writer) = Wal::open(Arc::new(RealDisk), &dir, &WalOptions::default()).unwrap();
        assert_eq!(wal.read(0..u64::MAX, u64::MAX).unwrap().len() as u64, round * 100);
        let thread = writer.spawn().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        for index in round * 100..round * 100 + 100 {
            let sender = sender.clone();
            wal.append(
                vec![entry(1, index, 50)],
                Box::new(move |result| sender.send(result).unwrap()),
            );
        }
        if round % 2 == 0 {
            wal.close(Box::new(move |result| sender.send(result).unwrap()));
            assert_eq!(receiver.iter().filter(Result::is_ok).count(), 101);
        } else {
            drop((wal, sender));
            assert_eq!(receiver.iter().filter(Result::is_ok).count(), 100);
        }
        thread.join().unwrap();
    }
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let files = RealDisk.list(&dir).unwrap();
    assert_eq!(files, ["0000000001.log", "LOCK"]);
    for file in files {
        assert_eq!(mode(&dir.join(&file)), 0o600, "{file}");
    }
}

#[test]
fn the_task_acknowledges_and_ends_with_the_close() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (wal, writer) = Wal::open(Arc::new(MemDisk::new()), dir(), &small()).unwrap();
        let task = tokio::spawn(writer.run());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        wal.append(
            vec![entry(1, 0, 50)],
            Box::new(move |result| sender.send(result).unwrap()),
        );
        receiver.await.unwrap().unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        wal.close(Box::new(move |result| sender.send(result).unwrap()));
        receiver.await.unwrap().unwrap();
        task.await.unwrap();
    });
}
