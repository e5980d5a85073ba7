/** What a node is to a partition: `primary` takes its writes, `replica` holds a copy. */
export type Role = 'primary' | 'replica';

/** The status of a member. */
export type NodeStatus = 'joining' | 'active' | 'leaving' | 'stopped' | 'failed';

/** The health that an application reports of its node. */
export type NodeHealthState = 'healthy' | 'degraded' | 'failing';

/** The condition of a partition. */
export type PartitionState = 'ok' | 'moving' | 'under_replicated' | 'no_primary' | 'lost';

/** A member of the cluster, as every node knows it. Shared and frozen. */
export interface Node {
  /** The name that the application gave it. */
  readonly id: string;
  /** The advertised `host:port` of its HTTP API. */
  readonly ip: string;
  /** The port in `ip`. */
  readonly port: number;
  /** A display name. */
  readonly name: string;
  /** Its status. */
  readonly status: NodeStatus;
  /** The application's own endpoints: name to `:port` (the node's host) or `host:port`. */
  readonly services: Readonly<Record<string, string>>;
  /** The failure zone, where the operator named one. */
  readonly zone?: string;
  /** Its share of the partitions relative to other nodes; 100 is usual, 0 takes no new ones. */
  readonly weight: number;
  /** Free-form labels. */
  readonly labels: Readonly<Record<string, string>>;
  /** Increases with every start of the node's process. */
  readonly incarnation: bigint;
  /** True when it votes in elections. */
  readonly voter: boolean;
  /** The health that its application last reported. */
  readonly health: NodeHealthState;
  /** The reason, where it is not healthy. */
  readonly healthReason?: string;
  /** When the cluster last recorded contact with it. Routine heartbeats do not update it. */
  readonly lastSeen: Date;
  /** When it first joined. */
  readonly joinedAt: Date;
  /** Its number in Raft, never reused. */
  readonly raftId: bigint;
  /** The address that other nodes dial. */
  readonly peerAddr: string;
}

/** The leader. */
export interface LeaderInfo {
  /** The leader's node id. */
  readonly leaderId: string;
  /** Its display name. */
  readonly leaderName: string;
  /** Its advertised address. */
  readonly leaderIp: string;
  /** The Raft term that it was elected in. */
  readonly term: bigint;
  /** When it was elected. */
  readonly electedAt: Date;
  /** The leader epoch, a fencing token. The term is not one. */
  readonly epoch: bigint;
}

/** Raft statistics of a node. */
export interface ConsensusStats {
  /** `Leader`, `Follower`, `Candidate`, `Learner` or `Shutdown`. */
  readonly state: string;
  /** The Raft term. */
  readonly term: bigint;
  /** The index of the last entry in the log. */
  readonly lastLogIndex: bigint;
  /** The term of that entry. */
  readonly lastLogTerm: bigint;
  /** The last index known to be committed. */
  readonly commitIndex: bigint;
  /** The last index applied here. */
  readonly appliedIndex: bigint;
  /** The number of other nodes that take part in Raft. */
  readonly numPeers: number;
  /** The leader's node id, empty when none is known. */
  readonly leader: string;
  /** The same as `term`. */
  readonly currentTerm: bigint;
  /** The same as `leader`. */
  readonly currentLeader: string;
  /** True when this node leads. */
  readonly isLeader: boolean;
}

/** Counters and gauges of a node. */
export interface Metrics {
  /** The number of members. */
  readonly nodeCount: number;
  /** The number of partitions. */
  readonly partitionCount: number;
  /** The number of HTTP requests answered by the node. */
  readonly requestCount: bigint;
  /** The number of those that were answered with a 4xx or 5xx status. */
  readonly errorCount: bigint;
  /** When the node last heard from the leader, or led. */
  readonly lastSync: Date;
  /** True when it leads. */
  readonly isLeader: boolean;
  /** As in {@link ConsensusStats.state}. */
  readonly raftState: string;
  /** Seconds since the node started. */
  readonly uptimeSeconds: number;
}

/** The health of a node. */
export interface HealthStatus {
  /** True when it is a member, knows a leader and applies the log. */
  readonly healthy: boolean;
  /** The node. */
  readonly nodeId: string;
  /** Its display name. */
  readonly nodeName: string;
  /** True when it leads. */
  readonly isLeader: boolean;
  /** The number of members. */
  readonly nodeCount: number;
  /** The number of partitions. */
  readonly partitionCount: number;
  /** As in {@link ConsensusStats.state}. */
  readonly raftState: string;
  /** When it last heard from the leader, or led. */
  readonly lastSync: Date;
  /** How long it has been running: `1h2m3.5s`. */
  readonly uptime: string;
  /** The factor by which the cluster stretches election timeouts; 1 on quiet machines. */
  readonly electionStretch: number;
  /** How late its timers and messages from the leader were recently, in milliseconds. */
  readonly delay: number;
  /** Why it is not healthy. */
  readonly message?: string;
}

