import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Partition, View, parseDuration, partitionFor, partitionNumber, partitionsFor, version } from 'clusterkit';
import { TestCluster } from 'clusterkit/testing';
import { ROOT, started, until } from './support.mjs';

const vectors = JSON.parse(readFileSync(`${ROOT}tests/vectors/keys.json`, 'utf8'));

test('keys belong to the partitions that the published vectors say', () => {
  for (const { hex, text, partitions } of vectors.keys) {
    const bytes = Buffer.from(hex, 'hex');
    vectors.partition_counts.forEach((count, index) => {
      assert.equal(partitionFor(bytes, count), partitions[index], hex);
      assert.equal(partitionFor(new Uint8Array(bytes), count), partitions[index]);
      if (text !== null && text !== undefined) assert.equal(partitionFor(text, count), partitions[index]);
    });
  }
  vectors.partition_counts.forEach((count, index) => {
    const numbers = partitionsFor(vectors.keys.map(({ hex }) => Buffer.from(hex, 'hex')), count);
    assert.deepEqual([...numbers], vectors.keys.map(({ partitions }) => partitions[index]));
  });
});

/** The contract, in JavaScript. */
function expected(key, count) {
  return createHash('md5').update(key).digest().readUInt32BE(0) % count;
}

test('keys of every length and kind, as text and as bytes', () => {
  const keys = [''];
  for (let length = 1; length < 600; length += length < 280 ? 1 : 17) keys.push('a'.repeat(length), 'é'.repeat(length), '🦀'.repeat(length));
  keys.push('x'.repeat(100_000), '\0', 'a\0b', '\ud800 lone', 'tail \udfff', 'ÿ');
  for (const key of keys) {
    assert.equal(partitionFor(key, 1000), expected(key, 1000), `${key.length} characters`);
    assert.equal(partitionFor(Buffer.from(key), 1000), expected(key, 1000));
  }
  assert.deepEqual([...partitionsFor(keys, 1000)], keys.map((key) => expected(key, 1000)));
  // A part of a larger buffer is that part.
  const whole = Buffer.from('..user:1..');
  assert.equal(partitionFor(whole.subarray(2, 8), 64), partitionFor('user:1', 64));
  assert.equal(partitionFor(new Uint8Array(whole.buffer, whole.byteOffset + 2, 6), 64), partitionFor('user:1', 64));
});

test('many keys, more than one scope of handles has', () => {
  const keys = Array.from({ length: 5000 }, (_, index) => (index % 3 === 0 ? Buffer.from(`user:${index}`) : `user:${index}`));
  const numbers = partitionsFor(keys, 97);
  assert.ok(numbers instanceof Uint32Array);
  keys.forEach((key, index) => assert.equal(numbers[index], expected(key, 97)));
  assert.deepEqual(partitionsFor([], 97), new Uint32Array(0));
  assert.deepEqual(partitionsFor(new Set(['user:1', 'user:2']), 64), new Uint32Array([16, 2]));
});

