import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { EventStream, eventTypes } from 'clusterkit';
import { fresh, program, started, until } from './support.mjs';

test('listeners watch, in order, from when the first of them came', async (t) => {
  const node = fresh(t, 'node-1', { partitionCount: 4 });
  const order = [];
  for (const type of eventTypes) node.on(type, (event) => order.push(event.type));
  const all = [];
  node.on('event', (event) => all.push(event));
  await node.start();
  await until('the partitions', () => order.length >= 7);
  assert.deepEqual(order.slice(0, 3), ['nodeJoin', 'leaderChange', 'becomeLeader']);
  assert.deepEqual(all.map((event) => event.type), order);
  const [event] = all;
  assert.equal(event.isBootstrap, true);
  assert.equal(event.clusterSize, 1);
  assert.equal(event.node.id, 'node-1');
  assert.equal(typeof event.node.incarnation, 'bigint');
  assert.ok(event.timestamp instanceof Date && event.node.joinedAt instanceof Date);
  // Watching confirms nothing and is no hook of the node's but one.
  assert.equal(node.hookStats().length, 1);
});

test('events.once() waits for one', async (t) => {
  const node = await started(t);
  const joined = once(node, 'nodeJoin');
  await started(t, { nodeId: 'node-2', joinAddrs: [node.httpAddr] });
  const [event] = await joined;
  assert.equal(event.node.id, 'node-2');
});

test('an exception of a listener is an uncaughtException, and keeps no other event from being told', async () => {
  const source = `
    import { ClusterKit } from 'clusterkit';
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '', partitionCount: 4 }).ref();
    const caught = [];
    process.on('uncaughtException', (error) => caught.push(error.message));
    let changes = 0;
    const told = new Promise((resolve) => node.on('partitionChange', () => { if (++changes === 4) resolve(); }));
    node.on('nodeJoin', () => { throw new Error('listener'); });
    await node.start();
    await told;
    console.log(caught.join());
    await node.stop();`;
  assert.deepEqual(await program(source), { code: 0, signal: null, stdout: 'listener\n', stderr: '' });
});

test('for await reads events until the loop is left, and a stopped node ends it', async (t) => {
  const node = await started(t);
  const stream = node.events({ types: ['nodeJoin', 'nodeLeave'] });
  assert.ok(stream instanceof EventStream);
  const types = [];
  const reading = (async () => {
    for await (const event of stream) types.push(event.type);
  })();
  const second = await started(t, { nodeId: 'node-2', joinAddrs: [node.httpAddr] });
  await second.stop();
  await until('both', () => types.length === 2);
  await node.stop();
  await reading;
  assert.deepEqual(types.slice(0, 2), ['nodeJoin', 'nodeLeave']);
  assert.deepEqual(await stream.next(), { done: true, value: undefined });

  const third = await started(t, { nodeId: 'node-3' });
  await third.waitForRevision(1n);
  const left = third.events();
  third.beginMaintenance('test').catch(() => {});
  const fourth = await started(t, { nodeId: 'node-4', joinAddrs: [third.httpAddr] });
  for await (const event of left) {
    if (event.type === 'nodeJoin') break;
  }
  assert.deepEqual(await left.next(), { done: true, value: undefined });
  assert.ok(fourth.isLeased());
});

test('several reads may wait at once, and each gets its own', async (t) => {
  const node = fresh(t, 'node-1', { partitionCount: 2 });
  const stream = node.events();
  const reads = [stream.next(), stream.next(), stream.next()];
  await node.start();
  const results = await Promise.all(reads);
  assert.deepEqual(results.map(({ value }) => value.type), ['nodeJoin', 'leaderChange', 'becomeLeader']);
  stream.close();
  await assert.doesNotReject(stream.next());
});

test('an AbortSignal ends a loop with its reason', async (t) => {
  const node = await started(t);
  const controller = new AbortController();
  const reason = new Error('enough');
  const stream = node.events({ signal: controller.signal });
  setImmediate(() => controller.abort(reason));
  await assert.rejects(async () => {
    for await (const event of stream) void event;
  }, reason);
  assert.throws(() => node.events({ signal: AbortSignal.abort(reason) }), reason);
  assert.throws(() => node.events({ capacity: 0 }), RangeError);
  assert.throws(() => node.events({ types: ['nope'] }), TypeError);
});

