import assert from 'node:assert/strict';
import { test } from 'node:test';
import { started } from './support.mjs';

test('a value is written, read on another node, replaced under an expectation, deleted', async (t) => {
  const first = await started(t);
  const second = await started(t, { nodeId: 'node-2', joinAddrs: [first.httpAddr] });
  const revision = await first.setCustomData('config/limit', '10');
  assert.equal(typeof revision, 'bigint');
  await second.waitForRevision(revision);
  const entry = second.getCustomData('config/limit');
  assert.ok(Buffer.isBuffer(entry.value));
  assert.deepEqual({ value: entry.value.toString(), revision: entry.revision }, { value: '10', revision });
  await assert.rejects(second.setCustomData('config/limit', '20', { expect: 'absent' }), { code: 'CONFLICT', retriable: false });
  await assert.rejects(second.setCustomData('config/limit', '20', { expect: revision + 100n }), { code: 'CONFLICT' });
  const next = await second.setCustomData('config/limit', new Uint8Array([0, 255]), { expect: revision });
  assert.ok(next > revision);
  await first.waitForRevision(next);
  assert.deepEqual([...first.getCustomData('config/limit').value], [0, 255]);
  await assert.rejects(first.deleteCustomData('config/limit', { expect: revision }), { code: 'CONFLICT' });
  const deleted = await first.deleteCustomData('config/limit', { expect: next });
  assert.equal(deleted.existed, true);
  assert.equal(first.getCustomData('config/limit'), null);
  assert.equal((await first.deleteCustomData('config/limit')).existed, false);
});

test('keys are listed page by page', async (t) => {
  const node = await started(t);
  for (const key of ['a/1', 'a/2', 'a/3', 'b/1']) await node.setCustomData(key, key);
  assert.deepEqual(node.listCustomDataKeys(), ['a/1', 'a/2', 'a/3', 'b/1']);
  assert.deepEqual(node.listCustomDataKeys({ prefix: 'a/', limit: 2 }), ['a/1', 'a/2']);
  assert.deepEqual(node.listCustomDataKeys({ prefix: 'a/', after: 'a/2' }), ['a/3']);
  assert.equal(node.getCluster().customData['b/1'].toString(), 'b/1');
});

test('bounds, and what is no value', async (t) => {
  const node = await started(t);
  await assert.rejects(node.setCustomData('big', Buffer.alloc((1 << 20) + 1)), { code: 'TOO_LARGE' });
  await node.setCustomData('big', Buffer.alloc(1 << 20));
  await assert.rejects(async () => node.setCustomData('a', 'b', { expect: 5 }), TypeError);
  await assert.rejects(node.setCustomData('a', { a: 1 }), { code: 'INVALID_ARGUMENT' });
  await node.setCustomData('empty', '');
  assert.equal(node.getCustomData('empty').value.length, 0);
});

test('what JavaScript changes after the call does not change what is written', async (t) => {
  const node = await started(t);
  const bytes = new Uint8Array([1, 2, 3]);
  const writing = node.setCustomData('a', bytes);
  bytes.fill(9);
  await writing;
  const entry = node.getCustomData('a');
  assert.deepEqual([...entry.value], [1, 2, 3]);
  entry.value.fill(7);
  assert.deepEqual([...node.getCustomData('a').value], [1, 2, 3]);
});

test('a thousand writes at once have a thousand outcomes', async (t) => {
  const node = await started(t);
  const revisions = await Promise.all(Array.from({ length: 1000 }, (_, index) => node.setCustomData(`key/${index}`, String(index))));
  assert.equal(new Set(revisions).size, 1000);
  assert.equal(await node.readBarrier() >= revisions.reduce((one, other) => (one > other ? one : other)), true);
  assert.equal(node.getCustomData('key/999').value.toString(), '999');
});

test('a write to a cluster without a majority times out, and may have happened', async (t) => {
  const { TestCluster } = await import('clusterkit/testing');
  const cluster = await TestCluster.start({ nodes: 3, manualClock: true });
  t.after(() => cluster.close());
  const leader = cluster.leader();
  await cluster.isolate(leader);
  const writing = cluster.node(leader).setCustomData('a', 'b', { timeout: 500 });
  await Promise.all([
    assert.rejects(writing, (error) => ['TIMEOUT', 'NO_LEADER'].includes(error.code) && error.ambiguous === (error.code === 'TIMEOUT')),
    cluster.advance(60_000),
  ]);
});

test('a revision is a bigint', async (t) => {
  const node = await started(t);
  await assert.rejects(async () => node.waitForRevision(5), { code: 'INVALID_ARGUMENT', message: /bigint/ });
});
