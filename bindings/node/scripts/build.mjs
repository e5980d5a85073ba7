// Builds what is written in TypeScript, and writes what follows from it: ts/optionTypes.ts from the tables of options, esm/ and the
// types of ESM from the exports. Needs the native part beside package.json: see scripts/native.mjs.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const ENTRIES = ['index', 'testing'];

function tsc() {
  const compiler = createRequire(`${HERE}package.json`).resolve('typescript/package.json');
  execFileSync(process.execPath, [`${compiler.slice(0, -'package.json'.length)}bin/tsc`, '-p', HERE], { stdio: 'inherit' });
}

for (const folder of ['lib', 'types']) rmSync(`${HERE}${folder}`, { recursive: true, force: true });
tsc();
const before = readFileSync(`${HERE}ts/optionTypes.ts`, 'utf8');
execFileSync(process.execPath, [`${HERE}scripts/option-types.mjs`], { stdio: 'inherit' });
if (readFileSync(`${HERE}ts/optionTypes.ts`, 'utf8') !== before) tsc();
mkdirSync(`${HERE}esm`, { recursive: true });
for (const entry of ENTRIES) {
  const names = Object.keys(require(`../lib/${entry}.js`)).filter((name) => name !== '__esModule').sort();
  const lines = [
    '// Written by scripts/build.mjs: the same objects as with require().',
    `import entry from '../lib/${entry}.js';`,
    '',
    ...names.map((name) => `export const ${name} = entry.${name};`),
    '',
  ];
  writeFileSync(`${HERE}esm/${entry}.mjs`, lines.join('\n'));
  writeFileSync(`${HERE}types/${entry}.d.mts`, `// Written by scripts/build.mjs.\nexport * from './${entry}.js';\n`);
}
