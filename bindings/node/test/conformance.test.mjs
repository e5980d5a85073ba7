// The conformance scripts of the repository, run in Node.js: tests/conformance/README.md says what their commands do.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  Client, ClientOptionSet, ClusterKit, ClusterKitError, clientOptionSpecs, OptionSet, optionSpecs, parseDuration, partitionFor, partitionNumber,
} from 'clusterkit';
import { TestCluster } from 'clusterkit/testing';

const SCRIPTS = new URL('../../../tests/conformance/scripts/', import.meta.url);
// Of the clock of the test cluster, or of the real one.
const within = { timeout: 60_000 };

const decoded = (word) => {
  const bytes = word === '-' ? '' : word.replace(/%(..)/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Buffer.from(bytes, 'latin1');
};
const text = (word) => decoded(word).toString();
const encoded = (bytes) => [...bytes].map((byte) => (byte > 0x20 && byte < 0x7f && byte !== 0x25
  ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)).join('') || '-';
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const members = (view) => view.nodes.map((node) => `${node.id} ${node.status}`).sort().join('\n');

/** What a failed call prints. Names of options are those that all languages share. */
const said = (error) => {
  const names = [...optionSpecs, ...clientOptionSpecs].map((spec) => spec.name);
  const shared = (word) => (names.includes(word) || /Cuont|Timuot/.test(word) ? snake(word) : word);
  return `${error.code}: ${error.message.replace(/[a-z][A-Za-z]+/g, shared)}`;
};

const row = (specs, name) => {
  const spec = specs.find((each) => each.name === camel(name));
  return `${spec.type}, default ${spec.required ? '-' : spec.default || '-'}, ${spec.bounds}`;
};

const described = (event) => [snake(event.type), event.node.id, ...(event.type === 'nodeLeave' ? [event.reason] : [])].join(' ');

/** What is put in, to be taken out in order by whoever waits. */
class Queue {
  #items = [];
  #waiting = [];

  put(item) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter(item);
    else this.#items.push(item);
  }

  take() {
    return this.#items.length > 0 ? Promise.resolve(this.#items.shift()) : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** The commands, and what they work on. */
class Runner {
  cluster;
  alone;
  client;
  // The revision of the last write.
  last = 0n;
  watched = new Map();
  copies = new Map();
  answers = new Map();

  async close() {
    await this.client?.close();
    await this.alone?.close();
    await this.cluster?.close();
  }

  async print(line) {
    let words = line.split(' ');
    const onlyCode = words[0] === 'code';
    if (onlyCode) words = words.slice(1);
    const command = this.commands[words[0]];
    assert.ok(command, `there is no command ${words[0]}`);
    try {
      return String(await command(...words.slice(1)));
    } catch (error) {
      if (!(error instanceof ClusterKitError)) throw error;
      return onlyCode ? error.code : said(error);
    }
  }

  node(word) {
    return word === 'alone' ? this.alone : this.cluster.node(Number(word));
  }

  running() {
    return this.cluster.nodes.filter((_, index) => this.cluster.isRunning(index));
  }

  expect(word) {
    if (word === 'any' || word === 'absent') return word;
    return word === 'last' ? this.last : BigInt(word);
  }

  settings(set, words) {
    for (const word of words) {
      const [name, value] = word.split('=');
      set.set(camel(name), /^\d+$/.test(value) ? Number(value) : text(value));
    }
    return set;
  }

  /** A call in a hook, when a member joins. */
  askInHook(word, call) {
    const node = this.node(word);
    const answers = new Queue();
    this.answers.set(word, answers);
    const calls = {
      set: () => node.setCustomData('in-hook', 'v', within),
      barrier: () => node.readBarrier(within),
    };
    node.onNodeJoin(async () => {
      answers.put(await calls[call]().then(() => 'it may', said));
    });
    return 'added';
  }

  copy(word, how) {
    const node = this.node(word);
    const copies = { partitions: new Set(), failures: 0, failuresLeft: how === 'fail-once' ? 1 : 0 };
    this.copies.set(word, copies);
    node.on('hookError', () => {});
    node.onPartitionChange((event) => {
      if (event.nodeId !== node.nodeId || event.change !== 'gained_replica') return;
      if (copies.failuresLeft > 0) {
        copies.failuresLeft -= 1;
        copies.failures += 1;
        throw new Error('no space');
      }
      copies.partitions.add(event.number);
    });
    return 'added';
  }

  watch(word, types) {
    const events = new Queue();
    this.watched.set(word, events);
    this.node(word).addHook(types.map(camel), (event) => events.put(event));
    return 'watching';
  }

  async fault(name, index) {
    await this.cluster[name](Number(index));
    return 'done';
  }

  holders(key) {
    const roles = this.running().map((node) => node.shouldHandleKey(decoded(key)));
    const count = (role) => roles.filter((each) => each === role).length;
    return `${count('primary')} primary, ${count('replica')} replica`;
  }

  epochs(key) {
    const nodes = this.running();
    const partition = nodes[0].partitionForKey(decoded(key));
    const hasEpoch = (node) => {
      try {
        return node.primaryEpoch(partition) > 0n;
      } catch {
        return false;
      }
    };
    return `${nodes.filter(hasEpoch).length} of ${nodes.length}`;
  }

  async awaited(word, id, status) {
    const hasStatus = () => (this.node(word).view().node(id)?.status ?? 'gone') === status;
    await this.cluster.waitUntil(`${id} is ${status}`, hasStatus, within);
    return 'so it is';
  }

  async powerless(word) {
    const node = this.node(word);
    const isPowerless = () => !node.isLeader() && node.view().partitions.every(({ number }) => !node.isPrimary(number));
    await this.cluster.waitUntil('it is primary of nothing', isPowerless, within);
    return 'primary of nothing';
  }

  states(word) {
    const counts = new Map();
    for (const { state } of this.node(word).view().partitions) counts.set(state, (counts.get(state) ?? 0) + 1);
    return [...counts].sort().map(([state, count]) => `${count} ${state}`).join(', ');
  }

  commands = {
    // What needs no cluster.
    partition: (key, count) => partitionFor(decoded(key), Number(count)),
    number: (id) => partitionNumber(id) ?? 'none',
    duration: (written) => {
      try {
        return parseDuration(text(written));
      } catch {
        return 'none';
      }
    },
    option: (name) => row(optionSpecs, name),
    'client-option': (name) => row(clientOptionSpecs, name),
    node: async (...words) => {
      const node = new ClusterKit(this.settings(new OptionSet(), words));
      await this.alone?.close();
      this.alone = node;
      return 'made';
    },
    'check-client': (...words) => {
      this.settings(new ClientOptionSet(), words).validate();
      return 'right';
    },

    // Test clusters.
    cluster: async (nodes, partitionCount, replicationFactor) => {
      await this.cluster?.close();
      this.last = 0n;
      this.cluster = await TestCluster.start({
        nodes: Number(nodes), partitionCount: Number(partitionCount), replicationFactor: Number(replicationFactor),
      });
      return 'settled';
    },
    settle: () => this.cluster.waitSettled(within).then(() => 'settled'),
    create: () => this.cluster.createNode(),
    kill: (index) => this.fault('kill', index),
    restart: (index) => this.fault('restart', index),
    pause: (index) => this.fault('pause', index),
    resume: (index) => this.fault('resume', index),
    isolate: (index) => this.fault('isolate', index),
    heal: () => this.cluster.heal().then(() => 'done'),
    holders: (key) => this.holders(key),
    epochs: (key) => this.epochs(key),
    leaders: () => `${this.running().filter((node) => node.isLeader()).length} of ${this.running().length}`,
    await: (node, id, status) => this.awaited(node, id, status),
    powerless: (node) => this.powerless(node),

    // One node.
    start: (node) => this.node(node).start().then(() => 'started'),
    stop: (node) => this.node(node).stop().then(() => 'stopped'),
    leave: (node) => this.node(node).leave(within).then(() => 'left'),
    remove: (node, id) => this.node(node).removeNode(id, within).then(() => 'removed'),
    members: (node) => members(this.node(node).view()),
    view: (node) => {
      const view = this.node(node).view();
      return `${view.nodes.length} members, ${view.partitionCount} partitions, ${view.replicationFactor} copies of each`;
    },
    states: (node) => this.states(node),
    set: async (node, key, value, expect) => {
      this.last = await this.node(node).setCustomData(text(key), decoded(value), { expect: this.expect(expect), ...within });
      return 'written';
    },
    get: async (node, key) => {
      await this.node(node).waitForRevision(this.last, within);
      const entry = this.node(node).getCustomData(text(key));
      return entry === null ? 'none' : encoded(entry.value);
    },
    delete: async (node, key, expect) => {
      const { revision, existed } = await this.node(node).deleteCustomData(text(key), { expect: this.expect(expect), ...within });
      this.last = revision;
      return existed ? 'deleted' : 'there was none';
    },
    keys: async (node, prefix, after, limit) => {
      await this.node(node).waitForRevision(this.last, within);
      const keys = this.node(node).listCustomDataKeys({ prefix: text(prefix), after: text(after), limit: Number(limit) });
      return keys.map((key) => encoded(Buffer.from(key))).join('\n');
    },
    barrier: (node) => this.node(node).readBarrier(within).then(() => 'read'),

    // Hooks.
    watch: (node, ...types) => this.watch(node, types),
    next: async (node) => described(await this.watched.get(node).take()),
    copy: (node, how) => this.copy(node, how),
    copied: (node) => `${this.copies.get(node).partitions.size} partitions after ${this.copies.get(node).failures} failures`,
    'ask-in-hook': (node, call) => this.askInHook(node, call),
    answer: (node) => this.answers.get(node).take(),

    // The client.
    client: async (node) => {
      this.client = new Client({ addrs: this.node(node).httpAddr });
      await this.client.waitReady(within);
      return 'ready';
    },
    'client-partition': (key) => this.client.view().partitionForKey(decoded(key)),
    'client-members': () => members(this.client.view()),
    'client-barrier': () => this.client.readBarrier(within).then(() => 'read'),
    'client-close': () => this.client.close().then(() => 'closed'),
  };
}

for (const name of readdirSync(SCRIPTS).filter((each) => each !== 'threads.txt')) {
  test(`${name} prints what it says`, { timeout: 120_000 }, async () => {
    const script = readFileSync(new URL(name, SCRIPTS), 'utf8');
    assert.match(script, /^> /m);
    const runner = new Runner();
    const written = [];
    try {
      for (const line of script.split('\n')) {
        if (line.startsWith('> ')) written.push(line, await runner.print(line.slice(2)));
        else if (line === '' || line.startsWith('#')) written.push(line);
      }
    } finally {
      await runner.close();
    }
    assert.equal(written.join('\n'), script);
  });
}
