import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { ClusterKit, ClusterKitError } from 'clusterkit';
import { fresh, memory, program, started } from './support.mjs';

test('a node founds a cluster, and a second one joins it', async (t) => {
  const first = await started(t);
  const second = await started(t, { nodeId: 'node-2', joinAddrs: [first.httpAddr] });
  assert.match(first.httpAddr, /^127\.0\.0\.1:\d+$/);
  assert.equal(second.nodeId, 'node-2');
  assert.equal(second.getMyNodeId(), 'node-2');
  assert.deepEqual(second.view().nodes.map((node) => node.id), ['node-1', 'node-2']);
  assert.equal(first.waitingFor(), null);
  assert.equal(inspect(first), `ClusterKit { nodeId: 'node-1', httpAddr: '${first.httpAddr}' }`);
  const leader = await second.waitForLeader();
  assert.equal(leader.leaderId, 'node-1');
  assert.equal(typeof leader.epoch, 'bigint');
  assert.ok(leader.electedAt instanceof Date);
});

test('nothing is open before the start, and nothing after the stop', async (t) => {
  const node = fresh(t);
  assert.equal(node.httpAddr, null);
  assert.equal(node.isPrimaryForKey('a'), false);
  assert.equal(node.lookup('a'), null);
  assert.throws(() => node.primaryEpoch(0), { code: 'NOT_STARTED' });
  await node.start();
  await assert.rejects(node.start(), { name: 'ClusterKitError', code: 'ALREADY_STARTED', retriable: false, ambiguous: false });
  assert.equal(node.isPrimaryForKey('a'), true);
  await node.stop();
  await node.stop();
  assert.equal(node.isPrimaryForKey('a'), false);
  assert.equal(node.roleForKey('a'), null);
  await assert.rejects(node.setCustomData('a', 'b'), { code: 'STOPPED' });
  assert.throws(() => node.waitingFor(), { code: 'STOPPED' });
});

test('a closed node answers lookups as a stopped one, and calls with STOPPED', async (t) => {
  const node = await started(t);
  const view = node.view();
  await node.close();
  await node.close();
  assert.equal(node.isPrimary(0), false);
  assert.equal(node.role(0), null);
  assert.equal(node.partitionForKey('a'), null);
  assert.equal(node.lookup('a'), null);
  assert.equal(node.view(), view);
  assert.equal(view.getPrimaryNode('a').id, 'node-1');
  assert.throws(() => node.getMetrics(), { code: 'STOPPED' });
  await assert.rejects(node.start(), { code: 'STOPPED' });
  assert.throws(() => node.onNodeJoin(() => {}), { code: 'STOPPED' });
  assert.throws(() => node.events(), { code: 'STOPPED' });
  node.on('nodeJoin', () => {});
});

test('asynchronous disposal stops and closes, whatever state the node is in', async () => {
  const fresh = new ClusterKit(memory());
  await fresh[Symbol.asyncDispose]();
  const running = new ClusterKit(memory());
  await running.start();
  await running[Symbol.asyncDispose]();
  await running[Symbol.asyncDispose]();
  assert.throws(() => running.getMetrics(), { code: 'STOPPED' });
});

test('a node leaves for ever, and the last one cannot', async (t) => {
  const first = await started(t);
  await assert.rejects(first.leave({ timeout: 5000 }), { code: 'REFUSED' });
  const second = await started(t, { nodeId: 'node-2', joinAddrs: [first.httpAddr] });
  await second.leave();
  assert.deepEqual(first.view().nodes.map((node) => node.id), ['node-1']);
});

test('a start that fails says why', async (t) => {
  const node = fresh(t, 'lost', { joinAddrs: ['127.0.0.1:1'], joinTimeout: 100 });
  await assert.rejects(node.start(), (error) => {
    assert.ok(error instanceof ClusterKitError);
    assert.equal(error.code, 'JOIN_FAILED');
    assert.equal(error.retriable, true);
    assert.equal(error.number, 14);
    assert.match(error.message, /127\.0\.0\.1:1/);
    // The frames are those of whoever called.
    assert.match(error.stack, /life\.test\.mjs/);
    return true;
  });
});

