import { native, type NativeView, type ViewFunctions } from './native.js';
import {
  type Cluster, type LeaderInfo, type Maintenance, type Node, type PartitionRecord, type PartitionState, type PartitionStats, type Role,
  revive,
} from './records.js';

/** A key of the application's: text, which counts as its UTF-8 bytes, or bytes. A `Buffer` is a `Uint8Array`. */
export type Key = string | Uint8Array;

interface ViewInfo {
  revision: bigint;
  partitionCount: number;
  replicationFactor: number;
  leaseTtl: number;
  clusterId: string;
  clusterName: string;
  myNodeId: string;
  leader: LeaderInfo | null;
  maintenance: Maintenance | null;
  lostPartitions: readonly number[];
}

interface PartitionRow {
  number: number;
  id: string;
  epoch: number | string;
  primary: number | null;
  replicas: number[];
  pending: number[];
  state: PartitionState;
  role: Role | null;
}

/** A partition, as a view shows it. Shared and frozen. */
export class Partition {
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

  /** @internal */
  constructor(row: PartitionRow, nodes: readonly Node[]) {
    const named = (indexes: number[]): readonly Node[] =>
      Object.freeze(indexes.map((index) => nodes[index]).filter((node) => node !== undefined));
    this.number = row.number;
    this.id = row.id;
    this.epoch = BigInt(row.epoch);
    this.primary = (row.primary === null ? undefined : nodes[row.primary]) ?? null;
    this.replicas = named(row.replicas);
    this.pending = named(row.pending);
    this.state = row.state;
    this.role = row.role;
    Object.freeze(this);
  }

  /** Every node that holds its data, the primary first. */
  get nodes(): readonly Node[] {
    return this.primary === null ? this.replicas : [this.primary, ...this.replicas];
  }

  /** The id of {@link primary}, empty while there is none. */
  get primaryNode(): string {
    return this.primary?.id ?? '';
  }

  /** The ids of {@link replicas}. */
  get replicaNodes(): readonly string[] {
    return this.replicas.map((node) => node.id);
  }
}

/**
 * The whole cluster at one revision. It never changes, and all answers of one view agree with each other. Records are made when they are
 * first asked for, and then shared and frozen.
 */
export class View {
  readonly #native: NativeView;
  readonly #partitions = new Map<number, Partition>();
  #functions: ViewFunctions | undefined;
  #info: ViewInfo | undefined;
  #nodes: readonly Node[] | undefined;
  #byId: Map<string, Node> | undefined;
  #all: readonly Partition[] | undefined;

  /** @internal */
  constructor(view: NativeView) {
    this.#native = view;
  }

  #lookups(): ViewFunctions {
    return (this.#functions ??= native.viewLookups(this.#native));
  }

  #known(): ViewInfo {
    return (this.#info ??= revive<ViewInfo>(JSON.parse(this.#native.info())));
  }

  /** The revision of the cluster that the view shows. */
  get revision(): bigint {
    return this.#known().revision;
  }

  /** The number of partitions; 0 before they were created. */
  get partitionCount(): number {
    return this.#known().partitionCount;
  }

  /** The number of copies that each partition should have. */
  get replicationFactor(): number {
    return this.#known().replicationFactor;
  }

  /** How long a lease lasts, in milliseconds. */
  get leaseTtl(): number {
    return this.#known().leaseTtl;
  }

  /** The cluster's id; empty before there is a cluster. */
  get clusterId(): string {
    return this.#known().clusterId;
  }

  /** The cluster's name. */
  get clusterName(): string {
    return this.#known().clusterName;
  }

  /** The leader that was recorded last; `null` before there was one. */
  get leader(): LeaderInfo | null {
    return this.#known().leader;
  }

  /** Set during maintenance, while no migrations are planned. */
  get maintenance(): Maintenance | null {
    return this.#known().maintenance;
  }

  /** The numbers of the partitions of which no node that is up holds the data. */
  get lostPartitions(): readonly number[] {
    return this.#known().lostPartitions;
  }

