import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { call } from './error.js';
import { type ClusterEvent, type EventOfType, type EventType, maskOf } from './events.js';
import { EventStream, type EventsOptions, type Reader } from './eventStream.js';
import { type Hook, type HookError, type HookFunction, Hooks } from './hook.js';
import { type Logger, type LogLevel, logTo } from './logger.js';
import { DEFAULT_TIMEOUT, Mailbox, type CallOptions, type Message, type SignalOptions } from './mailbox.js';
import { type NativeLookups, type NativeNode, type NodeFunctions, native } from './native.js';
import { type NodeOptionValues, OptionSet, namingOptions, nodeOptions } from './options.js';
import {
  type Cluster, type ConsensusStats, type DataEntry, type HealthStatus, type HookStats, type LeaderInfo, type Metrics, type Node,
  type NodeHealth, type NodeHealthState, type PartitionRecord, type PartitionStats, type RebalanceStatus, type Role, revive,
} from './records.js';
import { type Key, type Partition, View } from './view.js';
import { WATCH_QUEUE, Watch } from './watch.js';

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

// Nodes that were started and have not ended: like a server that listens, such a node is not collected.
const live = new Set<ClusterKit>();
const ROLES: readonly (Role | null)[] = [null, 'primary', 'replica'];

/** @internal A node that exists already, for a handle. */
export class Existing {
  constructor(readonly make: (wake: () => void) => NativeNode) {}
}

/**
 * A node of a cluster, embedded in this process.
 *
 * Whatever waits is a Promise, and no call blocks the event loop; lookups answer at once, from memory. A node that was not started opens
 * nothing. A call that waits keeps the process alive; a node that runs does not, unless {@link ref} says so.
 */
export class ClusterKit extends EventEmitter {
  readonly #native: NativeNode;
  readonly #lookups: NativeLookups;
  readonly #functions: NodeFunctions;
  readonly #mailbox: Mailbox;
  readonly #hooks: Hooks;
  readonly #readers = new Map<number, Reader>();
  readonly #answer = new Float64Array(2);
  readonly #id: string;
  #lastReader = WATCH_QUEUE;
  #view: View | undefined;
  #viewId = 0;
  #logger: Logger | undefined;

  /**
   * Makes a node, and checks its options. Nothing is opened before {@link start}.
   *
   * @throws {ClusterKitError} `INVALID_OPTION`; `IO` where the system refuses a thread.
   */
  constructor(options: NodeOptions | OptionSet);
  /** @internal */
  constructor(existing: Existing);
  constructor(from: NodeOptions | OptionSet | Existing) {
    super();
    this.#mailbox = new Mailbox((message) => this.#receive(message));
    const wake = this.#mailbox.wake();
    if (from instanceof Existing) {
      this.#native = call(() => from.make(wake));
    } else {
      const set = nodeOptions(from);
      this.#native = namingOptions(() => new native.NativeNode(set.native, wake));
    }
    this.#mailbox.attach(this.#native);
    this.#id = call(() => this.#native.myNodeId());
    this.#lookups = new native.NativeLookups(this.#native);
    this.#functions = this.#lookups.functions();
    this.#hooks = new Hooks(this.#native, (error) => this.#hookFailed(error));
    if (!(from instanceof Existing) && !(from instanceof OptionSet) && from.logger) this.setLogger(from.logger);
    new Watch(this, this.#native, (reader) => this.#readers.set(WATCH_QUEUE, reader));
  }

  // ---- messages of the native part

  #receive(message: Message): void {
    switch (message[0]) {
      case 'hook': {
        const [, number, callNumber, attempt, event] = message as [string, number, number, number, unknown];
        this.#hooks.run(number, callNumber, attempt, event);
        break;
      }
      case 'readable':
        this.#readers.get(message[1] as number)?.readable();
        break;
      case 'gone':
        this.#hooks.gone(message[1] as number);
        break;
      case 'log':
        if (this.#logger) logTo(this.#logger, message[1] as LogLevel, message[2] as string);
        break;
      default:
        break;
    }
  }

  #hookFailed(error: HookError): void {
    if (this.emit('hookError', error)) return;
    const { event, attempt } = error;
    const which = event.type === 'partitionChange' ? `${event.partitionId}, ${event.change}` : `revision ${event.revision}`;
    const reason = error.error instanceof Error ? (error.error.stack ?? String(error.error)) : String(error.error);
    process.emitWarning(`a hook of ${this.#id} failed on ${event.type} (${which}), attempt ${attempt}: ${reason}`, {
      type: 'ClusterKitHookError',
      code: 'CLUSTERKIT_HOOK_ERROR',
    });
  }

  // ---- life

