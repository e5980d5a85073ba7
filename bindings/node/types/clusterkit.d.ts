import { ClusterCalls } from './clusterCalls.js';
import { type ClusterEvent, type EventOfType, type EventType } from './events.js';
import { EventStream, type EventsOptions } from './eventStream.js';
import { type Hook, type HookError, type HookFunction } from './hook.js';
import { type Logger } from './logger.js';
import { type CallOptions, type SignalOptions } from './mailbox.js';
import { type NodeOptionValues, OptionSet } from './options.js';
import type { HookStats } from './records.js';
/** The options of a node. */
export interface NodeOptions extends NodeOptionValues {
    /** Takes messages for people: `console`, or any logger with these methods. Without one there are none. */
    logger?: Logger;
}
/** What a `ClusterKit` emits: the name of each, and what its listeners are given. */
export interface ClusterKitEventMap {
    /** A node gained or lost a partition, or a role in it. To watch: {@link ClusterKit.onPartitionChange} confirms copies. */
    partitionChange: [event: EventOfType['partitionChange']];
    /** A node that was never a member has joined. */
    nodeJoin: [event: EventOfType['nodeJoin']];
    /** A member has come back. */
    nodeRejoin: [event: EventOfType['nodeRejoin']];
    /** A member stopped, failed, or was removed. */
    nodeLeave: [event: EventOfType['nodeLeave']];
    /** Partitions begin to move. */
    rebalanceStart: [event: EventOfType['rebalanceStart']];
    /** Every partition is where it should be. */
    rebalanceComplete: [event: EventOfType['rebalanceComplete']];
    /** The health of the cluster has changed. */
    clusterHealthChange: [event: EventOfType['clusterHealthChange']];
    /** This node leads now. */
    becomeLeader: [event: EventOfType['becomeLeader']];
    /** This node leads no longer. */
    loseLeadership: [event: EventOfType['loseLeadership']];
    /** The leader has changed. */
    leaderChange: [event: EventOfType['leaderChange']];
    /** Any event. */
    event: [event: ClusterEvent];
    /** So many events were not told to listeners, because the event loop was busy for long: look at the view afresh. */
    lagged: [lost: number];
    /** A hook has thrown, or its Promise was rejected. Without a listener, the process is warned (`process.on('warning')`). */
    hookError: [error: HookError];
}
/** What a hook may be given. */
export interface HookOptions {
    /**
     * True for a hook that only observes: it is called with one event after the other, nothing waits for it, and it confirms no copy.
     * Default false.
     */
    observe?: boolean;
}
/**
 * A node of a cluster, embedded in this process.
 *
 * Whatever waits is a Promise, and no call blocks the event loop; lookups answer at once, from memory. A node that was not started opens
 * nothing. A call that waits keeps the process alive; a node that runs does not, unless {@link ref} says so.
 */
