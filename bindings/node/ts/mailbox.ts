import { ClusterKitError, type ErrorCode, fromNative } from './error.js';
import type { NativeMailbox } from './native.js';

/** How long a call waits that is given no timeout: 30 seconds, in milliseconds. */
export const DEFAULT_TIMEOUT = 30_000;

/** What a call that waits may be given. */
export interface CallOptions {
  /** How long to wait for the cluster, in milliseconds. Default {@link DEFAULT_TIMEOUT}. */
  timeout?: number | undefined;
  /**
   * Ends the waiting: the Promise rejects with the signal's reason, at once. What the call began goes on, so whether a write
   * happened is as unknown as after `TIMEOUT`.
   */
  signal?: AbortSignal | undefined;
}

/** What a call that waits for as long as it takes may be given. */
export type SignalOptions = Pick<CallOptions, 'signal'>;

/** @internal A message of the native part: what it is, and what belongs to it. */
export type Message = [kind: string, ...rest: unknown[]];

interface OpenCall {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
  holds: boolean;
}

// What an abort ends, by its signal: one listener of each signal is enough for any number of calls.
const aborts = new WeakMap<AbortSignal, Set<() => void>>();

/** @internal Calls `abort` when a signal aborts. Returns what takes that back. */
export function onAbort(signal: AbortSignal, abort: () => void): () => void {
  let waiting = aborts.get(signal);
  if (waiting === undefined) {
    const all = new Set<() => void>();
    waiting = all;
    aborts.set(signal, all);
    signal.addEventListener('abort', () => { for (const each of [...all]) each(); }, { once: true });
  }
  waiting.add(abort);
  return () => waiting.delete(abort);
}

// Mailboxes with a call under way: whoever waits for the outcome need not have the handle.
const busy = new Set<Mailbox>();

/**
 * @internal
 * What the native part has to tell one handle: outcomes of calls, and messages that the handle reads itself. A call that waits
 * keeps the process alive, as the system calls of Node's own modules do; nothing else does, unless {@link ref} says so.
 */
export class Mailbox {
  #native: NativeMailbox | undefined;
  readonly #receive: (message: Message) => void;
  readonly #calls = new Map<number, OpenCall>();
  #last = 0;
  #held = 0;
  #isRef = false;

  constructor(receive: (message: Message) => void) {
    this.#receive = receive;
  }

  /** The function that the native part wakes. It does not keep the mailbox, so that a handle that nobody has is collected. */
  wake(): () => void {
    const weak = new WeakRef<Mailbox>(this);
    return () => weak.deref()?.woken();
  }

  // True from a batch on until the event loop has had a turn; whether more was told meanwhile.
  #hadBatch = false;
  #hasMore = false;

  /**
   * Reads a batch, and no second one in the same turn of the event loop: Node would go on calling for as long as something comes, and a
   * burst of calls of hooks, each of which brings the next, would leave timers and sockets no turn.
   */
  woken(): void {
    if (this.#hadBatch) {
      this.#hasMore = true;
      return;
    }
    this.#hadBatch = true;
    setImmediate(() => {
      this.#hadBatch = false;
      if (!this.#hasMore) return;
      this.#hasMore = false;
      this.woken();
    });
    this.drain();
  }

  attach(native: NativeMailbox): void {
    this.#native = native;
  }

  /** Reads every message. An exception of one keeps none of the others from being read. */
  drain(): void {
    const messages = JSON.parse(this.#native?.drain() ?? '[]') as Message[];
    for (const message of messages) {
      try {
        if (!this.#settle(message)) this.#receive(message);
      } catch (error) {
        // As where any other emitter's listener throws: `uncaughtException`.
        process.nextTick(() => {
          throw error;
        });
      }
    }
  }

  #settle(message: Message): boolean {
    const [kind, id] = message;
    if (kind !== 'done' && kind !== 'failed') return false;
    const open = this.#take(id as number);
    if (kind === 'done') open?.resolve(message[2]);
    else open?.reject(new ClusterKitError(message[2] as ErrorCode, message[3] as string));
    return true;
  }

  #take(id: number): OpenCall | undefined {
    const open = this.#calls.get(id);
    if (open) {
      this.#calls.delete(id);
      this.#release();
      if (open.holds) this.#hold(-1);
    }
    return open;
  }

  /** Begins a call: `start` gives it to the native part, `read` makes the answer of what that says. */
  begin<A, T>(start: (id: number) => void, read: (answer: A) => T, options: SignalOptions = {}, holds = true): Promise<T> {
    // The frames of whoever called: those of the moment of the answer say nothing.
    const called = new Error();
    Error.captureStackTrace(called, this.begin);
    return new Promise<T>((resolve, reject) => {
      const { signal } = options;
      signal?.throwIfAborted();
      const id = (this.#last = this.#last === 0xffff_ffff ? 1 : this.#last + 1);
      const abandon = (): void => {
        this.#take(id);
        this.#native?.abandonCall(id);
        reject(signal?.reason);
      };
      let settled = (): unknown => undefined;
      try {
        start(id);
      } catch (error) {
        throw fromNative(error);
      }
      this.#calls.set(id, {
        resolve: (answer) => {
          settled();
          resolve(read(answer as A));
        },
        reject: (error) => {
          settled();
          if (error instanceof Error) error.stack = `${error.name}: ${error.message}\n${called.stack?.split('\n').slice(1).join('\n')}`;
          reject(error);
        },
        holds,
      });
      busy.add(this);
      if (signal) settled = onAbort(signal, abandon);
      if (holds) this.#hold(1);
    });
  }

  // Readers of events that wait.
  readonly #readers = new Set<object>();

  /** A reader waits: the process stays alive for it. */
  holdFor(reader: object): void {
    if (this.#readers.has(reader)) return;
    this.#readers.add(reader);
    busy.add(this);
    this.#hold(1);
  }

  /** A reader waits no more. */
  releaseFor(reader: object): void {
    if (!this.#readers.delete(reader)) return;
    this.#release();
    this.#hold(-1);
  }

  #release(): void {
    if (this.#calls.size === 0 && this.#readers.size === 0) busy.delete(this);
  }

  #hold(change: number): void {
    const before = this.#held > 0 || this.#isRef;
    this.#held += change;
    const after = this.#held > 0 || this.#isRef;
    if (before !== after) this.#native?.holdProcess(after);
  }

  /** Keeps the process alive, or only while a call waits. */
  setRef(isRef: boolean): void {
    const before = this.#held > 0 || this.#isRef;
    this.#isRef = isRef;
    const after = this.#held > 0 || this.#isRef;
    if (before !== after) this.#native?.holdProcess(after);
  }

  hasRef(): boolean {
    return this.#isRef;
  }
}
