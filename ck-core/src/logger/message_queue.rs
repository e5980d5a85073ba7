//! The messages that wait for the log callback: a bounded queue that records how many did not fit.

use std::collections::VecDeque;
use std::mem::size_of;

use crate::options::LogLevel;

/// The maximum number of waiting messages.
pub(super) const MAX_QUEUED_MESSAGES: usize = 1024;
/// The maximum memory that they take, in bytes.
pub(super) const MAX_QUEUE_BYTES: usize = 1024 * 1024;
/// The places, and the bytes, that only the audit of what was changed may use: it is not lost among other messages, whatever
/// somebody has this node complain about.
pub(super) const AUDIT_MESSAGES: usize = 256;
const AUDIT_BYTES: usize = 256 * 1024;
/// A longer message is cut, because some contain names and values from outside.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// A log message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) level: LogLevel,
    pub(super) text: String,
}

impl Message {
    fn bytes(&self) -> usize {
        self.text.capacity() + size_of::<Message>()
    }
}

/// A gap in the queue: consecutive messages that were dropped.
#[derive(Debug)]
struct DroppedMessages {
    count: u64,
    /// The level of the most severe of them, so that a reader who filters for that level also sees the gap.
    level: LogLevel,
}

impl DroppedMessages {
    fn message(&self) -> Message {
        Message {
            level: self.level,
            text: format!(
                "{} messages dropped: the log was not read as fast as it was written",
                self.count
            ),
        }
    }
}

/// The waiting messages, in order. Where messages were dropped, a message says how many.
#[derive(Debug, Default)]
pub(super) struct MessageQueue {
    waiting: VecDeque<Message>,
    bytes: usize,
    /// The messages dropped since the last one that fitted; they belong after all waiting messages.
    gap: Option<DroppedMessages>,
    dropped: u64,
}

impl MessageQueue {
    /// Adds a message at the end, or counts it as dropped.
    pub(super) fn push(&mut self, level: LogLevel, text: String) {
        self.push_within(MAX_QUEUED_MESSAGES, MAX_QUEUE_BYTES, level, text);
    }

    /// The same for a line of the audit about something that was changed.
    pub(super) fn push_audit(&mut self, level: LogLevel, text: String) {
        let (messages, bytes) = (
            MAX_QUEUED_MESSAGES + AUDIT_MESSAGES,
            MAX_QUEUE_BYTES + AUDIT_BYTES,
        );
        self.push_within(messages, bytes, level, text);
    }

    fn push_within(&mut self, max_messages: usize, max_bytes: usize, level: LogLevel, mut text: String) {
        truncate(&mut text);
        let message = Message { level, text };
        let gap = self.gap.as_ref().map(DroppedMessages::message);
        let added = [gap.as_ref(), Some(&message)];
        let count = added.iter().flatten().count();
        let bytes: usize = added.iter().flatten().map(|message| message.bytes()).sum();
        if self.waiting.len() + count > max_messages || self.bytes + bytes > max_bytes {
            self.dropped += 1;
            let gap = self.gap.get_or_insert(DroppedMessages { count: 0, level });
            gap.count += 1;
            gap.level = gap.level.min(level);
            return;
        }
        self.gap = None;
        self.bytes += bytes;
        self.waiting.extend(gap);
        self.waiting.push_back(message);
    }

    /// Removes the first message.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let Some(message) = self.waiting.pop_front() else {
            return self.gap.take().map(|gap| gap.message());
        };
        self.bytes -= message.bytes();
        Some(message)
    }

    /// True when no message is left to deliver.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.gap.is_none()
    }

    /// Discards the waiting messages because they will not be read; they count as dropped.
    pub(super) fn abandon(&mut self) {
        self.dropped += self.waiting.len() as u64;
        self.clear();
    }

    /// Discards the waiting messages because there is no callback; they do not count as dropped.
    pub(super) fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.bytes = 0;
        self.gap = None;
    }

    /// Number of messages that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Cuts a message to its maximum size, and says so in it.
