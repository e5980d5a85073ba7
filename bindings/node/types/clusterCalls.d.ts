import { NodeLookups } from './lookups.js';
import { type CallOptions, type SignalOptions } from './mailbox.js';
import { type Cluster, type ConsensusStats, type DataEntry, type HealthStatus, type LeaderInfo, type Metrics, type NodeHealth, type NodeHealthState, type RebalanceStatus } from './records.js';
/** What a write expects to find: anything (the default), nothing (`'absent'`), or what this revision wrote. */
export interface WriteOptions extends CallOptions {
    /** `'any'`, `'absent'`, or the revision of the value that is to be replaced. Else the call fails with `CONFLICT`. */
    expect?: 'any' | 'absent' | bigint;
}
/** The calls of a {@link ClusterKit} that ask and manage its cluster, and those of the replicated store. */
export declare abstract class ClusterCalls extends NodeLookups {
    #private;
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