test('a reader that falls behind loses the oldest, and is told how many', async (t) => {
  const node = fresh(t, 'node-1', { partitionCount: 100 });
  const lagged = [];
  const stream = node.events({ capacity: 10, onLagged: (lost) => lagged.push(lost) });
  await node.start();
  await until('all have happened', () => node.hookStats()[0].calls >= 103n);
  const read = [];
  for (let count = 0; count < 10; count++) read.push((await stream.next()).value);
  assert.deepEqual(lagged, [93]);
  assert.equal(stream.lost, 93);
  assert.equal(read.length, 10);
  assert.equal(read.at(-1).type, 'partitionChange');
  stream.close();
});

test('a reader that confirms is a hook: reading on acknowledges, and leaving the loop does not', async (t) => {
  const first = await started(t, { partitionCount: 2, replicationFactor: 2 }, (node) => node.onPartitionChange(() => {}));
  const second = fresh(t, 'node-2', { joinAddrs: [first.httpAddr] });
  const mine = (event) => event.nodeId === 'node-2' && event.change === 'gained_replica';
  const copied = () => first.view().partitions.filter((partition) => partition.nodes.length === 2).length;
  const stream = second.events({ types: ['partitionChange'], confirm: true });
  await second.start();
  let event;
  do event = (await stream.next()).value; while (!mine(event));
  assert.equal(copied(), 0);
  // The attempt failed, and is told again later.
  stream.reject('no space');
  const again = new Set();
  do {
    event = (await stream.next()).value;
    if (mine(event)) again.add(event.number);
  } while (again.size < 2);
  stream.acknowledge();
  await until('both copies', () => copied() === 2);
  assert.equal(second.hookStats()[0].failures, 1n);

  const third = fresh(t, 'node-3', { joinAddrs: [first.httpAddr] });
  const other = third.events({ types: ['nodeJoin', 'partitionChange'], confirm: true });
  await third.start();
  for await (const left of other) {
    void left;
    break;
  }
  await until('it is no hook any more', () => third.hookStats().length === 0);
});

test('what happens while the event loop is busy is told afterwards, and what is lost is said', async (t) => {
  const PARTITIONS = 8192;
  const node = fresh(t, 'node-1', { partitionCount: PARTITIONS });
  let told = 0, lost = 0;
  node.on('partitionChange', () => { told++; });
  node.on('lagged', (count) => { lost += count; });
  const starting = node.start();
  // The node goes on while JavaScript does nothing else.
  while (node.hookStats()[0].calls < PARTITIONS);
  await starting;
  await until('all were told or lost', () => told + lost >= PARTITIONS);
  // As many as wait for listeners, and a few that came after that.
  assert.ok(told >= 4096 && told < 4200, `${told} were told`);
  assert.ok(lost > 0);
});

test('100,000 events through a hook: none lost, and memory does not grow', async () => {
  const source = `
    import { ClusterKit } from 'clusterkit';
    const PARTITIONS = 8192, ROUNDS = 7;
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '', partitionCount: PARTITIONS }).ref();
    node.on('partitionChange', () => {});
    await node.start();
    const memory = async () => {
      for (let turn = 0; turn < 5; turn++) { gc(); await new Promise((resolve) => setImmediate(resolve)); }
      return process.memoryUsage();
    };
    let events = 0, before;
    for (let round = 0; round < ROUNDS; round++) {
      // A hook that is registered later is told of every partition: a copy, and the role.
      const told = new Set();
      let hook;
      await new Promise((resolve) => {
        hook = node.onPartitionChange(async (event) => {
          told.add(event.number + event.change);
          if (told.size === 2 * PARTITIONS) resolve();
        });
      });
      events += told.size;
      await hook.remove();
      if (round === 0) before = await memory();
    }
    const after = await memory();
    console.log(JSON.stringify({ events, heap: after.heapUsed - before.heapUsed, rss: after.rss - before.rss }));
    await node.stop();
    await node.close();`;
  // With one arena: malloc keeps more of what a thread has freed the more threads there are, which says nothing of events.
  const ended = await program(source, { args: ['--expose-gc'], env: { MALLOC_ARENA_MAX: '1' }, timeout: 240_000 });
  assert.equal(ended.code, 0, ended.stderr);
  const { events, heap, rss } = JSON.parse(ended.stdout);
  assert.equal(events, 7 * 2 * 8192);
  // Ten bytes for each event would be a million.
  assert.ok(heap < 1_000_000, `the heap grew by ${heap} bytes`);
  assert.ok(rss < 20_000_000, `the process grew by ${rss} bytes`);
});
