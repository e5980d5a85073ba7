import { type Node } from './records.js';
interface EventBase {
    /** The revision that caused it. */
    readonly revision: bigint;
    /** When the change was proposed, by the wall clock of the node that proposed it. */
    readonly timestamp: Date;
}
/** A node gained or lost a partition, or a role in it. Every node hears of every change. */
export interface PartitionChangeEvent extends EventBase {
    /** The kind of event. */
    readonly type: 'partitionChange';
    /** The partition's name, such as `partition-5`. */
    readonly partitionId: string;
    /** The partition's number. */
    readonly number: number;
    /** The node that gains or loses the copy or the role. */
    readonly nodeId: string;
    /**
     * What it gains or loses. `gained_replica`: it has to copy the data, and a hook's success says that it is there.
     * `gained_primary`: it takes the writes from now on. `lost_primary`: it keeps its copy. `lost_copy`: it may delete the data.
     */
    readonly change: 'gained_replica' | 'gained_primary' | 'lost_primary' | 'lost_copy';
    /** The live nodes that hold the data, where it has to be copied; else empty. */
    readonly copyFromNodes: readonly Node[];
    /** The record of `nodeId`; `null` only where that node is no longer known. */
    readonly copyToNode: Node | null;
    /** The reason. */
    readonly changeReason: 'node_join' | 'node_leave' | 'rebalance' | 'manual';
    /** The primary before, empty when there was none. */
    readonly oldPrimary: string;
    /** The primary after, empty when there is none. */
    readonly newPrimary: string;
    /** The partition epoch after the change. */
    readonly epoch: bigint;
}
/** A node that was never a member has joined. */
export interface NodeJoinEvent extends EventBase {
    /** The kind of event. */
    readonly type: 'nodeJoin';
    /** The new member. */
    readonly node: Node;
    /** The number of members, this one included. */
    readonly clusterSize: number;
    /** True for the first node of a new cluster. */
    readonly isBootstrap: boolean;
}
/** A member has come back, after an absence or a restart. */
export interface NodeRejoinEvent extends EventBase {
    /** The kind of event. */
    readonly type: 'nodeRejoin';
    /** The member, with its new address and incarnation. */
    readonly node: Node;
    /** How long it was away, in milliseconds. */
    readonly offlineDuration: number;
    /** When it was last heard from, by the leader's wall clock. */
    readonly lastSeenAt: Date;
    /** The partitions that it held when it left. */
    readonly partitionsBeforeLeave: readonly string[];
}
/** A member stopped, failed, or was removed. */
export interface NodeLeaveEvent extends EventBase {
    /** The kind of event. */
    readonly type: 'nodeLeave';
    /** The member as it was. */
    readonly node: Node;
    /** The reason. */
    readonly reason: 'health_check_failure' | 'graceful_shutdown' | 'removed_by_admin';
    /** The partitions that it was primary of. */
    readonly partitionsOwned: readonly string[];
    /** The partitions that it held another copy of. */
    readonly partitionsReplica: readonly string[];
}
/** Partitions begin to move, or every one is where it should be. */
export interface RebalanceEvent extends EventBase {
    /** The kind of event. */
    readonly type: 'rebalanceStart' | 'rebalanceComplete';
    /** What caused the rebalance. */
    readonly trigger: 'node_join' | 'node_leave' | 'manual';
    /** The node that caused it; empty for a manual rebalance. */
    readonly triggerNodeId: string;
    /** The number of partitions that change a holder or their primary. */
    readonly partitionsToMove: number;
    /** The nodes that gain or lose something, sorted. */
    readonly nodesAffected: readonly string[];
    /** How long the rebalance took, in milliseconds; zero at the start. */
    readonly duration: number;
}
/** The health of the cluster has changed. */
export interface ClusterHealthEvent extends EventBase {
    /** The kind of event. */
    readonly type: 'clusterHealthChange';
    /** The number of members that are up and report that they are healthy. */
    readonly healthyNodes: number;
    /** The number of the other members. */
    readonly unhealthyNodes: number;
    /** The number of all members. */
    readonly totalNodes: number;
    /** The whole in a word. */
    readonly status: 'healthy' | 'degraded' | 'critical';
    /** The unhealthy members, sorted. */
    readonly unhealthyNodeIds: readonly string[];
    /** The partitions of which no node that is up holds the data. */
    readonly lostPartitions?: readonly string[];
}
/** This node leads now, or no longer. */
export interface LeadershipEvent extends EventBase {
    /** The kind of event. */
    readonly type: 'becomeLeader' | 'loseLeadership';
    /** The leader epoch that began or ended. */
    readonly epoch: bigint;
}
/** The leader of the cluster has changed. */
export interface LeaderChangeEvent extends EventBase {
    /** The kind of event. */
    readonly type: 'leaderChange';
    /** The new leader. */
    readonly nodeId: string;
    /** The leader epoch, a fencing token. */
    readonly epoch: bigint;
}
/** One event, by its `type`. */
export type ClusterEvent = PartitionChangeEvent | NodeJoinEvent | NodeRejoinEvent | NodeLeaveEvent | RebalanceEvent | ClusterHealthEvent | LeadershipEvent | LeaderChangeEvent;
/** The event of each type. */
export interface EventOfType {
    /** A node gained or lost a partition, or a role in it. */
    partitionChange: PartitionChangeEvent;
    /** A node that was never a member has joined. */
    nodeJoin: NodeJoinEvent;
    /** A member has come back. */
    nodeRejoin: NodeRejoinEvent;
    /** A member stopped, failed, or was removed. */
    nodeLeave: NodeLeaveEvent;
    /** Partitions begin to move. */
    rebalanceStart: RebalanceEvent;
    /** Every partition is where it should be. */
    rebalanceComplete: RebalanceEvent;
    /** The health of the cluster has changed. */
    clusterHealthChange: ClusterHealthEvent;
    /** This node leads now. */
    becomeLeader: LeadershipEvent;
    /** This node leads no longer. */
    loseLeadership: LeadershipEvent;
    /** The leader has changed. */
    leaderChange: LeaderChangeEvent;
}
/** The types of events. */
export type EventType = keyof EventOfType;
/** Every type of event. */
export declare const eventTypes: readonly EventType[];
export {};
