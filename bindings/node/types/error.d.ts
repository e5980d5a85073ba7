/** Why a call failed, the same words in every language and over HTTP. A later version may have more. */
export type ErrorCode = 'INVALID_ARGUMENT' | 'INVALID_OPTION' | 'NOT_STARTED' | 'ALREADY_STARTED' | 'STOPPED' | 'TIMEOUT' | 'NO_LEADER' | 'NOT_LEADER' | 'LEASE_EXPIRED' | 'NOT_FOUND' | 'ALREADY_EXISTS' | 'CONFLICT' | 'JOIN_REFUSED' | 'JOIN_FAILED' | 'IO' | 'CORRUPT' | 'DATA_DIR_IN_USE' | 'ADDRESS_IN_USE' | 'WRONG_CLUSTER' | 'DUPLICATE_NODE' | 'CLUSTER_MISMATCH' | 'TOO_LARGE' | 'UNAUTHENTICATED' | 'IN_HOOK' | 'FORKED' | 'UNREACHABLE' | 'REMOVED' | 'REFUSED' | 'BUSY' | 'VERSION' | 'INTERNAL';
/**
 * Why a call failed. Every error of a call is one, but a `TypeError` for an argument of a wrong type, and the reason of an
 * `AbortSignal`.
 */
export declare class ClusterKitError extends Error {
    /** The stable code. */
    readonly code: ErrorCode;
    /** True when the same call may succeed later without the caller changing anything. */
    readonly retriable: boolean;
    /**
     * True when the call may have had its effect all the same: a write may or may not have happened. Every other error of a write
     * says that it has not.
     */
    readonly ambiguous: boolean;
    /** An error with a code, a message for people, and what caused it. */
    constructor(code: ErrorCode, message: string, options?: {
        cause?: unknown;
    });
    /** The number of the code, that of the C ABI. */
    get number(): number;
}