fn truncate(text: &mut String) {
    if text.len() > MAX_MESSAGE_BYTES {
        // At most three bytes back: a character has at most four, and 0 is always a boundary.
        let mut end = MAX_MESSAGE_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let left_out = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("... ({left_out} bytes more)"));
    }
    text.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(queue: &mut MessageQueue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop().map(|message| message.text)).collect()
    }

    #[test]
    fn messages_that_do_not_fit_are_dropped_and_counted_in_their_place() {
        let mut queue = MessageQueue::default();
        for number in 0..MAX_QUEUED_MESSAGES + 3 {
            let level = if number == MAX_QUEUED_MESSAGES + 1 {
                LogLevel::Error
            } else {
                LogLevel::Info
            };
            queue.push(level, number.to_string());
        }
        assert_eq!(queue.dropped(), 3);
        assert_eq!(queue.pop().unwrap().text, "0");
        // One place is free, and the gap needs one too.
        queue.push(LogLevel::Info, "too early".to_owned());
        assert_eq!(queue.pop().unwrap().text, "1");
        queue.push(LogLevel::Info, "late".to_owned());
        let rest: Vec<Message> = std::iter::from_fn(|| queue.pop()).collect();
        let numbers: Vec<String> = (2..MAX_QUEUED_MESSAGES)
            .map(|number| number.to_string())
            .collect();
        let texts: Vec<&String> = rest.iter().map(|message| &message.text).collect();
        assert_eq!(texts[..numbers.len()], numbers.iter().collect::<Vec<_>>());
        let gap = &rest[numbers.len()];
        assert!(gap.text.starts_with("4 messages dropped"), "{gap:?}");
        assert_eq!(gap.level, LogLevel::Error);
        assert_eq!(rest[numbers.len() + 1].text, "late");
        assert_eq!((queue.dropped(), queue.is_empty(), queue.bytes), (4, true, 0));
    }

    #[test]
    fn the_audit_has_places_of_its_own() {
        let mut queue = MessageQueue::default();
        for _ in 0..2 * MAX_QUEUED_MESSAGES {
            queue.push(LogLevel::Warn, "flood".to_owned());
        }
        for number in 0..AUDIT_MESSAGES {
            queue.push_audit(LogLevel::Info, format!("audit {number}"));
        }
        let delivered = texts(&mut queue);
        let audit = delivered.iter().filter(|text| text.starts_with("audit")).count();
        // One place went to the message that says how many were dropped before.
        assert_eq!(audit, AUDIT_MESSAGES - 1);
    }

    #[test]
    fn a_gap_at_the_end_is_delivered_after_all_messages() {
        let mut queue = MessageQueue::default();
        for _ in 0..=MAX_QUEUED_MESSAGES {
            queue.push(LogLevel::Warn, String::new());
        }
        let delivered = texts(&mut queue);
        assert_eq!(delivered.len(), MAX_QUEUED_MESSAGES + 1);
        assert!(delivered[MAX_QUEUED_MESSAGES].starts_with("1 messages dropped"));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn long_messages_are_cut_and_many_of_them_take_no_more_than_the_bound() {
        let mut queue = MessageQueue::default();
        let long = "ä".repeat(MAX_MESSAGE_BYTES);
        for _ in 0..MAX_QUEUED_MESSAGES {
            queue.push(LogLevel::Info, long.clone());
        }
        let bytes = queue.waiting.iter().map(Message::bytes).sum::<usize>();
        assert!(bytes <= MAX_QUEUE_BYTES && bytes > MAX_QUEUE_BYTES / 2, "{bytes}");
        assert_eq!(queue.bytes, bytes);
        assert!(queue.dropped() > 900);
        let first = queue.pop().unwrap().text;
        assert!(first.len() < MAX_MESSAGE_BYTES + 64, "{}", first.len());
        assert!(first.ends_with("bytes more)"), "{}", &first[first.len() - 40..]);
    }

    #[test]
    fn abandoned_messages_count_as_dropped_and_cleared_ones_do_not() {
        let mut queue = MessageQueue::default();
        queue.push(LogLevel::Info, "a".to_owned());
        queue.clear();
        assert_eq!((queue.dropped(), queue.pop()), (0, None));
        queue.push(LogLevel::Info, "a".to_owned());
        queue.abandon();
        assert_eq!((queue.dropped(), queue.pop()), (1, None));
        assert_eq!(queue.bytes, 0);
    }
}
