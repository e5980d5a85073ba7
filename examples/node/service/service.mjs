// A service that keeps keys with values on several nodes. ClusterKit says which node a key belongs to; the node that is asked forwards
// the request there.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { ClusterKit } from 'clusterkit';
import { Store, fromJson, toJson } from './store.mjs';

/** Where other nodes find this service: in the services of a node's record. */
const SERVICE = 'kv';
/** Is set on what one node forwards to another: it is not forwarded once more. */
const FORWARDED_BY = 'kv-forwarded-by';
/** Says which node has answered. */
const ANSWERED_BY = 'kv-node';
/** The revision that a copy has to be as new as. */
const AT_REVISION = 'kv-revision';
const MAX_VALUE = 1 << 20;
const CALL_TIMEOUT = 10_000;

/** An answer that is no success. */
class HttpError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Asks to try again: roles move, and come to rest. @param {string} message */
function unavailable(message) {
  return new HttpError(503, message);
}

/**
 * A path of the service on a node: its record has "host:port", or ":port" on the node's own host.
 * @param {import('clusterkit').Node} node @param {string} path
 */
function urlOf(node, path) {
  const address = node.services[SERVICE] ?? '';
  const host = node.ip.slice(0, node.ip.lastIndexOf(':'));
  return `http://${address.startsWith(':') ? `${host}${address}` : address}${path}`;
}

/** @param {import('node:http').IncomingMessage} request @param {number} most */
async function bodyOf(request, most) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    // The rest is read, so that whoever sends it reads the answer.
    if (length <= most) parts.push(part);
  }
  if (length > most) throw new HttpError(400, `a value has at most ${most} bytes`);
  return Buffer.concat(parts);
}

/** The service on one node. Made before the node starts: the hooks that copy miss nothing. */
export class Service {
  store = new Store();

