// Builds the native part with cargo, and lays it where lib/native.js looks for it first. CLUSTERKIT_PROFILE names the profile of the
// build; default: release. With CLUSTERKIT_WORKSPACE everything is built, as the tests of the workspace have done before.

import { execFileSync } from 'node:child_process';
import { copyFileSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const profile = process.env.CLUSTERKIT_PROFILE ?? 'release';
// By itself it would have a build of its own of everything that it stands on, because others want more of the same crates, and tests want
// more than libraries: so one of them is named, too.
const allLibraries = ['--workspace', '--exclude', 'clusterkit', '--lib', '--test', 'conformance'];
const what = process.env.CLUSTERKIT_WORKSPACE ? allLibraries : ['-p', 'ck-node'];
const cargo = ['build', ...what, '--locked', '--profile', profile, '--message-format=json-render-diagnostics'];
const output = execFileSync('cargo', cargo, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28, encoding: 'utf8' });
const artifacts = output.split('\n').filter(Boolean).map((line) => JSON.parse(line));
const built = artifacts.find((message) => message.reason === 'compiler-artifact' && message.target.name === 'ck_node');
const library = built?.filenames.find((name) => /\.(so|dylib|dll)$/.test(name));
if (!library) throw new Error('cargo does not say where the library is');
const libc = process.platform !== 'linux' ? '' : process.report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl';
const place = `${HERE}clusterkit.${process.platform}-${process.arch}${libc}.node`;
// In one step: a process that has loaded the one before keeps it.
copyFileSync(library, `${place}.new`);
renameSync(`${place}.new`, place);
console.log(place);
