import { native } from './native.js';

interface CodeRow {
  name: ErrorCode;
  number: number;
  retriable: boolean;
  ambiguous: boolean;
}

const CODES = new Map((JSON.parse(native.errorCodes()) as CodeRow[]).map((row) => [row.name as string, row]));

/** Why a call failed, the same words in every language and over HTTP. A later version may have more. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_OPTION'
  | 'NOT_STARTED'
  | 'ALREADY_STARTED'
  | 'STOPPED'
  | 'TIMEOUT'
  | 'NO_LEADER'
  | 'NOT_LEADER'
  | 'LEASE_EXPIRED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'CONFLICT'
  | 'JOIN_REFUSED'
  | 'JOIN_FAILED'
  | 'IO'
  | 'CORRUPT'
  | 'DATA_DIR_IN_USE'
  | 'ADDRESS_IN_USE'
  | 'WRONG_CLUSTER'
  | 'DUPLICATE_NODE'
  | 'CLUSTER_MISMATCH'
  | 'TOO_LARGE'
  | 'UNAUTHENTICATED'
  | 'IN_HOOK'
  | 'FORKED'
  | 'UNREACHABLE'
  | 'REMOVED'
  | 'REFUSED'
  | 'BUSY'
  | 'VERSION'
  | 'INTERNAL';

/**
 * Why a call failed. Every error of a call is one, but a `TypeError` for an argument of a wrong type, and the reason of an
 * `AbortSignal`.
 */
export class ClusterKitError extends Error {
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
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    const row = CODES.get(code);
    this.retriable = row?.retriable ?? false;
    this.ambiguous = row?.ambiguous ?? false;
  }

  /** The number of the code, that of the C ABI. */
  get number(): number {
    return CODES.get(this.code)?.number ?? 0;
  }
}

// As Node's own errors: the name is the class's, and no property of each error.
Object.defineProperty(ClusterKitError.prototype, 'name', { value: 'ClusterKitError', configurable: true, writable: true });

/** @internal Every code that the library has. */
export function errorCodes(): ErrorCode[] {
  return [...CODES.values()].map((row) => row.name);
}

/** @internal Makes a call of the native part, whose errors become ours. */
export function call<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw fromNative(error);
  }
}

/** @internal */
export function fromNative(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof ClusterKitError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (CODES.has(code)) return capture(new ClusterKitError(code as ErrorCode, error.message));
  return error instanceof TypeError ? error : capture(new ClusterKitError('INVALID_ARGUMENT', error.message, { cause: error }));
}

/** The stack begins with whoever called the library. */
function capture(error: ClusterKitError): ClusterKitError {
  Error.captureStackTrace(error, call);
  return error;
}
