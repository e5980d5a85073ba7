import { ClusterKitError, call } from './error.js';
import type { ClientOptionValues, NodeOptionValues } from './optionTypes.js';
import { native, type NativeNodeOptions, type NativeOptions } from './native.js';
import { camelCase, snakeCase } from './records.js';

export type { ClientOptionValues, NodeOptionValues } from './optionTypes.js';

/** One option: its name, what it accepts, and what it means. */
export interface OptionSpec {
  /** Its name, with a dot between a group and its member: `healthCheck.interval`. */
  readonly name: string;
  /** Its type in a word: text, address, list, map, boolean, integer, duration, choice. */
  readonly type: string;
  /** Its bounds in words. */
  readonly bounds: string;
  /** The words of a choice. */
  readonly choices: readonly string[];
  /** The value that applies where it is not set, in words. */
  readonly default: string;
  /** True where it has to be set. */
  readonly required: boolean;
  /** The environment variables that set it; the first that is set counts. */
  readonly env: readonly string[];
  /** Its meaning. */
  readonly help: string;
}

/** @internal */
export type RawSpec = OptionSpec;

function specs(rows: string): readonly OptionSpec[] {
  return Object.freeze(
    (JSON.parse(rows) as OptionSpec[]).map((row) => Object.freeze({ ...row, name: jsName(row.name) })),
  );
}

/** Every option of a node. */
export const optionSpecs: readonly OptionSpec[] = specs(native.optionRows());

/** Every option of a client. */
export const clientOptionSpecs: readonly OptionSpec[] = specs(native.clientOptionRows());

function jsName(name: string): string {
  return name.split('.').map(camelCase).join('.');
}

function coreName(name: string): string {
  // Entries of a map keep their name: services.myService.
  const [first = '', ...rest] = name.split('.');
  return first === 'services' || first === 'labels' ? name : [first, ...rest].map(snakeCase).join('.');
}

const MAPS = new Set(['services', 'labels']);

/** An object of JavaScript's as the library's JSON has it. */
function coreJson(values: object): string {
  const convert = (value: unknown, depth: number): unknown => {
    if (typeof value === 'bigint') return Number(value);
    // JSON has no such number, and would leave the option as it is.
    if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, member]) => member !== undefined)
        .map(([name, member]) => [
          snakeCase(name),
          depth === 0 && MAPS.has(name) ? member : convert(member, depth + 1),
        ]),
    );
  };
  return JSON.stringify(convert(values, 0));
}

/** Makes a call whose errors name options as the library does. */
function named<T>(make: () => T): T {
  try {
    return call(make);
  } catch (error) {
    if (error instanceof ClusterKitError) {
      // The name that was given, and the nearest.
      error.message = error.message.replace(/(unknown option |did you mean )"([^"]*)"/g, (_, words: string, name: string) => `${words}"${jsName(name)}"`);
      error.message = error.message.replace(/(?<![A-Za-z0-9_."/-])[a-z]+(?:[_.][a-z0-9]+)+(?![A-Za-z0-9_"/-])/g, (name) =>
        KNOWN.has(name) ? jsName(name) : name,
      );
    }
    throw error;
  }
}

const KNOWN = new Set([...optionSpecs, ...clientOptionSpecs].map((spec) => coreName(spec.name)));

/** Text of a value for an option that is set by name. */
function text(value: unknown): string {
  if (Array.isArray(value)) return value.join(',');
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([name, entry]) => `${name}=${String(entry)}`)
      .join(',');
  }
  return String(value);
}

/**
 * The options of a node, from several sources: those that are loaded later override earlier ones. {@link ClusterKit} takes one, or a
 * plain object.
 */
export class OptionSet {
  /** @internal */
  readonly native: NativeNodeOptions = new native.NativeOptions();

  /** The defaults, and these values. */
  constructor(values: Partial<NodeOptionValues> = {}) {
    this.assign(values);
  }

  /** Sets the options that an object names, and leaves the rest; `undefined` and `null` leave an option as it is. */
  assign(values: Partial<NodeOptionValues>): this {
    const { logger, ...rest } = (values ?? {}) as Partial<NodeOptionValues> & { logger?: unknown };
    void logger;
    named(() => this.native.loadJson(coreJson(rest)));
    return this;
  }

  /** Sets one option by its name: `partitionCount`, `healthCheck.interval`, `services.kv`. */
  set(name: string, value: unknown): this {
    named(() => this.native.set(coreName(name), text(value)));
    return this;
  }

  /** The value of an option as text, set or by default; empty where it has none. */
  get(name: string): string {
    return named(() => this.native.get(coreName(name)));
  }

  /** Sets the options that a JSON object names, with the names of the library: `node_id`. */
  loadJson(json: string): this {
    named(() => this.native.loadJson(json));
    return this;
  }

  /** Sets the options that a JSON file of at most 1 MiB names. Reads it at once, as `readFileSync` does. */
  loadFile(path: string): this {
    named(() => this.native.loadFile(path));
    return this;
  }

  /** Sets the options that environment variables name, such as `CLUSTERKIT_NODE_ID`. */
  loadEnv(variables: Readonly<Record<string, string | undefined>> = process.env): this {
    const set = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined)) as Record<string, string>;
    named(() => this.native.loadEnv(set));
    return this;
  }

  /** Checks all options against their bounds and each other, which {@link ClusterKit} does, too. */
  validate(): void {
    named(() => this.native.validate());
  }

  /** What the options come to, with every default worked out: name to text. */
  effective(): Record<string, string> {
    const pairs = JSON.parse(named(() => this.native.effective())) as [string, string][];
    return Object.fromEntries(pairs.map(([name, value]) => [jsName(name), value]));
  }
}

/** The options of a client: {@link Client} takes one, or a plain object. */
export class ClientOptionSet {
  /** @internal */
  readonly native: NativeOptions = new native.NativeClientOptions();

  /** The defaults, and these values. */
  constructor(values: Partial<ClientOptionValues> = {}) {
    this.assign(values);
  }

  /** Sets the options that an object names, and leaves the rest. */
  assign(values: Partial<ClientOptionValues>): this {
    const { logger, ...rest } = values as Partial<ClientOptionValues> & { logger?: unknown };
    void logger;
    named(() => this.native.loadJson(coreJson(rest)));
    return this;
  }

  /** Sets one option by its name. */
  set(name: string, value: unknown): this {
    named(() => this.native.set(coreName(name), text(value)));
    return this;
  }

  /** The value of an option as text; empty where it has none. */
  get(name: string): string {
    return named(() => this.native.get(coreName(name)));
  }

  /** Sets the options that a JSON object names, with the names of the library. */
  loadJson(json: string): this {
    named(() => this.native.loadJson(json));
    return this;
  }

  /** Checks all options, which {@link Client} does, too. */
  validate(): void {
    named(() => this.native.validate());
  }
}

/** @internal */
export function nodeOptions(options: Partial<NodeOptionValues> | OptionSet): OptionSet {
  return options instanceof OptionSet ? options : new OptionSet(options);
}

/** @internal */
export function clientOptions(options: Partial<ClientOptionValues> | ClientOptionSet): ClientOptionSet {
  return options instanceof ClientOptionSet ? options : new ClientOptionSet(options);
}

/** @internal The JSON of the library's for an object of JavaScript's. */
export function optionsJson(options: Partial<NodeOptionValues>): string {
  return coreJson(options);
}

/** @internal Makes a call whose errors name options. */
export { named as namingOptions };
