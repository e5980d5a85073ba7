//! Pipelines append entries RPCs: several are in flight to one follower at a time.
//!
//! No task of its own: openraft's replication task, and on the control lane its heartbeat task, polls the stream that
//! `append_all` returns. The requests in flight are futures of that stream.
//!
//! Lock: the flow of the peer, for one statement at a time.
//!
//! Invariants: requests are sent in the order of the log. Until the first one has succeeded only one is in flight;
//! after that at most `IN_FLIGHT`, and `Flow::limit` bytes, except that one request always may be. The stream ends with
//! the first answer that is not a full success, and what was sent after it counts as lost.
//!
//! Start with `Pipeline::next`.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesOrdered, Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};
use parking_lot::Mutex;

use super::flow::{Flow, Sent, size_of_entry, split, time_for};
use super::network::Peer;
use crate::env::{self, Instant};
use crate::raft::types::{LogId, Types};

/// The most requests in flight to one follower. Two would keep the network and the follower's disk busy at the same
/// time; more smooth out requests that occasionally take long.
const IN_FLIGHT: usize = 8;

/// The timeout of an append, besides the time for its bytes. A connection detects a dead peer by its silence and then
/// fails the append, so this timeout only matters for a follower that is alive but whose disk hangs.
const APPEND_PATIENCE: Duration = Duration::from_secs(5);

/// If the last two appends with entries were less than this apart, a request that carries only the commit index waits
/// up to this long for the next entries, which carry the commit index as well. Otherwise every second message would be
/// such a request. After a single write the commit index is sent at once.
const TELL_WITHIN: Duration = Duration::from_millis(1);

/// The result of each append, in the order of the requests.
pub(in crate::raft) type Answers<'p> = BoxStream<'p, Result<StreamAppendResult<Types>, RPCError<Types>>>;

/// One request that was sent: its term, the entry before it, its last entry, its bytes, and the answer.
struct Asked {
    term: u64,
    prev: Option<LogId>,
    last: Option<LogId>,
    bytes: usize,
    sent: Sent,
    answer: Result<AppendEntriesResponse<Types>, RPCError<Types>>,
}

struct Pipeline<'p, S> {
    peer: &'p Peer,
    timeout: Duration,
    requests: Option<S>,
    /// Pieces of a request that was too large for one message, in order. They are sent before the next request.
    pieces: VecDeque<AppendEntriesRequest<Types>>,
    in_flight: FuturesOrdered<BoxFuture<'p, Asked>>,
    flow: &'p Mutex<Flow>,
    /// The bytes in flight.
    bytes: usize,
    /// The most requests in flight: one until the first has succeeded. Only then is the connection established, which
    /// keeps requests in order, and the follower known to match the log, so that the next requests will match too.
    window: usize,
    /// A request that carries only the commit index, and the time until which it waits for entries.
    held: Option<(AppendEntriesRequest<Types>, Instant)>,
    /// When the last entries were sent, and how long after the entries before them.
    last_entries: Option<(Instant, Duration)>,
}

/// Sends the requests of `requests`, without waiting for one answer before sending the next.
///
/// The stream ends with the first answer that is not a full success. The requests sent after that one count as lost,
/// and openraft sends their entries again from the match index of the follower.
pub(in crate::raft) fn append_all<'p, S>(peer: &'p Peer, requests: S, timeout: Duration) -> Answers<'p>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    peer.flow().lock().restart();
    let pipeline = Pipeline {
        peer,
        timeout,
        requests: Some(requests),
        pieces: VecDeque::new(),
        in_flight: FuturesOrdered::new(),
        flow: peer.flow(),
        bytes: 0,
        window: 1,
        held: None,
        last_entries: None,
    };
    futures_util::stream::unfold(Some(pipeline), async |pipeline| pipeline?.next().await).boxed()
}

