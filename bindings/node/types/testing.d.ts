import { ClusterKit, type NodeOptions } from './clusterkit.js';
import { type CallOptions } from './mailbox.js';
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
export declare class TestCluster {
    #private;
    private constructor();
    /** Starts a cluster. Resolves when all nodes are members, every partition has its copies and a primary, and nothing moves. */
    static start(options?: TestClusterOptions): Promise<TestCluster>;
    /** The present process of a node, or its last. After {@link restart} another. */
    node(index: number): ClusterKit;
    /** The present processes of all nodes, by index. */
    get nodes(): readonly ClusterKit[];
    /** The number of nodes, those included that do not run. */
    get nodeCount(): number;
    /** The index of the node with this id. */
    indexOf(id: string): number | null;
    /** True while a node runs. A paused one does. */
    isRunning(index: number): boolean;
    /** True while a node is paused. */
    isPaused(index: number): boolean;
    /** Adds a node and starts it. Resolves with its index. */
    addNode(): Promise<number>;
    /** Adds a node, and does not start it: `node(index).start()` does. Resolves with its index. */
    createNode(): Promise<number>;
    /** Stops a node gracefully. */
    stop(index: number): Promise<void>;
    /** Ends a node's process without a word, as SIGKILL and a loss of power do. */
    kill(index: number): Promise<void>;
    /** Starts a new process of a node that was stopped or killed, on its disk. */
    restart(index: number): Promise<ClusterKit>;
    /** Makes a new process of a node that was stopped or killed, and does not start it. */
    recreate(index: number): Promise<ClusterKit>;
    /** Empties the disk of a node that does not run. */
    wipe(index: number): Promise<void>;
    /** Pauses a node, as SIGSTOP does. */
    pause(index: number): Promise<void>;
    /** Ends a pause. */
    resume(index: number): Promise<void>;
    /** Cuts the links between two nodes. */
    cut(one: number, other: number): Promise<void>;
    /** Cuts the link in one direction. */
    cutOneWay(from: number, to: number): Promise<void>;
    /** Mends the links between two nodes. */
    restore(one: number, other: number): Promise<void>;
    /** Cuts a node off from all others. */
    isolate(index: number): Promise<void>;
    /** Cuts these nodes off from the others. */
    split(oneSide: readonly number[]): Promise<void>;
    /** Mends every link. */
    heal(): Promise<void>;
    /** Sets the conditions of the link in one direction. */
    setLink(from: number, to: number, { delay, loss }: LinkFaults): Promise<void>;
    /** Makes the disk of a node fail. */
    failDisk(index: number, fault: DiskFault): Promise<void>;
    /** Mends the disk of a node. */
    mendDisk(index: number): Promise<void>;
    /** Moves the clock by so many milliseconds, from timer to timer: heartbeats keep up. */
    advance(milliseconds: number): Promise<void>;
    /** Milliseconds on the clock since the cluster was made. */
    now(): number;
    /** The node that leads, and that a majority can go on following. */
    leader(): number | null;
    /** The node that takes the writes of a key at this moment, by its own word. */
    primaryOf(key: Key): number | null;
    /** Waits until a node leads. Resolves with its index. */
    waitForLeader(options?: CallOptions): Promise<number>;
    /** Waits until every partition has a primary that says so itself: the end of a failover. */
    waitForPrimaries(options?: CallOptions): Promise<void>;
    /** Waits until the cluster is at rest: every copy is made, and nothing moves or is about to. */
    waitSettled(options?: CallOptions): Promise<void>;
    /** Waits until `condition` is true, which is looked at after each timer of the nodes; `what` names it in the error. */
    waitUntil(what: string, condition: () => boolean | Promise<boolean>, options?: CallOptions): Promise<void>;
    /** Ends everything: nodes, threads, calls that wait. Idempotent. */
    close(): Promise<void>;
    /** As {@link close}: for `await using`. */
    [Symbol.asyncDispose](): Promise<void>;
}