test('an AbortSignal ends the waiting at once, with its reason', async (t) => {
  const node = fresh(t, 'lost', { joinAddrs: ['127.0.0.1:1'], joinTimeout: '60s' });
  const controller = new AbortController();
  const starting = node.start({ signal: controller.signal });
  const reason = new Error('changed my mind');
  controller.abort(reason);
  await assert.rejects(starting, reason);
  await assert.rejects(node.stop({ signal: AbortSignal.abort(reason) }), reason);
  await assert.rejects(node.waitForLeader({ signal: AbortSignal.timeout(10) }), { name: 'TimeoutError' });
  await node.stop();
});

test('one signal ends a thousand calls, and one that is done leaves nothing behind', async () => {
  const source = `
    import { ClusterKit } from 'clusterkit';
    process.on('warning', (warning) => console.log(String(warning)));
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '' });
    await node.start();
    const controller = new AbortController();
    for (let count = 0; count < 1000; count++) await node.readBarrier({ signal: controller.signal });
    const waiting = Array.from({ length: 1000 }, () => node.waitForRevision(1n << 60n, { signal: controller.signal }));
    controller.abort(new Error('enough'));
    const outcomes = await Promise.allSettled(waiting);
    console.log(outcomes.every(({ reason }) => reason.message === 'enough'));
    await node.stop();`;
  assert.deepEqual(await program(source), { code: 0, signal: null, stdout: 'true\n', stderr: '' });
});

