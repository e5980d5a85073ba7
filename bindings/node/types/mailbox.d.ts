/** How long a call waits that is given no timeout: 30 seconds, in milliseconds. */
export declare const DEFAULT_TIMEOUT = 30000;
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