  /**
   * Starts the node: it founds a cluster, joins one, or comes back to its own, as its options and its data directory say. Resolves when
   * it is a member. It takes slightly longer than `joinTimeout` at most; a node that was a member before resolves then, and goes on
   * trying, because the others may be starting, too.
   *
   * @throws {ClusterKitError} `ALREADY_STARTED`, which changes nothing. After any other error the node is stopped: `JOIN_FAILED` with the
   *   answer of every address, `ADDRESS_IN_USE`, `DATA_DIR_IN_USE`, `WRONG_CLUSTER`, `CLUSTER_MISMATCH`, `DUPLICATE_NODE`, `REMOVED`,
   *   `CORRUPT`, `IO`, `STOPPED`.
   */
  async start(options?: SignalOptions): Promise<void> {
    live.add(this);
    try {
      await this.#begin((id) => this.#native.start(id), nothing, options);
    } finally {
      if (this.#native.hasStopped()) this.#ended();
    }
  }

  /**
   * Stops the node: other members take over its roles, then everything is closed. It takes a few seconds at most. Hooks that run do not
   * hold it up: their signal aborts, and their outcome counts no more. Idempotent.
   */
  async stop(options?: SignalOptions): Promise<void> {
    if (this.#isClosed) return;
    await this.#begin((id) => this.#native.stop(id), nothing, options);
    this.#ended();
  }

  /**
   * Leaves the cluster for ever: leadership and all copies move to other nodes, then the node is removed and stops.
   *
   * @throws {ClusterKitError} `REFUSED` where no node could take over; `TIMEOUT` with what is left to move: it goes on leaving, and the
   *   call may be made again.
   */
  async leave(options?: CallOptions): Promise<void> {
    await this.#begin((id) => this.#native.leave(id, timeout(options)), nothing, options);
    this.#ended();
  }

  /**
   * Closes the node without telling the others, who find out by its silence, and frees what it has. Usually milliseconds. Lookups answer
   * from now on what they answer of a node that has stopped. Idempotent.
   */
  async close(): Promise<void> {
    this.#ended();
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#begin((id) => this.#native.close(id), nothing);
  }

  #isClosed = false;

  /** Nothing runs any more, and nothing has to be kept. */
  #ended(): void {
    live.delete(this);
    this.unref();
  }

  /** Stops the node, and closes it: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    try {
      if (this.#native.wasStarted() && !this.#native.hasStopped()) await this.stop();
    } finally {
      await this.close();
    }
  }

  /** Makes the node keep the process alive until it is stopped, or {@link unref} is called. */
  ref(): this {
    this.#mailbox.setRef(true);
    return this;
  }

  /** Lets the process end though the node runs: the default. */
  unref(): this {
    this.#mailbox.setRef(false);
    return this;
  }

  /** True after {@link ref}. */
  hasRef(): boolean {
    return this.#mailbox.hasRef();
  }

  /** @internal What console.log shows. */
  [inspect.custom](): string {
    return `ClusterKit { nodeId: ${inspect(this.#id)}, httpAddr: ${inspect(this.httpAddr)} }`;
  }

  /** This node's id. */
  get nodeId(): string {
    return this.#id;
  }

  /** This node's id: {@link nodeId}, by the name of the other languages. */
  getMyNodeId(): string {
    return this.#id;
  }

  /** The address at which other nodes reach this one, `host:port`; `null` before it listens. */
  get httpAddr(): string | null {
    return this.#native.httpAddr() ?? null;
  }

  /**
   * What this node waits for before it is ready, in words; `null` when it is: it is a member, knows a leader and holds a lease.
   *
   * @throws {ClusterKitError} Why it never will be: `REMOVED`, `DUPLICATE_NODE`, `IO`, `STOPPED`.
   */
  waitingFor(): string | null {
    return call(() => this.#native.waitingFor()) ?? null;
  }

  /** Sets what takes messages for people; `null` ends them. */
  setLogger(logger: Logger | null): void {
    this.#logger = logger ?? undefined;
    this.#native.setLog(logger !== null);
  }

  // ---- lookups: no waiting

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

  // ---- hooks and events

  /**
   * Calls `hook` with every partition change, to copy data: the Promise confirms. When this node gains a copy (`gained_replica`), the
   * copy counts when it fulfils. When it rejects or throws, the migration has failed with its message, the failure is told
   * (`hookError`, or a process warning), and the hook is called again after a pause. Calls for different partitions run at the same
   * time, at most `hookConcurrency` of them.
   *
   * Register before {@link start}, and nothing is missed. Later, nothing is lost either: the hook is first told what this node holds.
   */
  onPartitionChange(hook: HookFunction<EventOfType['partitionChange']>): Hook {
    return this.#hook(['partitionChange'], hook);
  }

  /** Calls `hook` when a node has joined that was never a member. What follows waits for its Promise. */
  onNodeJoin(hook: HookFunction<EventOfType['nodeJoin']>): Hook {
    return this.#hook(['nodeJoin'], hook);
  }

  /** Calls `hook` when a member has come back. No copy begins before its Promise has settled: the place to clean up. */
  onNodeRejoin(hook: HookFunction<EventOfType['nodeRejoin']>): Hook {
    return this.#hook(['nodeRejoin'], hook);
  }

  /** Calls `hook` when a member has stopped, failed, or was removed. */
  onNodeLeave(hook: HookFunction<EventOfType['nodeLeave']>): Hook {
    return this.#hook(['nodeLeave'], hook);
  }

  /** Calls `hook` when partitions begin to move, before the copies. */
  onRebalanceStart(hook: HookFunction<EventOfType['rebalanceStart']>): Hook {
    return this.#hook(['rebalanceStart'], hook);
  }

  /** Calls `hook` when every partition is where it should be, after the copies. */
  onRebalanceComplete(hook: HookFunction<EventOfType['rebalanceComplete']>): Hook {
    return this.#hook(['rebalanceComplete'], hook);
  }

  /** Calls `hook` when the health of the cluster has changed. */
  onClusterHealthChange(hook: HookFunction<EventOfType['clusterHealthChange']>): Hook {
    return this.#hook(['clusterHealthChange'], hook);
  }

  /** Calls `hook` when this node has begun to lead. */
  onBecomeLeader(hook: HookFunction<EventOfType['becomeLeader']>): Hook {
    return this.#hook(['becomeLeader'], hook);
  }

  /** Calls `hook` when this node leads no longer. */
  onLoseLeadership(hook: HookFunction<EventOfType['loseLeadership']>): Hook {
    return this.#hook(['loseLeadership'], hook);
  }

  /** Calls `hook` when the leader of the cluster has changed. */
  onLeaderChange(hook: HookFunction<EventOfType['leaderChange']>): Hook {
    return this.#hook(['leaderChange'], hook);
  }

  /** Calls `hook` with every event of several types, in order. */
  addHook<T extends EventType>(types: readonly T[], hook: HookFunction<EventOfType[T]>, options: HookOptions = {}): Hook {
    if (types.length === 0) throw new TypeError('types names at least one type of event');
    if (options.observe !== true) return this.#hook(types, hook);
    const wanted = new Set<string>(types);
    maskOf(types);
    const chosen: HookFunction = (event, context) => (wanted.has(event.type) ? (hook as HookFunction)(event, context) : undefined);
    return this.#hooks.add(0, chosen, true);
  }

  #hook(types: readonly EventType[], hook: HookFunction<never>): Hook {
    return this.#hooks.add(maskOf(types), hook, false);
  }

  /** Calls `hook` with every event from now on, to observe: one after the other. Nothing waits for it. */
  onEvent(hook: HookFunction): Hook {
    return this.#hooks.add(0, hook, true);
  }

  /** Statistics of every registration. */
  hookStats(): HookStats[] {
    const rows = JSON.parse(call(() => this.#native.hookStats())) as Record<string, number>[];
    return rows.map((row) => ({
      hook: BigInt(row['hook'] ?? 0),
      calls: BigInt(row['calls'] ?? 0),
      failures: BigInt(row['failures'] ?? 0),
      retries: BigInt(row['retries'] ?? 0),
      coalesced: BigInt(row['coalesced'] ?? 0),
      queued: row['queued'] ?? 0,
      running: row['running'] ?? 0,
    }));
  }

  /**
   * The events from now on, for `for await`: a bounded queue, which ends with the node.
   *
   * @throws {ClusterKitError} `STOPPED`.
   */
  events<T extends EventType = EventType>(options: EventsOptions<T> = {}): EventStream<T> {
    return new EventStream<T>(
      {
        native: this.#native,
        mailbox: this.#mailbox,
        open: (reader) => {
          const number = ++this.#lastReader;
          this.#readers.set(number, reader);
          return number;
        },
        closed: (number) => this.#readers.delete(number),
      },
      options,
    );
  }

  // ---- the cluster

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
    return this.#begin((id) => this.#native.waitForRevision(id, revision, timeout(options)), nothing, options);
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

/** @internal */
export function timeout(options: CallOptions | undefined): number {
  const milliseconds = options?.timeout ?? DEFAULT_TIMEOUT;
  if (typeof milliseconds !== 'number' || !(milliseconds >= 0)) throw new TypeError('timeout is a number of milliseconds');
  return milliseconds;
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