test('a wrong argument is a TypeError or a rejection, and harms nothing', async (t) => {
  const node = await started(t);
  await assert.rejects(node.readBarrier({ timeout: 'soon' }), TypeError);
  await assert.rejects(node.waitForRevision(-1n), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(node.waitForRevision('one'), { name: 'ClusterKitError', code: 'INVALID_ARGUMENT' });
  assert.throws(() => node.onNodeJoin('hook'), TypeError);
  assert.throws(() => node.addHook([], () => {}), TypeError);
  assert.throws(() => node.addHook(['nodeJion'], () => {}), /nodeJion/);
  assert.throws(() => node.reportHealth('fine'), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => new ClusterKit(), { code: 'INVALID_OPTION' });
  assert.throws(() => new ClusterKit({}), { code: 'INVALID_OPTION' });
  node.reportHealth('degraded', 'a disk is full');
});

test('calls that manage the cluster', async (t) => {
  const first = await started(t);
  const second = await started(t, { nodeId: 'node-2', joinAddrs: [first.httpAddr] });
  assert.equal(typeof (await first.beginMaintenance('the racks move')), 'bigint');
  assert.deepEqual(first.view().maintenance, { reason: 'the racks move', automatic: false });
  await first.endMaintenance();
  assert.equal(first.view().maintenance, null);
  assert.deepEqual(Object.keys(await first.createPartitions()), ['revision', 'count']);
  assert.equal(typeof (await second.rebalancePartitions()).count, 'number');
  const status = await second.getRebalanceStatus();
  assert.equal(status.answeredBy, 'node-1');
  assert.equal(typeof status.revision, 'bigint');
  assert.equal(first.getNodeHealth('node-2').healthy, true);
  assert.throws(() => first.getNodeHealth('node-9'), { code: 'NOT_FOUND' });
  await assert.rejects(first.removeNode('node-9'), { code: 'NOT_FOUND' });
  await assert.rejects(first.recoverPartition(0, 'node-9'), { code: 'NOT_FOUND' });
  assert.equal(first.healthCheck().healthy, true);
  assert.equal(first.getConsensusStats().isLeader, true);
  assert.equal(first.getMetrics().nodeCount, 2);
  assert.equal(first.isLeader(), true);
  assert.equal(typeof first.leaderEpoch(), 'bigint');
  assert.throws(() => second.leaderEpoch(), { code: 'LEASE_EXPIRED', retriable: true });
  assert.equal(second.isLeased(), true);
  const cluster = second.getCluster();
  assert.deepEqual(cluster.nodes.map((node) => node.id), ['node-1', 'node-2']);
  assert.equal(cluster.partitionMap.partitions['partition-3'].number, 3);
  await assert.rejects(second.promote('node-9'), { code: 'NOT_FOUND' });
});

test('leadership moves to a voter', async (t) => {
  const first = await started(t);
  const others = [];
  for (const nodeId of ['node-2', 'node-3']) others.push(await started(t, { nodeId, joinAddrs: [first.httpAddr] }));
  const voter = await first.waitForRevision(first.view().revision).then(async () => {
    for (;;) {
      const voter = first.view().nodes.find((node) => node.voter && node.id !== 'node-1');
      if (voter) return voter.id;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  assert.equal(await first.promote(voter), voter);
  assert.equal(first.isLeader(), false);
  assert.notEqual(await first.stepDown(), voter);
  assert.equal(typeof (await first.demote(1000)), 'string');
});

test('messages for people come to the logger, and an exception in it ends nothing', async (t) => {
  const messages = [];
  const take = (level) => (message) => messages.push([level, message]);
  const logger = { error: take('error'), warn: take('warn'), info: take('info'), debug: take('debug') };
  const node = await started(t, { logger, logLevel: 'debug' });
  await node.stop();
  const infos = messages.filter(([level]) => level === 'info').map(([, message]) => message);
  assert.ok(infos.some((message) => message.includes('founds a NEW cluster') || message.includes('listens at')), infos.join('\n'));
  const source = `
    import { ClusterKit } from 'clusterkit';
    const logger = { error() {}, warn() {}, info() { throw new Error('the logger') }, debug() {} };
    let caught = 0;
    process.on('uncaughtException', (error) => { caught += error.message === 'the logger' ? 1 : 100; });
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '', logger });
    await node.start();
    await node.stop();
    await node.close();
    console.log(caught > 0 && caught < 100);`;
  assert.deepEqual(await program(source), { code: 0, signal: null, stdout: 'true\n', stderr: '' });
});

test('a call that waits keeps the process alive, a node that runs does not, unless ref() says so', async () => {
  const source = (extra) => `
    import { ClusterKit } from 'clusterkit';
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '' });
    await node.start();
    ${extra}
    console.log('started');`;
  const idle = await program(source('node.on("nodeJoin", () => {}); node.onPartitionChange(() => {});'));
  assert.deepEqual([idle.code, idle.stdout], [0, 'started\n'], idle.stderr);
  const held = await program(source('node.ref(); setTimeout(() => { node.unref(); console.log(node.hasRef()); }, 300).unref();'));
  assert.deepEqual([held.code, held.stdout], [0, 'started\nfalse\n'], held.stderr);
});

test('a running node that nobody refers to is kept, and one that never started is collected', async () => {
  const source = `
    import { ClusterKit } from 'clusterkit';
    const collected = [];
    const registry = new FinalizationRegistry((name) => collected.push(name));
    const make = (nodeId) => {
      const node = new ClusterKit({ nodeId, httpAddr: '127.0.0.1:0', dataDir: '' });
      node.onNodeJoin(() => {});
      registry.register(node, nodeId);
      return node;
    };
    await (async () => { await make('runs').start(); make('idle'); })();
    for (let turn = 0; turn < 200 && collected.length < 1; turn++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    console.log(collected.join());`;
  const ended = await program(source, { args: ['--expose-gc'] });
  assert.deepEqual([ended.code, ended.stdout], [0, 'idle\n'], ended.stderr);
});
