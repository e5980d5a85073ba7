import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from 'clusterkit';
import { program, started, until } from './support.mjs';

async function connected(t, node, options = {}) {
  const client = new Client({ addrs: [node.httpAddr], ...options });
  t.after(() => client.close());
  await client.waitReady();
  return client;
}

test('a client answers what a node does', async (t) => {
  const node = await started(t, { partitionCount: 16 });
  const client = await connected(t, node);
  const keys = Array.from({ length: 100 }, (_, index) => `user:${index}`);
  assert.deepEqual(client.view().partitionsForKeys(keys), node.partitionsForKeys(keys));
  assert.equal(client.partitionForKey('user:1'), node.partitionForKey('user:1'));
  assert.equal(client.getPrimaryNode('user:1').id, 'node-1');
  assert.equal(client.getPartition('user:1').role, null);
  assert.deepEqual(client.getNodesForKey('user:1').map(({ id }) => id), ['node-1']);
  assert.equal(client.view().myNode, null);
  assert.equal(client.view(), client.view());
  const status = client.status();
  assert.equal(status.connected, node.httpAddr);
  assert.equal(status.isStale, false);
  assert.equal(status.isClosed, false);
  assert.equal(typeof status.revision, 'bigint');
  assert.equal(status.addrs[0].isGiven, true);
});

test('a client waits for what is newer', async (t) => {
  const node = await started(t);
  const client = await connected(t, node);
  const known = client.view().revision;
  await assert.rejects(client.waitForChange(known + 1000n, { timeout: 50 }), { code: 'TIMEOUT', retriable: true });
  const changed = client.waitForChange(known);
  await started(t, { nodeId: 'node-2', joinAddrs: [node.httpAddr] });
  assert.ok(await changed > known);
  const revision = await node.setCustomData('a', 'b');
  await client.waitForRevision(revision);
  assert.ok(await client.readBarrier() >= revision);
  assert.ok(await client.refresh() >= revision);
  const reason = new Error('enough');
  const controller = new AbortController();
  const waiting = client.waitForChange(1n << 60n, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(waiting, reason);
});

test('changes() is a loop over views, and a listener hears of each newest one', async (t) => {
  const node = await started(t);
  const client = await connected(t, node);
  const heard = [];
  client.on('change', (view) => heard.push(view.nodes.length));
  const seen = [];
  const reading = (async () => {
    for await (const view of client.changes()) seen.push(view.nodes.length);
  })();
  await until('the first', () => seen.length === 1 && heard.length === 1);
  await started(t, { nodeId: 'node-2', joinAddrs: [node.httpAddr] });
  await until('both', () => seen.at(-1) === 2 && heard.at(-1) === 2);
  await client.close();
  await reading;
  assert.equal(client.status().isClosed, true);
  assert.equal(client.view().nodes.length, 2, 'the view stays');
  await assert.rejects(client.waitForChange(1n << 60n), { code: 'STOPPED' });
  await client.close();
});

test('one that reaches nobody says so, and waits', async (t) => {
  const messages = [];
  const logger = Object.fromEntries(['error', 'warn', 'info', 'debug'].map((level) => [level, (message) => messages.push(message)]));
  const client = new Client({ addrs: ['127.0.0.1:1'], logger });
  t.after(() => client.close());
  await assert.rejects(client.waitReady({ timeout: 200 }), { code: 'TIMEOUT', message: /127\.0\.0\.1:1/ });
  assert.equal(client.view().partitionCount, 0);
  assert.equal(client.partitionForKey('a'), null);
  assert.equal(client.getPrimaryNode('a'), null);
  assert.equal(client.status().lastError.code, 'UNREACHABLE');
  await until('a message', () => messages.length > 0);
});

test('an open client does not keep the process alive, and exits in every state', async () => {
  for (const rest of ['', "client.on('change', () => {});", 'client.waitReady().catch(() => {}); process.exit(0);', 'client.ref(); setTimeout(() => client.unref(), 50);']) {
    const ended = await program(`
      import { Client } from 'clusterkit';
      const client = new Client({ addrs: ['127.0.0.1:1'] });
      ${rest}
      console.log('there');`);
    assert.deepEqual([ended.code, ended.stdout], [0, rest.includes('exit') ? '' : 'there\n'], ended.stderr);
  }
});
