import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { partitionFor } from 'clusterkit';
import { start } from './service.mjs';
import { Store } from './store.mjs';

const MAIN = fileURLToPath(new URL('main.mjs', import.meta.url));
const KEYS = Array.from({ length: 40 }, (_, number) => `user:${number}/näme`);

/** How long a test waits for what must come about: a bound, not a pause. */
const PATIENCE = 60_000;

async function until(what, condition) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const found = await condition();
    if (found) return found;
    assert.ok(Date.now() < deadline, `not in time: ${what}`);
    await setTimeout(5);
  }
}

/** Makes a request, again where it is asked to: roles move. */
async function call(address, method, path, body) {
  return until(`${method} ${path}`, async () => {
    const answer = await fetch(`http://${address}${path}`, { method, body });
    const text = await answer.text();
    return answer.status !== 503 && { status: answer.status, by: answer.headers.get('kv-node'), text };
  });
}

const path = (key) => `/kv/${encodeURIComponent(key)}`;

async function put(address, key, value) {
  const { status, text } = await call(address, 'PUT', path(key), value);
  assert.equal(status, 204, text);
}

/** Every key has a value; answers which nodes have answered. */
async function allAre(address, value) {
  const nodes = new Set();
  for (const key of KEYS) {
    const { status, text, by } = await call(address, 'GET', path(key));
    assert.deepEqual([status, text], [200, value], key);
    nodes.add(by);
  }
  return nodes;
}

/** A member in this process. */
async function member(t, number, join = '') {
  const one = await start({ id: `node-${number}`, api: '127.0.0.1:0', http: '127.0.0.1:0', join, partitionCount: 16 });
  t.after(() => one.stop());
  return one;
}

/** Every partition is where it should be, and every node has a share of the roles. */
async function settled(...members) {
  for (const { node } of members) {
    await until('rest', () => {
      const view = node.view();
      const roles = members.every(({ node }) => (view.getPartitionsForNode(node.nodeId)?.primary.length ?? 0) > 0);
      return view.partitionCount > 0 && roles && view.partitions.every(({ state }) => state === 'ok');
    });
  }
}

test('any node answers for any key', async (t) => {
  const first = await member(t, 1);
  const second = await member(t, 2, first.node.httpAddr);
  const third = await member(t, 3, first.node.httpAddr);
  await settled(first, second, third);
  for (const key of KEYS) await put(first.address, key, 'hello');
  for (const { address } of [first, second, third]) assert.equal((await allAre(address, 'hello')).size, 3);
  assert.equal((await call(second.address, 'GET', '/kv/nothing')).status, 404);
  assert.equal((await call(third.address, 'PUT', '/kv/large', 'x'.repeat((1 << 20) + 1))).status, 400);

  // A node that stops: the others have what it had.
  await third.stop();
  await allAre(first.address, 'hello');
  for (const key of KEYS) await put(second.address, key, 'again');
  // One that joins copies its share, while values change.
  const fourth = await member(t, 4, second.node.httpAddr);
  const last = new Map();
  let count = 0;
  await until('the fourth has roles', async () => {
    const key = KEYS[count % KEYS.length];
    last.set(key, String(count));
    await put(second.address, key, String(count++));
    return (fourth.node.view().getPartitionsForNode('node-4')?.primary.length ?? 0) > 0 && count > KEYS.length;
  });
  const answered = new Set();
  for (const [key, value] of last) {
    const { text, by } = await call(second.address, 'GET', path(key));
    assert.equal(text, value, key);
    answered.add(by);
  }
  assert.ok(answered.has('node-4'));
});

test('a primary that was cut off and writes late is refused by the other copy', async (t) => {
  const first = await member(t, 1);
  const second = await member(t, 2, first.node.httpAddr);
  await settled(first, second);
  await put(first.address, 'key', 'new');
  const late = JSON.stringify({ value: 'bGF0ZQ==', epoch: '0', number: 99 });
  for (const { address, service } of [first, second]) {
    assert.equal((await call(address, 'PUT', '/replicas/key', late)).status, 409);
    assert.equal((await call(address, 'GET', '/kv/key')).text, 'new');
    assert.throws(() => service.store.write(partitionFor('key', 16), 0n, 'key', Buffer.from('late')), /epoch/);
  }
});

