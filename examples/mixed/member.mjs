// A member of the mixed cluster, in Node.js: see README.md.

import { createConnection, createServer } from 'node:net';
import { ClusterKit } from 'clusterkit';

const TIMEOUT = 5000;

/**
 * What a member holds of one partition.
 * @typedef {{ epoch: bigint, entries: Map<string, string> }} Copy
 */

/** @type {Map<number, Copy>} */
const copies = new Map();
/** @type {ClusterKit} */
let node;

/**
 * Asks another member: the lines of its answer.
 * @param {string | undefined} addr @param {string} line @returns {Promise<string[]>}
 */
function ask(addr, line) {
  return new Promise((resolve, reject) => {
    const [host, port] = addr?.split(':') ?? [];
    const socket = createConnection({ host, port: Number(port), timeout: TIMEOUT }, () => socket.write(`${line}\n`));
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (text) => { answer += text; });
    socket.on('end', () => resolve(answer.trimEnd().split('\n')));
    socket.on('timeout', () => socket.destroy(new Error(`${addr} is silent`)));
    socket.on('error', reject);
  });
}

/** @param {readonly import('clusterkit').Node[]} nodes */
const addrsOf = (nodes) => nodes.map((each) => each.services.data);

/**
 * The data of a partition from a member that has it.
 * @param {import('clusterkit').PartitionChangeEvent} event @returns {Promise<Copy>}
 */
async function copied(event) {
  for (const addr of addrsOf(event.copyFromNodes)) {
    const [first, ...lines] = await ask(addr, `get ${event.number}`).catch(() => ['none']);
    if (first.startsWith('epoch ')) {
      return { epoch: BigInt(first.slice('epoch '.length)), entries: new Map(lines.map((line) => /** @type {[string, string]} */ (line.split(' ')))) };
    }
  }
  throw new Error('no member that holds it answers');
}

/**
 * The hook: what its end means is that the data is here.
 * @param {import('clusterkit').PartitionChangeEvent} event
 */
async function onPartitionChange(event) {
  if (event.nodeId !== node.nodeId) return;
  const empty = { epoch: 0n, entries: new Map() };
  if (event.change === 'gained_replica') copies.set(event.number, event.copyFromNodes.length > 0 ? await copied(event) : empty);
  else if (event.change === 'gained_primary' && !copies.has(event.number)) copies.set(event.number, empty);
  else if (event.change === 'lost_copy') copies.delete(event.number);
}

/** @param {number} partition @param {bigint} epoch @param {string} key @param {string} value */
function put(partition, epoch, key, value) {
  const copy = copies.get(partition);
  if (copy === undefined || copy.epoch > epoch) return false;
  copy.epoch = epoch;
  copy.entries.set(key, value);
  return true;
}

/**
 * Writes where this member is primary: here, and to every copy.
 * @param {string} key @param {string} value
 */
async function write(key, value) {
  const route = node.lookup(key);
  if (route?.role !== 'primary' || !put(route.partition, route.epoch, key, value)) return 'not primary';
  const line = `put ${route.partition} ${route.epoch} ${key} ${value}`;
  const answers = await Promise.allSettled(addrsOf(route.replicas).map((addr) => ask(addr, line)));
  const written = answers.filter((each) => each.status === 'fulfilled' && each.value[0] === 'ok');
  return `ok ${written.length + 1}`;
}

/** @param {number} partition */
function get(partition) {
  const copy = copies.get(partition);
  if (copy === undefined) return 'none';
  return [`epoch ${copy.epoch}`, ...[...copy.entries].map(([key, value]) => `${key} ${value}`)].join('\n');
}

/** @param {string} key */
function read(key) {
  const value = copies.get(node.partitionForKey(key) ?? -1)?.entries.get(key);
  return value === undefined ? 'none' : `value ${value}`;
}

/** @param {number} members */
function isSettled(members) {
  const view = node.view();
  const active = view.nodes.filter((each) => each.status === 'active').length;
  return active === members && view.partitionCount > 0 && view.partitions.every((each) => each.state === 'ok');
}

/** @param {string} line */
async function answer(line) {
  const [command, ...words] = line.split(' ');
  switch (command) {
    case 'write': return write(words[0], words[1]);
    case 'put': return put(Number(words[0]), BigInt(words[1]), words[2], words[3]) ? 'ok' : 'refused';
    case 'get': return get(Number(words[0]));
    case 'read': return read(words[0]);
    case 'settled': return isSettled(Number(words[0])) ? 'yes' : 'no';
    case 'primaries': return String(node.view().partitions.filter((each) => node.isPrimary(each.number)).length);
    default: return 'what?';
  }
}

const server = createServer((socket) => {
  let line = '';
  socket.setEncoding('utf8');
  socket.on('data', (text) => {
    line += text;
    if (line.endsWith('\n')) void answer(line.trimEnd()).then((said) => socket.end(`${said}\n`));
  });
  // Whoever asks may be gone: it asks again.
  socket.on('error', () => socket.destroy());
});
const [nodeId, dataDir, join] = process.argv.slice(2);
await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
const addr = `127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;
node = new ClusterKit({
  nodeId,
  httpAddr: '127.0.0.1:0',
  dataDir,
  services: { data: addr },
  partitionCount: 24,
  replicationFactor: 3,
  rebalanceDelay: 1000,
  joinAddrs: join === '-' ? '' : join,
});
node.onPartitionChange(onPartitionChange);
await node.start();
console.log(`ready ${node.httpAddr} ${addr}`);
for await (const _ of process.stdin);
await node.stop();
server.close();
