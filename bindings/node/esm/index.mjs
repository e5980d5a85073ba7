// Written by scripts/build.mjs: the same objects as with require().
import entry from '../lib/index.js';

export const Client = entry.Client;
export const ClientOptionSet = entry.ClientOptionSet;
export const ClusterKit = entry.ClusterKit;
export const ClusterKitError = entry.ClusterKitError;
export const DEFAULT_TIMEOUT = entry.DEFAULT_TIMEOUT;
export const EventStream = entry.EventStream;
export const Hook = entry.Hook;
export const OptionSet = entry.OptionSet;
export const Partition = entry.Partition;
export const View = entry.View;
export const clientOptionSpecs = entry.clientOptionSpecs;
export const eventTypes = entry.eventTypes;
export const optionSpecs = entry.optionSpecs;
export const parseDuration = entry.parseDuration;
export const partitionFor = entry.partitionFor;
export const partitionNumber = entry.partitionNumber;
export const partitionsFor = entry.partitionsFor;
export const version = entry.version;
