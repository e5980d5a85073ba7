// Part of include/clusterkit.hpp: Queues of events, and messages for people.
#pragma once

#include "event.hpp"

namespace clusterkit {

// ---- Queues of events.
// --------------------------------------------------------------------------------------------------

/// What acknowledging an event of a queue means.
enum class EventsMode : std::uint32_t {
    /// What the return of a hook means: for a gained partition, success confirms the copy.
    Confirm = 0,
    /// Nothing waits for the reader, and what it acknowledges confirms no copy; one that falls behind by 1024 events
    /// loses the
    /// oldest.
    Observe = CK_EVENTS_OBSERVE,
};

/// An event that was read from a queue, and is to be acknowledged. One that is destroyed without that is acknowledged
/// as failed. It keeps its queue open.
class [[nodiscard]] QueuedEvent : public Event {
  public:
    QueuedEvent(QueuedEvent &&other) noexcept : Event(other), queue_(std::move(other.queue_)) { other.reset(nullptr); }
    QueuedEvent &operator=(QueuedEvent &&other) noexcept {
        if (this != &other) {
            drop();
            reset(other.get());
            queue_ = std::move(other.queue_);
            other.reset(nullptr);
        }
        return *this;
    }
    ~QueuedEvent() { drop(); }

    /// An event of a queue is acknowledged instead, whenever its work is done.
    Result<Completion> defer() const = delete;

    /// True while the event has not been acknowledged: it tells nothing afterwards.
    explicit operator bool() const noexcept { return get() != nullptr; }

    /// Acknowledges the event: its call has ended. In a queue that observes it only frees the event. What was borrowed
    /// from the event ends. On any thread; never blocks.
    ///
    /// Errors: InvalidArgument the second time.
    Result<void> ack(const HookResult &result = HookResult()) {
        const ck_event_t *event = get();
        reset(nullptr);
        const std::string &words = result.words();
        return detail::outcome(ck_events_ack(queue_.get(), event, result.is_ok() ? 0 : 1, words.data(), words.size()));
    }

  private:
    friend class Events;

    QueuedEvent(const ck_event_t *event, std::shared_ptr<ck_events_t> queue) noexcept
        : Event(event), queue_(std::move(queue)) {}

    void drop() noexcept {
        if (get() != nullptr) {
            constexpr std::string_view words = "it was dropped without being acknowledged";
            ck_error_free(ck_events_ack(queue_.get(), get(), 1, words.data(), words.size()));
            reset(nullptr);
        }
    }

    std::shared_ptr<ck_events_t> queue_;
};

/// A queue of events: the pull form of hooks, for whoever does not want to be called (ClusterRef::open_events). It
/// closes when it and every event that was read from it are gone; events that were not acknowledged have failed then.
/// It may outlive its cluster.
class Events {
  public:
    /// No queue: reading from it fails.
    Events() noexcept = default;
    /// Owns a queue of the C interface. events: consumed.
    explicit Events(ck_events_t *events) : queue_(events, detail::Deleter<ck_events_close>()) {}
    Events(Events &&) noexcept = default;
    Events &operator=(Events &&) noexcept = default;

    /// Reads the next event; none when none came in time. Blocks for at most timeout; 0 asks without waiting. Several
    /// threads may read at once. Events that are no partition changes come one at a time: the next follows when the one
    /// before it is acknowledged.
    ///
    /// Errors: InvalidArgument; Stopped when the node has stopped and everything was read.
    Result<std::optional<QueuedEvent>> next(Duration timeout) const {
        const ck_event_t *event = nullptr;
        if (ck_error_t *error = ck_events_next(queue_.get(), timeout.count(), &event)) {
            return Error::take(error);
        }
        if (event == nullptr) {
            return std::optional<QueuedEvent>();
        }
        return std::optional<QueuedEvent>(QueuedEvent(event, queue_));
    }

    /// A descriptor that is readable while events wait to be read, and for good when the node has stopped: for poll,
    /// epoll, kqueue and whatever stands on them. It is level-triggered; nothing may be read from it or written to it,
    /// and it is not to be closed. -1 when the process has no more descriptors. Valid until the queue is closed.
    int fd() const noexcept { return ck_events_fd(queue_.get()); }
    /// How many events a queue that observes has lost since it was opened, because they were not read in time: look at
    /// a view then.
    std::uint64_t lost() const noexcept { return ck_events_lost(queue_.get()); }

    /// True when there is a queue.
    explicit operator bool() const noexcept { return queue_ != nullptr; }
    /// The queue for the C interface, borrowed.
    ck_events_t *get() const noexcept { return queue_.get(); }

  private:
    std::shared_ptr<ck_events_t> queue_;
};

// ---- Messages for people.
// -----------------------------------------------------------------------------------------------

/// A message for people, valid until the callback returns. It cannot be copied: copy what you keep.
class LogRecord {
  public:
    /// A message of the C interface, not NULL: borrowed.
    explicit LogRecord(const ck_log_record_t *record) noexcept : record_(record) {}
    LogRecord(const LogRecord &) = delete;
    LogRecord &operator=(const LogRecord &) = delete;

    /// The node that wrote it.
    std::string_view node_id() const noexcept { return detail::text(record_->node_id); }
    /// How much it matters.
    LogLevel level() const noexcept { return static_cast<LogLevel>(record_->level); }
    /// The message, without a line end.
    std::string_view message() const noexcept { return {record_->message, record_->message_len}; }

  private:
    const ck_log_record_t *record_;
};

namespace detail {

/// Calls a log callback for C: no exception gets out of it.
template <class Log>
void call_log(const ck_log_record_t *record, void *log) noexcept {
    const Received<Log> received(log);
    guarded([&] { std::invoke(*received, LogRecord(record)); });
}

} // namespace detail

} // namespace clusterkit