  /** Every member, sorted by id. */
  get nodes(): readonly Node[] {
    return (this.#nodes ??= revive<readonly Node[]>(JSON.parse(this.#native.nodes())));
  }

  /** The member with this id. */
  node(id: string): Node | null {
    this.#byId ??= new Map(this.nodes.map((node) => [node.id, node]));
    return this.#byId.get(id) ?? null;
  }

  /** The record of this node; `null` while it is no member, and in the view of a client. */
  get myNode(): Node | null {
    return this.node(this.#known().myNodeId);
  }

  /** Every partition, by number. */
  get partitions(): readonly Partition[] {
    this.#all ??= Object.freeze(
      (JSON.parse(this.#native.partitions()) as PartitionRow[]).map((row) => {
        const known = this.#partitions.get(row.number) ?? new Partition(row, this.nodes);
        this.#partitions.set(row.number, known);
        return known;
      }),
    );
    return this.#all;
  }

  /** A partition by its number or its id, such as `partition-5`. */
  partition(which: number | string): Partition | null {
    const number = typeof which === 'string' ? this.#native.partitionById(which) : which;
    if (number === null) return null;
    const known = this.#partitions.get(number);
    if (known) return known;
    const row = this.#native.partition(number);
    if (row === null) return null;
    const partition = new Partition(JSON.parse(row) as PartitionRow, this.nodes);
    this.#partitions.set(number, partition);
    return partition;
  }

  /** The number of the partition that a key belongs to; `null` before there are partitions. */
  partitionForKey(key: Key): number | null {
    return this.#lookups().partitionForKey(key);
  }

  /** The number of the partition of each key, in order, for a fraction of what each would take alone; `null` before there are partitions. */
  partitionsForKeys(keys: Iterable<Key>): Uint32Array | null {
    return this.#lookups().partitionsForKeys(Array.isArray(keys) ? (keys as Key[]) : [...keys]);
  }

  /** The partition that a key belongs to; `null` before there are partitions. */
  getPartition(key: Key): Partition | null {
    const number = this.partitionForKey(key);
    return number === null ? null : this.partition(number);
  }

  /** The node that takes the writes of a key; `null` while there is none. */
  getPrimaryNode(key: Key): Node | null {
    return this.getPartition(key)?.primary ?? null;
  }

  /** The other nodes that hold a key's data. */
  getReplicaNodes(key: Key): readonly Node[] {
    return this.getPartition(key)?.replicas ?? [];
  }

  /** Every node that holds a key's data, the primary first. */
  getNodesForKey(key: Key): readonly Node[] {
    return this.getPartition(key)?.nodes ?? [];
  }

  /** What this node is to a key by the view, which does not know of leases: {@link ClusterKit.roleForKey} says what it may do. */
  roleForKey(key: Key): Role | null {
    return this.getPartition(key)?.role ?? null;
  }

  /** The partitions that a node is primary of, and those that it holds another copy of; `null` where it is no member. */
  getPartitionsForNode(id: string): { readonly primary: readonly number[]; readonly replica: readonly number[] } | null {
    const text = this.#native.partitionsOf(id);
    if (text === null) return null;
    const [primary, replica] = JSON.parse(text) as [number[], number[]];
    return { primary, replica };
  }

  /** How many partitions each member is primary of, and how many other copies it holds. */
  getPartitionStats(): PartitionStats {
    return revive(JSON.parse(this.#native.partitionStats()));
  }

  /** Every partition as a plain record, by number. */
  listPartitions(): PartitionRecord[] {
    return Object.values(this.cluster().partitionMap.partitions).sort((one, other) => one.number - other.number);
  }

  /** The whole as one record, without the replicated store. Takes time in proportion to all of it. */
  cluster(): Cluster {
    return revive(JSON.parse(this.#native.cluster()));
  }

  /** The whole as JSON, the same as over HTTP. */
  json(): string {
    return this.#native.cluster();
  }
}
