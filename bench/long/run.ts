// `npm run bench:long`: soak and scale, too long for every commit. The last result is committed.

import { mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { superviseChildren } from '../children.ts'
import { keelson } from '../launch.ts'
import { choosePlacement, describeMachine, describeRevision, moveToLoadCore } from '../machine.ts'
import { findBases, makeDirectory } from '../workspace.ts'
import { scale } from './scale.ts'
import { isSteady, SOAK_SETTINGS, soak } from './soak.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    tags: { type: 'string', default: '100000' },
    repositories: { type: 'string', default: '10000' },
  },
})

superviseChildren()
const placement = choosePlacement()
moveToLoadCore(placement)
const bases = findBases(undefined)
const directory = makeDirectory(bases, 'disk')
if (directory === undefined) throw new Error('no directory for the store')

console.log(placement.note)
const server = await keelson.start({
  directory,
  serverCores: placement.serverCores,
  tls: undefined,
  settings: SOAK_SETTINGS,
})
if (server.kind !== 'server') throw new Error('keelson is a server')
const scaled = await scale(server.port, Number(values.tags), Number(values.repositories))
console.log(JSON.stringify(scaled))
const soaked = await soak(server, Number(values.minutes))
await server.stop()

const { samples, ...summary } = soaked
console.log(JSON.stringify(summary))
mkdirSync('bench/result', { recursive: true })
const result = {
  ...describeRevision(),
  machine: describeMachine(bases),
  placement: placement.note,
  scale: scaled,
  soak: { ...summary, samples: samples.filter((_, index) => index % 30 === 0) },
}
writeFileSync('bench/result/long.json', `${JSON.stringify(result, null, 2)}\n`)
process.exitCode = isSteady(soaked) ? 0 : 1
