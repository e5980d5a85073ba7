// What a program in TypeScript sees. Compiled by the tests, never run: each line marked with @ts-expect-error has to be refused.

import { once } from 'node:events';
import {
  Client, ClusterKit, ClusterKitError, OptionSet, type ClientOptions, type ClusterEvent, type EventType, type Hook, type Node, type NodeOptions,
  type PartitionChangeEvent, type Role, type Route, type View, partitionFor, partitionsFor,
} from 'clusterkit';
import { TestCluster } from 'clusterkit/testing';

const options: NodeOptions = {
  nodeId: 'a', httpAddr: ':0', joinAddrs: ['b:1'], services: { kv: ':9080' }, timing: { profile: 'wan', heartbeat: '100ms' },
  healthCheck: { interval: 500 }, logger: console,
};
// @ts-expect-error: an option that there is not
const unknown: NodeOptions = { nodeId: 'a', httpAddr: ':0', partitionCont: 3 };
// @ts-expect-error: nodeId is required
const incomplete: NodeOptions = { httpAddr: ':0' };
// @ts-expect-error: a word that there is not
const word: NodeOptions = { nodeId: 'a', httpAddr: ':0', logLevel: 'loud' };
const clientOptions: ClientOptions = { addrs: 'a:1' };

export async function node(): Promise<void> {
  await using ck = new ClusterKit(options);
  await using same = new ClusterKit(new OptionSet(options).loadEnv());
  const hook: Hook = ck.onPartitionChange(async (event, { attempt, signal }) => {
    const change: PartitionChangeEvent = event;
    const nodes: readonly Node[] = change.copyFromNodes;
    const numbers: [number, bigint, number] = [event.number, event.epoch, attempt];
    const aborted: boolean = signal.aborted;
    void [nodes, numbers, aborted];
  });
  // @ts-expect-error: what a hook answers is not looked at, so a value in it is a mistake
  ck.onNodeJoin(() => 5);
  ck.addHook(['nodeJoin', 'nodeLeave'], (event) => {
    const type: 'nodeJoin' | 'nodeLeave' = event.type;
    const node: Node = event.node;
    void [type, node];
  });
  await hook.remove();
  ck.on('nodeJoin', (event) => {
    const size: number = event.clusterSize;
    void size;
  });
  ck.on('hookError', ({ error, event, attempt }) => void [error, event.revision, attempt]);
  ck.once('lagged', (lost: number) => void lost);
  // @ts-expect-error: an event that there is not
  ck.on('nodeJion', () => {});
  await once(ck, 'nodeJoin');
  await ck.start({ signal: AbortSignal.timeout(1000) });

  const role: Role | null = ck.roleForKey('key');
  const route: Route | null = ck.lookup(Buffer.from('key'));
  const partition: number | null = ck.partitionForKey(new Uint8Array(3));
  const many: Uint32Array | null = ck.partitionsForKeys(['a', Buffer.from('b')]);
  // @ts-expect-error: a key is text or bytes
  ck.roleForKey(5);
  const epoch: bigint = ck.primaryEpoch(3);
  const view: View = ck.view();
  const revision: bigint = await ck.setCustomData('key', 'value', { expect: 5n, timeout: 1000 });
  // @ts-expect-error: a revision is a bigint
  await ck.setCustomData('key', 'value', { expect: 5 });
  const entry = ck.getCustomData('key');
  const text: string | undefined = entry?.value.toString();
  for await (const event of ck.events()) {
    const any: ClusterEvent = event;
    switch (any.type) {
      case 'nodeRejoin':
        void (any.offlineDuration satisfies number);
        break;
      case 'rebalanceStart':
      case 'rebalanceComplete':
        void any.partitionsToMove;
        break;
      default:
        void (any.type satisfies EventType);
    }
  }
  for await (const event of ck.events({ types: ['leaderChange'], capacity: 5 })) void (event.nodeId satisfies string);
  void [same, role, route, partition, many, epoch, view, revision, text, unknown, incomplete, word];
}

export async function client(): Promise<void> {
  await using client = new Client(clientOptions);
  await client.waitReady();
  client.on('change', (view) => void view.nodes);
  for await (const view of client.changes()) void (view satisfies View);
  try {
    await client.refresh();
  } catch (error) {
    if (error instanceof ClusterKitError && error.code === 'TIMEOUT') void [error.retriable, error.ambiguous, error.cause];
    // @ts-expect-error: a code that there is not
    if (error instanceof ClusterKitError && error.code === 'NOPE') throw error;
  }
}

export async function testing(): Promise<void> {
  await using cluster = await TestCluster.start({ nodes: 3, options: (index) => ({ zone: `z${index}` }), prepare: (_, node) => void node.nodeId });
  await cluster.kill(cluster.primaryOf('key') ?? 0);
  await cluster.waitUntil('rest', async () => cluster.leader() !== null, { timeout: 1000 });
  // @ts-expect-error: a fault that there is not
  await cluster.failDisk(0, 'melts');
}

void (partitionFor('a', 64) satisfies number);
void (partitionsFor(['a'], 64) satisfies Uint32Array);
