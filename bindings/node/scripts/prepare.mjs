// npm runs this after `npm install ./bindings/node` from a clone, and before `npm pack`; never where the package comes from a registry. It
// fetches the compiler of TypeScript where it is not there, and builds.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const run = (command, ...words) => execFileSync(command, words, { cwd: HERE, stdio: 'inherit' });

if (process.env.CLUSTERKIT_PREPARED !== '1') {
  if (!existsSync(`${HERE}node_modules/typescript`)) run('npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund');
  run(process.execPath, 'scripts/native.mjs');
  run(process.execPath, 'scripts/build.mjs');
}
