import { EventEmitter } from 'node:events';
import { type ClusterEvent, type EventOfType, type EventType } from './events.js';
import { EventStream, type EventsOptions } from './eventStream.js';
import { type Hook, type HookError, type HookFunction } from './hook.js';
import { type Logger } from './logger.js';
import { type CallOptions, type SignalOptions } from './mailbox.js';
import { type NodeOptionValues, OptionSet } from './options.js';
import { type Cluster, type ConsensusStats, type DataEntry, type HealthStatus, type HookStats, type LeaderInfo, type Metrics, type Node, type NodeHealth, type NodeHealthState, type PartitionRecord, type PartitionStats, type RebalanceStatus, type Role } from './records.js';
import { type Key, type Partition, View } from './view.js';
/** The options of a node. */
export interface NodeOptions extends NodeOptionValues {
    /** Takes messages for people: `console`, or any logger with these methods. Without one there are none. */
    logger?: Logger;
}
/** What a write expects to find: anything (the default), nothing (`'absent'`), or what this revision wrote. */
export interface WriteOptions extends CallOptions {
    /** `'any'`, `'absent'`, or the revision of the value that is to be replaced. Else the call fails with `CONFLICT`. */
    expect?: 'any' | 'absent' | bigint;
}
/** Where a key belongs, and what this node may do with it at this moment. All of it is from one view. */
export interface Route {
    /** The partition's number. */
    readonly partition: number;
    /** What this node is to the key at this moment, its lease included; `null` where it is nothing, or may not act on what it holds. */
    readonly role: Role | null;
    /** The partition epoch, the fencing token of a write. */
    readonly epoch: bigint;
    /** The node that takes the writes; `null` while there is none. */
    readonly primary: Node | null;
    /** The other nodes that hold the data. */
    readonly replicas: readonly Node[];
    /** The revision of the view. */
    readonly revision: bigint;
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
export declare class ClusterKit extends EventEmitter {
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
    /** True when this node takes the writes of a partition at this moment: it is the primary, and its lease runs. */
    isPrimary(partition: number): boolean;
    /** True when this node takes the writes of a key at this moment. */
    isPrimaryForKey(key: Key): boolean;
    /** True when this node holds a copy of a partition at this moment that it does not take the writes of. */
    isReplica(partition: number): boolean;
    /** True when this node holds a copy of a key's data at this moment that it does not take the writes of. */
    isReplicaForKey(key: Key): boolean;
    /** What this node is to a partition at this moment, its lease included. */
    role(partition: number): Role | null;
    /** What this node is to a key at this moment, its lease included. */
    roleForKey(key: Key): Role | null;
    /** {@link roleForKey}, by the name of the other languages. */
    shouldHandleKey(key: Key): Role | null;
    /** The number of the partition that a key belongs to; `null` before there are partitions. */
    partitionForKey(key: Key): number | null;
    /** The number of the partition of each key, in order, for a fraction of what each would take alone; `null` before there are partitions. */
    partitionsForKeys(keys: Iterable<Key>): Uint32Array | null;
    /** Where a key belongs and what this node may do with it at this moment; `null` before there are partitions. */
    lookup(key: Key): Route | null;
    /**
     * The epoch of a partition that this node takes the writes of at this moment: the strict form of {@link isPrimary}, and the fencing
     * token with which storage refuses an earlier primary. Ask right before the write.
     *
     * @throws {ClusterKitError} `LEASE_EXPIRED` when this node would be primary but holds no lease; `CONFLICT` when another node is primary,
     *   or none; `NOT_FOUND`; `NOT_STARTED`.
     */
    primaryEpoch(partition: number): bigint;
    /** True while this node holds a lease, without which it is primary of nothing. */
    isLeased(): boolean;
    /** True when this node leads the cluster at this moment: no other can. */
    isLeader(): boolean;
    /** The leader epoch of this node's leadership, a fencing token. @throws {ClusterKitError} `LEASE_EXPIRED` when it does not lead. */
    leaderEpoch(): bigint;
    /** The present view of the cluster: the same object for as long as nothing changes. After {@link close}, the last that was asked for. */
    view(): View;
    /** The partition that a key belongs to; `null` before there are partitions. */
    getPartition(key: Key): Partition | null;
    /** The node that takes the writes of a partition; `null` while there is none. */
    getPrimary(partition: number): Node | null;
    /** The other nodes that hold a partition's data. */
    getReplicas(partition: number): readonly Node[];
    /** Every node that holds a partition's data, the primary first. */
    getNodes(partition: number): readonly Node[];
    /** The node that takes the writes of a key; `null` while there is none. */
    getPrimaryNode(key: Key): Node | null;
    /** The other nodes that hold a key's data. */
    getReplicaNodes(key: Key): readonly Node[];
    /** Every node that holds a key's data, the primary first. */
    getNodesForKey(key: Key): readonly Node[];
    /** The node that takes the writes of a key, and the others that hold its data. */
    getAllNodesForKey(key: Key): {
        readonly primary: Node | null;
        readonly replicas: readonly Node[];
    };
    /** What this node is to a key at this moment, and every node that holds its data. */
    amIResponsibleFor(key: Key): {
        readonly role: Role | null;
        readonly nodes: readonly Node[];
    };
    /** Every partition as a plain record, by number. */
    listPartitions(): PartitionRecord[];
    /** How many partitions each member is primary of, and how many other copies it holds. */
    getPartitionStats(): PartitionStats;
    /** The partitions that a node is primary of, and those that it holds another copy of; `null` where it is no member. */
    getPartitionsForNode(id: string): {
        readonly primary: readonly number[];
        readonly replica: readonly number[];
    } | null;
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
    /** The leader; `null` when this node has had no contact with one for the duration of a lease. */
    getLeader(): LeaderInfo | null;
    /** The whole cluster with the replicated store, as the caller's own record. Takes time in proportion to all of it. */
    getCluster(): Cluster;
    /** Counters and gauges of this node. */
    getMetrics(): Metrics;
    /** The health of this node. */
    healthCheck(): HealthStatus;
    /** The health of a member, which the leader knows best. @throws {ClusterKitError} `NOT_FOUND`. */
    getNodeHealth(id: string): NodeHealth;
    /** Raft statistics of this node. */
    getConsensusStats(): ConsensusStats;
    /** Reports the health of this node's application to every node. It moves nothing. `reason` is cut after 256 characters. */
    reportHealth(health: NodeHealthState, reason?: string): void;
    /** Waits until a leader is known. @throws {ClusterKitError} `NO_LEADER`. */
    waitForLeader(options?: CallOptions): Promise<LeaderInfo>;
    /** Has the leader hand leadership to another voter; resolves with the leader afterwards. @throws {ClusterKitError} `REFUSED`. */
    stepDown(options?: SignalOptions): Promise<string>;
    /** Has the leader hand leadership to this voter. @throws {ClusterKitError} `REFUSED`, `NOT_FOUND`. */
    promote(nodeId: string, options?: SignalOptions): Promise<string>;
    /** {@link stepDown}, after which the former leader does not stand for election for `cooldown` milliseconds. */
    demote(cooldown: number, options?: SignalOptions): Promise<string>;
    /** Begins maintenance, with a reason for people: no migrations are planned, and primaries still fail over. Resolves with the revision. */
    beginMaintenance(reason: string, options?: CallOptions): Promise<bigint>;
    /** Ends maintenance. Resolves with the revision. */
    endMaintenance(options?: CallOptions): Promise<bigint>;
    /**
     * Removes a member for ever. Resolves with the revision. With `force`, also the last that counts as holding a partition's data, which
     * is lost then until {@link recoverPartition} accepts another copy.
     *
     * @throws {ClusterKitError} `NOT_FOUND`; `REFUSED` for the leader, for the last member, and, without `force`, for that holder.
     */
    removeNode(nodeId: string, options?: CallOptions & {
        force?: boolean;
    }): Promise<bigint>;
    /**
     * Accepts the copy of a node as a partition's data, because no better copy is left: writes that it missed are lost. With `force`, though
     * a node that is up holds the data, or `from` holds no copy. Resolves with the revision.
     *
     * @throws {ClusterKitError} `NOT_FOUND`, `REFUSED`.
     */
    recoverPartition(partition: number, from: string, options?: CallOptions & {
        force?: boolean;
    }): Promise<bigint>;
    /** Creates the partitions if there are none, which a leader also does by itself. Resolves with the revision and their number. */
    createPartitions(options?: CallOptions): Promise<{
        revision: bigint;
        count: number;
    }>;
    /** Plans and starts a rebalance, which a leader also does by itself. Resolves with the revision and how many partitions move. */
    rebalancePartitions(options?: CallOptions): Promise<{
        revision: bigint;
        count: number;
    }>;
    /** The migrations in progress and waiting: as the leader knows them, or, where it does not answer in time, as this node does. */
    getRebalanceStatus(options?: CallOptions): Promise<RebalanceStatus>;
    /**
     * Writes a small value that is replicated to every node. Text is written as UTF-8. Resolves with the revision of the write.
     *
     * @throws {ClusterKitError} `TOO_LARGE` above 1 MiB; `CONFLICT` when `expect` does not hold; `NO_LEADER`: the write has not happened;
     *   `TIMEOUT`: it may or may not have.
     */
    setCustomData(key: string, value: string | Uint8Array, options?: WriteOptions): Promise<bigint>;
    /** A value as this node has applied it; another may be ahead: {@link waitForRevision}, {@link readBarrier}. */
    getCustomData(key: string): DataEntry | null;
    /** Deletes a value. Resolves with the revision, and whether there was one. @throws {ClusterKitError} As {@link setCustomData}. */
    deleteCustomData(key: string, options?: WriteOptions): Promise<{
        revision: bigint;
        existed: boolean;
    }>;
    /** Keys of the store, in order: those that begin with `prefix` and come after `after`, at most `limit` (default 1000). */
    listCustomDataKeys(options?: {
        prefix?: string;
        after?: string;
        limit?: number;
    }): string[];
    /** Waits until this node has applied a revision: read your writes, also those made through another node. */
    waitForRevision(revision: bigint, options?: CallOptions): Promise<void>;
    /**
     * Waits until this node has applied everything that any node acknowledged before this call: a read that follows is linearizable.
     * Resolves with the revision.
     */
    readBarrier(options?: CallOptions): Promise<bigint>;
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
