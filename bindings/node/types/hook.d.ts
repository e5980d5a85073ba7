import { type ClusterEvent } from './events.js';
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
export declare class Hook {
    #private;
    /** Names the registration in {@link HookStats}. */
    readonly id: bigint;
    /**
     * Removes the hook: from now on it is not called. Resolves when the calls under way have ended; called inside the hook itself, do not
     * wait for it. A copy that this hook has not confirmed is not confirmed by anything else: the cluster plans it anew. A second time it
     * does nothing.
     */
    remove(): Promise<void>;
}
