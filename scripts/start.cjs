// `npm start`: sets the clone up, then becomes the server, so that a signal reaches it directly.
'use strict'
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')
const { root, setUp, sizeThreadPool } = require('./setup.cjs')

const echoMs = 500

// A signal to the process group, as Ctrl-C is, comes twice: npm passes on its own copy. The echo
// must not count as the second signal, which ends the server at once.
function absorbEcho(signal) {
  let firstAt
  const absorb = () => {
    firstAt ??= performance.now()
    if (performance.now() - firstAt < echoMs) return
    process.off(signal, absorb)
    process.kill(process.pid, signal)
  }
  process.on(signal, absorb)
}

setUp()
sizeThreadPool()
process.setSourceMapsEnabled(true)
for (const signal of ['SIGTERM', 'SIGINT']) absorbEcho(signal)
process.argv.splice(2, 0, 'server', '--quick-start')
void import(pathToFileURL(join(root, 'dist/src/main.js')).href)
