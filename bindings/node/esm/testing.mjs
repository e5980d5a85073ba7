// Written by scripts/build.mjs: the same objects as with require().
import entry from '../lib/testing.js';

export const TestCluster = entry.TestCluster;
