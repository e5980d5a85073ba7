import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { ClusterKit, Hook } from 'clusterkit';
import { TestCluster } from 'clusterkit/testing';
import { fresh, memory, program, started, until } from './support.mjs';

const minute = { timeout: 60_000 };

test('the Promise of a hook confirms: a copy counts when it fulfils, and not before', async (t) => {
  const first = await started(t, { partitionCount: 4, replicationFactor: 2 }, (node) => node.onPartitionChange(() => {}));
  const copies = [];
  const second = fresh(t, 'node-2', { joinAddrs: [first.httpAddr] });
  second.onPartitionChange((event, { attempt, signal }) => {
    if (event.nodeId !== 'node-2' || event.change !== 'gained_replica') return undefined;
    assert.equal(attempt, 1);
    assert.ok(signal instanceof AbortSignal);
    assert.equal(event.copyToNode.id, 'node-2');
    assert.deepEqual(event.copyFromNodes.map((node) => node.id), ['node-1']);
    return new Promise((resolve) => copies.push({ number: event.number, resolve }));
  });
  await second.start();
  await until('every copy is asked for', () => copies.length === 4);
  assert.deepEqual(first.view().partitions.flatMap((partition) => partition.replicaNodes), []);
  assert.deepEqual(first.view().partition(copies[0].number).pending.map((node) => node.id), ['node-2']);
  copies[0].resolve();
  await until('the first copy counts', () => first.view().partition(copies[0].number).replicaNodes.includes('node-2') || first.view().partition(copies[0].number).primaryNode === 'node-2');
  assert.deepEqual(first.view().partition(copies[1].number).replicaNodes, []);
  copies.slice(1).forEach(({ resolve }) => resolve());
  await until('every copy counts', () => first.view().partitions.every((partition) => partition.nodes.length === 2));
  assert.equal(second.hookStats()[0].failures, 0n);
});

test('a hook that throws or rejects fails the migration with its message, is visible, and is tried again', async (t) => {
  const first = await started(t, { partitionCount: 2, replicationFactor: 2 }, (node) => node.onPartitionChange(() => {}));
  const attempts = new Map();
  const second = fresh(t, 'node-2', { joinAddrs: [first.httpAddr] });
  const errors = [];
  second.on('hookError', (error) => errors.push(error));
  const hook = second.onPartitionChange((event, { attempt }) => {
    if (event.nodeId !== 'node-2' || event.change !== 'gained_replica') return undefined;
    attempts.set(event.number, attempt);
    if (attempt === 1) throw new RangeError('no disk');
    if (attempt === 2) return Promise.reject(new Error('no network'));
    return undefined;
  });
  await second.start();
  await until('two failures of each', () => errors.length >= 4);
  const words = await until('the reason is told', async () => {
    const status = await first.getRebalanceStatus();
    return status.migrations.map((migration) => migration.reason).find((reason) => reason.includes('no network') || reason.includes('no disk')) ?? attempts.get(0) === 3;
  });
  assert.ok(words === true || /Error: no (disk|network)/.test(words), String(words));
  await until('every copy counts', () => first.view().partitions.every((partition) => partition.nodes.length === 2));
  assert.deepEqual([...attempts.values()], [3, 3]);
  assert.deepEqual(errors.map(({ error }) => error.message).sort(), ['no disk', 'no disk', 'no network', 'no network']);
  assert.ok(errors.every((error) => error.hook === hook && error.event.type === 'partitionChange' && error.attempt <= 2));
  assert.equal(second.hookStats()[0].failures, 4n);
});

test('a failure that nobody listens to is a warning of the process, and nothing else', async () => {
  const source = `
    import { ClusterKit } from 'clusterkit';
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '' });
    const warned = new Promise((resolve) => process.on('warning', resolve));
    node.onNodeJoin(async () => { await null; throw new TypeError('broken hook'); });
    await node.start();
    const warning = await warned;
    console.log(warning.name, warning.code, warning.message.includes('nodeJoin'), warning.message.includes('broken hook'));
    await node.stop();`;
  const ended = await program(source, { args: ['--no-warnings', '--unhandled-rejections=strict'] });
  assert.deepEqual(ended, { code: 0, signal: null, stdout: 'ClusterKitHookError CLUSTERKIT_HOOK_ERROR true true\n', stderr: '' });
});

