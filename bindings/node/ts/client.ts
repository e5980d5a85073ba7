import { EventEmitter } from 'node:events';
import { big, revisionOf, timeout } from './clusterCalls.js';
import { ClusterKitError } from './error.js';
import { type Logger, type LogLevel, logTo } from './logger.js';
import { Mailbox, type CallOptions, type Message, type SignalOptions } from './mailbox.js';
import { type NativeClient, native } from './native.js';
import { ClientOptionSet, type ClientOptionValues, clientOptions, namingOptions } from './options.js';
import { type ClientStatus, type Node, revive } from './records.js';
import { type Key, type Partition, View } from './view.js';

/** The options of a client. */
export interface ClientOptions extends ClientOptionValues {
  /** Takes messages for people: `console`, or any logger with these methods. Without one there are none. */
  logger?: Logger;
}

/** What a `Client` emits. */
export interface ClientEventMap {
  /** There is a newer view: the present one first, where there is one. Where several came at once, the newest. */
  change: [view: View];
}

// A client that somebody listens to is not collected before it is closed.
const live = new Set<Client>();
/** How long one wait for a newer view takes, before the next. */
const CHANGE_TIMEOUT = 3_600_000;

/**
 * Follows a cluster without being a member, and answers lookups from its own memory. It begins to follow at once. A wait keeps the process
 * alive; a client that is idle does not.
 */
export class Client extends EventEmitter {
  readonly #native: NativeClient;
  readonly #functions: { viewId(): number };
  readonly #mailbox: Mailbox;
  #view: View | undefined;
  #viewId = 0;
  #logger: Logger | undefined;
  #isWatching = false;
  #isClosed = false;

  /**
   * Makes a client, which begins to follow the cluster.
   *
   * @throws {ClusterKitError} `INVALID_OPTION`; `IO` where the system refuses a thread.
   */
  constructor(options: ClientOptions | ClientOptionSet) {
    super();
    this.#mailbox = new Mailbox((message) => this.#receive(message));
    const wake = this.#mailbox.wake();
    const set = clientOptions(options);
    this.#native = namingOptions(() => new native.NativeClient(set.native, wake));
    this.#mailbox.attach(this.#native);
    this.#functions = this.#native.functions();
    if (!(options instanceof ClientOptionSet) && options.logger) this.setLogger(options.logger);
    super.on('newListener', (name: string | symbol) => {
      if (name === 'change') this.#watch();
    });
  }

  #receive(message: Message): void {
    if (message[0] === 'log' && this.#logger) logTo(this.#logger, message[1] as LogLevel, message[2] as string);
  }

  /** The present view: the same object for as long as nothing changes. Empty before the first answer; after {@link close}, the last. */
  view(): View {
    const id = this.#functions.viewId();
    if (this.#view === undefined || id !== this.#viewId) {
      const view = this.#native.view();
      this.#viewId = view.id();
      this.#view = new View(view);
    }
    return this.#view;
  }

