import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { ClusterKitError } from 'clusterkit';
import { HERE } from './support.mjs';

const { native } = createRequire(import.meta.url)('../lib/native.js');
const codes = JSON.parse(native.errorCodes());

test('the type of codes names every code of the library, and no other', () => {
  const source = readFileSync(`${HERE}ts/error.ts`, 'utf8');
  const union = /export type ErrorCode =([^;]*);/.exec(source)[1];
  assert.deepEqual(union.match(/[A-Z_]{2,}/g), codes.map(({ name }) => name));
});

test('an error has code, number, predicates, cause, and looks like an error of Node', () => {
  for (const { name, number, retriable, ambiguous } of codes) {
    const error = new ClusterKitError(name, 'words');
    assert.deepEqual([error.code, error.number, error.retriable, error.ambiguous], [name, number, retriable, ambiguous]);
  }
  const cause = new Error('below');
  const error = new ClusterKitError('TIMEOUT', 'no answer', { cause });
  assert.equal(error.cause, cause);
  assert.equal(error.ambiguous, true);
  assert.equal(error.retriable, true);
  assert.equal(error.name, 'ClusterKitError');
  assert.equal(String(error), 'ClusterKitError: no answer');
  assert.ok(error instanceof Error);
  assert.match(inspect(error), /code: 'TIMEOUT'/);
});
