//! Lines of a process that serves. Whoever reads them slowly, or not at all, holds nobody up.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// So many lines wait for their reader. What comes then is left out.
const WAITING: usize = 1024;

/// What is said once lines can be written again of which so many before were left out.
type Gap = fn(u64) -> String;

/// A stream of lines with a thread of its own, the only one that waits for the reader.
pub(crate) struct Lines {
    queue: SyncSender<Job>,
    left_out: AtomicU64,
    gap: Gap,
}

enum Job {
    Line(String),
    /// Everything before this has been written, or nobody reads it any more.
    Tell(SyncSender<()>),
}

impl Lines {
    /// Lines to `stream`. `gap` makes the line that stands for those that were left out.
    pub(crate) fn to(mut stream: impl Write + Send + 'static, gap: Gap) -> Self {
        let (queue, jobs) = sync_channel(WAITING);
        thread::spawn(move || {
            for job in jobs {
                match job {
                    // Where nobody reads any more the node serves all the same.
                    Job::Line(line) => {
                        drop(stream.write_all(line.as_bytes()).and_then(|()| stream.flush()));
                    }
                    Job::Tell(done) => drop(done.try_send(())),
                }
            }
        });
        Lines {
            queue,
            left_out: AtomicU64::new(0),
            gap,
        }
    }

    /// Hands over one line, without its end. Never waits.
    pub(crate) fn put(&self, line: String) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if let Err(TrySendError::Full(_)) = self.queue.try_send(self.job(left_out, line)) {
            self.left_out.fetch_add(left_out + 1, Ordering::Relaxed);
        }
    }

    /// Hands over one line, without its end, and waits for a place: for whoever has a queue of its own, and counts itself what
    /// finds no place there.
    pub(crate) fn put_patiently(&self, line: String) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        // The thread reads as long as there is something to read from.
        let _ = self.queue.send(self.job(left_out, line));
    }

    fn job(&self, left_out: u64, mut line: String) -> Job {
        line.push('\n');
        Job::Line(match left_out {
            0 => line,
            n => (self.gap)(n) + "\n" + &line,
        })
    }

    /// Waits until everything is written, for so long at most: a process that ends must not wait for its reader.
    pub(crate) fn finish(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Job::Tell(done)).is_ok() {
            // Whether it was written or not: it is over.
            let _ = written.recv_timeout(limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes a write only when it is told to, and gives what was written.
    struct Stalled(Receiver<()>, Sender<String>);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            drop(self.1.send(String::from_utf8_lossy(bytes).into_owned()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_hears_how_much_it_missed() {
        let ((allow, allowed), (write, written)) = (channel(), channel());
        let lines = Lines::to(Stalled(allowed, write), |n| format!("{n} are missing"));
        for i in 0..WAITING * 3 {
            lines.put(i.to_string());
        }
        lines.finish(Duration::from_millis(1));
        // It reads again: all that waited, and how much there was of the rest, which may be said in several places.
        let mut text = String::new();
        let read = |text: &mut String| {
            allow.send(()).unwrap();
            text.push_str(&written.recv().unwrap());
        };
        (0..WAITING).for_each(|_| read(&mut text));
        lines.put("late".to_owned());
        while !text.ends_with("late\n") {
            read(&mut text);
        }
        let (gaps, told): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.ends_with(" are missing"));
        let missing = |gap: &&str| gap.split(' ').next().and_then(|n| n.parse::<usize>().ok());
        let missing: usize = gaps.iter().filter_map(missing).sum();
        assert_eq!(missing + told.len(), WAITING * 3 + 1);
        assert!(missing >= WAITING, "{missing} of {} were left out", WAITING * 3);
        let numbers: Vec<usize> = told.iter().filter_map(|line| line.parse().ok()).collect();
        assert!(numbers.is_sorted() && numbers[0] == 0, "{numbers:?}");
    }

    #[test]
    fn a_reader_that_is_gone_ends_nothing() {
        let (allow, allowed) = channel();
        drop(allow);
        let lines = Lines::to(Stalled(allowed, channel().0), |n| n.to_string());
        (0..WAITING * 3).for_each(|i| lines.put(i.to_string()));
        lines.finish(Duration::from_secs(60));
    }

    #[test]
    fn a_patient_writer_waits_for_its_place_and_loses_nothing() {
        let ((allow, allowed), (write, written)) = (channel(), channel());
        let lines = std::sync::Arc::new(Lines::to(Stalled(allowed, write), |n| format!("{n} are missing")));
        let all = WAITING + 10;
        let patient = std::sync::Arc::clone(&lines);
        let writer = thread::spawn(move || (0..all).for_each(|i| patient.put_patiently(i.to_string())));
        for i in 0..all {
            allow.send(()).unwrap();
            assert_eq!(written.recv().unwrap(), format!("{i}\n"));
        }
        writer.join().unwrap();
    }
}