  /** How the client is connected, and how old its view may be. */
  status(): ClientStatus {
    return revive(JSON.parse(this.#native.status()));
  }

  /** The number of the partition that a key belongs to; `null` before there are partitions. */
  partitionForKey(key: Key): number | null {
    return this.view().partitionForKey(key);
  }

  /** The partition that a key belongs to; `null` before there are partitions. */
  getPartition(key: Key): Partition | null {
    return this.view().getPartition(key);
  }

  /** The node that takes the writes of a key; `null` while there is none. */
  getPrimaryNode(key: Key): Node | null {
    return this.view().getPrimaryNode(key);
  }

  /** Every node that holds a key's data, the primary first. */
  getNodesForKey(key: Key): readonly Node[] {
    return this.view().getNodesForKey(key);
  }

  /** Waits for the first view. Resolves with its revision. @throws {ClusterKitError} `TIMEOUT` with what failed last; `STOPPED`. */
  waitReady(options?: CallOptions): Promise<bigint> {
    return this.#begin((id) => this.#native.waitReady(id, timeout(options)), big, options);
  }

  /** Waits for a view that is newer than `revision`. Resolves with its revision. @throws {ClusterKitError} `TIMEOUT`, `STOPPED`. */
  waitForChange(revision: bigint, options?: CallOptions): Promise<bigint> {
    return this.#begin((id) => this.#native.waitForChange(id, revisionOf(revision), timeout(options)), big, options);
  }

  /** Waits until the view shows a revision. @throws {ClusterKitError} `TIMEOUT`, `STOPPED`. */
  waitForRevision(revision: bigint, options?: CallOptions): Promise<void> {
    return this.#begin((id) => this.#native.waitForRevision(id, revisionOf(revision), timeout(options)), () => {}, options);
  }

  /** Asks a member now. Resolves with the revision. @throws {ClusterKitError} `TIMEOUT`, `UNREACHABLE`, `STOPPED`. */
  refresh(options?: CallOptions): Promise<bigint> {
    return this.#begin((id) => this.#native.refresh(id, timeout(options)), big, options);
  }

  /** Waits until the view shows everything that was acknowledged before this call. Resolves with the revision. */
  readBarrier(options?: CallOptions): Promise<bigint> {
    return this.#begin((id) => this.#native.readBarrier(id, timeout(options)), big, options);
  }

  /**
   * The views, for `for await`: the present one first, where there is one, and then each newer one. Where several came meanwhile, the next
   * is the newest. It ends when the client is closed; `signal` ends it with its reason.
   */
  async *changes(options?: SignalOptions): AsyncGenerator<View, void, undefined> {
    for await (const view of this.#changes(options, true)) yield view;
  }

  async *#changes(options: SignalOptions | undefined, holds: boolean): AsyncGenerator<View, void, undefined> {
    let seen = 0n;
    for (;;) {
      try {
        const known = seen;
        await this.#begin((id) => this.#native.waitForChange(id, known, CHANGE_TIMEOUT), big, options, holds);
      } catch (error) {
        if (!(error instanceof ClusterKitError)) throw error;
        if (error.code === 'STOPPED') return;
        if (error.code !== 'TIMEOUT') throw error;
        continue;
      }
      const view = this.view();
      seen = view.revision;
      yield view;
    }
  }

  #watch(): void {
    if (this.#isWatching || this.#isClosed) return;
    this.#isWatching = true;
    live.add(this);
    void this.#tell();
  }

  async #tell(): Promise<void> {
    for await (const view of this.#changes(undefined, false)) {
      try {
        this.emit('change', view);
      } catch (error) {
        // As where any other emitter's listener throws: `uncaughtException`.
        process.nextTick(() => {
          throw error;
        });
      }
    }
  }

  /** Sets what takes messages for people; `null` ends them. */
  setLogger(logger: Logger | null): void {
    this.#logger = logger ?? undefined;
    this.#native.setLog(logger !== null);
  }

  /** Closes the client: every call that waits answers `STOPPED`, loops end, the view stays as it is. Idempotent. */
  async close(): Promise<void> {
    live.delete(this);
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#begin((id) => this.#native.close(id), () => {});
  }

  /** As {@link close}: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Makes the client keep the process alive. */
  ref(): this {
    this.#mailbox.setRef(true);
    return this;
  }

  /** Lets the process end though the client is open: the default. */
  unref(): this {
    this.#mailbox.setRef(false);
    return this;
  }

  #begin<A, T>(start: (id: number) => void, read: (answer: A) => T, options?: SignalOptions, holds = true): Promise<T> {
    return this.#mailbox.begin(start, read, options, holds);
  }
}

/** The typed forms of an emitter's methods. */
export interface Client {
  /** Calls `listener` with what is emitted under this name. */
  on<E extends keyof ClientEventMap>(event: E, listener: (...args: ClientEventMap[E]) => void): this;
  /** Calls `listener` once. */
  once<E extends keyof ClientEventMap>(event: E, listener: (...args: ClientEventMap[E]) => void): this;
  /** Removes a listener. */
  off<E extends keyof ClientEventMap>(event: E, listener: (...args: ClientEventMap[E]) => void): this;
}
