import { type Cluster, type LeaderInfo, type Maintenance, type Node, type PartitionRecord, type PartitionState, type PartitionStats, type Role } from './records.js';
/** A key of the application's: text, which counts as its UTF-8 bytes, or bytes. A `Buffer` is a `Uint8Array`. */
export type Key = string | Uint8Array;
/** A partition, as a view shows it. Shared and frozen. */
export declare class Partition {
    /** Its number, from 0. */
    readonly number: number;
    /** Its name, such as `partition-5`. */
    readonly id: string;
    /** Grows whenever the primary changes: the fencing token for the application's storage. */
    readonly epoch: bigint;
    /** The node that takes its writes; `null` while there is none. */
    readonly primary: Node | null;
    /** The other nodes that hold its data. */
    readonly replicas: readonly Node[];
    /** The nodes that are still copying it. */
    readonly pending: readonly Node[];
    /** Its condition. */
    readonly state: PartitionState;
    /**
     * What this node is to it by the view, which does not know of leases: {@link ClusterKit.role} says what it may do. `null` where it
     * holds nothing, and in the view of a client.
     */
    readonly role: Role | null;
    /** Every node that holds its data, the primary first. */
    get nodes(): readonly Node[];
    /** The id of {@link primary}, empty while there is none. */
    get primaryNode(): string;
    /** The ids of {@link replicas}. */
    get replicaNodes(): readonly string[];
}
/**
 * The whole cluster at one revision. It never changes, and all answers of one view agree with each other. Records are made when they are
 * first asked for, and then shared and frozen.
 */
export declare class View {
    #private;
    /** The revision of the cluster that the view shows. */
    get revision(): bigint;
    /** The number of partitions; 0 before they were created. */
    get partitionCount(): number;
    /** The number of copies that each partition should have. */
    get replicationFactor(): number;
    /** How long a lease lasts, in milliseconds. */
    get leaseTtl(): number;
    /** The cluster's id; empty before there is a cluster. */
    get clusterId(): string;
    /** The cluster's name. */
    get clusterName(): string;
    /** The leader that was recorded last; `null` before there was one. */
    get leader(): LeaderInfo | null;
    /** Set during maintenance, while no migrations are planned. */
    get maintenance(): Maintenance | null;
    /** The numbers of the partitions of which no node that is up holds the data. */
    get lostPartitions(): readonly number[];
    /** Every member, sorted by id. */
    get nodes(): readonly Node[];
    /** The member with this id. */
    node(id: string): Node | null;
    /** The record of this node; `null` while it is no member, and in the view of a client. */
    get myNode(): Node | null;
    /** Every partition, by number. */
    get partitions(): readonly Partition[];
    /** A partition by its number or its id, such as `partition-5`. */
    partition(which: number | string): Partition | null;
    /** The number of the partition that a key belongs to; `null` before there are partitions. */
    partitionForKey(key: Key): number | null;
    /** The number of the partition of each key, in order, for a fraction of what each would take alone; `null` before there are partitions. */
    partitionsForKeys(keys: Iterable<Key>): Uint32Array | null;
    /** The partition that a key belongs to; `null` before there are partitions. */
    getPartition(key: Key): Partition | null;
    /** The node that takes the writes of a key; `null` while there is none. */
    getPrimaryNode(key: Key): Node | null;
    /** The other nodes that hold a key's data. */
    getReplicaNodes(key: Key): readonly Node[];
    /** Every node that holds a key's data, the primary first. */
    getNodesForKey(key: Key): readonly Node[];
    /** What this node is to a key by the view, which does not know of leases: {@link ClusterKit.roleForKey} says what it may do. */
    roleForKey(key: Key): Role | null;
    /** The partitions that a node is primary of, and those that it holds another copy of; `null` where it is no member. */
    getPartitionsForNode(id: string): {
        readonly primary: readonly number[];
        readonly replica: readonly number[];
    } | null;
    /** How many partitions each member is primary of, and how many other copies it holds. */
    getPartitionStats(): PartitionStats;
    /** Every partition as a plain record, by number. */
    listPartitions(): PartitionRecord[];
    /** The whole as one record, without the replicated store. Takes time in proportion to all of it. */
    cluster(): Cluster;
    /** The whole as JSON, the same as over HTTP. */
    json(): string;
}
