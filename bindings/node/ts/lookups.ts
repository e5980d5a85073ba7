import { EventEmitter } from 'node:events';
import { call } from './error.js';
import { type NativeLookups, type NativeNode, type NodeFunctions, native as library } from './native.js';
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

/** The names of the numbers that the native part has for roles. */
const ROLES: readonly (Role | null)[] = [null, 'primary', 'replica'];

/** The lookups of a {@link ClusterKit}: where a key belongs, and what this node may do with it. None of them waits. */
export abstract class NodeLookups extends EventEmitter {
  readonly #native: NativeNode;
  readonly #lookups: NativeLookups;
  readonly #functions: NodeFunctions;
  readonly #answer = new Float64Array(2);
  #view: View | undefined;
  #viewId = 0;

  /** @internal */
  constructor(native: NativeNode) {
    super();
    this.#native = native;
    this.#lookups = new library.NativeLookups(native);
    this.#functions = this.#lookups.functions();
  }

  /** True when this node takes the writes of a partition at this moment: it is the primary, and its lease runs. */
  isPrimary(partition: number): boolean {
    return this.#functions.isPrimary(partition);
  }

  /** True when this node takes the writes of a key at this moment. */
  isPrimaryForKey(key: Key): boolean {
    return this.#functions.isPrimaryForKey(key);
  }

  /** True when this node holds a copy of a partition at this moment that it does not take the writes of. */
  isReplica(partition: number): boolean {
    return this.#functions.role(partition) === 2;
  }

  /** True when this node holds a copy of a key's data at this moment that it does not take the writes of. */
  isReplicaForKey(key: Key): boolean {
    return this.#functions.roleForKey(key) === 2;
  }

  /** What this node is to a partition at this moment, its lease included. */
  role(partition: number): Role | null {
    return ROLES[this.#functions.role(partition)] ?? null;
  }

  /** What this node is to a key at this moment, its lease included. */
  roleForKey(key: Key): Role | null {
    return ROLES[this.#functions.roleForKey(key)] ?? null;
  }

  /** {@link roleForKey}, by the name of the other languages. */
  shouldHandleKey(key: Key): Role | null {
    return this.roleForKey(key);
  }

  /** The number of the partition that a key belongs to; `null` before there are partitions. */
  partitionForKey(key: Key): number | null {
    return this.#functions.partitionForKey(key);
  }

  /** The number of the partition of each key, in order, for a fraction of what each would take alone; `null` before there are partitions. */
  partitionsForKeys(keys: Iterable<Key>): Uint32Array | null {
    return this.#functions.partitionsForKeys(Array.isArray(keys) ? (keys as Key[]) : [...keys]);
  }

  /** Where a key belongs and what this node may do with it at this moment; `null` before there are partitions. */
  lookup(key: Key): Route | null {
    const id = this.#functions.route(key, this.#answer);
    if (id === null) return null;
    const [number = 0, role = 0] = this.#answer;
    if (id !== this.#viewId) {
      const last = this.#lookups.lastView();
      if (last === null) return null;
      this.#keep(new View(last), id);
    }
    const view = this.#view as View;
    const partition = view.partition(number);
    if (partition === null) return null;
    return {
      partition: number,
      role: ROLES[role] ?? null,
      epoch: partition.epoch,
      primary: partition.primary,
      replicas: partition.replicas,
      revision: view.revision,
    };
  }

  /**
   * The epoch of a partition that this node takes the writes of at this moment: the strict form of {@link isPrimary}, and the fencing
   * token with which storage refuses an earlier primary. Ask right before the write.
   *
   * @throws {ClusterKitError} `LEASE_EXPIRED` when this node would be primary but holds no lease; `CONFLICT` when another node is primary,
   *   or none; `NOT_FOUND`; `NOT_STARTED`.
   */
  primaryEpoch(partition: number): bigint {
    return call(() => this.#native.primaryEpoch(partition));
  }

  /** True while this node holds a lease, without which it is primary of nothing. */
  isLeased(): boolean {
    return this.#functions.isLeased();
  }

  /** True when this node leads the cluster at this moment: no other can. */
  isLeader(): boolean {
    return this.#functions.isLeader();
  }

  /** The leader epoch of this node's leadership, a fencing token. @throws {ClusterKitError} `LEASE_EXPIRED` when it does not lead. */
  leaderEpoch(): bigint {
    return call(() => this.#native.leaderEpoch());
  }

  /** The present view of the cluster: the same object for as long as nothing changes. After {@link close}, the last that was asked for. */
  view(): View {
    const id = this.#functions.viewId();
    if (this.#view === undefined || (id !== this.#viewId && id !== 0)) {
      const view = call(() => this.#native.view());
      this.#keep(new View(view), view.id());
    }
    return this.#view as View;
  }

  #keep(view: View, id: number): void {
    this.#view = view;
    this.#viewId = id;
  }

  /** The partition that a key belongs to; `null` before there are partitions. */
  getPartition(key: Key): Partition | null {
    return this.view().getPartition(key);
  }

  /** The node that takes the writes of a partition; `null` while there is none. */
  getPrimary(partition: number): Node | null {
    return this.view().partition(partition)?.primary ?? null;
  }

  /** The other nodes that hold a partition's data. */
  getReplicas(partition: number): readonly Node[] {
    return this.view().partition(partition)?.replicas ?? [];
  }

  /** Every node that holds a partition's data, the primary first. */
  getNodes(partition: number): readonly Node[] {
    return this.view().partition(partition)?.nodes ?? [];
  }

  /** The node that takes the writes of a key; `null` while there is none. */
  getPrimaryNode(key: Key): Node | null {
    return this.view().getPrimaryNode(key);
  }

  /** The other nodes that hold a key's data. */
  getReplicaNodes(key: Key): readonly Node[] {
    return this.view().getReplicaNodes(key);
  }

  /** Every node that holds a key's data, the primary first. */
  getNodesForKey(key: Key): readonly Node[] {
    return this.view().getNodesForKey(key);
  }

  /** The node that takes the writes of a key, and the others that hold its data. */
  getAllNodesForKey(key: Key): { readonly primary: Node | null; readonly replicas: readonly Node[] } {
    const partition = this.view().getPartition(key);
    return { primary: partition?.primary ?? null, replicas: partition?.replicas ?? [] };
  }

  /** What this node is to a key at this moment, and every node that holds its data. */
  amIResponsibleFor(key: Key): { readonly role: Role | null; readonly nodes: readonly Node[] } {
    const route = this.lookup(key);
    if (route === null) return { role: null, nodes: [] };
    return { role: route.role, nodes: route.primary === null ? route.replicas : [route.primary, ...route.replicas] };
  }

  /** Every partition as a plain record, by number. */
  listPartitions(): PartitionRecord[] {
    return this.view().listPartitions();
  }

  /** How many partitions each member is primary of, and how many other copies it holds. */
  getPartitionStats(): PartitionStats {
    return this.view().getPartitionStats();
  }

  /** The partitions that a node is primary of, and those that it holds another copy of; `null` where it is no member. */
  getPartitionsForNode(id: string): { readonly primary: readonly number[]; readonly replica: readonly number[] } | null {
    return this.view().getPartitionsForNode(id);
  }
}
