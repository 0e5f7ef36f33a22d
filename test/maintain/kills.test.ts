// Goal: maintenance that is killed, wherever, loses nothing and gets done by being run again. Method: the
// commands in processes of their own, each killed three times at a change of what it writes that the seed
// chooses, then run to its end: what is left is what a run without a kill leaves, and another run has
// nothing to do. KEELSON_TEST_SEED repeats the choices.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Dice, randomFrom } from '../support/dice.ts'
import { filesBelow, fillStore, type Left, lookAt, writeLayout } from './kill-scene.ts'
import { assertEnded, type Place, runUntil } from './killed-command.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const kills = 3
const timeout = 600_000
// As fast as lets a kill land in the middle.
const settings = `
[storage]
durability = "none"
[gc]
grace = "1h"
blobs_per_second = 400
[scrub]
bytes_per_second = "8KiB"
[retention]
tags_per_second = 100
[backup]
bytes_per_second = "8KiB"
[global.retention_policy]
rules = ["image.tag.startsWith('keep')"]
`

interface Kind {
  readonly name: string
  readonly command: (dir: string) => readonly string[]
  /** The store is damaged before, and what manifests name may lack, for good: it ends with 1. */
  readonly damage?: boolean
  /** Where it writes, in place of the store. */
  readonly target?: (dir: string) => string
  /** What is compared; default: the store. */
  readonly result?: (place: Place) => Promise<readonly string[]>
}

const kinds: readonly Kind[] = [
  { name: 'gc', command: () => ['gc', '--json'] },
  { name: 'prune', command: () => ['prune', '--json'] },
  { name: 'scrub', command: () => ['scrub', '--json'], damage: true },
  {
    name: 'backup',
    command: (dir) => ['backup', 'create', '--to', join(dir, 'backup'), '--json'],
    target: (dir) => join(dir, 'backup'),
    result: verifiedBackup,
  },
  {
    name: 'import',
    command: (dir) => [
      'import',
      '--from',
      'oci-layout',
      '--repository',
      'new',
      join(dir, 'layout'),
    ],
  },
]

/** The blobs and segments that it has; snapshots have names of their own. */
async function verifiedBackup(place: Place): Promise<readonly string[]> {
  const target = place.target ?? ''
  assertEnded(
    await runUntil({ ...place, target: undefined } as never, ['backup', 'verify', target]),
  )
  return (await filesBelow(target)).filter((line) => line.startsWith('file blobs/'))
}

/** A store of each state, and what the commands read and write beside it. */
async function makeTemplates(dir: string): Promise<void> {
  for (const [name, damage] of [
    ['sound', false],
    ['damaged', true],
  ] as const) {
    const template = join(dir, name)
    await mkdir(join(template, 'backup'), { recursive: true })
    await fillStore(join(template, 'store'), { damage })
    await writeLayout(join(template, 'layout'))
  }
}

async function copyOf(dir: string, kind: Kind, name: string): Promise<Place> {
  const own = join(dir, `${kind.name}-${name}`)
  await cp(join(dir, kind.damage ? 'damaged' : 'sound'), own, { recursive: true })
  const rootDir = join(own, 'store')
  const config = join(own, 'config.toml')
  await writeFile(config, `[blob_store.fs]\nroot_dir = ${JSON.stringify(rootDir)}\n${settings}`)
  const target = kind.target?.(own)
  return { rootDir, config, ...(target === undefined ? {} : { target }) }
}

/** Where it was killed. A run that was faster than its kill is repeated, with an earlier one. */
async function killOnce(kind: Kind, place: Place, killAt: number): Promise<number> {
  for (let at = killAt; ; at = Math.floor(at / 2)) {
    const ended = await runUntil(place, kind.command(join(place.rootDir, '..')), at)
    if (ended.signal === 'SIGKILL') return ended.changes
    assert.ok(at > 1, `${kind.name} could not be killed: ${ended.out}`)
  }
}

async function prove(t: TestContext, dir: string, kind: Kind, dice: Dice): Promise<void> {
  const code = kind.damage ? 1 : 0
  const command = (place: Place): readonly string[] => kind.command(join(place.rootDir, '..'))
  const whole = await copyOf(dir, kind, 'whole')
  const first = assertEnded(await runUntil(whole, command(whole)), code)
  const expected = await resultOf(kind, whole)

  const place = await copyOf(dir, kind, 'killed')
  const points: number[] = []
  for (let kill = 0; kill < kills; kill++) {
    // What is left to do becomes less.
    const most = Math.max(2, Math.floor((first.changes * 0.6) / (kill + 1)))
    points.push(await killOnce(kind, place, 1 + dice.below(most)))
    const { state } = await lookAt(place.rootDir, { sparse: kind.damage === true })
    assert.deepEqual(
      state.breaches.filter((line) => !isOfDamage(kind, line)),
      [],
    )
  }
  t.diagnostic(`of ${first.changes} changes, killed at ${points.join(', ')}`)
  assertEnded(await runUntil(place, command(place)), code)
  assertSame(await resultOf(kind, place), expected, 'after the kills')
  assertEnded(await runUntil(place, command(place)), code)
  assertSame(await resultOf(kind, place), expected, 'another run has nothing to do')
}

/** Shows the lines that differ alone. */
function assertSame(found: readonly string[], expected: readonly string[], when: string): void {
  const surplus = found.filter((line) => !expected.includes(line))
  const lacking = expected.filter((line) => !found.includes(line))
  assert.deepEqual({ when, surplus, lacking }, { when, surplus: [], lacking: [] })
}

async function resultOf(kind: Kind, place: Place): Promise<readonly string[]> {
  if (kind.result !== undefined) return kind.result(place)
  const left: Left = await lookAt(place.rootDir, { sparse: kind.damage === true })
  assert.deepEqual(left.state.breaches, [])
  assert.deepEqual(left.state.destroying, [])
  assert.deepEqual(left.state.orphans, [])
  return left.lines
}

/** Until scrub has looked at it. */
function isOfDamage(kind: Kind, line: string): boolean {
  return kind.damage === true && /has other bytes|has no bytes|bytes instead of/.test(line)
}

test('maintenance that is killed three times gets done', { timeout }, async (t) => {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const dice = new Dice(randomFrom(seed))
  const dir = await mkdtemp(join(tmpdir(), 'keelson-kills-'))
  try {
    await makeTemplates(dir)
    for (const kind of kinds) {
      const own = dice.fork()
      await t.test(kind.name, (inner) => prove(inner, dir, kind, own))
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
