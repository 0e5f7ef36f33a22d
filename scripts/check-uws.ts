// Compares the uWebSockets.js binary that loads here with the recorded ones, since the package is a
// republication. `--write` records every Linux binary of the installed package instead.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'

const recordFile = 'scripts/uws.sha256'
const require = createRequire(import.meta.url)

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

function writeRecord(folder: string): string {
  const names = readdirSync(folder).filter((name) => /^uws_linux_.*\.node$/.test(name))
  const lines = names.sort().map((name) => `${sha256(join(folder, name))}  ${name}\n`)
  writeFileSync(recordFile, lines.join(''))
  return `recorded ${lines.length} binaries in ${recordFile}`
}

/** The binary that Node itself says it has loaded, whatever its package chose. */
function loadedBinary(): string {
  require('uWebSockets.js')
  const loaded = Object.keys(require.cache).filter((file) => /\buws_[^/]*\.node$/.test(file))
  const [binary] = loaded
  if (binary === undefined || loaded.length > 1) {
    throw new Error(`expected one uWebSockets.js binary to load; found ${loaded.length}`)
  }
  return binary
}

function checkLoaded(): string {
  const binary = loadedBinary()
  const line = `${sha256(binary)}  ${basename(binary)}`
  if (!readFileSync(recordFile, 'utf8').split('\n').includes(line)) {
    throw new Error(`${line}\nis not in ${recordFile}: another build than the recorded one`)
  }
  return `${line}: as recorded`
}

const folder = dirname(require.resolve('uWebSockets.js'))
console.log(process.argv.includes('--write') ? writeRecord(folder) : checkLoaded())
