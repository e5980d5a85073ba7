import { call, ClusterKitError } from './error.js';
import { NodeLookups } from './lookups.js';
import { DEFAULT_TIMEOUT, type CallOptions, type Mailbox, type SignalOptions } from './mailbox.js';
import type { NativeNode } from './native.js';
import {
  type Cluster, type ConsensusStats, type DataEntry, type HealthStatus, type LeaderInfo, type Metrics, type NodeHealth,
  type NodeHealthState, type RebalanceStatus, revive,
} from './records.js';

/** What a write expects to find: anything (the default), nothing (`'absent'`), or what this revision wrote. */
export interface WriteOptions extends CallOptions {
  /** `'any'`, `'absent'`, or the revision of the value that is to be replaced. Else the call fails with `CONFLICT`. */
  expect?: 'any' | 'absent' | bigint;
}

/** The calls of a {@link ClusterKit} that ask and manage its cluster, and those of the replicated store. */
export abstract class ClusterCalls extends NodeLookups {
  readonly #native: NativeNode;
  readonly #mailbox: Mailbox;

  /** @internal */
  constructor(native: NativeNode, mailbox: Mailbox) {
    super(native);
    this.#native = native;
    this.#mailbox = mailbox;
  }

  /** The leader; `null` when this node has had no contact with one for the duration of a lease. */
  getLeader(): LeaderInfo | null {
    return revive(JSON.parse(call(() => this.#native.leader())));
  }

  /** The whole cluster with the replicated store, as the caller's own record. Takes time in proportion to all of it. */
  getCluster(): Cluster {
    return revive(JSON.parse(call(() => this.#native.cluster())));
  }

  /** Counters and gauges of this node. */
  getMetrics(): Metrics {
    return revive(JSON.parse(call(() => this.#native.metrics())));
  }

  /** The health of this node. */
  healthCheck(): HealthStatus {
    return revive(JSON.parse(call(() => this.#native.healthCheck())));
  }

  /** The health of a member, which the leader knows best. @throws {ClusterKitError} `NOT_FOUND`. */
  getNodeHealth(id: string): NodeHealth {
    return revive(JSON.parse(call(() => this.#native.nodeHealth(id))));
  }

  /** Raft statistics of this node. */
  getConsensusStats(): ConsensusStats {
    return revive(JSON.parse(call(() => this.#native.consensusStats())));
  }

  /** Reports the health of this node's application to every node. It moves nothing. `reason` is cut after 256 characters. */
  reportHealth(health: NodeHealthState, reason = ''): void {
    call(() => this.#native.reportHealth(health, reason));
  }

  /** Waits until a leader is known. @throws {ClusterKitError} `NO_LEADER`. */
  waitForLeader(options?: CallOptions): Promise<LeaderInfo> {
    return this.#begin((id) => this.#native.waitForLeader(id, timeout(options)), revive<LeaderInfo>, options);
  }

  /** Has the leader hand leadership to another voter; resolves with the leader afterwards. @throws {ClusterKitError} `REFUSED`. */
  stepDown(options?: SignalOptions): Promise<string> {
    return this.#begin((id) => this.#native.stepDown(id), text, options);
  }

  /** Has the leader hand leadership to this voter. @throws {ClusterKitError} `REFUSED`, `NOT_FOUND`. */
  promote(nodeId: string, options?: SignalOptions): Promise<string> {
    return this.#begin((id) => this.#native.promote(id, nodeId), text, options);
  }

  /** {@link stepDown}, after which the former leader does not stand for election for `cooldown` milliseconds. */
  demote(cooldown: number, options?: SignalOptions): Promise<string> {
    return this.#begin((id) => this.#native.demote(id, cooldown), text, options);
  }

  /** Begins maintenance, with a reason for people: no migrations are planned, and primaries still fail over. Resolves with the revision. */
  beginMaintenance(reason: string, options?: CallOptions): Promise<bigint> {
    return this.#begin((id) => this.#native.maintenance(id, reason, timeout(options)), big, options);
  }

  /** Ends maintenance. Resolves with the revision. */
  endMaintenance(options?: CallOptions): Promise<bigint> {
    return this.#begin((id) => this.#native.maintenance(id, null, timeout(options)), big, options);
  }

  /**
   * Removes a member for ever. Resolves with the revision. With `force`, also the last that counts as holding a partition's data, which
   * is lost then until {@link recoverPartition} accepts another copy.
   *
   * @throws {ClusterKitError} `NOT_FOUND`; `REFUSED` for the leader, for the last member, and, without `force`, for that holder.
   */
  removeNode(nodeId: string, options: CallOptions & { force?: boolean } = {}): Promise<bigint> {
    return this.#begin((id) => this.#native.removeNode(id, nodeId, options.force === true, timeout(options)), big, options);
  }

  /**
   * Accepts the copy of a node as a partition's data, because no better copy is left: writes that it missed are lost. With `force`, though
   * a node that is up holds the data, or `from` holds no copy. Resolves with the revision.
   *
   * @throws {ClusterKitError} `NOT_FOUND`, `REFUSED`.
   */
  recoverPartition(partition: number, from: string, options: CallOptions & { force?: boolean } = {}): Promise<bigint> {
    return this.#begin(
      (id) => this.#native.recoverPartition(id, partition, from, options.force === true, timeout(options)),
      big,
      options,
    );
  }

  /** Creates the partitions if there are none, which a leader also does by itself. Resolves with the revision and their number. */
  createPartitions(options?: CallOptions): Promise<{ revision: bigint; count: number }> {
    return this.#begin((id) => this.#native.createPartitions(id, timeout(options)), counted, options);
  }

  /** Plans and starts a rebalance, which a leader also does by itself. Resolves with the revision and how many partitions move. */
  rebalancePartitions(options?: CallOptions): Promise<{ revision: bigint; count: number }> {
    return this.#begin((id) => this.#native.rebalance(id, timeout(options)), counted, options);
  }

  /** The migrations in progress and waiting: as the leader knows them, or, where it does not answer in time, as this node does. */
  getRebalanceStatus(options?: CallOptions): Promise<RebalanceStatus> {
    return this.#begin((id) => this.#native.rebalanceStatus(id, timeout(options)), revive<RebalanceStatus>, options);
  }

  // ---- the replicated store

  /**
   * Writes a small value that is replicated to every node. Text is written as UTF-8. Resolves with the revision of the write.
   *
   * @throws {ClusterKitError} `TOO_LARGE` above 1 MiB; `CONFLICT` when `expect` does not hold; `NO_LEADER`: the write has not happened;
   *   `TIMEOUT`: it may or may not have.
   */
  setCustomData(key: string, value: string | Uint8Array, options: WriteOptions = {}): Promise<bigint> {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    const [absent, revision] = expectation(options);
    return this.#begin((id) => this.#native.setData(id, key, bytes, absent, revision, timeout(options)), big, options);
  }

  /** A value as this node has applied it; another may be ahead: {@link waitForRevision}, {@link readBarrier}. */
  getCustomData(key: string): DataEntry | null {
    return call(() => this.#native.data(key)) ?? null;
  }

  /** Deletes a value. Resolves with the revision, and whether there was one. @throws {ClusterKitError} As {@link setCustomData}. */
  deleteCustomData(key: string, options: WriteOptions = {}): Promise<{ revision: bigint; existed: boolean }> {
    const [absent, revision] = expectation(options);
    const read = ([revision, existed]: [number | string, boolean]): { revision: bigint; existed: boolean } => ({
      revision: BigInt(revision),
      existed,
    });
    return this.#begin((id) => this.#native.deleteData(id, key, absent, revision, timeout(options)), read, options);
  }

  /** Keys of the store, in order: those that begin with `prefix` and come after `after`, at most `limit` (default 1000). */
  listCustomDataKeys(options: { prefix?: string; after?: string; limit?: number } = {}): string[] {
    const { prefix = '', after = null, limit = 1000 } = options;
    return call(() => this.#native.dataKeys(prefix, after, limit));
  }

  /** Waits until this node has applied a revision: read your writes, also those made through another node. */
  waitForRevision(revision: bigint, options?: CallOptions): Promise<void> {
    return this.#begin((id) => this.#native.waitForRevision(id, revisionOf(revision), timeout(options)), nothing, options);
  }

  /**
   * Waits until this node has applied everything that any node acknowledged before this call: a read that follows is linearizable.
   * Resolves with the revision.
   */
  readBarrier(options?: CallOptions): Promise<bigint> {
    return this.#begin((id) => this.#native.readBarrier(id, timeout(options)), big, options);
  }

  #begin<A, T>(start: (id: number) => void, read: (answer: A) => T, options?: SignalOptions): Promise<T> {
    return this.#mailbox.begin(start, read, options);
  }
}

/** @internal */
export function timeout(options: CallOptions | undefined): number {
  const milliseconds = options?.timeout ?? DEFAULT_TIMEOUT;
  if (typeof milliseconds !== 'number' || !(milliseconds >= 0)) throw new TypeError('timeout is a number of milliseconds');
  return milliseconds;
}

/** @internal The revision of a call. A number is none: beyond 2^53 it is rounded. */
export function revisionOf(revision: bigint): bigint {
  if (typeof revision !== 'bigint') throw new ClusterKitError('INVALID_ARGUMENT', 'a revision is a bigint, such as 5n');
  return revision;
}

function expectation({ expect = 'any' }: WriteOptions): [absent: boolean, revision: bigint | null] {
  if (typeof expect === 'bigint') return [false, expect];
  if (expect !== 'any' && expect !== 'absent') throw new TypeError("expect is 'any', 'absent' or the bigint of a revision");
  return [expect === 'absent', null];
}

function nothing(): void {}

/** @internal */
export function big(number: number | string): bigint {
  return BigInt(number);
}

function text(answer: string): string {
  return answer;
}

function counted([revision, count]: [number | string, number]): { revision: bigint; count: number } {
  return { revision: BigInt(revision), count };
}
