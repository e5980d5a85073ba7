// The data of a node, in memory.

/**
 * A value, and the write that it is of: a later write has a higher epoch, or the same and a higher number.
 * @typedef {{ value: Buffer, epoch: bigint, number: number }} Entry
 */

/**
 * What a node holds of one partition. `epoch` is the highest that has written here, or has become primary here: an older one is refused.
 * `last` is the number of the last write.
 * @typedef {{ entries: Map<string, Entry>, epoch: bigint, last: number }} Held
 */

/** Answers a write of an earlier primary. */
export class FencedError extends Error {
  /** @param {bigint} epoch @param {bigint} newer */
  constructor(epoch, newer) {
    super(`a primary of epoch ${newer} has written here, and this write is of epoch ${epoch}`);
  }
}

/** @param {Entry} one @param {Entry} other */
function isOlder(one, other) {
  return one.epoch < other.epoch || (one.epoch === other.epoch && one.number < other.number);
}

/** @param {bigint} one @param {bigint} other */
function later(one, other) {
  return one > other ? one : other;
}

/** The data of a node, by partition. */
export class Store {
  /** @type {Map<number, Held>} */
  #partitions = new Map();

  /** A partition, which is made where there is none. @param {number} number */
  #of(number) {
    let held = this.#partitions.get(number);
    if (held === undefined) {
      held = { entries: new Map(), epoch: 0n, last: 0 };
      this.#partitions.set(number, held);
    }
    return held;
  }

  /**
   * Writes as the primary of an epoch, unless a later primary has written here.
   * @param {number} number @param {bigint} epoch @param {string} key @param {Buffer} value
   * @returns {Entry}
   */
  write(number, epoch, key, value) {
    const held = this.#of(number);
    if (epoch < held.epoch) throw new FencedError(epoch, held.epoch);
    held.epoch = epoch;
    held.last++;
    const written = { value, epoch, number: held.last };
    held.entries.set(key, written);
    return written;
  }

  /** Takes over a write of the primary. @param {number} number @param {string} key @param {Entry} written */
  replicate(number, key, written) {
    const held = this.#of(number);
    if (written.epoch < held.epoch) throw new FencedError(written.epoch, held.epoch);
    this.#merge(held, key, written);
  }

  /** Keeps the later of two writes: they may arrive in any order. @param {Held} held @param {string} key @param {Entry} written */
  #merge(held, key, written) {
    const present = held.entries.get(key);
    if (present === undefined || isOlder(present, written)) held.entries.set(key, written);
    held.epoch = later(held.epoch, written.epoch);
    held.last = Math.max(held.last, written.number);
  }

  /** Merges a copy of another node with what was written here meanwhile. @param {number} number @param {Held} copied */
  take(number, copied) {
    const held = this.#of(number);
    for (const [key, written] of copied.entries) this.#merge(held, key, written);
    held.epoch = later(held.epoch, copied.epoch);
    held.last = Math.max(held.last, copied.last);
  }

  /** Refuses primaries of earlier epochs from now on. @param {number} number @param {bigint} epoch */
  fence(number, epoch) {
    const held = this.#of(number);
    held.epoch = later(held.epoch, epoch);
  }

  /** @param {number} number @param {string} key */
  read(number, key) {
    return this.#partitions.get(number)?.entries.get(key)?.value;
  }

  /** What another node copies. @param {number} number */
  copyOf(number) {
    return this.#of(number);
  }

  /** @param {number} number */
  drop(number) {
    this.#partitions.delete(number);
  }
}

/** An entry as JSON, which has no bytes and no numbers of 64 bits. @param {Entry} entry */
export function toJson({ value, epoch, number }) {
  return { value: value.toString('base64'), epoch: String(epoch), number };
}

/** @param {ReturnType<typeof toJson>} json @returns {Entry} */
export function fromJson({ value, epoch, number }) {
  return { value: Buffer.from(value, 'base64'), epoch: BigInt(epoch), number };
}
