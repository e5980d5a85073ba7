// The entry `clusterkit/testing`: clusters in memory, for the tests of applications.

import { timeout } from './clusterCalls.js';
import { ClusterKit, Existing, type NodeOptions } from './clusterkit.js';
import { ClusterKitError, call } from './error.js';
import { Mailbox, type CallOptions, type Message, type SignalOptions } from './mailbox.js';
import { type NativeTestCluster, native } from './native.js';
import { optionsJson } from './options.js';
import type { Key } from './view.js';

/** What a test cluster is made with. */
export interface TestClusterOptions {
  /** The number of nodes, 1 to 1000. Default 3. Node 0 has the id `node-0`, unless `options` gives it another. */
  nodes?: number;
  /** The number of partitions. Default 64. */
  partitionCount?: number;
  /** The number of copies of each partition. Default 3. */
  replicationFactor?: number;
  /** Decides what slow links lose, and what of writes that were not durable a killed node keeps. Default 0. */
  seed?: number;
  /** True where no time passes by itself: only {@link TestCluster.advance} and the calls that wait move the clock. Default false. */
  manualClock?: boolean;
  /** Options of every node, or a function that gives those of each by its index. Addresses and `dataDir` are the cluster's. */
  options?: Partial<NodeOptions> | ((index: number) => Partial<NodeOptions>);
  /**
   * Is called with every process of a node before it is started, also by {@link TestCluster.restart}: the place for hooks. What it throws
   * is what the call throws that makes the node.
   */
  prepare?: (index: number, node: ClusterKit) => void | Promise<void>;
}

/** How a disk fails. */
export type DiskFault = 'full' | 'readOnly' | 'syncFails' | 'hangs';

/** The conditions of a link in one direction. */
export interface LinkFaults {
  /** How long a message takes, in milliseconds. Default 0. */
  delay?: number;
  /** The probability that a message is lost, from 0 to 1: it is sent again, and arrives 200 ms later. Default 0. */
  loss?: number;
}

/**
 * Real nodes in this process, without sockets and files, whose clock the test moves: what takes minutes elsewhere takes milliseconds. Each
 * is a `ClusterKit`, so the application's code runs on it unchanged. Times of the calls that wait are those of the cluster's clock. HTTP
 * is not there. See docs/testing.md.
 */
export class TestCluster {
  readonly #native: NativeTestCluster;
  readonly #mailbox: Mailbox;
  readonly #options: TestClusterOptions;
  readonly #nodes: ClusterKit[] = [];
  #condition: (() => boolean | Promise<boolean>) | undefined;
  /** What the program's own code threw while the library asked it. */
  #thrown: { error: unknown } | undefined;
  #isClosed = false;

  private constructor(options: TestClusterOptions) {
    this.#options = options;
    this.#mailbox = new Mailbox((message) => this.#receive(message));
    const wake = this.#mailbox.wake();
    this.#native = call(() => new native.NativeTestCluster(wake));
    this.#mailbox.attach(this.#native);
  }

  /** Starts a cluster. Resolves when all nodes are members, every partition has its copies and a primary, and nothing moves. */
  static async start(options: TestClusterOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    const { nodes, seed = 0, manualClock = false, partitionCount, replicationFactor, options: ofNodes } = options;
    const ofAll = { partitionCount, replicationFactor, ...(typeof ofNodes === 'object' ? withoutLogger(ofNodes) : {}) };
    const recipe = JSON.stringify({
      nodes,
      seed,
      manual_clock: manualClock,
      options: optionsJson(ofAll as Partial<NodeOptions>),
      configures: typeof ofNodes === 'function',
    });
    await cluster.#begin((id) => cluster.#native.start(id, recipe));
    return cluster;
  }

