// Measures what the package costs: lookups beside their parts, events, the process's memory, loading.
//
//   CLUSTERKIT_PROFILE=dist node scripts/native.mjs && node bench.mjs
//
// The parts of a lookup: a native call that takes a string and does nothing (`empty`), and a bare MD5 of the same bytes in Rust, without the call.
// The target is that a lookup takes at most 2.5 times their sum.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const HERE = fileURLToPath(new URL('.', import.meta.url));
const { ClusterKit, partitionFor } = require('./lib/index.js');
const { native } = require('./lib/native.js');

const KEYS = Array.from({ length: 1024 }, (_, index) => `user:${index}:profile`);
const BUFFERS = KEYS.map((key) => Buffer.from(key));
const ROUNDS = 1000;

/** Nanoseconds for one call, the best of several measurements. */
function nanoseconds(call, count = ROUNDS * KEYS.length) {
  let best = Infinity;
  for (let turn = 0; turn < 5; turn++) {
    const began = process.hrtime.bigint();
    for (let round = 0; round < count / KEYS.length; round++) call();
    best = Math.min(best, Number(process.hrtime.bigint() - began) / count);
  }
  return best;
}

const each = (keys, call) => () => {
  for (let index = 0; index < 1024; index++) call(keys[index]);
};

function loading() {
  const source = `const began = performance.now(); require(${JSON.stringify(HERE)}); console.log(performance.now() - began, process.memoryUsage().rss)`;
  let best = Infinity;
  for (let turn = 0; turn < 10; turn++) best = Math.min(best, parseFloat(execFileSync(process.execPath, ['-e', source])));
  return best;
}

const rss = () => process.memoryUsage().rss / 1e6;

const before = rss();
const node = new ClusterKit({ nodeId: 'node-1', httpAddr: '127.0.0.1:0', dataDir: '', partitionCount: 64 }).ref();
await node.start();
const after = rss();
const empty = nanoseconds(each(KEYS, native.lookupParts().lengthOf));
const md5 = native.hashNanoseconds(KEYS[0]);
const rows = {
  'an empty native call with a string': empty,
  'a bare MD5 of the key, in Rust': md5,
  'isPrimaryForKey(string)': nanoseconds(each(KEYS, (key) => node.isPrimaryForKey(key))),
  'roleForKey(string)': nanoseconds(each(KEYS, (key) => node.roleForKey(key))),
  'roleForKey(Buffer)': nanoseconds(each(BUFFERS, (key) => node.roleForKey(key))),
  'partitionForKey(string)': nanoseconds(each(KEYS, (key) => node.partitionForKey(key))),
  'partitionFor(string, 64)': nanoseconds(each(KEYS, (key) => partitionFor(key, 64))),
  'isPrimary(number)': nanoseconds(each(KEYS.map((_, index) => index % 64), (number) => node.isPrimary(number))),
  'lookup(string)': nanoseconds(each(KEYS, (key) => node.lookup(key))),
  'view().getPrimaryNode(string)': nanoseconds(each(KEYS, (key) => node.getPrimaryNode(key))),
  'partitionsForKeys(1024 strings), each': nanoseconds(() => node.partitionsForKeys(KEYS)),
};
for (const [what, cost] of Object.entries(rows)) console.log(`${what.padEnd(40)} ${cost.toFixed(0).padStart(6)} ns`);
const ratio = rows['roleForKey(string)'] / (empty + md5);
console.log(`roleForKey is ${ratio.toFixed(2)} times an empty call and a bare MD5`);

let told = 0;
const began = performance.now();
const PARTITIONS = 20_000;
const many = new ClusterKit({ nodeId: 'many', httpAddr: '127.0.0.1:0', dataDir: '', partitionCount: PARTITIONS }).ref();
await many.start();
let hook;
const hooked = performance.now();
await new Promise((resolve) => {
  hook = many.onPartitionChange(async () => {
    if (++told === 2 * PARTITIONS) resolve();
  });
});
console.log(`${Math.round((told / (performance.now() - hooked)) * 1000)} events each second through an async hook`);
await hook.remove();
console.log(`a node of ${PARTITIONS} partitions: ${Math.round(hooked - began)} ms to start`);
console.log(`memory: ${before.toFixed(0)} MB with the package loaded, ${after.toFixed(0)} MB with a node that runs`);
console.log(`loading: ${loading().toFixed(1)} ms`);
await many.close();
await node.stop();
