import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { HERE, ROOT, program } from './support.mjs';

const run = promisify(execFile);
const require = createRequire(import.meta.url);

function folder() {
  return mkdtempSync(join(tmpdir(), 'clusterkit-'));
}

/** What an empty project has after it has installed something, which nothing outside of this machine takes part in. */
async function installed(...what) {
  const place = folder();
  writeFileSync(join(place, 'package.json'), '{"private": true}');
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', ...what], { cwd: place, env: { ...process.env, CLUSTERKIT_PREPARED: '1' } });
  return place;
}

/** The tarballs: that of the package, and that of this platform. */
async function pack() {
  const platform = `linux-${process.arch}-gnu`;
  const library = join(folder(), 'clusterkit.node');
  // As it is shipped: the lines of the source are most of what a development build is.
  await run('strip', ['--strip-debug', '-o', library, `${HERE}clusterkit.${platform}.node`]);
  const { stdout } = await run('python3', ['pack.py', join(folder(), 'packed'), `${platform}=${library}`], { cwd: HERE });
  return stdout.trim().split('\n');
}

const packed = pack();

test('the tarballs install in an empty project, for CommonJS, ESM and the command', async () => {
  const tarballs = await packed;
  assert.equal(tarballs.length, 2);
  const place = await installed(...tarballs);
  const body = `
    const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '' });
    await node.start();
    const cluster = await TestCluster.start({ nodes: 1 });
    console.log(node.role(0), cluster.nodeCount);
    await cluster.close();
    await node.stop();`;
  writeFileSync(join(place, 'esm.mjs'), `import { ClusterKit } from 'clusterkit'; import { TestCluster } from 'clusterkit/testing'; ${body}`);
  writeFileSync(
    join(place, 'cjs.cjs'),
    `const { ClusterKit } = require('clusterkit'); const { TestCluster } = require('clusterkit/testing'); (async () => { ${body} })();`,
  );
  for (const file of ['esm.mjs', 'cjs.cjs']) {
    assert.equal((await run(process.execPath, [file], { cwd: place })).stdout, 'primary 1\n', file);
  }
  const { stdout } = await run('npx', ['--offline', 'clusterkit', '--version'], { cwd: place });
  assert.match(stdout, /^clusterkit \d+\.\d+\.\d+\n$/);
});

test('without the package of the platform, the error says what to do', async () => {
  const [main] = await packed;
  const place = await installed(main);
  const failed = await run(process.execPath, ['-e', "require('clusterkit')"], { cwd: place }).catch((error) => error);
  assert.match(failed.stderr, /clusterkit has no native part for linux-\w+-gnu/);
  assert.match(failed.stderr, /--omit=optional/);
});

test('npm install from a clone links the package', async () => {
  const place = await installed(HERE);
  const { stdout } = await run(process.execPath, ['-p', "require('clusterkit').version"], { cwd: place });
  assert.equal(stdout.trim(), JSON.parse(readFileSync(`${HERE}package.json`, 'utf8')).version);
});

test('publint and arethetypeswrong find nothing', async () => {
  const [main] = await packed;
  const bin = join(HERE, 'node_modules/.bin');
  const lint = await run(join(bin, 'publint'), ['--strict', main]);
  assert.match(lint.stdout, /All good!/);
  await run(join(bin, 'attw'), [main]);
});

test('ESM and CommonJS have the same objects', async () => {
  for (const entry of ['clusterkit', 'clusterkit/testing']) {
    const common = require(entry);
    const module = await import(entry);
    const names = Object.keys(common).filter((name) => name !== '__esModule');
    assert.deepEqual(names.sort(), Object.keys(module).sort());
    for (const name of names) assert.equal(module[name], common[name], name);
  }
});

test('the examples and a program in TypeScript are right by tsc --strict', async () => {
  await run(process.execPath, [require.resolve('typescript/package.json').replace('package.json', 'bin/tsc'), '-p', 'tsconfig.check.json'], {
    cwd: HERE,
  }).catch((error) => assert.fail(error.stdout));
});

test('every public name has a comment', () => {
  const missing = [];
  let count = 0;
  for (const file of readdirSync(`${HERE}types`).filter((name) => name.endsWith('.d.ts') && name !== 'native.d.ts')) {
    const lines = readFileSync(`${HERE}types/${file}`, 'utf8').split('\n');
    let depth = 0;
    lines.forEach((line, index) => {
      const isOutside = /^export (declare )?(abstract )?(class|interface|type|function|const) (?!\{)/.test(line);
      const isMember = depth === 1 && /^ {4}(readonly |static |get |set |async )*[\w[#'"]/.test(line) && !/^ {4}(#private|private |constructor\(existing)/.test(line);
      // The second of two forms of one name shares the comment of the first.
      const before = lines[index - 1] ?? '';
      const hasComment = before.trim().endsWith('*/') || (isMember && before.trim().startsWith(line.trim().split(/[<(:]/)[0] + '('));
      if (isOutside || isMember) count++;
      if ((isOutside || isMember) && !hasComment) missing.push(`${file}: ${line.trim()}`);
      const code = line.replace(/\/\*.*?\*\/|^\s*\*.*$/g, '');
      depth += (code.match(/\{/g) ?? []).length - (code.match(/\}/g) ?? []).length;
    });
  }
  assert.deepEqual(missing, []);
  assert.ok(count > 400, `only ${count} names were found`);
});

test('every block of JavaScript in the documents is a part of an example that runs', () => {
  const examples = ['quickstart.mjs', 'tour.mjs', 'snippets.test.mjs', 'service/service.mjs', 'service/main.mjs']
    .map((file) => readFileSync(`${ROOT}examples/node/${file}`, 'utf8'));
  for (const document of ['docs/node.md', 'bindings/node/README.md']) {
    const blocks = [...readFileSync(`${ROOT}${document}`, 'utf8').matchAll(/^```(?:js|ts|javascript)\n(.*?)^```/gms)].map(([, block]) => block);
    assert.ok(blocks.length > 3, document);
    for (const block of blocks) assert.ok(examples.some((example) => example.includes(block)), `${document}: ${block}`);
  }
});

test('the package is loaded in little time', async () => {
  const source = `
    const began = performance.now();
    await import('clusterkit');
    console.log(performance.now() - began);`;
  let best = Infinity;
  for (let run = 0; run < 5; run++) best = Math.min(best, Number((await program(source)).stdout));
  // 50 ms on a quiet machine, with a library as it is shipped.
  assert.ok(best < 150, `${best} ms`);
});

test('the versions agree', () => {
  const { version } = JSON.parse(readFileSync(`${HERE}package.json`, 'utf8'));
  assert.equal(version, /^version = "(.*)"$/m.exec(readFileSync(`${ROOT}Cargo.toml`, 'utf8'))[1]);
});