/** The health of one member, as the leader sees it. */
export interface NodeHealth {
  /** The member. */
  readonly nodeId: string;
  /** The number of heartbeats missed in a row. */
  readonly failures: number;
  /** When it was last heard from. */
  readonly lastSeen: Date;
  /** True when it is up and healthy. */
  readonly healthy: boolean;
}

/** Maintenance: no migrations are planned. */
export interface Maintenance {
  /** The reason, for people. */
  readonly reason: string;
  /** True when the cluster began it by itself. */
  readonly automatic: boolean;
}

/** How partitions are distributed. */
export interface PartitionStats {
  /** The number of partitions. */
  readonly totalPartitions: number;
  /** The number of primaries per node. */
  readonly partitionsPerNode: Readonly<Record<string, number>>;
  /** The number of other copies per node. */
  readonly replicasPerNode: Readonly<Record<string, number>>;
}

/** A partition in {@link Cluster}. */
export interface PartitionRecord {
  /** Its name, such as `partition-5`. */
  readonly id: string;
  /** Its number. */
  readonly number: number;
  /** The node that takes writes, empty while there is none. */
  readonly primaryNode: string;
  /** The other nodes that hold the data. */
  readonly replicaNodes: readonly string[];
  /** The nodes that are still copying it. */
  readonly pending: readonly string[];
  /** The partition epoch, which grows whenever the primary changes. */
  readonly epoch: bigint;
  /** Its condition. */
  readonly state: PartitionState;
}

/** The settings that are the same in the whole cluster. */
export interface ClusterConfig {
  /** The cluster's name. */
  readonly clusterName: string;
  /** The number of partitions. */
  readonly partitionCount: number;
  /** The number of copies that each partition should have. */
  readonly replicationFactor: number;
  /** How long a lease lasts, in milliseconds. */
  readonly leaseTtl: number;
  /** How long a node may be silent before it is failed, in milliseconds. */
  readonly failureTimeout: number;
  /** The longest election timeout, in milliseconds. */
  readonly electionTimeout: number;
}

/** The whole cluster at one revision. */
export interface Cluster {
  /** The cluster's id, created at bootstrap. */
  readonly id: string;
  /** Its name. */
  readonly name: string;
  /** Every member, sorted by id. */
  readonly nodes: readonly Node[];
  /** Every partition: `partition-5` to its record. */
  readonly partitionMap: { readonly partitions: Readonly<Record<string, PartitionRecord>> };
  /** The settings of the cluster. */
  readonly config: ClusterConfig;
  /** The replicated store, key to value; absent where the view of a client or of {@link View.cluster} is asked. */
  readonly customData?: Readonly<Record<string, Buffer>>;
  /** The revision. */
  readonly revision: bigint;
  /** The leader, empty when none is known at present. */
  readonly leader: string;
  /** The leader epoch. */
  readonly epoch: bigint;
  /** Set during maintenance. */
  readonly maintenance?: Maintenance;
  /** The partitions of which no node that is up holds the data. */
  readonly lostPartitions?: readonly string[];
}

/** One step of a partition's migration. */
export interface Migration {
  /** The partition's name. */
  readonly partitionId: string;
  /** Its number. */
  readonly number: number;
  /** The nodes that it can be copied from, or the node that gives up the role. */
  readonly from: readonly string[];
  /** The node that gets the copy or the role. */
  readonly to: string;
  /** The state of the step. */
  readonly state: 'queued' | 'copying' | 'retrying' | 'no_source' | 'handing_over';
  /** When the step began, where the leader answers. */
  readonly since?: Date;
  /** How often the hook of the node that copies has failed. */
  readonly attempts: number;
  /** What the step waits for, or why its hook failed last; empty when it makes progress. */
  readonly reason: string;
}

/** The migrations in progress and waiting. */
export interface RebalanceStatus {
  /** The node that this information comes from. */
  readonly answeredBy: string;
  /** True when that node leads. */
  readonly fromLeader: boolean;
  /** The revision of this information. */
  readonly revision: bigint;
  /** True while partitions are moving. */
  readonly running: boolean;
  /** What caused the rebalance. */
  readonly trigger?: 'node_join' | 'node_leave' | 'manual';
  /** The node that caused it; empty for a manual rebalance. */
  readonly triggerNodeId: string;
  /** When the rebalance began. */
  readonly startedAt?: Date;
  /** The number of partitions that were to change a holder or their primary. */
  readonly partitionsToMove: number;
  /** The number of those that are where they should be, or were given up. */
  readonly moved: number;
  /** Set during maintenance. */
  readonly maintenance?: Maintenance;
  /** The steps in progress, then the waiting ones: at most a thousand. */
  readonly migrations: readonly Migration[];
  /** The number of all steps. */
  readonly migrationsTotal: number;
  /** The members that are away, since when, and when their copies are made elsewhere. */
  readonly away: readonly { readonly node: string; readonly since: Date; readonly replacedAfter?: Date }[];
  /** The abandoned copies, which are not tried again for a while. */
  readonly avoided: readonly {
    readonly partitionId: string;
    readonly number: number;
    readonly node: string;
    readonly times: number;
    readonly until: Date;
  }[];
}

