import { call } from './error.js';
import { type EventOfType, type EventType, maskOf, reviveEvent } from './events.js';
import { type Mailbox, onAbort } from './mailbox.js';
import type { NativeNode } from './native.js';

/** How many events are taken from the native part at a time. */
const BATCH = 64;
/** How many events wait for a reader that observes, unless it asks for more or fewer. */
const CAPACITY = 1024;

/** What {@link ClusterKit.events} may be given. */
export interface EventsOptions<T extends EventType = EventType> {
  /** The types of the events; without it, all. */
  types?: readonly T[];
  /**
   * True for a reader whose reading confirms, as the return of a hook does: an event is acknowledged when the next is asked for. When the
   * loop is left, be it by an exception or by `break`, the last one has failed, unless {@link EventStream.acknowledge} was called before.
   * The cluster waits for such a reader. Default false: reading observes.
   */
  confirm?: boolean;
  /**
   * How many events wait for a reader that observes, 1 to 1,000,000; a reader that falls behind by more loses the oldest, and is told by
   * `onLagged`. Default 1024. A reader that confirms loses none: nothing follows an event before it is acknowledged.
   */
  capacity?: number;
  /** Is called with the number of events that were lost, before the next one is read: look at the view afresh. */
  onLagged?: (lost: number) => void;
  /** Ends the loop, with its reason. */
  signal?: AbortSignal;
}

interface Taken {
  events: [call: number, event: unknown][];
  lost: number;
  ended: boolean;
}

/** @internal Whoever is told that a queue of the native part has something to read. */
export interface Reader {
  readable(): void;
}

/** @internal What an event stream needs of its node. */
export interface StreamHost {
  native: NativeNode;
  mailbox: Mailbox;
  open(reader: Reader): number;
  closed(number: number): void;
}

/**
 * The events of a node, for `for await`. It is a queue of bounded size in the native part, from which a few events at a time are
 * taken as they are read: a reader that is slow costs no memory. It ends when the node has stopped, when the loop is left, and with
 * `close`. A read that waits keeps the process alive.
 */
export class EventStream<T extends EventType = EventType> implements AsyncIterableIterator<EventOfType[T]> {
  readonly #host: StreamHost;
  readonly #number: number;
  readonly #confirms: boolean;
  readonly #onLagged: ((lost: number) => void) | undefined;
  readonly #taken: [call: number, event: unknown][] = [];
  readonly #waiting: { resolve: (result: IteratorResult<EventOfType[T]>) => void; reject: (error: unknown) => void }[] = [];
  readonly #forget: () => void = () => {};
  /** The call of the event that was read last and is not acknowledged yet. */
  #unacknowledged = 0;
  #lost = 0;
  #hasEnded = false;
  #isClosed = false;
  #failure: { error: unknown } | undefined;

  /** @internal */
  constructor(host: StreamHost, options: EventsOptions<T>) {
    const { types = [], confirm = false, capacity = CAPACITY, onLagged, signal } = options;
    signal?.throwIfAborted();
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > 1_000_000) {
      throw new RangeError('capacity is a whole number from 1 to 1,000,000');
    }
    this.#host = host;
    this.#confirms = confirm;
    this.#onLagged = onLagged;
    const mask = maskOf(types);
    this.#number = host.open({ readable: () => this.#readable() });
    try {
      call(() => host.native.openQueue(this.#number, mask, confirm, capacity));
    } catch (error) {
      host.closed(this.#number);
      throw error;
    }
    if (signal) this.#forget = onAbort(signal, () => this.#fail(signal.reason));
  }

  /** The number of events that were lost so far, because they were not read in time. */
  get lost(): number {
    return this.#lost;
  }

  /** Reads the next event. With `confirm`, acknowledges the one before. */
  next(): Promise<IteratorResult<EventOfType[T]>> {
    this.#acknowledge();
    if (this.#taken.length === 0 && this.#waiting.length === 0) this.#take();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#deliver();
      if (this.#waiting.length > 0) this.#host.mailbox.holdFor(this);
    });
  }

  /** As {@link close}. `for await` calls it when a loop is left. */
  async return(): Promise<IteratorResult<EventOfType[T]>> {
    this.close();
    return { done: true, value: undefined };
  }

  /** Acknowledges the event that was read last, before the next one is asked for. Only with `confirm`. */
  acknowledge(): void {
    this.#acknowledge();
  }

  /** Says that the event that was read last has failed: a gained partition is tried again. Only with `confirm`. */
  reject(reason: string): void {
    this.#acknowledge(reason || 'it failed without a message');
  }

  /** Ends the stream. Events that were not read are dropped; with `confirm` they, and one that is not acknowledged, have failed. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forget();
    for (const [number] of this.#taken.splice(0)) if (number !== 0) this.#host.native.endHookCall(number, 'the events were closed');
    if (this.#unacknowledged !== 0) this.#acknowledge('the events were closed');
    this.#host.native.closeQueue(this.#number);
    this.#host.closed(this.#number);
    this.#end();
  }

  /** The stream itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** As {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #acknowledge(failure?: string): void {
    const number = this.#unacknowledged;
    this.#unacknowledged = 0;
    if (number !== 0) this.#host.native.endHookCall(number, failure);
  }

  #readable(): void {
    if (this.#waiting.length === 0) return;
    this.#take();
    this.#deliver();
  }

  #take(): void {
    if (this.#isClosed || this.#hasEnded) return;
    const text = this.#host.native.takeEvents(this.#number, this.#confirms ? 1 : BATCH);
    const taken: Taken = text === null ? { events: [], lost: 0, ended: true } : (JSON.parse(text) as Taken);
    this.#taken.push(...taken.events);
    this.#hasEnded = taken.ended;
    if (taken.lost > 0) {
      this.#lost += taken.lost;
      this.#onLagged?.(taken.lost);
    }
  }

  #deliver(): void {
    while (this.#waiting.length > 0) {
      if (this.#failure) {
        const { error } = this.#failure;
        this.#failure = undefined;
        this.#waiting.shift()?.reject(error);
        continue;
      }
      const next = this.#taken.shift();
      if (next === undefined) {
        if (!this.#hasEnded && !this.#isClosed) return;
        this.#waiting.shift()?.resolve({ done: true, value: undefined });
        continue;
      }
      const [number, parsed] = next;
      this.#unacknowledged = number;
      this.#waiting.shift()?.resolve({ done: false, value: reviveEvent(parsed) as EventOfType[T] });
    }
    this.#host.mailbox.releaseFor(this);
    if (this.#hasEnded && !this.#isClosed && this.#taken.length === 0) this.close();
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#taken.length = 0;
    this.close();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#deliver();
  }
}
