// What several tests need.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ClusterKit } from 'clusterkit';

export const HERE = fileURLToPath(new URL('..', import.meta.url));
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Options of a node in memory that listens on loopback. */
export function memory(nodeId = 'node-1', options = {}) {
  return { nodeId, httpAddr: '127.0.0.1:0', dataDir: '', ...options };
}

/** A node that was not started, which ends with the test, and keeps the process alive until then: tests wait for its hooks. */
export function fresh(t, nodeId, options) {
  const node = new ClusterKit(memory(nodeId, options)).ref();
  t.after(() => node.close());
  return node;
}

/** A started node, which ends with the test. */
export async function started(t, options = {}, prepare = () => {}) {
  const node = fresh(t, options.nodeId, options);
  await prepare(node);
  await node.start();
  return node;
}

/** Waits until `condition` is true, which is looked at in each turn of the event loop. */
export async function until(what, condition, milliseconds = 30_000) {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Runs a program of ESM in a process of its own; resolves with how it ended and what it printed. */
export function program(source, { timeout = 60_000, args = [], env = {} } = {}) {
  const words = [...args, '--input-type=module', '-e', source];
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      words,
      { cwd: HERE, timeout, killSignal: 'SIGABRT', maxBuffer: 1 << 26, env: { ...process.env, ...env } },
      (error, stdout, stderr) => resolve({ code: error ? error.code : 0, signal: child.signalCode, stdout, stderr }),
    );
  });
}
