#!/usr/bin/env bash
# try.sh FOLDER: installs the tarballs in a folder in an empty project, which has nothing else, and runs a node with CommonJS, ESM and the
# command.
set -euo pipefail
tarballs=("$1"/*.tgz)
project="$(mktemp -d)"
trap 'rm -rf "$project"' EXIT
cd "$project"
echo '{"private": true}' > package.json
# Offline: everything is in the tarballs, and the packages of other platforms are optional.
npm install --offline --silent --no-audit --no-fund "${tarballs[@]}"
body="
  const node = new ClusterKit({ nodeId: 'a', httpAddr: '127.0.0.1:0', dataDir: '' });
  await node.start();
  console.log(node.roleForKey('user:1'));
  await node.stop();"
echo "import { ClusterKit } from 'clusterkit'; $body" > try.mjs
echo "const { ClusterKit } = require('clusterkit'); (async () => { $body })();" > try.cjs
for program in try.mjs try.cjs; do
  [ "$(node "$program")" = primary ] || { echo "$program does not run" >&2; exit 1; }
done
npx --offline clusterkit --version
