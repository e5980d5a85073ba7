import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program } from './support.mjs';

// What a process has done before it ends. Each is a program; `node` makes a node.
const STATES = {
  'a node that was never started': 'node();',
  'a node that starts': 'node().start().catch(() => {});',
  'a start that cannot end': "node({ joinAddrs: ['127.0.0.1:1'], joinTimeout: '60s' }).start().catch(() => {});",
  'a node that runs': 'await node().start();',
  'a node that runs, with hooks, listeners and a reader': `
    const one = node();
    one.onPartitionChange(() => {});
    one.on('event', () => {});
    const stream = one.events();
    await one.start();
    await stream.next();`,
  'a hook under way': `
    const one = node();
    const begun = new Promise((resolve) => one.onNodeJoin(() => { resolve(); return new Promise(() => {}); }));
    one.ref();
    await one.start();
    await begun;
    one.unref();`,
  'a node that stops': 'const one = node(); await one.start(); one.stop().catch(() => {});',
  'a node that has stopped': 'const one = node(); await one.start(); await one.stop();',
  'a node that has closed': 'const one = node(); await one.start(); await one.close();',
  'writes under way': `
    const one = node();
    await one.start();
    for (let count = 0; count < 200; count++) one.setCustomData('a', 'b').catch(() => {});`,
  'two nodes': 'const one = node(); await one.start(); await node({ nodeId: "b", joinAddrs: [one.httpAddr] }).start();',
  'a node that logs': 'await node({ logger: { error() {}, warn() {}, info() {}, debug() {}, trace() {} }, logLevel: "trace" }).start();',
};
// How it ends: by itself, or in one of these ways.
const ENDS = {
  'it ends by itself': { code: '', expected: 0 },
  'process.exit()': { code: 'process.exit(7);', expected: 7 },
  'an exception': { code: "throw new Error('the end');", expected: 1 },
  'an exit in a turn of its own': { code: 'setTimeout(() => process.exit(8), 1);', expected: 8 },
};
// Calls that wait keep a process alive, as they should: it does not end by itself at once.
const WAITS = ['a start that cannot end'];

for (const [end, { code, expected }] of Object.entries(ENDS)) {
  test(`${end}, in every state: no crash, no hang`, async () => {
    const states = Object.entries(STATES).filter(([state]) => code !== '' || !WAITS.includes(state));
    for (const [state, steps] of states) {
      const began = Date.now();
      const ended = await program(
        `
        import { ClusterKit } from 'clusterkit';
        const node = (options = {}) => new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '', ...options });
        ${steps}
        ${code}`,
        { timeout: 30_000 },
      );
      assert.deepEqual([ended.code, ended.signal], [expected, null], `${state}: ${ended.stderr}`);
      assert.ok(Date.now() - began < 20_000, state);
    }
  });
}

test('an exit inside a hook, inside a listener, and in the middle of many calls of hooks', async () => {
  const bodies = [
    'one.onNodeJoin(() => process.exit(9));',
    "one.on('nodeJoin', () => process.exit(9));",
    'let calls = 0; one.onPartitionChange(() => { if (++calls === 100) process.exit(9); });',
    "let calls = 0; one.on('partitionChange', () => { if (++calls === 100) process.exit(9); });",
  ];
  for (const body of bodies) {
    const ended = await program(`
      import { ClusterKit } from 'clusterkit';
      const one = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '', partitionCount: 500 }).ref();
      ${body}
      await one.start();`);
    assert.deepEqual([ended.code, ended.signal], [9, null], ended.stderr);
  }
});

test('SIGTERM and Ctrl-C end a process as they end any of Node, and its own handlers are called', async () => {
  const source = (handler) => `
    import { ClusterKit } from 'clusterkit';
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '' }).ref();
    ${handler}
    await node.start();
    process.kill(process.pid, 'SIGTERM');`;
  const plain = await program(source(''));
  assert.equal(plain.signal, 'SIGTERM');
  const handled = await program(source("process.on('SIGTERM', async () => { await node.stop(); console.log('stopped'); });"));
  assert.deepEqual([handled.code, handled.signal, handled.stdout], [0, null, 'stopped\n'], handled.stderr);
});