test('what is thrown may be anything', async (t) => {
  const node = fresh(t);
  const thrown = [undefined, null, 0, '', Symbol('x'), { toString() { throw new Error('no words'); } }, 'x'.repeat(100_000)];
  const seen = [];
  node.on('hookError', ({ error }) => seen.push(error));
  for (const value of thrown) node.onNodeJoin(() => { throw value; });
  await node.start();
  await until('every failure', () => seen.length === thrown.length);
  assert.deepEqual(new Set(seen), new Set(thrown));
});

test('an exception in a listener of hookError is an uncaughtException, and the hook has failed all the same', async () => {
  const source = `
    import { ClusterKit } from 'clusterkit';
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '' });
    const caught = new Promise((resolve) => process.on('uncaughtException', resolve));
    node.on('hookError', () => { throw new Error('listener'); });
    node.onNodeJoin(() => { throw new Error('hook'); });
    await node.start();
    console.log((await caught).message, node.hookStats()[0].failures);
    await node.stop();`;
  assert.deepEqual(await program(source), { code: 0, signal: null, stdout: 'listener 1n\n', stderr: '' });
});

test('what follows a hook waits for its Promise, and events come in order', async (t) => {
  const order = [];
  const node = fresh(t, 'node-1', { partitionCount: 2 });
  node.addHook(['nodeJoin', 'leaderChange', 'becomeLeader', 'partitionChange'], async (event) => {
    order.push(`${event.type} begins`);
    await new Promise((resolve) => setTimeout(resolve, 10));
    order.push(`${event.type} ends`);
  });
  await node.start();
  await until('the partitions', () => order.filter((word) => word === 'partitionChange ends').length === 2);
  assert.deepEqual(order.slice(0, 6), [
    'nodeJoin begins', 'nodeJoin ends', 'leaderChange begins', 'leaderChange ends', 'becomeLeader begins', 'becomeLeader ends',
  ]);
  // Consecutive changes of different partitions run at the same time.
  assert.deepEqual(order.slice(6), ['partitionChange begins', 'partitionChange begins', 'partitionChange ends', 'partitionChange ends']);
});

test('a hook that is registered later is told what the node holds', async (t) => {
  const node = await started(t, { partitionCount: 8 });
  const told = new Map();
  node.onPartitionChange((event) => { told.set(`${event.number} ${event.change}`, event.nodeId); });
  await until('every partition', () => told.size === 16);
  assert.ok([...Array(8).keys()].every((number) => told.has(`${number} gained_replica`) && told.has(`${number} gained_primary`)));
});

