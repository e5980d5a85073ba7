// Keys with values on several nodes: PUT and GET /kv/KEY on any of them.
//
//   node main.mjs --id node-1 --api 127.0.0.1:9081 --http 127.0.0.1:8081
//   node main.mjs --id node-2 --api 127.0.0.1:9082 --http 127.0.0.1:8082 --join 127.0.0.1:8081
//   curl -X PUT --data hello http://127.0.0.1:9081/kv/user:1; curl -i http://127.0.0.1:9082/kv/user:1
//
// Values are in memory, and on two nodes each: what both lose at the same time is gone.

import { parseArgs } from 'node:util';
import { start } from './service.mjs';

const { values } = parseArgs({
  options: {
    id: { type: 'string', default: 'node-1' },
    api: { type: 'string', default: '127.0.0.1:9081' },
    http: { type: 'string', default: '127.0.0.1:8081' },
    join: { type: 'string', default: '' },
  },
});
const { id = '', api = '', http = '', join = '' } = values;
const { node, address, stop } = await start({ id, api, http, join, logger: console });
console.log(`${id} is ready: the service at ${address}, ClusterKit at ${node.httpAddr}`);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void stop());
