import type { Key } from './view.js';
/** The version of the package, and of the library in it. */
export declare const version: string;
/** The number of the partition that a key belongs to among `partitionCount`: a published contract, the same in every language. */
export declare function partitionFor(key: Key, partitionCount: number): number;
/** {@link partitionFor} of each key, in order, for a fraction of what each would take alone. */
export declare function partitionsFor(keys: Iterable<Key>, partitionCount: number): Uint32Array;
/** The number in a partition's id: 5 of `partition-5`; `null` where it is none. */
export declare function partitionNumber(id: string): number | null;
/** Milliseconds of a duration in words, as options take it: `1m30s`. @throws {ClusterKitError} `INVALID_ARGUMENT`. */
export declare function parseDuration(text: string): number;
export { Client, type ClientEventMap, type ClientOptions } from './client.js';
export type { ClusterCalls, WriteOptions } from './clusterCalls.js';
export { ClusterKit, type ClusterKitEventMap, type HookOptions, type NodeOptions } from './clusterkit.js';
export { ClusterKitError, type ErrorCode } from './error.js';
export { type ClusterEvent, type ClusterHealthEvent, type EventOfType, type EventType, eventTypes, type LeaderChangeEvent, type LeadershipEvent, type NodeJoinEvent, type NodeLeaveEvent, type NodeRejoinEvent, type PartitionChangeEvent, type RebalanceEvent, } from './events.js';
export { EventStream, type EventsOptions } from './eventStream.js';
export { Hook, type HookContext, type HookError, type HookFunction } from './hook.js';
export type { Logger, LogLevel } from './logger.js';
export type { NodeLookups, Route } from './lookups.js';
export { type CallOptions, DEFAULT_TIMEOUT, type SignalOptions } from './mailbox.js';
export { ClientOptionSet, type ClientOptionValues, clientOptionSpecs, type NodeOptionValues, OptionSet, type OptionSpec, optionSpecs, } from './options.js';
export type { ClientStatus, Cluster, ClusterConfig, ConsensusStats, DataEntry, HealthStatus, HookStats, LeaderInfo, Maintenance, Metrics, Migration, Node, NodeHealth, NodeHealthState, NodeStatus, PartitionRecord, PartitionState, PartitionStats, RebalanceStatus, Role, } from './records.js';
export { type Key, Partition, View } from './view.js';
