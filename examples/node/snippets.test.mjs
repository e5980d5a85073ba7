// The programs of docs/node.md and of bindings/node/README.md: each block there is a part of a file here, and a test compares. What a reader
// does not need stands around them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, ClusterKit, ClusterKitError, OptionSet } from 'clusterkit';
import { TestCluster } from 'clusterkit/testing';

function optionsFromOutside(path) {
  return new OptionSet({ clusterName: 'orders' }) // the defaults, and what the program says
    .loadFile(path)
    .loadEnv(); // CLUSTERKIT_NODE_ID, ...: what is loaded later overrides
}

async function write(ck, key, value, store) {
  const route = ck.lookup(key);
  if (route?.role !== 'primary') return forward(route?.primary, key, value);
  const epoch = ck.primaryEpoch(route.partition); // right before the write; throws where the lease has ended
  return store.write(route.partition, epoch, key, value); // which refuses an epoch older than the newest that it has seen
}

function forward(node) {
  return node?.id;
}

function copyPartitions(ck, store, fetchPartition) {
  return ck.onPartitionChange(async (event, { signal }) => {
    if (event.nodeId !== ck.nodeId) return; // every node hears of every change
    if (event.change === 'lost_copy') store.drop(event.number);
    if (event.change !== 'gained_replica') return;
    // From all that hold it. Where all fail, this rejects: the copy does not count, and is tried again.
    const copies = event.copyFromNodes.map((node) => fetchPartition(node, event.number, { signal }));
    if (copies.length > 0) store.take(event.number, await Promise.any(copies));
  });
}

function watch(ck, log) {
  ck.on('nodeJoin', (event) => log(`${event.node.id} has joined: ${event.clusterSize} members`));
  ck.on('leaderChange', (event) => log(`${event.nodeId} leads, with the epoch ${event.epoch}`));
  ck.on('hookError', ({ error, event, attempt }) => log(`${event.type}, attempt ${attempt}: ${error}`));
}

async function follow(ck, log, signal) {
  for await (const event of ck.events({ types: ['nodeJoin', 'nodeLeave'], signal })) {
    log(`${event.type}: ${event.node.id}`);
  }
  // The node has stopped.
}

async function confirm(ck, copy) {
  // Each event is acknowledged when the next is asked for: what the return of a hook is.
  for await (const event of ck.events({ types: ['partitionChange'], confirm: true })) {
    if (event.nodeId === ck.nodeId && event.change === 'gained_replica') await copy(event);
  }
}

async function withDeadline(ck, key, value) {
  const signal = AbortSignal.timeout(2000);
  return ck.setCustomData(key, value, { signal, timeout: 1500 });
}

async function connect(addrs) {
  // Any member will do, and several are better. The others are learned from the first answer.
  const client = new Client({ addrs });
  await client.waitReady();
  return client;
}

async function request(client, key, ask) {
  for (;;) {
    const owner = client.getPrimaryNode(key); // from memory, whatever becomes of the network
    if (owner && (await ask(owner))) return owner;
    // It is gone, or refuses what it does not own: the view is a moment old.
    await client.refresh();
  }
}

async function increment(ck, key) {
  for (;;) {
    const entry = ck.getCustomData(key);
    const count = Number(entry?.value ?? 0) + 1;
    try {
      return await ck.setCustomData(key, String(count), { expect: entry?.revision ?? 'absent' });
    } catch (error) {
      if (!(error instanceof ClusterKitError)) throw error;
      if (error.code === 'CONFLICT') await ck.readBarrier(); // somebody was faster: look again, once this node has seen it
      else if (error.ambiguous) throw new Error('it may have been counted', { cause: error });
      else if (error.retriable) await ck.waitForLeader(); // no leader at this moment
      else throw error;
    }
  }
}

function stopOnSignals(ck, server) {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, async () => {
      await ck.stop(); // hands its roles over; requests are still answered meanwhile
      server.close();
    });
  }
}

const memory = (nodeId, options) => ({ nodeId, httpAddr: '127.0.0.1:0', dataDir: '', ...options });

async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

test('a primary dies, and another takes its keys', async (t) => {
  const cluster = await TestCluster.start({
    nodes: 3,
    partitionCount: 8,
    prepare: (index, node) => void node.onPartitionChange(async () => {}), // before each start: attach the program's own hooks
  });
  t.after(() => cluster.close());
  const primary = cluster.primaryOf('user:123');
  await cluster.kill(primary);
  await cluster.waitForPrimaries({ timeout: 60_000 }); // on the cluster's clock: the test does not wait for it
  assert.notEqual(cluster.primaryOf('user:123'), primary);
});

test('the pieces of the documents do what they say', async (t) => {
  const messages = [];
  const log = (message) => messages.push(message);
  const first = new ClusterKit(memory('node-1', { partitionCount: 8 })).ref();
  t.after(() => first.close());
  watch(first, log);
  const dropped = [], taken = [];
  const store = { drop: (number) => dropped.push(number), take: (number) => taken.push(number), write: (...written) => written };
  copyPartitions(first, store, async () => ({}));
  await first.start();
  const controller = new AbortController();
  const following = follow(first, log, controller.signal);
  const second = new ClusterKit(memory('node-2', { joinAddrs: first.httpAddr })).ref();
  t.after(() => second.close());
  const confirmed = [];
  const confirming = confirm(second, async (event) => confirmed.push(event.number));
  await second.start();
  await until(() => confirmed.length === 8 && first.view().partitions.every(({ nodes }) => nodes.length === 2));
  // By two registrations: each is told in order, and neither waits for the other.
  const told = () => messages.filter((message) => message.includes('node-2')).sort();
  await until(() => told().length === 2);
  assert.deepEqual(told(), ['node-2 has joined: 2 members', 'nodeJoin: node-2']);
  controller.abort(new Error('enough'));
  await assert.rejects(following, /enough/);

  const key = await until(() => first.isPrimaryForKey('user:1') || second.isPrimaryForKey('user:1')).then(() => 'user:1');
  const [mine, other] = first.isPrimaryForKey(key) ? [first, second] : [second, first];
  assert.equal((await write(mine, key, 'value', store))[2], key);
  assert.equal(await write(other, key, 'value', store), mine.nodeId);
  assert.equal(typeof (await withDeadline(first, 'config/limit', '10')), 'bigint');
  await Promise.all([increment(first, 'count'), increment(second, 'count'), increment(first, 'count')]);
  await first.readBarrier();
  assert.equal(String(first.getCustomData('count').value), '3');

  const client = await connect([first.httpAddr, second.httpAddr]);
  t.after(() => client.close());
  assert.equal((await request(client, key, async (owner) => owner.id === mine.nodeId)).id, mine.nodeId);

  stopOnSignals(second, { close: () => log('closed') });
  process.emit('SIGTERM');
  await until(() => messages.includes('closed'));
  process.removeAllListeners('SIGINT');
  await confirming;
});

test('options come from outside', async () => {
  const { mkdtempSync, writeFileSync } = await import('node:fs');
  const { join } = await import('node:path');
  const { tmpdir } = await import('node:os');
  const path = join(mkdtempSync(join(tmpdir(), 'clusterkit-')), 'options.json');
  writeFileSync(path, '{"node_id": "a", "http_addr": ":0", "cluster_name": "from-file"}');
  assert.equal(optionsFromOutside(path).get('clusterName'), 'from-file');
});
