// The native part of the package: what it has, and where it lies. Nothing here is for users.

/** @internal */
export interface NativeMailbox {
  drain(): string;
  holdProcess(hold: boolean): void;
  abandonCall(id: number): void;
}

/** @internal */
export interface NativeNode extends NativeMailbox {
  setLog(enabled: boolean): void;
  start(id: number): void;
  stop(id: number): void;
  close(id: number): void;
  leave(id: number, timeout: number): void;
  wasStarted(): boolean;
  hasStopped(): boolean;
  httpAddr(): string | null;
  myNodeId(): string;
  waitingFor(): string | null;
  addHook(number: number, mask: number, observes: boolean): bigint;
  removeHook(id: bigint): boolean;
  endHookCall(call: number, failure?: string | null): void;
  hookStats(): string;
  openQueue(number: number, mask: number, confirms: boolean, capacity: number): void;
  takeEvents(number: number, max: number): string | null;
  closeQueue(number: number): void;
  view(): NativeView;
  primaryEpoch(partition: number): bigint;
  leaderEpoch(): bigint;
  leader(): string;
  cluster(): string;
  metrics(): string;
  healthCheck(): string;
  consensusStats(): string;
  nodeHealth(id: string): string;
  reportHealth(health: string, reason: string): void;
  waitForLeader(id: number, timeout: number): void;
  stepDown(id: number): void;
  promote(id: number, to: string): void;
  demote(id: number, cooldown: number): void;
  maintenance(id: number, reason: string | null, timeout: number): void;
  removeNode(id: number, nodeId: string, force: boolean, timeout: number): void;
  recoverPartition(id: number, partition: number, from: string, force: boolean, timeout: number): void;
  createPartitions(id: number, timeout: number): void;
  rebalance(id: number, timeout: number): void;
  rebalanceStatus(id: number, timeout: number): void;
  setData(id: number, key: string, value: Uint8Array, absent: boolean, expected: bigint | null, timeout: number): void;
  deleteData(id: number, key: string, absent: boolean, expected: bigint | null, timeout: number): void;
  data(key: string): { value: Buffer; revision: bigint } | null;
  dataKeys(prefix: string, after: string | null, limit: number): string[];
  waitForRevision(id: number, revision: bigint, timeout: number): void;
  readBarrier(id: number, timeout: number): void;
}

/** @internal */
export interface NodeFunctions {
  isPrimary(partition: number): boolean;
  isPrimaryForKey(key: string | Uint8Array): boolean;
  role(partition: number): number;
  roleForKey(key: string | Uint8Array): number;
  partitionForKey(key: string | Uint8Array): number | null;
  partitionsForKeys(keys: readonly (string | Uint8Array)[]): Uint32Array | null;
  isLeased(): boolean;
  isLeader(): boolean;
  viewId(): number;
  route(key: string | Uint8Array, answer: Float64Array): number | null;
}

/** @internal */
export interface NativeLookups {
  functions(): NodeFunctions;
  lastView(): NativeView | null;
}

/** @internal */
export interface NativeView {
  id(): number;
  info(): string;
  nodes(): string;
  partition(number: number): string | null;
  partitionById(id: string): number | null;
  partitions(): string;
  partitionsOf(id: string): string | null;
  partitionStats(): string;
  cluster(): string;
}

/** @internal */
export interface ViewFunctions {
  partitionForKey(key: string | Uint8Array): number | null;
  partitionsForKeys(keys: readonly (string | Uint8Array)[]): Uint32Array | null;
}

/** @internal */
export interface NativeOptions {
  set(name: string, value: string): void;
  get(name: string): string;
  loadJson(text: string): void;
  validate(): void;
}

/** @internal */
export interface NativeNodeOptions extends NativeOptions {
  loadFile(path: string): void;
  loadEnv(variables: Record<string, string>): void;
  effective(): string;
}

/** @internal */
export interface NativeClient extends NativeMailbox {
  setLog(enabled: boolean): void;
  functions(): { viewId(): number };
  view(): NativeView;
  status(): string;
  waitReady(id: number, timeout: number): void;
  waitForChange(id: number, revision: bigint, timeout: number): void;
  waitForRevision(id: number, revision: bigint, timeout: number): void;
  refresh(id: number, timeout: number): void;
  readBarrier(id: number, timeout: number): void;
  close(id: number): void;
}

/** @internal */
export interface NativeTestCluster extends NativeMailbox {
  start(id: number, recipe: string): void;
  call(id: number, order: string): void;
  answer(number: number, answer: string | null, code?: string | null, failure?: string | null): void;
  askedNode(number: number, wake: () => void): NativeNode;
  nodeCount(): number;
  indexOf(id: string): number | null;
  isRunning(index: number): boolean;
  isPaused(index: number): boolean;
  now(): number;
  leader(): number | null;
  primaryOf(key: Uint8Array): number | null;
}

/** @internal */
export interface Native {
  NativeNode: new (options: NativeNodeOptions, wake: () => void) => NativeNode;
  NativeLookups: new (node: NativeNode) => NativeLookups;
  NativeOptions: new () => NativeNodeOptions;
  NativeClientOptions: new () => NativeOptions;
  NativeClient: new (options: NativeOptions, wake: () => void) => NativeClient;
  NativeTestCluster: new (wake: () => void) => NativeTestCluster;
  viewLookups(view: NativeView): ViewFunctions;
  hashes(): {
    partitionFor(key: string | Uint8Array, count: number): number;
    partitionsFor(keys: readonly (string | Uint8Array)[], count: number): Uint32Array;
  };
  errorCodes(): string;
  optionRows(): string;
  clientOptionRows(): string;
  parseDuration(text: string): number;
  version(): string;
  lookupParts(): { lengthOf(key: string): boolean };
  hashNanoseconds(key: string): number;
  runCommand(program: string[], words: string[]): number;
}

/** The names of the platform's packages: on Linux, that of the C library that most have comes first. */
function platforms(): string[] {
  const name = `${process.platform}-${process.arch}`;
  return process.platform === 'linux' ? [`${name}-gnu`, `${name}-musl`] : [name];
}

function load(): Native {
  const names = platforms();
  // Beside the package where it was built from a clone; in the package of the platform where npm has brought it.
  const places = [...names.map((name) => `../clusterkit.${name}.node`), ...names.map((name) => `clusterkit-${name}`)];
  let cause: unknown;
  for (const place of places) {
    try {
      return require(place) as Native;
    } catch (error) {
      cause = error;
      // It is there, and cannot be loaded: no other can help.
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') break;
    }
  }
  throw new Error(
    `clusterkit has no native part for ${names[0]}. It comes with the package clusterkit-${names[0]}, an optional dependency: ` +
      'install without --omit=optional. Where there is no such package, build it: npm install from a clone, with Rust.',
    { cause },
  );
}

/** @internal */
export const native: Native = load();
