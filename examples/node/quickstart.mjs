// The program of bindings/node/README.md: a node that founds a cluster, or joins one.
//
//   node quickstart.mjs node-1 127.0.0.1:8081
//   node quickstart.mjs node-2 127.0.0.1:8082 127.0.0.1:8081

import { ClusterKit } from 'clusterkit';

const [nodeId = 'node-1', httpAddr = '127.0.0.1:0', joinAddrs = ''] = process.argv.slice(2);

const ck = new ClusterKit({ nodeId, httpAddr, joinAddrs, dataDir: '' }); // in memory; by default it is durable
ck.onPartitionChange(async (event) => {
  if (event.nodeId !== ck.nodeId || event.change !== 'gained_replica') return; // every node hears of every change
  // Copy the data of event.partitionId from event.copyFromNodes. When this has fulfilled, the copy counts.
});
process.on('SIGINT', () => void ck.stop());
await ck.start();

const route = ck.lookup('user:123');
if (route?.role === 'primary') console.log(`I take the writes of partition ${route.partition}, with the epoch ${route.epoch}`);
else console.log(`ask ${route?.primary?.ip}`);

ck.ref(); // this program has nothing else to do
