import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestCluster } from 'clusterkit/testing';
import { program } from './support.mjs';

const minute = { timeout: 60_000 };

async function cluster(t, options) {
  const started = await TestCluster.start(options);
  t.after(() => started.close());
  return started;
}

test('a primary dies, another takes over, and the dead one comes back', async (t) => {
  const processes = [];
  const nodes = await cluster(t, {
    nodes: 3,
    partitionCount: 8,
    prepare: async (index, node) => {
      processes.push(index);
      node.onPartitionChange(async () => {});
    },
  });
  assert.deepEqual(processes, [0, 1, 2]);
  assert.equal(nodes.nodeCount, 3);
  assert.equal(nodes.indexOf('node-2'), 2);
  assert.equal(nodes.indexOf('node-9'), null);
  assert.deepEqual(nodes.nodes.map((node) => node.nodeId), ['node-0', 'node-1', 'node-2']);
  const primary = nodes.primaryOf('user:1');
  const before = nodes.node(primary);
  await nodes.kill(primary);
  assert.equal(nodes.isRunning(primary), false);
  await nodes.waitForPrimaries(minute);
  assert.notEqual(nodes.primaryOf('user:1'), primary);
  assert.equal(typeof (await nodes.waitForLeader(minute)), 'number');
  await nodes.waitSettled(minute);
  const after = await nodes.restart(primary);
  assert.notEqual(after, before);
  assert.equal(nodes.node(primary), after);
  await nodes.waitSettled(minute);
  assert.equal(after.roleForKey('user:1') !== undefined, true);
  assert.deepEqual(processes, [0, 1, 2, primary]);
});

test('nodes are added, stopped, made again, wiped', async (t) => {
  const nodes = await cluster(t, { nodes: 1, partitionCount: 4 });
  assert.equal(await nodes.addNode(), 1);
  assert.equal(await nodes.createNode(), 2);
  assert.equal(nodes.isRunning(2), false);
  await nodes.node(2).start();
  await nodes.waitSettled(minute);
  await nodes.stop(2);
  await nodes.wipe(2);
  const again = await nodes.recreate(2);
  assert.equal(nodes.isRunning(2), false);
  await again.start();
  await nodes.waitSettled(minute);
  assert.throws(() => nodes.node(7), { code: 'NOT_FOUND' });
  await assert.rejects(nodes.kill(7), { code: 'NOT_FOUND' });
});

test('pauses, cuts, slow links, disks, the clock', async (t) => {
  const nodes = await cluster(t, { nodes: 3, partitionCount: 4, manualClock: true, seed: 7, replicationFactor: 2 });
  const before = nodes.now();
  await nodes.advance(10_000);
  assert.ok(nodes.now() >= before + 10_000);
  const leader = nodes.leader();
  const [one, other] = [0, 1, 2].filter((index) => index !== leader);
  await nodes.pause(one);
  assert.equal(nodes.isPaused(one), true);
  await nodes.resume(one);
  await nodes.cut(one, other);
  await nodes.cutOneWay(other, leader);
  await nodes.restore(one, other);
  await nodes.heal();
  await nodes.setLink(one, leader, { delay: 20, loss: 0.1 });
  await nodes.heal();
  await nodes.split([leader]);
  await nodes.waitUntil('another leads', () => nodes.leader() !== null && nodes.leader() !== leader, minute);
  await nodes.heal();
  await nodes.waitSettled({ timeout: 600_000 });
  await nodes.failDisk(one, 'hangs');
  await nodes.mendDisk(one);
  await assert.rejects(nodes.failDisk(one, 'melts'), { code: 'INVALID_ARGUMENT' });
  await nodes.waitSettled({ timeout: 600_000 });
});

test('options of each node, and what its own code throws', async (t) => {
  const nodes = await cluster(t, { nodes: 2, options: (index) => ({ zone: `zone-${index}`, nodeId: `n${index}` }) });
  assert.deepEqual(nodes.node(0).view().nodes.map(({ id, zone }) => [id, zone]), [['n0', 'zone-0'], ['n1', 'zone-1']]);
  await assert.rejects(TestCluster.start({ options: { partitionCont: 3 } }), { code: 'INVALID_OPTION' });
  await assert.rejects(TestCluster.start({ nodes: 0 }), { code: 'INVALID_ARGUMENT' });
  const mine = new RangeError('mine');
  await assert.rejects(TestCluster.start({ nodes: 1, prepare: () => { throw mine; } }), mine);
  await assert.rejects(TestCluster.start({ nodes: 1, options: () => { throw mine; } }), mine);
  await assert.rejects(nodes.waitUntil('never', () => { throw mine; }), mine);
  await assert.rejects(nodes.waitUntil('the moon', () => false, { timeout: 100 }), { code: 'TIMEOUT', message: /the moon/ });
  assert.equal(await nodes.waitUntil('later', async () => true), undefined);
});

test('a cluster that has ended answers STOPPED, and so do its nodes', async () => {
  const nodes = await TestCluster.start({ nodes: 1 });
  const node = nodes.node(0);
  await nodes[Symbol.asyncDispose]();
  await nodes.close();
  assert.throws(() => nodes.leader(), { code: 'STOPPED' });
  await assert.rejects(nodes.addNode(), { code: 'STOPPED' });
  assert.throws(() => node.getMetrics(), { code: 'STOPPED' });
});

test('a process may end with a cluster open, in whatever state', async () => {
  for (const rest of ['', 'cluster.advance(1e9); ', 'cluster.waitUntil("x", () => new Promise(() => {}), { timeout: 1e9 }); setTimeout(() => {}, 20);']) {
    const ended = await program(`
      import { TestCluster } from 'clusterkit/testing';
      const cluster = await TestCluster.start({ nodes: 3, partitionCount: 8, prepare: (_, node) => node.onPartitionChange(() => {}) });
      ${rest}
      ${rest === '' ? '' : 'setTimeout(() => process.exit(0), 50);'}
      console.log('there');`);
    assert.deepEqual([ended.code, ended.stdout], [0, 'there\n'], ended.stderr);
  }
});