  /** @param {import('clusterkit').ClusterKit} node */
  constructor(node) {
    this.node = node;
    node.onPartitionChange((event, { signal }) => this.#onChange(event, signal));
  }

  /**
   * Copies what this node gains. When it has fulfilled, the cluster counts on the copy.
   * @param {import('clusterkit').PartitionChangeEvent} event @param {AbortSignal} signal
   */
  async #onChange(event, signal) {
    if (event.nodeId !== this.node.nodeId) return;
    if (event.change === 'lost_copy') this.store.drop(event.number);
    if (event.change === 'gained_primary') this.store.fence(event.number, event.epoch);
    if (event.change !== 'gained_replica') return;
    // From all of them: the primary has the newest writes, and is not always there.
    const copies = event.copyFromNodes.map((source) => this.#copyFrom(source, event, signal));
    const outcomes = await Promise.allSettled(copies);
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    if (failures.length > 0 && failures.length === copies.length) {
      throw new AggregateError(failures, `copy ${event.partitionId}: ${failures.map(String).join('; ')}`);
    }
  }

  /**
   * @param {import('clusterkit').Node} source @param {import('clusterkit').PartitionChangeEvent} event
   * @param {AbortSignal} signal
   */
  async #copyFrom(source, event, signal) {
    const answer = await fetch(urlOf(source, `/partitions/${event.number}`), {
      // Once the other knows that this node copies, it sends its new writes here, too: nothing falls between.
      headers: { [AT_REVISION]: String(event.revision) },
      signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT)]),
    });
    if (!answer.ok) throw new Error(`${source.id} answered ${answer.status}`);
    const { entries, epoch, last } = /** @type {any} */ (await answer.json());
    /** @type {[string, import('./store.mjs').Entry][]} */
    const copied = entries.map((/** @type {[string, any]} */ [key, entry]) => [key, fromJson(entry)]);
    this.store.take(event.number, { entries: new Map(copied), epoch: BigInt(epoch), last });
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async answer(request, response) {
    response.setHeader(ANSWERED_BY, this.node.nodeId);
    try {
      const [, kind, rest = ''] = /^\/([a-z]+)\/(.*)$/.exec(request.url ?? '') ?? [];
      const name = decodeURIComponent(rest);
      switch (`${request.method} ${kind}`) {
        // For everybody.
        case 'GET kv':
          return await this.#get(name, request, response);
        case 'PUT kv':
          return await this.#put(name, request, response);
        // Between nodes.
        case 'PUT replicas':
          return await this.#putReplica(name, request, response);
        case 'GET partitions':
          return await this.#getPartition(Number(name), request, response);
        default:
          throw new HttpError(404, 'there is no such path');
      }
    } catch (error) {
      if (response.headersSent) return void response.destroy();
      const status = error instanceof HttpError ? error.status : 503;
      response.writeHead(status, status === 503 ? { 'retry-after': '1' } : {}).end(String(error));
    }
  }

  /**
   * Where a key belongs, where this node is its primary; else the request is forwarded, and the answer is `null`.
   * @param {string} key @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   */
  async #route(key, request, response) {
    const route = this.node.lookup(key);
    if (route === null) throw unavailable('there are no partitions yet');
    if (route.role === 'primary') return route;
    if (route.primary === null) throw unavailable(`partition ${route.partition} has no primary at this moment`);
    if (request.headers[FORWARDED_BY]) throw unavailable(`partition ${route.partition} is moving: this node is not its primary`);
    const answered = await fetch(urlOf(route.primary, request.url ?? ''), {
      method: request.method ?? 'GET',
      headers: { [FORWARDED_BY]: this.node.nodeId },
      body: request.method === 'PUT' ? await bodyOf(request, MAX_VALUE) : null,
      signal: AbortSignal.timeout(CALL_TIMEOUT),
    });
    const body = Buffer.from(await answered.arrayBuffer());
    for (const name of [ANSWERED_BY, 'content-type', 'retry-after']) {
      const value = answered.headers.get(name);
      if (value !== null) response.setHeader(name, value);
    }
    response.writeHead(answered.status).end(body);
    return null;
  }

  /** @param {string} key @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #get(key, request, response) {
    const route = await this.#route(key, request, response);
    if (route === null) return;
    // In the same turn of the loop as the lookup: this node is primary.
    const value = this.store.read(route.partition, key);
    if (value === undefined) throw new HttpError(404, 'there is no such key');
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(value);
  }

  /** @param {string} key @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #put(key, request, response) {
    const route = await this.#route(key, request, response);
    if (route === null) return;
    const value = await bodyOf(request, MAX_VALUE);
    await this.write(route.partition, key, value);
    response.writeHead(204).end();
  }

  /**
   * Writes here and on every other copy. When it fails, some may have the write: the client writes again.
   * @param {number} number @param {string} key @param {Buffer} value
   */
  async write(number, key, value) {
    // Right before the write: a lease may have ended while the value was read.
    const epoch = this.node.primaryEpoch(number);
    const written = this.store.write(number, epoch, key, value);
    // After the write here: a node that begins to copy now copies it, and one that has begun is known.
    const partition = this.node.view().partition(number);
    const others = [...(partition?.replicas ?? []), ...(partition?.pending ?? [])];
    await Promise.all(others.map((other) => this.#replicate(other, key, written)));
  }

  /** @param {import('clusterkit').Node} to @param {string} key @param {import('./store.mjs').Entry} written */
  async #replicate(to, key, written) {
    // It copies when it is back, before it counts again.
    if (to.status === 'stopped' || to.status === 'failed') return;
    const answer = await fetch(urlOf(to, `/replicas/${encodeURIComponent(key)}`), {
      method: 'PUT',
      body: JSON.stringify(toJson(written)),
      signal: AbortSignal.timeout(CALL_TIMEOUT),
    });
    if (answer.status !== 204) throw unavailable(`${to.id} does not take the write: ${await answer.text()}`);
  }

  /** @param {string} key @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #putReplica(key, request, response) {
    const written = fromJson(JSON.parse(String(await bodyOf(request, 2 * MAX_VALUE))));
    const number = this.node.partitionForKey(key);
    if (number === null) throw unavailable('there are no partitions yet');
    try {
      this.store.replicate(number, key, written);
    } catch (error) {
      throw new HttpError(409, String(error));
    }
    response.writeHead(204).end();
  }

  /** @param {number} number @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #getPartition(number, request, response) {
    await this.node.waitForRevision(BigInt(String(request.headers[AT_REVISION])), { timeout: CALL_TIMEOUT });
    const { entries, epoch, last } = this.store.copyOf(number);
    const copied = [...entries].map(([key, entry]) => [key, toJson(entry)]);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ entries: copied, epoch: String(epoch), last }));
  }
}

/**
 * Starts the service: `api` is where it listens, `http` where ClusterKit does, `join` a member to join through.
 * @param {{ id: string, api: string, http: string, join?: string } & Partial<import('clusterkit').NodeOptions>} settings
 */
export async function start({ id, api, http, join = '', ...options }) {
  const server = createServer();
  const [, host = '127.0.0.1', port = '0'] = /^(.*):(\d+)$/.exec(api) ?? [];
  // Before the node starts: others copy from it as soon as it is a member.
  await once(server.listen(Number(port), host), 'listening');
  const { port: bound } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const address = `${host}:${bound}`;
  // What the service keeps is in memory: so is the membership, and a node that restarts is empty for both.
  const node = new ClusterKit({
    nodeId: id, httpAddr: http, joinAddrs: join, dataDir: '', replicationFactor: 2, services: { [SERVICE]: address }, ...options,
  });
  const service = new Service(node);
  server.on('request', (request, response) => void service.answer(request, response));
  try {
    await node.start();
  } catch (error) {
    server.close();
    throw error;
  }
  /** The node first: while it hands its roles over, requests are still answered. */
  const stop = async () => {
    await node.stop();
    await node.close();
    server.close();
    server.closeIdleConnections();
  };
  return { node, service, address, stop };
}