export declare class ClusterKit extends ClusterCalls {
    #private;
    /**
     * Makes a node, and checks its options. Nothing is opened before {@link start}.
     *
     * @throws {ClusterKitError} `INVALID_OPTION`; `IO` where the system refuses a thread.
     */
    constructor(options: NodeOptions | OptionSet);
    /**
     * Starts the node: it founds a cluster, joins one, or comes back to its own, as its options and its data directory say. Resolves when
     * it is a member. It takes slightly longer than `joinTimeout` at most; a node that was a member before resolves then, and goes on
     * trying, because the others may be starting, too.
     *
     * @throws {ClusterKitError} `ALREADY_STARTED`, which changes nothing. After any other error the node is stopped: `JOIN_FAILED` with the
     *   answer of every address, `ADDRESS_IN_USE`, `DATA_DIR_IN_USE`, `WRONG_CLUSTER`, `CLUSTER_MISMATCH`, `DUPLICATE_NODE`, `REMOVED`,
     *   `CORRUPT`, `IO`, `STOPPED`.
     */
    start(options?: SignalOptions): Promise<void>;
    /**
     * Stops the node: other members take over its roles, then everything is closed. It takes a few seconds at most. Hooks that run do not
     * hold it up: their signal aborts, and their outcome counts no more. Idempotent.
     */
    stop(options?: SignalOptions): Promise<void>;
    /**
     * Leaves the cluster for ever: leadership and all copies move to other nodes, then the node is removed and stops.
     *
     * @throws {ClusterKitError} `REFUSED` where no node could take over; `TIMEOUT` with what is left to move: it goes on leaving, and the
     *   call may be made again.
     */
    leave(options?: CallOptions): Promise<void>;
    /**
     * Closes the node without telling the others, who find out by its silence, and frees what it has. Usually milliseconds. Lookups answer
     * from now on what they answer of a node that has stopped. Idempotent.
     */
    close(): Promise<void>;
    /** Stops the node, and closes it: for `await using`. */
    [Symbol.asyncDispose](): Promise<void>;
    /** Makes the node keep the process alive until it is stopped, or {@link unref} is called. */
    ref(): this;
    /** Lets the process end though the node runs: the default. */
    unref(): this;
    /** True after {@link ref}. */
    hasRef(): boolean;
    /** This node's id. */
    get nodeId(): string;
    /** This node's id: {@link nodeId}, by the name of the other languages. */
    getMyNodeId(): string;
    /** The address at which other nodes reach this one, `host:port`; `null` before it listens. */
    get httpAddr(): string | null;
    /**
     * What this node waits for before it is ready, in words; `null` when it is: it is a member, knows a leader and holds a lease.
     *
     * @throws {ClusterKitError} Why it never will be: `REMOVED`, `DUPLICATE_NODE`, `IO`, `STOPPED`.
     */
    waitingFor(): string | null;
    /** Sets what takes messages for people; `null` ends them. */
    setLogger(logger: Logger | null): void;
    /**
     * Calls `hook` with every partition change, to copy data: the Promise confirms. When this node gains a copy (`gained_replica`), the
     * copy counts when it fulfils. When it rejects or throws, the migration has failed with its message, the failure is told
     * (`hookError`, or a process warning), and the hook is called again after a pause. Calls for different partitions run at the same
     * time, at most `hookConcurrency` of them.
     *
     * Register before {@link start}, and nothing is missed. Later, nothing is lost either: the hook is first told what this node holds.
     */
    onPartitionChange(hook: HookFunction<EventOfType['partitionChange']>): Hook;
    /** Calls `hook` when a node has joined that was never a member. What follows waits for its Promise. */
    onNodeJoin(hook: HookFunction<EventOfType['nodeJoin']>): Hook;
    /** Calls `hook` when a member has come back. No copy begins before its Promise has settled: the place to clean up. */
    onNodeRejoin(hook: HookFunction<EventOfType['nodeRejoin']>): Hook;
    /** Calls `hook` when a member has stopped, failed, or was removed. */
    onNodeLeave(hook: HookFunction<EventOfType['nodeLeave']>): Hook;
    /** Calls `hook` when partitions begin to move, before the copies. */
    onRebalanceStart(hook: HookFunction<EventOfType['rebalanceStart']>): Hook;
    /** Calls `hook` when every partition is where it should be, after the copies. */
    onRebalanceComplete(hook: HookFunction<EventOfType['rebalanceComplete']>): Hook;
    /** Calls `hook` when the health of the cluster has changed. */
    onClusterHealthChange(hook: HookFunction<EventOfType['clusterHealthChange']>): Hook;
    /** Calls `hook` when this node has begun to lead. */
    onBecomeLeader(hook: HookFunction<EventOfType['becomeLeader']>): Hook;
    /** Calls `hook` when this node leads no longer. */
    onLoseLeadership(hook: HookFunction<EventOfType['loseLeadership']>): Hook;
    /** Calls `hook` when the leader of the cluster has changed. */
    onLeaderChange(hook: HookFunction<EventOfType['leaderChange']>): Hook;
    /** Calls `hook` with every event of several types, in order. */
    addHook<T extends EventType>(types: readonly T[], hook: HookFunction<EventOfType[T]>, options?: HookOptions): Hook;
    /** Calls `hook` with every event from now on, to observe: one after the other. Nothing waits for it. */
    onEvent(hook: HookFunction): Hook;
    /** Statistics of every registration. */
    hookStats(): HookStats[];
    /**
     * The events from now on, for `for await`: a bounded queue, which ends with the node.
     *
     * @throws {ClusterKitError} `STOPPED`.
     */
    events<T extends EventType = EventType>(options?: EventsOptions<T>): EventStream<T>;
}
/** The typed forms of an emitter's methods. */
export interface ClusterKit {
    /** Calls `listener` with what is emitted under this name. */
    on<E extends keyof ClusterKitEventMap>(event: E, listener: (...args: ClusterKitEventMap[E]) => void): this;
    /** Calls `listener` once. */
    once<E extends keyof ClusterKitEventMap>(event: E, listener: (...args: ClusterKitEventMap[E]) => void): this;
    /** As `on`. */
    addListener<E extends keyof ClusterKitEventMap>(event: E, listener: (...args: ClusterKitEventMap[E]) => void): this;
    /** As `on`, before the other listeners. */
    prependListener<E extends keyof ClusterKitEventMap>(event: E, listener: (...args: ClusterKitEventMap[E]) => void): this;
    /** Removes a listener. */
    off<E extends keyof ClusterKitEventMap>(event: E, listener: (...args: ClusterKitEventMap[E]) => void): this;
    /** Removes a listener. */
    removeListener<E extends keyof ClusterKitEventMap>(event: E, listener: (...args: ClusterKitEventMap[E]) => void): this;
}
