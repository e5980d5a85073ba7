import type { ClientOptionValues, NodeOptionValues } from './optionTypes.js';
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
/** Every option of a node. */
export declare const optionSpecs: readonly OptionSpec[];
/** Every option of a client. */
export declare const clientOptionSpecs: readonly OptionSpec[];
/** Makes a call whose errors name options as the library does. */
declare function named<T>(make: () => T): T;
/**
 * The options of a node, from several sources: those that are loaded later override earlier ones. {@link ClusterKit} takes one, or a
 * plain object.
 */
export declare class OptionSet {
    /** The defaults, and these values. */
    constructor(values?: Partial<NodeOptionValues>);
    /** Sets the options that an object names, and leaves the rest; `undefined` and `null` leave an option as it is. */
    assign(values: Partial<NodeOptionValues>): this;
    /** Sets one option by its name: `partitionCount`, `healthCheck.interval`, `services.kv`. */
    set(name: string, value: unknown): this;
    /** The value of an option as text, set or by default; empty where it has none. */
    get(name: string): string;
    /** Sets the options that a JSON object names, with the names of the library: `node_id`. */
    loadJson(json: string): this;
    /** Sets the options that a JSON file of at most 1 MiB names. Reads it at once, as `readFileSync` does. */
    loadFile(path: string): this;
    /** Sets the options that environment variables name, such as `CLUSTERKIT_NODE_ID`. */
    loadEnv(variables?: Readonly<Record<string, string | undefined>>): this;
    /** Checks all options against their bounds and each other, which {@link ClusterKit} does, too. */
    validate(): void;
    /** What the options come to, with every default worked out: name to text. */
    effective(): Record<string, string>;
}
/** The options of a client: {@link Client} takes one, or a plain object. */
export declare class ClientOptionSet {
    /** The defaults, and these values. */
    constructor(values?: Partial<ClientOptionValues>);
    /** Sets the options that an object names, and leaves the rest. */
    assign(values: Partial<ClientOptionValues>): this;
    /** Sets one option by its name. */
    set(name: string, value: unknown): this;
    /** The value of an option as text; empty where it has none. */
    get(name: string): string;
    /** Sets the options that a JSON object names, with the names of the library. */
    loadJson(json: string): this;
    /** Checks all options, which {@link Client} does, too. */
    validate(): void;
}
