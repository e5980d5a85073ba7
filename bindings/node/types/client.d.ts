import { EventEmitter } from 'node:events';
import { type Logger } from './logger.js';
import { type CallOptions, type SignalOptions } from './mailbox.js';
import { ClientOptionSet, type ClientOptionValues } from './options.js';
import { type ClientStatus, type Node } from './records.js';
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
/**
 * Follows a cluster without being a member, and answers lookups from its own memory. It begins to follow at once. A wait keeps the process
 * alive; a client that is idle does not.
 */
export declare class Client extends EventEmitter {
    #private;
    /**
     * Makes a client, which begins to follow the cluster.
     *
     * @throws {ClusterKitError} `INVALID_OPTION`; `IO` where the system refuses a thread.
     */
    constructor(options: ClientOptions | ClientOptionSet);
    /** The present view: the same object for as long as nothing changes. Empty before the first answer; after {@link close}, the last. */
    view(): View;
    /** How the client is connected, and how old its view may be. */
    status(): ClientStatus;
    /** The number of the partition that a key belongs to; `null` before there are partitions. */
    partitionForKey(key: Key): number | null;
    /** The partition that a key belongs to; `null` before there are partitions. */
    getPartition(key: Key): Partition | null;
    /** The node that takes the writes of a key; `null` while there is none. */
    getPrimaryNode(key: Key): Node | null;
    /** Every node that holds a key's data, the primary first. */
    getNodesForKey(key: Key): readonly Node[];
    /** Waits for the first view. Resolves with its revision. @throws {ClusterKitError} `TIMEOUT` with what failed last; `STOPPED`. */
    waitReady(options?: CallOptions): Promise<bigint>;
    /** Waits for a view that is newer than `revision`. Resolves with its revision. @throws {ClusterKitError} `TIMEOUT`, `STOPPED`. */
    waitForChange(revision: bigint, options?: CallOptions): Promise<bigint>;
    /** Waits until the view shows a revision. @throws {ClusterKitError} `TIMEOUT`, `STOPPED`. */
    waitForRevision(revision: bigint, options?: CallOptions): Promise<void>;
    /** Asks a member now. Resolves with the revision. @throws {ClusterKitError} `TIMEOUT`, `UNREACHABLE`, `STOPPED`. */
    refresh(options?: CallOptions): Promise<bigint>;
    /** Waits until the view shows everything that was acknowledged before this call. Resolves with the revision. */
    readBarrier(options?: CallOptions): Promise<bigint>;
    /**
     * The views, for `for await`: the present one first, where there is one, and then each newer one. Where several came meanwhile, the next
     * is the newest. It ends when the client is closed; `signal` ends it with its reason.
     */
    changes(options?: SignalOptions): AsyncGenerator<View, void, undefined>;
    /** Sets what takes messages for people; `null` ends them. */
    setLogger(logger: Logger | null): void;
    /** Closes the client: every call that waits answers `STOPPED`, loops end, the view stays as it is. Idempotent. */
    close(): Promise<void>;
    /** As {@link close}: for `await using`. */
    [Symbol.asyncDispose](): Promise<void>;
    /** Makes the client keep the process alive. */
    ref(): this;
    /** Lets the process end though the client is open: the default. */
    unref(): this;
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
