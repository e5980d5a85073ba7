#!/usr/bin/env node
'use strict';

// `npx clusterkit`: the command, in this process. It has the main thread and the signals for itself until it ends.
const { native } = require('../lib/native.js');

process.exitCode = native.runCommand([process.execPath, __filename], process.argv.slice(2));
