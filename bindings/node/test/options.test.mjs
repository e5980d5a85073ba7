import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, ClientOptionSet, ClusterKit, ClusterKitError, OptionSet, clientOptionSpecs, optionSpecs } from 'clusterkit';
import { HERE, memory } from './support.mjs';

/** A value that an option of this type takes, and its text. */
function sample({ type, choices, bounds }) {
  // What is set and never shown.
  if (bounds.includes('printable characters')) return ['0123456789abcdefghijklmnopqrstuvwxyzABCDEFG', '(hidden)'];
  if (bounds.includes('address/length')) return [['10.0.0.0/8', 'fd00::/8'], '10.0.0.0/8,fd00::/8'];
  const smallest = /^(\d+) to/.exec(bounds)?.[1];
  return {
    text: ['text-1', 'text-1'],
    address: ['127.0.0.1:9000', '127.0.0.1:9000'],
    list: [['10.0.0.1:8080', '10.0.0.2:8080'], '10.0.0.1:8080,10.0.0.2:8080'],
    map: [{ some_Name: ':9080' }, 'some_Name=:9080'],
    boolean: [true, 'true'],
    integer: [Number(smallest ?? 1), smallest ?? '1'],
    duration: [100, '100ms'],
    choice: [choices[0], choices[0]],
  }[type];
}

/** An object with a value at the end of a path. */
function nested(name, value) {
  return name.split('.').reverse().reduce((inner, part) => ({ [part]: inner }), value);
}

test('every option of the tables is taken from an object, and by its name', () => {
  assert.ok(optionSpecs.length > 30 && clientOptionSpecs.length > 8);
  for (const [specs, Set] of [[optionSpecs, OptionSet], [clientOptionSpecs, ClientOptionSet]]) {
    for (const spec of specs) {
      const [value, text] = sample(spec);
      assert.equal(new Set(nested(spec.name, value)).get(spec.name), text, spec.name);
      assert.equal(new Set().set(spec.name, value).get(spec.name), text, spec.name);
    }
  }
});

test('the types say what the tables say', () => {
  const types = readFileSync(`${HERE}ts/optionTypes.ts`, 'utf8');
  for (const spec of [...optionSpecs, ...clientOptionSpecs]) assert.match(types, new RegExp(`\\b${spec.name.split('.').at(-1)}\\??:`), spec.name);
});

test('what is wrong is an error that names the option as JavaScript does', () => {
  const refused = (options, pattern) =>
    assert.throws(() => new ClusterKit(options), (error) => {
      assert.ok(error instanceof ClusterKitError);
      assert.equal(error.code, 'INVALID_OPTION');
      assert.match(error.message, pattern);
      return true;
    });
  refused(memory('a', { partitionCont: 3 }), /unknown option "partitionCont"; did you mean "partitionCount"\?/);
  refused(memory('a', { healthCheck: { intervall: 3 } }), /"healthCheck\.intervall"; did you mean "healthCheck\.interval"\?/);
  refused(memory('a', { healthCheck: { interval: 'soon' } }), /option healthCheck\.interval: "soon" is not a duration/);
  refused(memory('a', { partitionCount: 0 }), /option partitionCount/);
  refused(memory('a', { partitionCount: 1.5 }), /partitionCount/);
  refused({ httpAddr: ':0' }, /option nodeId is required/);
  refused(memory('a b'), /nodeId/);
  refused(memory('a', { weight: 'many' }), /weight/);
  assert.throws(() => new Client({ addrs: [] }), { code: 'INVALID_OPTION' });
  assert.throws(() => new Client({ addrs: 'x:1', pollTimeut: 3 }), /pollTimeut/);
  assert.throws(() => new Client({ addrs: 'x:1', retryMin: '10s', retryMax: '1s' }), /retryMin \(10s\) must be at most retryMax/);
});

test('undefined and null leave an option as it is', () => {
  const options = new OptionSet({ ...memory('a'), zone: undefined, partitionCount: null });
  assert.equal(options.get('zone'), '');
  assert.equal(options.effective().nodeId, 'a');
});

test('options come from a file, JSON and the environment, and later ones override', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'clusterkit-')), 'options.json');
  writeFileSync(file, JSON.stringify({ node_id: 'from-file', http_addr: ':1', zone: 'file' }));
  const options = new OptionSet().loadFile(file).loadJson('{"zone": "json"}').loadEnv({ CLUSTERKIT_NODE_ID: 'from-env', ZONE: undefined });
  assert.equal(options.get('nodeId'), 'from-env');
  assert.equal(options.get('httpAddr'), ':1');
  assert.equal(options.get('zone'), 'json');
  options.assign({ zone: 'code' }).validate();
  assert.equal(options.effective().zone, 'code');
  assert.equal(options.effective().syncInterval, '500ms');
  assert.throws(() => new OptionSet().loadFile('/nowhere.json'), { code: 'IO' });
  assert.throws(() => new OptionSet().loadEnv({ CLUSTERKIT_PARTITION_COUNT: 'many' }), /CLUSTERKIT_PARTITION_COUNT/);
  assert.throws(() => options.set('nope', 1), { code: 'INVALID_OPTION' });
});

test('what is no number is refused, and does not leave an option as it is', () => {
  for (const partitionCount of [Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => new ClusterKit({ nodeId: 'n', httpAddr: '127.0.0.1:0', partitionCount }), { code: 'INVALID_OPTION', message: /partitionCount/ });
  }
  assert.throws(() => new ClusterKit(null), { code: 'INVALID_OPTION', message: /nodeId is required/ });
});
