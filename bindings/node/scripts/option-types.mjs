// Writes ts/optionTypes.ts from the tables of the library. With --check it writes nothing, and fails where the file is another.

import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const { native } = require('../lib/native.js');
const { camelCase } = require('../lib/records.js');
const FILE = fileURLToPath(new URL('../ts/optionTypes.ts', import.meta.url));

const TYPES = {
  text: () => 'string',
  address: () => 'string',
  list: () => 'string | readonly string[]',
  map: () => 'Readonly<Record<string, string>>',
  boolean: () => 'boolean',
  integer: () => 'number',
  // Milliseconds, or words.
  duration: () => 'number | string',
  choice: ({ choices }) => choices.map((choice) => `'${choice}'`).join(' | '),
};

function wrapped(text, indent) {
  const lines = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && indent.length + 3 + last.length + 1 + word.length <= 130) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Text of the tables, which names options as the library does. */
function prose(text) {
  return text.replace(/\b[a-z]+(?:[_.][a-z]+)+\b/g, (name) => (NAMES.has(name) ? name.split('.').map(camelCase).join('.') : name));
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function comment(row, indent) {
  const notes = [prose(row.help), sentence(`${row.bounds[0].toUpperCase()}${row.bounds.slice(1)}`)];
  if (row.type === 'duration') notes.push('A number is milliseconds.');
  notes.push(row.required ? 'Required.' : `Default: ${prose(row.default)}.`);
  if (row.env.length > 0) notes.push(`Environment: ${row.env[0]}.`);
  const lines = wrapped(notes.join(' '), indent);
  if (lines.length === 1) return [`${indent}/** ${lines[0]} */`];
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`), `${indent} */`];
}

function member(row, name, indent) {
  const type = TYPES[row.type];
  if (!type) throw new Error(`an option of type ${row.type}: scripts/option-types.mjs has no such`);
  return [...comment(row, indent), `${indent}${name}${row.required ? '' : '?'}: ${type(row)}${row.required ? '' : ' | undefined'};`];
}

function fields(rows, groups) {
  const lines = [];
  const written = new Set();
  const parts = (row) => row.name.split('.').map(camelCase);
  for (const row of rows) {
    const [group, name] = parts(row);
    const members = rows.filter((each) => parts(each)[0] === group && parts(each)[1] !== undefined);
    if (members.length === 0) {
      lines.push(...member(row, group, '  '));
      continue;
    }
    if (written.has(group)) continue;
    written.add(group);
    if (name === undefined) {
      // A group that has a word of its own: `timing: 'wan'`, or `timing: { profile: 'wan', ... }`.
      const type = TYPES[row.type](row);
      lines.push(...comment(row, '  '), `  ${group}?: ${type} | undefined | {`);
      lines.push('    /** The profile. */', `    profile?: ${type} | undefined;`);
    } else {
      lines.push(`  /** ${groups[group]} */`, `  ${group}?: {`);
    }
    for (const each of members) lines.push(...member(each, parts(each)[1], '    '));
    lines.push('  };');
  }
  return lines;
}

const NODE_ROWS = JSON.parse(native.optionRows());
const CLIENT_ROWS = JSON.parse(native.clientOptionRows());
const NAMES = new Set([...NODE_ROWS, ...CLIENT_ROWS].map((row) => row.name));

const written = [
  '// Written by scripts/option-types.mjs from the tables of the library: see CONTRIBUTING.md.',
  '',
  '/** Every option of a node. */',
  'export interface NodeOptionValues {',
  ...fields(NODE_ROWS, {
    healthCheck: 'When a silent node counts as failed.',
    tls: 'Transport security.',
  }),
  '}',
  '',
  '/** Every option of a client. */',
  'export interface ClientOptionValues {',
  ...fields(CLIENT_ROWS, {}),
  '}',
  '',
].join('\n');

if (process.argv.includes('--check')) {
  if (readFileSync(FILE, 'utf8') !== written) {
    console.error('ts/optionTypes.ts is not what the tables of options say: run scripts/option-types.mjs');
    process.exit(1);
  }
} else {
  writeFileSync(FILE, written);
}
