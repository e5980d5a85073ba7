// Written by scripts/build.mjs.
export * from './testing.js';
