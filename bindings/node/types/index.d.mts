// Written by scripts/build.mjs.
export * from './index.js';