/** A value of the replicated store. */
export interface DataEntry {
  /** The bytes, 1 MiB at most. The caller's own copy. */
  readonly value: Buffer;
  /** The revision that wrote it, which a compare-and-set compares. */
  readonly revision: bigint;
}

/** Statistics of one registration of a hook. */
export interface HookStats {
  /** Its id: {@link Hook.id}. */
  readonly hook: bigint;
  /** Calls that have ended, with any outcome. */
  readonly calls: bigint;
  /** Ended calls that failed. */
  readonly failures: bigint;
  /** Retries for gained partitions whose delay has passed. */
  readonly retries: bigint;
  /** Events and retries that were left out, because a later event made them obsolete. */
  readonly coalesced: bigint;
  /** Events that wait. */
  readonly queued: number;
  /** Calls that are running. */
  readonly running: number;
}

/** How a client is connected, and how old its view may be. */
export interface ClientStatus {
  /** The address of the member that is followed; `null` while none is. */
  readonly connected: string | null;
  /** The id of the cluster; empty before the first answer. */
  readonly clusterId: string;
  /** Its name; empty before the first answer. */
  readonly clusterName: string;
  /** The revision of the view; 0 before the first answer. */
  readonly revision: bigint;
  /** True when the view may be older than the cluster by more than a moment. Lookups go on all the same. */
  readonly isStale: boolean;
  /** Milliseconds since the last answer of a member that knew a leader; `null` before the first. */
  readonly lastContact: number | null;
  /** What failed last, with the address; it stays when all is well again. */
  readonly lastError: { readonly code: string; readonly message: string } | null;
  /** True from {@link Client.close} on. */
  readonly isClosed: boolean;
  /** Every address that may be asked, the given ones first. */
  readonly addrs: readonly {
    readonly addr: string;
    readonly isGiven: boolean;
    readonly failures: number;
    readonly lastError: { readonly code: string; readonly message: string } | null;
  }[];
}

// Fields whose numbers have 64 bits.
const BIGINTS = new Set([
  'revision', 'epoch', 'term', 'current_term', 'incarnation', 'raft_id', 'last_log_index', 'last_log_term', 'commit_index',
  'applied_index', 'request_count', 'error_count', 'hook',
]);
// Fields that are a moment.
const DATES = new Set([
  'timestamp', 'last_seen', 'last_seen_at', 'joined_at', 'elected_at', 'last_sync', 'since', 'replaced_after', 'until', 'started_at',
]);
// Fields whose keys are names of users and not of fields.
const MAPS = new Set(['services', 'labels', 'partitions_per_node', 'replicas_per_node', 'partitions']);

const NAMES = new Map<string, string>();

/** @internal A name of JavaScript's for a name of the library's. A duration is milliseconds, and its name does not say so. */
export function camelCase(name: string): string {
  let camel = NAMES.get(name);
  if (camel === undefined) {
    camel = name.replace(/_ms$/, '').replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    NAMES.set(name, camel);
  }
  return camel;
}

/** @internal A name of the library's for a name of JavaScript's. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** @internal Makes a record of what `JSON.parse` gave: names, numbers of 64 bits, moments; deeply frozen. */
export function revive<T>(parsed: unknown): T {
  return record(parsed) as T;
}

function record(parsed: unknown): unknown {
  if (typeof parsed !== 'object' || parsed === null) return parsed;
  if (Array.isArray(parsed)) return Object.freeze(parsed.map(record));
  const revived: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parsed)) revived[camelCase(name)] = field(name, value);
  return Object.freeze(revived);
}

function field(name: string, value: unknown): unknown {
  if (value === null || typeof value === 'boolean') return value;
  if (BIGINTS.has(name)) return BigInt(value as number | string);
  if (DATES.has(name)) return new Date(value as string);
  if (name === 'custom_data') return map(value, (base64) => Buffer.from(base64 as string, 'base64'));
  if (MAPS.has(name)) return map(value, record);
  return record(value);
}

function map(value: unknown, read: (value: unknown) => unknown): unknown {
  return Object.freeze(Object.fromEntries(Object.entries(value as object).map(([key, value]) => [key, read(value)])));
}