impl<'p, S> Pipeline<'p, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    /// The next answer, and the pipeline if more answers follow.
    async fn next(mut self) -> Option<(Result<StreamAppendResult<Types>, RPCError<Types>>, Option<Self>)> {
        loop {
            while self.has_room()
                && let Some(piece) = self.pieces.pop_front()
            {
                self.send(piece);
            }
            if self.requests.is_none()
                && self.pieces.is_empty()
                && let Some((held, _)) = self.held.take()
            {
                self.send(held);
            }
            if self.requests.is_none() && self.pieces.is_empty() && self.in_flight.is_empty() {
                return None;
            }
            let room = self.pieces.is_empty() && self.has_room();
            let due = self.held.as_ref().map(|(_, due)| *due);
            let (answered, request) = (self.in_flight.next(), next_of(&mut self.requests));
            tokio::select! {
                // Sending takes precedence over answers. The futures of the set are first polled in the order in which
                // they were added, so requests are sent in order.
                biased;
                request = request, if room => match request {
                    Some(request) => self.take_up(request),
                    None => self.requests = None,
                },
                Some(asked) = answered => return Some(self.take(asked)),
                () = at(due), if room && due.is_some() => {
                    if let Some((held, _)) = self.held.take() {
                        self.send(held);
                    }
                }
                else => return None,
            }
        }
    }

    /// True if another request may be sent. One request always may be in flight, however large it is.
    fn has_room(&self) -> bool {
        self.in_flight.is_empty()
            || (self.in_flight.len() < self.window && self.bytes < self.flow.lock().limit())
    }

    /// Sends a request, or holds it back for a while if the next request will carry the same information.
    fn take_up(&mut self, request: AppendEntriesRequest<Types>) {
        let now = Instant::now();
        if !request.entries.is_empty() {
            let gap = self.last_entries.map_or(Duration::MAX, |(at, _)| now.since(at));
            self.last_entries = Some((now, gap));
            self.held = None;
            let most = self.flow.lock().piece();
            self.pieces.extend(split(request, most));
            if let Some(first) = self.pieces.pop_front() {
                self.send(first);
            }
            return;
        }
        let busy = self.last_entries.is_some_and(|(_, gap)| gap < TELL_WITHIN);
        if !busy || self.window == 1 {
            self.held = None;
            return self.send(request);
        }
        let due = self.held.take().map_or(now + TELL_WITHIN, |(_, due)| due);
        self.held = Some((request, due));
    }

    fn send(&mut self, request: AppendEntriesRequest<Types>) {
        let (term, prev) = (request.vote.leader_id.term, request.prev_log_id);
        let last = request.entries.last().map(|entry| entry.log_id).or(prev);
        let bytes = request.entries.iter().map(size_of_entry).sum();
        let peer = self.peer;
        let (sent, before) = (self.flow.lock().sends(bytes), self.bytes);
        self.bytes += bytes;
        let timeout = self.timeout;
        self.in_flight.push_back(Box::pin(async move {
            let answer = if peer.beats() {
                peer.beat(request, timeout).await
            } else {
                // Each request waits behind the bytes in flight before it.
                let patience = planted!("append-in-a-heartbeat" => timeout, timeout.max(APPEND_PATIENCE) + time_for(before + bytes));
                peer.append(&request, patience).await
            };
            Asked {
                term,
                prev,
                last,
                bytes,
                sent,
                answer,
            }
        }));
    }

    fn take(mut self, asked: Asked) -> (Result<StreamAppendResult<Types>, RPCError<Types>>, Option<Self>) {
        let Asked {
            term,
            prev,
            last,
            bytes,
            sent,
            answer,
        } = asked;
        if answer.is_ok() && bytes > 0 {
            self.flow.lock().answered(sent);
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        match answer {
            Ok(AppendEntriesResponse::Conflict) if prev.is_none() => {
                (Err(self.peer.conflict_with_nothing(self.timeout)), None)
            }
            // A follower that was stalled has handled this request before the one in front of it, whose answer was passed
            // on first.
            Ok(AppendEntriesResponse::Conflict) if self.peer.has_acknowledged(term, prev) => {
                (Err(self.peer.conflict_overtaken(self.timeout)), None)
            }
            Ok(answer) => {
                let on = match &answer {
                    AppendEntriesResponse::Success => true,
                    AppendEntriesResponse::PartialSuccess(upto) => *upto == last,
                    AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => false,
                };
                self.window = IN_FLIGHT;
                (Ok(answer.into_stream_result(prev, last)), on.then_some(self))
            }
            Err(error) => (Err(error), None),
        }
    }
}

/// Waits until `moment`; forever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => env::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The next item of the stream; waits forever if there is no stream.
async fn next_of<S: Stream + Unpin>(stream: &mut Option<S>) -> Option<S::Item> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
