// `npm test [-- WORD...]`: sets the clone up, lints, and runs the tests whose paths have one of the
// words, or all. `--coverage` measures, `--no-lint` goes straight to the tests.
'use strict'
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const { availableParallelism } = require('node:os')
const { join, relative } = require('node:path')
const { compiler, filesUnder, root, run, say, setUp } = require('./setup.cjs')

const options = process.argv.slice(2).filter((arg) => arg.startsWith('--'))
const words = process.argv.slice(2).filter((arg) => !arg.startsWith('--'))
const measures = options.includes('--coverage')
const built = measures ? 'coverage/dist' : 'dist'
const testTimeoutMs = 20 * 60 * 1000

// These start daemons and servers that load the machine, or build programs first: one file at a time.
const alone =
  /\/test\/(bench|client|conformance|crash|edge|hosts\/(clients|faults|partition)|authorize\/opa|http\/opa|docs\/commands)\b/

setUp()
if (!options.includes('--no-lint')) {
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
  // Biome makes a cache folder, by default in the home folder.
  const env = { ...process.env, XDG_CACHE_HOME: join(root, 'node_modules/.cache') }
  run(process.execPath, [biome, 'check', '--error-on-warnings', '.'], env)
}
if (measures) {
  // Node 20 loses the end of each file when it maps coverage back through a source map, and then
  // reports nothing at all; so it measures a build that has no maps.
  fs.rmSync('coverage', { recursive: true, force: true })
  run(process.execPath, [
    compiler,
    '-p',
    'tsconfig.json',
    '--sourceMap',
    'false',
    '--outDir',
    built,
  ])
}
const files = filesUnder(join(root, built, 'test'), '.test.js')
  .map((file) => relative(root, file))
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
if (files.length === 0) {
  say(`no test file has ${words.join(' or ')} in its path`)
  process.exit(1)
}
// Both runs are made whatever the first one brings, so that one report tells everything.
const failed = [
  runTests(
    files.filter((file) => !alone.test(file)),
    availableParallelism(),
  ),
  runTests(
    files.filter((file) => alone.test(file)),
    1,
  ),
].some((status) => status !== 0)
process.exit(failed ? 1 : 0)

function runTests(paths, concurrency) {
  if (paths.length === 0) return 0
  const args = [
    '--enable-source-maps',
    ...(measures ? ['--experimental-test-coverage'] : []),
    '--test',
    '--test-reporter=spec',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${testTimeoutMs}`,
    ...paths,
  ]
  return spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1
}