test('the later of two writes stays', () => {
  const store = new Store();
  const entry = (value, epoch, number) => ({ value: Buffer.from(value), epoch, number });
  store.replicate(1, 'key', entry('b', 2n, 2));
  store.replicate(1, 'key', entry('a', 2n, 1));
  store.take(1, { entries: new Map([['key', entry('old', 1n, 9)], ['other', entry('x', 1n, 3)]]), epoch: 1n, last: 9 });
  assert.equal(String(store.read(1, 'key')), 'b');
  assert.equal(String(store.read(1, 'other')), 'x');
  assert.equal(store.write(1, 2n, 'key', Buffer.from('c')).number, 10);
  store.fence(1, 5n);
  assert.throws(() => store.write(1, 4n, 'key', Buffer.from('d')), /epoch/);
  store.drop(1);
  assert.equal(store.read(1, 'key'), undefined);
});

/** A member in a process of its own. */
async function processOf(t, number, join = '') {
  const words = [MAIN, '--id', `node-${number}`, '--api', '127.0.0.1:0', '--http', '127.0.0.1:0', '--join', join];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  for await (const line of createInterface({ input: child.stdout })) {
    const ready = /service at (\S+), ClusterKit at (\S+)$/.exec(line);
    if (ready) {
      child.stdout.resume();
      return { child, address: ready[1], join: ready[2] };
    }
  }
  throw new Error(`node-${number} has ended`);
}

test('three processes under load, one of which is killed: no wrong answer', async (t) => {
  const first = await processOf(t, 1);
  const second = await processOf(t, 2, first.join);
  const third = await processOf(t, 3, first.join);
  const alive = new Set([first.address, second.address, third.address]);
  const wrong = [];
  let isOver = false, reads = 0, writes = 0, refused = 0;

  const attempt = async (address, method, key, value) => {
    try {
      const answer = await fetch(`http://${address}${path(key)}`, { method, body: value, signal: AbortSignal.timeout(20_000) });
      const text = await answer.text();
      if (answer.status === 503) refused++;
      return { status: answer.status, text };
    } catch {
      // The process is gone, or was killed in the middle of an answer.
      refused++;
      return { status: 0, text: '' };
    }
  };
  const any = () => [...alive][Math.floor(Math.random() * alive.size)];

  /** Writes rising numbers to a key of its own, and reads them: an answer is at least what was acknowledged, at most what was begun. */
  async function worker(key) {
    let acknowledged = -1, begun = -1;
    const read = async () => {
      const least = acknowledged;
      const { status, text } = await attempt(any(), 'GET', key);
      if (status === 404 && least >= 0) wrong.push(`${key} is gone; ${least} was acknowledged`);
      if (status !== 200) return false;
      reads++;
      if (Number(text) < least || Number(text) > begun) wrong.push(`${key} is ${text}; ${least} was acknowledged, ${begun} begun`);
      return true;
    };
    while (!isOver) {
      begun++;
      if ((await attempt(any(), 'PUT', key, String(begun))).status === 204) {
        acknowledged = begun;
        writes++;
      }
      await read();
    }
    await until(`${key} can be read`, read);
  }

  const workers = KEYS.map((key) => worker(key));
  await until('load', () => writes > 200);
  const before = writes;
  alive.delete(third.address);
  third.child.kill('SIGKILL');
  await once(third.child, 'exit');
  // Some of its keys had their primary there: those come back, too.
  await until('writes go on', () => writes > before + 500);
  await setTimeout(4000);
  isOver = true;
  await Promise.all(workers);
  assert.deepEqual(wrong, []);
  assert.ok(reads > 500, `${reads} reads`);
  console.log(`# ${writes} writes and ${reads} reads were answered, ${refused} were refused`);
  for (const { child } of [first, second]) {
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
  }
});
