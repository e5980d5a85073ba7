import { inspect } from 'node:util';
import { ClusterCalls, timeout } from './clusterCalls.js';
import { call } from './error.js';
import { type ClusterEvent, type EventOfType, type EventType, maskOf } from './events.js';
import { EventStream, type EventsOptions, type Reader } from './eventStream.js';
import { type Hook, type HookError, type HookFunction, Hooks } from './hook.js';
import { type Logger, type LogLevel, logTo } from './logger.js';
import { Mailbox, type CallOptions, type Message, type SignalOptions } from './mailbox.js';
import { type NativeNode, native as library } from './native.js';
import { type NodeOptionValues, OptionSet, namingOptions, nodeOptions } from './options.js';
import type { HookStats } from './records.js';
import { WATCH_QUEUE, Watch } from './watch.js';

/** The options of a node. */
export interface NodeOptions extends NodeOptionValues {
  /** Takes messages for people: `console`, or any logger with these methods. Without one there are none. */
  logger?: Logger;
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

/** @internal A node that exists already, for a handle. */
export class Existing {
  constructor(readonly make: (wake: () => void) => NativeNode) {}
}

function made(from: NodeOptions | OptionSet | Existing, wake: () => void): NativeNode {
  if (from instanceof Existing) return call(() => from.make(wake));
  const set = nodeOptions(from);
  return namingOptions(() => new library.NativeNode(set.native, wake));
}

/**
 * A node of a cluster, embedded in this process.
 *
 * Whatever waits is a Promise, and no call blocks the event loop; lookups answer at once, from memory. A node that was not started opens
 * nothing. A call that waits keeps the process alive; a node that runs does not, unless {@link ref} says so.
 */
export class ClusterKit extends ClusterCalls {
  readonly #native: NativeNode;
  readonly #mailbox: Mailbox;
  readonly #hooks: Hooks;
  readonly #readers = new Map<number, Reader>();
  readonly #id: string;
  #lastReader = WATCH_QUEUE;
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
    let receive = (_: Message): void => {};
    const mailbox = new Mailbox((message) => receive(message));
    const native = made(from, mailbox.wake());
    mailbox.attach(native);
    super(native, mailbox);
    receive = (message) => this.#receive(message);
    this.#native = native;
    this.#mailbox = mailbox;
    this.#id = call(() => native.myNodeId());
    this.#hooks = new Hooks(this.#native, (error) => this.#hookFailed(error));
    if (!(from instanceof Existing) && !(from instanceof OptionSet) && from?.logger) this.setLogger(from.logger);
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

function nothing(): void {}
