import { EventEmitter } from 'node:events';
import type { Node, PartitionRecord, PartitionStats, Role } from './records.js';
import { type Key, type Partition, View } from './view.js';
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
/** The lookups of a {@link ClusterKit}: where a key belongs, and what this node may do with it. None of them waits. */
export declare abstract class NodeLookups extends EventEmitter {
    #private;
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
}
