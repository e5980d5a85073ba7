// A tour of ClusterKit: three nodes hold an application's data, which the application copies itself. The same program exists in Rust, C,
// C++, Go and Python, and prints the same lines (examples/tour.txt).
//
//   node tour.mjs
//
// In a real deployment each node lives in a process of its own, and copies over the network.

import { setTimeout } from 'node:timers/promises';
import { ClusterKit, ClusterKitError } from 'clusterkit';

const PARTITIONS = 16;
const KEYS = ['user:1', 'user:2', 'user:3', 'user:4', 'user:5'];

/**
 * What a node holds of one partition. The epoch is that of the last write: one from an earlier primary has an older one, and is refused.
 * @typedef {{ entries: Map<string, string>, epoch: bigint }} PartitionData
 */

/** The application's own storage on one node, by partition. */
class Storage {
  /** @type {Map<number, PartitionData>} */
  held = new Map();

  /**
   * Writes to a partition that it holds, unless a later primary has written there.
   * @param {number} partition @param {bigint} epoch @param {string} key @param {string} value
   */
  writeFenced(partition, epoch, key, value) {
    const data = this.held.get(partition);
    if (data === undefined || epoch < data.epoch) return false;
    data.epoch = epoch;
    data.entries.set(key, value);
    return true;
  }

  /** @param {number} partition @param {string} key */
  has(partition, key) {
    return this.held.get(partition)?.entries.has(key) ?? false;
  }
}

/** @type {Map<string, Storage>} */
const storages = new Map(['node-1', 'node-2', 'node-3'].map((id) => [id, new Storage()]));

/**
 * The hook that copies: what its end means is that the data is there. Every node hears of every change; each acts on its own.
 * @param {string} me @param {import('clusterkit').PartitionChangeEvent} event
 */
async function onPartitionChange(me, event) {
  const mine = storages.get(me);
  if (event.nodeId !== me || mine === undefined) return;
  switch (event.change) {
    case 'gained_replica': {
      const [source] = event.copyFromNodes;
      const copy = source && storages.get(source.id)?.held.get(event.number);
      mine.held.set(event.number, { entries: new Map(copy?.entries), epoch: copy?.epoch ?? 0n });
      break;
    }
    case 'gained_primary':
      // Of a copy that is here, or of a new partition, which is empty.
      if (!mine.held.has(event.number)) mine.held.set(event.number, { entries: new Map(), epoch: 0n });
      break;
    case 'lost_copy':
      mine.held.delete(event.number);
      break;
    default:
  }
}

/** @param {string} nodeId @param {string | null} [join] */
async function start(nodeId, join) {
  const node = new ClusterKit({
    nodeId,
    httpAddr: '127.0.0.1:0',
    joinAddrs: join ?? '',
    dataDir: '',
    partitionCount: PARTITIONS,
    replicationFactor: 2,
  });
  node.onPartitionChange((event) => onPartitionChange(nodeId, event));
  await node.start();
  return node;
}

/**
 * Waits until a node sees so many members, and every partition where it should be.
 * @param {ClusterKit} node @param {number} members
 */
async function settled(node, members) {
  for (;;) {
    const view = node.view();
    const rests = view.partitionCount === PARTITIONS && view.partitions.every((partition) => partition.state === 'ok');
    if (view.nodes.length === members && rests) return;
    await setTimeout(5);
  }
}

/**
 * The node that takes the writes of a partition at this moment, with the epoch to fence them with.
 * @param {readonly ClusterKit[]} nodes @param {number} partition
 * @returns {Promise<[ClusterKit, bigint]>}
 */
async function primaryOf(nodes, partition) {
  for (;;) {
    for (const node of nodes) {
      if (node.isPrimary(partition)) return [node, node.primaryEpoch(partition)];
    }
    // The role is between two nodes.
    await setTimeout(5);
  }
}

const first = await start('node-1');
const second = await start('node-2', first.httpAddr);
const third = await start('node-3', first.httpAddr);
const nodes = [first, second, third];
for (const node of nodes) await settled(node, 3);
console.log(`3 nodes, ${PARTITIONS} partitions, 2 copies of each`);

// Where keys belong, and a write to each: on its primary, fenced with the partition's epoch, and on its replica.
for (const key of KEYS) {
  const partition = first.partitionForKey(key) ?? -1;
  const [, epoch] = await primaryOf(nodes, partition);
  const written = [...storages.values()].filter((storage) => storage.writeFenced(partition, epoch, key, 'hello')).length;
  console.log(`${key} belongs to partition ${partition}, written to ${written} copies`);
}

// An earlier primary that was cut off and writes late has an older epoch.
const partition = first.partitionForKey('user:1') ?? -1;
const [primary, epoch] = await primaryOf(nodes, partition);
const taken = storages.get(primary.nodeId)?.writeFenced(partition, epoch - 1n, 'user:1', 'late');
console.log(`a write with an older epoch is ${taken ? 'taken' : 'refused'}`);

// A small value that every node has: written where there is none, and not a second time.
const absent = await first.setCustomData('config/limit', '10', { expect: 'absent' });
try {
  await second.setCustomData('config/limit', '20', { expect: 'absent' });
} catch (error) {
  if (!(error instanceof ClusterKitError)) throw error;
  console.log(`writing config/limit a second time: ${error.code}`);
}
const revision = await second.setCustomData('config/limit', '20', { expect: absent });
await third.waitForRevision(revision);
console.log(`config/limit: ${third.getCustomData('config/limit')?.value}`);

// A node leaves for ever: what it holds is copied to the others first.
await third.leave();
await settled(first, 2);
const stay = [first, second].map((node) => storages.get(node.nodeId));
const found = KEYS.filter((key) => stay.every((storage) => storage?.has(first.partitionForKey(key) ?? -1, key))).length;
console.log(`node-3 has left: ${found} of ${KEYS.length} keys are on both of the others`);
await second.stop();
await first.stop();
console.log('stopped');
