import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { HERE, ROOT } from './support.mjs';

const run = promisify(execFile);
const EXAMPLES = `${ROOT}examples/node/`;

test('the tour prints what it prints in every language', async () => {
  const { stdout } = await run(process.execPath, ['tour.mjs'], { cwd: EXAMPLES });
  assert.equal(stdout, readFileSync(`${ROOT}examples/tour.txt`, 'utf8'));
});

/** A process that has printed its first line. */
async function begun(t, words, cwd) {
  const child = spawn(process.execPath, words, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { child, line };
}

test('the quick start runs until Ctrl-C', async (t) => {
  const { child, line } = await begun(t, ['quickstart.mjs'], EXAMPLES);
  assert.match(line, /^I take the writes of partition \d+, with the epoch 1$/);
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('npx clusterkit runs a node, ends at a signal, and answers as the command does', async (t) => {
  const command = `${HERE}bin/clusterkit.js`;
  const { child, line } = await begun(t, [command, 'serve', '--node-id', 'x', '--http-addr', '127.0.0.1:0', '--data-dir', ''], HERE);
  const [, address] = /ready at (\S+)/.exec(line);
  const { stdout } = await run(process.execPath, [command, 'nodes', '--addr', address, '--json']);
  assert.equal(JSON.parse(stdout).nodes[0].id, 'x');
  const failed = await run(process.execPath, [command, 'status', '--addr', '127.0.0.1:1']).catch((error) => error);
  assert.notEqual(failed.code, 0);
  assert.match(failed.stderr, /^clusterkit: /);
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});
