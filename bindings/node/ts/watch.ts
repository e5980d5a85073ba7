import type { EventEmitter } from 'node:events';
import { ClusterKitError, call } from './error.js';
import { isEventType, reviveEvent } from './events.js';
import type { Reader } from './eventStream.js';
import type { NativeNode } from './native.js';

/** @internal The number of the queue that listeners are told from; those of event streams come after it. */
export const WATCH_QUEUE = 0;
/** How many events wait for listeners while the event loop is busy. */
const CAPACITY = 4096;
/** How many events listeners are told in one turn of the event loop. */
const BATCH = 256;

/**
 * @internal
 * Tells an emitter's listeners what a node has to tell: from when the first of them came, from one queue that observes.
 */
export class Watch {
  readonly #emitter: EventEmitter;
  readonly #native: NativeNode;
  readonly #open: (reader: Reader) => void;
  #isOpen = false;

  constructor(emitter: EventEmitter, native: NativeNode, open: (reader: Reader) => void) {
    this.#emitter = emitter;
    this.#native = native;
    this.#open = open;
    emitter.on('newListener', (name: string | symbol) => this.#listens(name));
  }

  #listens(name: string | symbol): void {
    if (this.#isOpen || !(isEventType(name) || name === 'event' || name === 'lagged')) return;
    try {
      this.#open({ readable: () => this.#read() });
      call(() => this.#native.openQueue(WATCH_QUEUE, 0, false, CAPACITY));
      this.#isOpen = true;
    } catch (error) {
      // Of a node that has stopped nothing follows.
      if (!(error instanceof ClusterKitError && error.code === 'STOPPED')) throw error;
    }
  }

  #read(): void {
    const text = this.#native.takeEvents(WATCH_QUEUE, BATCH);
    if (text === null) return;
    const { events, lost } = JSON.parse(text) as { events: [call: number, event: { type: string }][]; lost: number };
    if (lost > 0) this.#tell('lagged', lost);
    for (const [, parsed] of events) {
      const name = parsed.type.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
      if (this.#emitter.listenerCount(name) === 0 && this.#emitter.listenerCount('event') === 0) continue;
      const event = reviveEvent(parsed);
      this.#tell(name, event);
      this.#tell('event', event);
    }
  }

  /** Emits; what a listener throws becomes an `uncaughtException`, and keeps no other event from being told. */
  #tell(name: string, value: unknown): void {
    try {
      this.#emitter.emit(name, value);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }
}
