import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program } from './support.mjs';

// What a worker runs.
const WORKER = `
  import { ClusterKit } from 'clusterkit';
  import { parentPort, workerData } from 'node:worker_threads';
  const node = new ClusterKit({ httpAddr: '127.0.0.1:0', dataDir: '', ...workerData.options }).ref();
  node.onPartitionChange(async () => {});
  node.on('nodeJoin', (event) => parentPort.postMessage({ joined: event.node.id }));
  parentPort.on('message', async (what) => {
    if (what === 'stop') { await node.stop(); await node.close(); parentPort.postMessage({ stopped: true }); parentPort.close(); }
    if (what === 'throw') throw new Error('in a worker');
  });
  node.start().then(() => parentPort.postMessage({ addr: node.httpAddr, id: node.nodeId }));
`;

const MAIN = `
  import { once } from 'node:events';
  import { Worker } from 'node:worker_threads';
  const WORKER = ${JSON.stringify(WORKER)};
  const start = async (options) => {
    const worker = new Worker(WORKER, { eval: true, workerData: { options } });
    const messages = [];
    let wake;
    worker.on('message', (message) => { messages.push(message); wake?.(); });
    const wait = async (test) => {
      while (!messages.some(test)) await new Promise((resolve) => { wake = resolve; });
      return messages.find(test);
    };
    const { addr } = await wait((message) => message.addr);
    return { worker, addr, wait };
  };
`;

test('each worker has its own node, and they form a cluster with that of the main thread', async () => {
  const ended = await program(`${MAIN}
    import { ClusterKit } from 'clusterkit';
    const main = new ClusterKit({ nodeId: 'main', httpAddr: '127.0.0.1:0', dataDir: '' });
    await main.start();
    const one = await start({ nodeId: 'one', joinAddrs: [main.httpAddr] });
    const two = await start({ nodeId: 'two', joinAddrs: [main.httpAddr] });
    await one.wait((message) => message.joined === 'two');
    await main.waitForRevision(await main.setCustomData('a', 'b'));
    console.log(main.view().nodes.map((node) => node.id).join());
    for (const { worker, wait } of [one, two]) {
      worker.postMessage('stop');
      await wait((message) => message.stopped);
      const [code] = await once(worker, 'exit');
      console.log(code);
    }
    await main.stop();
    await main.close();`);
  assert.deepEqual(ended, { code: 0, signal: null, stdout: 'main,one,two\n0\n0\n', stderr: '' });
});

test('a worker that is terminated, or ends by an exception, closes its node, and harms nobody', async () => {
  const ended = await program(`${MAIN}
    import { ClusterKit } from 'clusterkit';
    for (let round = 0; round < 5; round++) {
      const { worker, addr } = await start({ nodeId: 'terminated' });
      await worker.terminate();
      // It closes in the background, and then its address is free again.
      for (let isFree = false; !isFree;) {
        const again = new ClusterKit({ nodeId: 'again', httpAddr: addr, dataDir: '' });
        try {
          await again.start();
          isFree = true;
        } catch (error) {
          if (error.code !== 'ADDRESS_IN_USE') throw error;
        }
        await again.close();
      }
    }
    const { worker } = await start({ nodeId: 'throws' });
    const failed = once(worker, 'error');
    worker.postMessage('throw');
    console.log((await failed)[0].message);`);
  assert.deepEqual(ended, { code: 0, signal: null, stdout: 'in a worker\n', stderr: '' });
});

test('workers only: the addon outlives the environment that loaded it', async () => {
  const ended = await program(`${MAIN}
    for (let round = 0; round < 3; round++) {
      const { worker } = await start({ nodeId: 'only' });
      await worker.terminate();
    }
    console.log('alive');`);
  assert.deepEqual(ended, { code: 0, signal: null, stdout: 'alive\n', stderr: '' });
});

test('a process exits while workers run nodes', async () => {
  for (let round = 0; round < 3; round++) {
    const ended = await program(`${MAIN}
      await start({ nodeId: 'one' });
      await start({ nodeId: 'two' });
      process.exit(5);`);
    assert.deepEqual([ended.code, ended.signal], [5, null], ended.stderr);
  }
});
