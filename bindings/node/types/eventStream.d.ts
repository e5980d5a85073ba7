import { type EventOfType, type EventType } from './events.js';
/** What {@link ClusterKit.events} may be given. */
export interface EventsOptions<T extends EventType = EventType> {
    /** The types of the events; without it, all. */
    types?: readonly T[];
    /**
     * True for a reader whose reading confirms, as the return of a hook does: an event is acknowledged when the next is asked for. When the
     * loop is left, be it by an exception or by `break`, the last one has failed, unless {@link EventStream.acknowledge} was called before.
     * The cluster waits for such a reader. Default false: reading observes.
     */
    confirm?: boolean;
    /**
     * How many events wait for a reader that observes, 1 to 1,000,000; a reader that falls behind by more loses the oldest, and is told by
     * `onLagged`. Default 1024. A reader that confirms loses none: nothing follows an event before it is acknowledged.
     */
    capacity?: number;
    /** Is called with the number of events that were lost, before the next one is read: look at the view afresh. */
    onLagged?: (lost: number) => void;
    /** Ends the loop, with its reason. */
    signal?: AbortSignal;
}
/**
 * The events of a node, for `for await`. It is a queue of bounded size in the native part, from which a few events at a time are
 * taken as they are read: a reader that is slow costs no memory. It ends when the node has stopped, when the loop is left, and with
 * `close`. A read that waits keeps the process alive.
 */
export declare class EventStream<T extends EventType = EventType> implements AsyncIterableIterator<EventOfType[T]> {
    #private;
    /** The number of events that were lost so far, because they were not read in time. */
    get lost(): number;
    /** Reads the next event. With `confirm`, acknowledges the one before. */
    next(): Promise<IteratorResult<EventOfType[T]>>;
    /** As {@link close}. `for await` calls it when a loop is left. */
    return(): Promise<IteratorResult<EventOfType[T]>>;
    /** Acknowledges the event that was read last, before the next one is asked for. Only with `confirm`. */
    acknowledge(): void;
    /** Says that the event that was read last has failed: a gained partition is tried again. Only with `confirm`. */
    reject(reason: string): void;
    /** Ends the stream. Events that were not read are dropped; with `confirm` they, and one that is not acknowledged, have failed. */
    close(): void;
    /** The stream itself. */
    [Symbol.asyncIterator](): this;
    /** As {@link close}. */
    [Symbol.asyncDispose](): Promise<void>;
}
