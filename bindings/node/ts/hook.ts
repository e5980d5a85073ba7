import { AsyncResource } from 'node:async_hooks';
import { call } from './error.js';
import { type ClusterEvent, reviveEvent } from './events.js';
import type { NativeNode } from './native.js';

/** What a call of a hook is told besides its event. */
export interface HookContext {
  /** The number of the call for this event, from 1: a copy whose hook has failed is tried again. */
  readonly attempt: number;
  /** Aborts when the outcome counts no more, because the node has stopped or the hook was removed: pass it to what copies. */
  readonly signal: AbortSignal;
}

/**
 * A function that is called with events. When it returns, or its Promise fulfils, the call has succeeded: for a gained partition
 * that says that the data is there. When it throws or rejects, the call has failed.
 */
export type HookFunction<E extends ClusterEvent = ClusterEvent> = (event: E, context: HookContext) => void | Promise<void>;

/** A call of a hook that has failed. */
export interface HookError {
  /** What the hook threw, or its Promise was rejected with. */
  readonly error: unknown;
  /** The event that it was called with. */
  readonly event: ClusterEvent;
  /** The number of the call for this event, from 1. */
  readonly attempt: number;
  /** The hook. */
  readonly hook: Hook;
}

/** A registration of a hook. */
export class Hook {
  readonly #remove: () => Promise<void>;
  /** Names the registration in {@link HookStats}. */
  readonly id: bigint;

  /** @internal */
  constructor(id: bigint, remove: () => Promise<void>) {
    this.id = id;
    this.#remove = remove;
  }

  /**
   * Removes the hook: from now on it is not called. Resolves when the calls under way have ended; called inside the hook itself, do not
   * wait for it. A copy that this hook has not confirmed is not confirmed by anything else: the cluster plans it anew. A second time it
   * does nothing.
   */
  remove(): Promise<void> {
    return this.#remove();
  }
}

interface Registration {
  run(event: ClusterEvent, context: HookContext): unknown;
  hook: Hook;
  running: Set<AbortController>;
  /** Called when a call has ended. */
  waiters: (() => void)[];
}

/** @internal The hooks of one node. */
export class Hooks {
  readonly #native: NativeNode;
  readonly #failed: (error: HookError) => void;
  readonly #registrations = new Map<number, Registration>();
  #last = 0;

  constructor(native: NativeNode, failed: (error: HookError) => void) {
    this.#native = native;
    this.#failed = failed;
  }

  add(mask: number, hook: HookFunction<never>, observes: boolean): Hook {
    if (typeof hook !== 'function') throw new TypeError('a hook is a function');
    const number = ++this.#last;
    const id = call(() => this.#native.addHook(number, mask, observes));
    const registration: Registration = {
      // In the context that it was added in: AsyncLocalStorage, tracing.
      run: AsyncResource.bind(hook as HookFunction),
      hook: new Hook(id, () => this.#remove(number, id)),
      running: new Set(),
      waiters: [],
    };
    this.#registrations.set(number, registration);
    return registration.hook;
  }

  async #remove(number: number, id: bigint): Promise<void> {
    const registration = this.#registrations.get(number);
    this.#registrations.delete(number);
    this.#native.removeHook(id);
    if (registration) await this.#ended(registration);
  }

  #ended(registration: Registration): Promise<void> {
    for (const controller of registration.running) controller.abort();
    if (registration.running.size === 0) return Promise.resolve();
    return new Promise((resolve) => registration.waiters.push(resolve));
  }

  /** The node calls a hook. */
  run(number: number, callNumber: number, attempt: number, parsed: unknown): void {
    const registration = this.#registrations.get(number);
    if (!registration) {
      this.#native.endHookCall(callNumber, 'the hook was removed');
      return;
    }
    void this.#run(registration, callNumber, attempt, parsed);
  }

  async #run(registration: Registration, callNumber: number, attempt: number, parsed: unknown): Promise<void> {
    const controller = new AbortController();
    registration.running.add(controller);
    const { signal } = controller;
    let event: ClusterEvent | undefined;
    try {
      event = reviveEvent(parsed);
      await registration.run(event, { attempt, signal });
      this.#native.endHookCall(callNumber);
    } catch (error) {
      this.#native.endHookCall(callNumber, words(error));
      // What was given up is no failure that anybody has to hear of.
      if (event && !signal.aborted) this.#report({ error, event, attempt, hook: registration.hook });
    }
    registration.running.delete(controller);
    if (registration.running.size === 0) for (const resolve of registration.waiters.splice(0)) resolve();
  }

  #report(error: HookError): void {
    try {
      this.#failed(error);
    } catch (thrown) {
      // That of a listener: as where any other emitter's listener throws.
      process.nextTick(() => {
        throw thrown;
      });
    }
  }

  /** The node has dropped a hook: it has stopped, or the hook was removed. */
  gone(number: number): void {
    const registration = this.#registrations.get(number);
    this.#registrations.delete(number);
    if (registration) for (const controller of registration.running) controller.abort();
  }
}

/** What is told of a failure, in the log and to whoever asks why a partition does not move. */
function words(error: unknown): string {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return text.slice(0, 1000) || 'it failed without a message';
  } catch {
    // An object whose own toString throws.
    return 'it failed with what has no words';
  }
}