test('a hook that was removed is not called, and remove() waits for the call under way', async (t) => {
  const node = await started(t);
  let begun, release, signal;
  const running = new Promise((resolve) => { begun = resolve; });
  const gate = new Promise((resolve) => { release = resolve; });
  let calls = 0;
  const hook = node.onNodeJoin(async (event, context) => {
    calls++;
    signal = context.signal;
    begun();
    await gate;
  });
  assert.ok(hook instanceof Hook);
  assert.equal(typeof hook.id, 'bigint');
  const second = await started(t, { nodeId: 'node-2', joinAddrs: [node.httpAddr] });
  await running;
  let removed = false;
  const removing = hook.remove().then(() => { removed = true; });
  assert.equal(signal.aborted, true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(removed, false);
  release();
  await removing;
  await hook.remove();
  await started(t, { nodeId: 'node-3', joinAddrs: [second.httpAddr] });
  await until('the third member', () => node.view().nodes.length === 3);
  assert.equal(calls, 1);
  assert.deepEqual(node.hookStats(), []);
});

test('a stop does not wait for hooks: their signal aborts', async (t) => {
  const node = fresh(t);
  const aborted = new Promise((resolve) => {
    node.onNodeJoin((_, { signal }) => new Promise(() => signal.addEventListener('abort', resolve)));
  });
  await node.start();
  await until('the hook runs', () => node.hookStats()[0].running === 1);
  const began = Date.now();
  await node.stop();
  await aborted;
  assert.ok(Date.now() - began < 4000, 'a node waits 5 s for a hook that blocks');
});

test('a hook may stop and close its own node', async () => {
  const node = new ClusterKit(memory()).ref();
  const stopped = new Promise((resolve, reject) => {
    node.onNodeJoin(async () => {
      try {
        await node.stop();
        await node.close();
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
  await node.start().catch((error) => assert.equal(error.code, 'STOPPED'));
  await stopped;
});

test('a hook runs in the asynchronous context that it was registered in', async (t) => {
  const storage = new AsyncLocalStorage();
  const node = fresh(t);
  const seen = new Promise((resolve) => {
    storage.run('mine', () => node.onNodeJoin(() => resolve(storage.getStore())));
  });
  await node.start();
  assert.equal(await seen, 'mine');
});

test('one that only observes confirms nothing, and nothing waits for it', async (t) => {
  const node = fresh(t, 'node-1', { partitionCount: 4 });
  const seen = [];
  node.addHook(['nodeJoin', 'leaderChange'], (event) => { seen.push(event.type); }, { observe: true });
  node.onEvent(() => new Promise(() => {}));
  await node.start();
  await until('both', () => seen.length === 2);
  assert.deepEqual(seen, ['nodeJoin', 'leaderChange']);
  assert.equal(node.getPartition('a').state, 'under_replicated');
  assert.equal(node.isPrimaryForKey('a'), true);
});

test('every kind of event reaches its hook, with its fields', async (t) => {
  const seen = new Map();
  const cluster = await TestCluster.start({
    nodes: 3,
    partitionCount: 8,
    prepare(index, node) {
      if (index !== 0) return;
      for (const method of [
        'onPartitionChange', 'onNodeJoin', 'onNodeRejoin', 'onNodeLeave', 'onRebalanceStart', 'onRebalanceComplete',
        'onClusterHealthChange', 'onBecomeLeader', 'onLoseLeadership', 'onLeaderChange',
      ]) {
        node[method]((event) => { if (!seen.has(event.type)) seen.set(event.type, event); });
      }
    },
  });
  t.after(() => cluster.close());
  if (cluster.leader() === 0) await cluster.node(0).stepDown();
  await cluster.waitForLeader(minute);
  const victim = [1, 2].find((index) => index !== cluster.leader());
  await cluster.kill(victim);
  await cluster.waitSettled({ timeout: 120_000 });
  await cluster.restart(victim);
  await cluster.waitSettled({ timeout: 120_000 });
  if (cluster.leader() !== 0) await cluster.node(0).promote('node-0');
  await cluster.waitForLeader(minute);
  await cluster.node(0).stepDown();
  await cluster.waitUntil('every event', () => seen.size === 10, minute);
  for (const event of seen.values()) {
    assert.equal(typeof event.revision, 'bigint');
    assert.ok(event.timestamp instanceof Date);
    assert.ok(Object.isFrozen(event));
  }
  assert.equal(seen.get('nodeRejoin').node.id, `node-${victim}`);
  assert.ok(seen.get('nodeRejoin').offlineDuration > 0);
  assert.ok(seen.get('nodeRejoin').lastSeenAt instanceof Date);
  assert.equal(seen.get('nodeLeave').reason, 'health_check_failure');
  assert.equal(seen.get('clusterHealthChange').totalNodes, 3);
  assert.equal(typeof seen.get('rebalanceComplete').duration, 'number');
  assert.equal(typeof seen.get('leaderChange').epoch, 'bigint');
});