  #receive(message: Message): void {
    if (message[0] !== 'ask') return;
    const [, number, what, index] = message as [string, number, string, number];
    void this.#answer(number, what, index);
  }

  async #answer(number: number, what: string, index: number): Promise<void> {
    try {
      this.#native.answer(number, await this.#answerTo(number, what, index));
    } catch (error) {
      this.#thrown ??= { error };
      const words = error instanceof Error ? error.message : String(error);
      this.#native.answer(number, null, error instanceof ClusterKitError ? error.code : 'REFUSED', words);
    }
  }

  async #answerTo(number: number, what: string, index: number): Promise<string> {
    switch (what) {
      case 'configure': {
        const { options } = this.#options;
        return optionsJson(withoutLogger(typeof options === 'function' ? options(index) : {}));
      }
      case 'prepare': {
        const node = new ClusterKit(new Existing((wake) => this.#native.askedNode(number, wake)));
        this.#nodes[index] = node;
        const { options } = this.#options;
        const { logger } = (typeof options === 'function' ? options(index) : options) ?? {};
        if (logger) node.setLogger(logger);
        await this.#options.prepare?.(index, node);
        return 'null';
      }
      default:
        return String((await this.#condition?.()) ?? false);
    }
  }

  async #begin<T>(start: (id: number) => void, options?: SignalOptions): Promise<T> {
    this.#thrown = undefined;
    try {
      return await this.#mailbox.begin(start, (answer: T) => answer, options);
    } catch (error) {
      const thrown = this.#thrown as { error: unknown } | undefined;
      this.#thrown = undefined;
      throw thrown ? thrown.error : error;
    }
  }

  #order<T = void>(op: string, arguments_: object = {}, options?: SignalOptions): Promise<T> {
    return this.#begin<T>((id) => this.#native.call(id, JSON.stringify({ op, ...arguments_ })), options);
  }

  // ---- nodes

  /** The present process of a node, or its last. After {@link restart} another. */
  node(index: number): ClusterKit {
    const node = this.#nodes[index];
    if (!node) throw new ClusterKitError('NOT_FOUND', `there is no node ${index}; there are ${this.#nodes.length}`);
    return node;
  }

  /** The present processes of all nodes, by index. */
  get nodes(): readonly ClusterKit[] {
    return [...this.#nodes];
  }

  /** The number of nodes, those included that do not run. */
  get nodeCount(): number {
    return call(() => this.#native.nodeCount());
  }

  /** The index of the node with this id. */
  indexOf(id: string): number | null {
    return call(() => this.#native.indexOf(id)) ?? null;
  }

  /** True while a node runs. A paused one does. */
  isRunning(index: number): boolean {
    return call(() => this.#native.isRunning(index));
  }

  /** True while a node is paused. */
  isPaused(index: number): boolean {
    return call(() => this.#native.isPaused(index));
  }

  /** Adds a node and starts it. Resolves with its index. */
  addNode(): Promise<number> {
    return this.#order('addNode');
  }

  /** Adds a node, and does not start it: `node(index).start()` does. Resolves with its index. */
  createNode(): Promise<number> {
    return this.#order('createNode');
  }

  /** Stops a node gracefully. */
  stop(index: number): Promise<void> {
    return this.#order('stop', { index });
  }

  /** Ends a node's process without a word, as SIGKILL and a loss of power do. */
  kill(index: number): Promise<void> {
    return this.#order('kill', { index });
  }

  /** Starts a new process of a node that was stopped or killed, on its disk. */
  async restart(index: number): Promise<ClusterKit> {
    await this.#order('restart', { index });
    return this.node(index);
  }

  /** Makes a new process of a node that was stopped or killed, and does not start it. */
  async recreate(index: number): Promise<ClusterKit> {
    await this.#order('recreate', { index });
    return this.node(index);
  }

  /** Empties the disk of a node that does not run. */
  wipe(index: number): Promise<void> {
    return this.#order('wipe', { index });
  }

  // ---- faults

  /** Pauses a node, as SIGSTOP does. */
  pause(index: number): Promise<void> {
    return this.#order('pause', { index });
  }

  /** Ends a pause. */
  resume(index: number): Promise<void> {
    return this.#order('resume', { index });
  }

  /** Cuts the links between two nodes. */
  cut(one: number, other: number): Promise<void> {
    return this.#order('cut', { one, other });
  }

  /** Cuts the link in one direction. */
  cutOneWay(from: number, to: number): Promise<void> {
    return this.#order('cutOneWay', { from, to });
  }

  /** Mends the links between two nodes. */
  restore(one: number, other: number): Promise<void> {
    return this.#order('restore', { one, other });
  }

  /** Cuts a node off from all others. */
  isolate(index: number): Promise<void> {
    return this.#order('isolate', { index });
  }

  /** Cuts these nodes off from the others. */
  split(oneSide: readonly number[]): Promise<void> {
    return this.#order('split', { oneSide });
  }

  /** Mends every link. */
  heal(): Promise<void> {
    return this.#order('heal');
  }

  /** Sets the conditions of the link in one direction. */
  setLink(from: number, to: number, { delay = 0, loss = 0 }: LinkFaults): Promise<void> {
    return this.#order('setLink', { from, to, delay, loss });
  }

  /** Makes the disk of a node fail. */
  failDisk(index: number, fault: DiskFault): Promise<void> {
    return this.#order('failDisk', { index, fault });
  }

  /** Mends the disk of a node. */
  mendDisk(index: number): Promise<void> {
    return this.#order('mendDisk', { index });
  }

  // ---- the clock

  /** Moves the clock by so many milliseconds, from timer to timer: heartbeats keep up. */
  advance(milliseconds: number): Promise<void> {
    return this.#order('advance', { time: milliseconds });
  }

  /** Milliseconds on the clock since the cluster was made. */
  now(): number {
    return call(() => this.#native.now());
  }

  // ---- what has become of it

  /** The node that leads, and that a majority can go on following. */
  leader(): number | null {
    return call(() => this.#native.leader()) ?? null;
  }

  /** The node that takes the writes of a key at this moment, by its own word. */
  primaryOf(key: Key): number | null {
    const bytes = typeof key === 'string' ? Buffer.from(key) : key;
    return call(() => this.#native.primaryOf(bytes)) ?? null;
  }

  /** Waits until a node leads. Resolves with its index. */
  waitForLeader(options?: CallOptions): Promise<number> {
    return this.#order('waitForLeader', { timeout: timeout(options) }, options);
  }

  /** Waits until every partition has a primary that says so itself: the end of a failover. */
  waitForPrimaries(options?: CallOptions): Promise<void> {
    return this.#order('waitForPrimaries', { timeout: timeout(options) }, options);
  }

  /** Waits until the cluster is at rest: every copy is made, and nothing moves or is about to. */
  waitSettled(options?: CallOptions): Promise<void> {
    return this.#order('waitSettled', { timeout: timeout(options) }, options);
  }

  /** Waits until `condition` is true, which is looked at after each timer of the nodes; `what` names it in the error. */
  async waitUntil(what: string, condition: () => boolean | Promise<boolean>, options?: CallOptions): Promise<void> {
    this.#condition = condition;
    await this.#order('waitUntil', { what, timeout: timeout(options) }, options);
  }

  /** Ends everything: nodes, threads, calls that wait. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#order('close');
    await Promise.all(this.#nodes.map((node) => node.close()));
  }

  /** As {@link close}: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function withoutLogger({ logger, ...options }: Partial<NodeOptions>): Partial<NodeOptions> {
  void logger;
  return options;
}