test('what is no key is a TypeError', () => {
  for (const wrong of [undefined, null, 1, 1n, {}, [], Symbol('key'), () => {}, true]) {
    assert.throws(() => partitionFor(wrong, 64), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE', message: /a key is/ });
  }
  assert.throws(() => partitionsFor(['a', 1], 64), TypeError);
  for (const wrong of [undefined, -1, 1.5, NaN, Infinity, 2 ** 32, '64', 64n]) assert.throws(() => partitionFor('a', wrong), TypeError);
});

test('numbers, durations, version', () => {
  assert.equal(partitionNumber('partition-5'), 5);
  for (const wrong of ['partition-', 'partition-05', 'partition--1', 'x', 'partition-4294967296', 'partition-5 ']) {
    assert.equal(partitionNumber(wrong), null, wrong);
  }
  assert.equal(parseDuration('1m30s'), 90_000);
  assert.throws(() => parseDuration('soon'), { code: 'INVALID_ARGUMENT' });
  assert.equal(version, JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version);
});

test('a node answers for keys and partitions by its lease', async (t) => {
  const node = await started(t, { partitionCount: 16 });
  const number = expected('user:1', 16);
  assert.equal(node.partitionForKey('user:1'), number);
  assert.equal(node.isPrimary(number), true);
  assert.equal(node.isPrimaryForKey(Buffer.from('user:1')), true);
  assert.equal(node.isReplica(number), false);
  assert.equal(node.isReplicaForKey('user:1'), false);
  assert.equal(node.role(number), 'primary');
  assert.equal(node.roleForKey('user:1'), 'primary');
  assert.equal(node.shouldHandleKey('user:1'), 'primary');
  assert.equal(node.isPrimary(16), false);
  assert.equal(node.role(16), null);
  assert.throws(() => node.isPrimary(-1), TypeError);
  assert.throws(() => node.role('1'), TypeError);
  assert.equal(node.primaryEpoch(number), 1n);
  assert.throws(() => node.primaryEpoch(16), { code: 'NOT_FOUND' });
  const route = node.lookup('user:1');
  assert.deepEqual(
    { ...route, primary: route.primary.id },
    { partition: number, role: 'primary', epoch: 1n, primary: 'node-1', replicas: [], revision: node.view().revision },
  );
  assert.deepEqual(node.amIResponsibleFor('user:1'), { role: 'primary', nodes: [route.primary] });
  assert.deepEqual([...node.partitionsForKeys(['user:1', Buffer.from('user:2')])], [number, expected('user:2', 16)]);
  assert.equal(node.getPrimaryNode('user:1'), route.primary);
  assert.equal(node.getPrimary(number), route.primary);
  assert.deepEqual(node.getReplicas(number), []);
  assert.deepEqual(node.getNodes(number), [route.primary]);
  assert.deepEqual(node.getReplicaNodes('user:1'), []);
  assert.deepEqual(node.getNodesForKey('user:1'), [route.primary]);
  assert.deepEqual(node.getAllNodesForKey('user:1'), { primary: route.primary, replicas: [] });
  assert.equal(node.getPartition('user:1').primaryNode, 'node-1');
  assert.deepEqual(node.getPartitionsForNode('node-1'), { primary: [...Array(16).keys()], replica: [] });
  assert.equal(node.getPartitionsForNode('node-9'), null);
  assert.deepEqual(node.getPartitionStats(), {
    totalPartitions: 16, partitionsPerNode: { 'node-1': 16 }, replicasPerNode: { 'node-1': 0 },
  });
  assert.deepEqual(node.listPartitions().map((partition) => partition.number), [...Array(16).keys()]);
});

test('a view never changes, is shared while nothing changes, and its records are frozen', async (t) => {
  const node = await started(t, { partitionCount: 16, services: { kv: ':9080', some_Service: ':9081' }, labels: { disk_kind: 'ssd' } });
  const view = node.view();
  assert.ok(view instanceof View);
  assert.equal(node.view(), view);
  assert.equal(view.partition(3), view.partitions[3]);
  assert.equal(view.partition('partition-3'), view.partition(3));
  assert.equal(view.partition('partition-99'), null);
  assert.equal(view.partition(99), null);
  assert.ok(view.partition(3) instanceof Partition);
  assert.ok(Object.isFrozen(view.partition(3)) && Object.isFrozen(view.nodes) && Object.isFrozen(view.nodes[0].services));
  // Names of the application's own are left as they are.
  assert.deepEqual(view.myNode.services, { kv: ':9080', some_Service: ':9081' });
  assert.deepEqual(view.myNode.labels, { disk_kind: 'ssd' });
  assert.equal(view.node('node-9'), null);
  assert.equal(view.partitionCount, 16);
  assert.equal(view.replicationFactor, 3);
  assert.equal(view.leaseTtl, 1500);
  assert.equal(view.clusterName, 'clusterkit-cluster');
  assert.match(view.clusterId, /^[0-9a-f]{32}$/);
  assert.equal(view.leader.leaderId, 'node-1');
  assert.deepEqual(view.lostPartitions, []);
  assert.equal(view.roleForKey('user:1'), 'primary');
  assert.equal(view.getPartition('user:1').number, view.partitionForKey('user:1'));
  assert.equal(JSON.parse(view.json()).partition_map.partitions['partition-3'].number, 3);
  const { revision } = view;
  await node.setCustomData('a', 'b');
  await started(t, { nodeId: 'node-2', joinAddrs: [node.httpAddr] });
  await until('the new member', () => node.view().nodes.length === 2);
  assert.notEqual(node.view(), view);
  assert.equal(view.revision, revision);
  assert.equal(view.nodes.length, 1);
  const route = node.lookup('user:1');
  assert.equal(route.revision, node.view().revision);
});

test('a node that is cut off is primary of nothing once its lease has run out', async (t) => {
  const cluster = await TestCluster.start({ nodes: 3, partitionCount: 8, manualClock: true });
  t.after(() => cluster.close());
  const old = cluster.primaryOf('user:1');
  const node = cluster.node(old);
  const { partition } = node.lookup('user:1');
  const epoch = node.primaryEpoch(partition);
  await cluster.isolate(old);
  await cluster.waitUntil('the lease has run out', () => !node.isPrimary(partition), { timeout: 60_000 });
  assert.equal(node.isLeased(), false);
  assert.equal(node.lookup('user:1').role, null);
  assert.equal(node.view().getPrimaryNode('user:1').id, node.nodeId, 'by its view, which does not know of leases');
  assert.throws(() => node.primaryEpoch(partition), { code: 'LEASE_EXPIRED', retriable: true });
  await cluster.waitForPrimaries({ timeout: 60_000 });
  const heir = cluster.primaryOf('user:1');
  assert.notEqual(heir, old);
  assert.ok(cluster.node(heir).primaryEpoch(partition) > epoch);
});

test('there is no partition among none', () => {
  assert.throws(() => partitionFor('user:1', 0), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => partitionsFor(['user:1'], 0), { code: 'ERR_INVALID_ARG_TYPE' });
});
