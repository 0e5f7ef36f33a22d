// Makes a clone ready to run: installs the packages and compiles, each only when it is due. Plain
// CommonJS, since it runs before anything is built and before libuv's thread pool must start.
'use strict'
const { spawnSync } = require('node:child_process')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const { availableParallelism } = require('node:os')
const { join, relative } = require('node:path')

const root = join(__dirname, '..')
const dist = join(root, 'dist')
const stamp = join(dist, '.built')
const compiler = join(root, 'node_modules/typescript/bin/tsc')
const sourceFolders = ['src', 'workers', 'bench', 'test', 'scripts']

/** Installs and builds what is not up to date; ends the process when that fails. */
function setUp() {
  refuseOldNode()
  process.chdir(root)
  if (isInstallDue()) {
    say('installing packages')
    // NODE_ENV=production would leave out the compiler.
    npm(['ci', '--include=dev', '--no-audit', '--no-fund'])
  }
  const sources = hashSources()
  if (readIfThere(stamp) === sources) return
  say('building')
  // Removed first: after a failed build, the old sources must not seem to be built.
  fs.rmSync(stamp, { force: true })
  run(process.execPath, [compiler, '-p', 'tsconfig.json'])
  removeStaleOutput()
  fs.writeFileSync(stamp, sources)
}

/** As bin/keelson has it: threads for file reads, more than libuv's four where cores allow. */
function sizeThreadPool() {
  process.env.UV_THREADPOOL_SIZE ??= String(Math.max(4, Math.min(16, 2 * availableParallelism())))
}

function refuseOldNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  say(`Node.js 20.19 or newer is needed; this is ${process.versions.node}`)
  process.exit(1)
}

function isInstallDue() {
  // npm writes this file last, so it also tells a complete installation from a broken one.
  const installed = fs.statSync('node_modules/.package-lock.json', { throwIfNoEntry: false })
  if (installed === undefined || !fs.existsSync(compiler)) return true
  return installed.mtimeMs < fs.statSync('package-lock.json').mtimeMs
}

function npm(args) {
  const own = process.env.npm_execpath
  if (own?.endsWith('.js')) run(process.execPath, [own, ...args])
  else run('npm', args)
}

/** Runs a program to its end; its failure is ours. */
function run(command, args, env = process.env) {
  const { status, signal, error } = spawnSync(command, args, { stdio: 'inherit', env })
  if (status === 0) return
  say(`${command} ${args.slice(0, 3).join(' ')}: ${error?.message ?? signal ?? `exit ${status}`}`)
  process.exit(status || 1)
}

function hashSources() {
  const hash = createHash('sha256')
  const sources = sourceFolders.flatMap((folder) => filesUnder(join(root, folder), '.ts'))
  for (const file of ['tsconfig.json', 'package-lock.json', ...sources.sort()]) {
    const content = fs.readFileSync(file)
    hash.update(`${relative(root, file)}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex')
}

// The output of a source that is gone would still be imported, and its tests would still run.
function removeStaleOutput() {
  for (const file of filesUnder(dist, '.js', '.js.map', '.d.ts')) {
    const source = relative(dist, file).replace(/\.(js|js\.map|d\.ts)$/, '.ts')
    if (!fs.existsSync(join(root, source))) fs.rmSync(file)
  }
}

/** The files below a folder whose names end in one of the suffixes, in a stable order. */
function filesUnder(folder, ...suffixes) {
  if (!fs.existsSync(folder)) return []
  return fs
    .readdirSync(folder, { recursive: true })
    .filter((name) => suffixes.some((suffix) => name.endsWith(suffix)))
    .map((name) => join(folder, name))
    .sort()
}

function readIfThere(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined
}

function say(message) {
  process.stderr.write(`keelson: ${message}\n`)
}

module.exports = { compiler, root, setUp, sizeThreadPool, run, filesUnder, say }

if (require.main === module) setUp()
