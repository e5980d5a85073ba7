import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { fresh, started, until } from './support.mjs';

/**
 * How long `work` took, and the longest time for which the event loop was away meanwhile, in milliseconds. A call that blocked would be
 * away for as long as it takes, so what a busy machine adds does not matter where that is long.
 */
async function measured(work) {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  delays.enable();
  const began = performance.now();
  await work();
  const took = performance.now() - began;
  delays.disable();
  return { took, away: delays.max / 1e6 };
}

function notBlocked({ took, away }, what) {
  assert.ok(took > 400, `${what} took ${took} ms, which is too little to see a block`);
  assert.ok(away < took / 2, `${what} took ${took} ms, and the loop was away for ${away} ms of them`);
}

test('the event loop turns while a node tries to join', async (t) => {
  const node = fresh(t, 'lost', { joinAddrs: ['127.0.0.1:1'], joinTimeout: 1000 });
  notBlocked(await measured(() => assert.rejects(node.start(), { code: 'JOIN_FAILED' })), 'the start');
});

test('the event loop turns while nodes join, copy, rebalance, leave and stop', async (t) => {
  const first = await started(t, { partitionCount: 64, replicationFactor: 2 }, (node) => node.onPartitionChange(() => {}));
  const settled = (members) =>
    until('rest', () => first.view().nodes.length === members && first.view().partitions.every(({ state }) => state === 'ok'));
  notBlocked(
    await measured(async () => {
      const others = [];
      for (const nodeId of ['node-2', 'node-3']) {
        const node = fresh(t, nodeId, { joinAddrs: [first.httpAddr] });
        node.onPartitionChange(() => new Promise((resolve) => setTimeout(resolve, 5)));
        await node.start();
        others.push(node);
      }
      await settled(3);
      await first.rebalancePartitions();
      await others[1].leave();
      await settled(2);
      await others[0].stop();
    }),
    'all of it',
  );
});

test('the event loop turns while calls wait, and while a node closes in the background', async (t) => {
  const node = await started(t);
  notBlocked(
    await measured(() => Promise.all([
      assert.rejects(node.waitForRevision(1n << 60n, { timeout: 600 }), { code: 'TIMEOUT' }),
      assert.rejects(node.waitForRevision(1n << 61n, { timeout: 700 }), { code: 'TIMEOUT' }),
    ])),
    'the wait',
  );
});

test('a burst of ten thousand events leaves turns for others', async (t) => {
  const node = fresh(t, 'node-1', { partitionCount: 10_000 });
  let told = 0;
  node.onPartitionChange(() => { told++; });
  node.on('partitionChange', () => {});
  notBlocked(
    await measured(async () => {
      await node.start();
      await until('every event', () => told >= 10_000, 60_000);
    }),
    'the burst',
  );
});
