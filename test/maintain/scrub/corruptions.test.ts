// Goal: every kind of damage is found, and nothing else; what can be is put right, what cannot is out of the
// way; what was not damaged is not touched. Method: one store with all damage at once, each in a repository of its
// own, among repositories without any; the whole store is compared before and after.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Digest } from '../../../src/oci/digest.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import type { Expected } from './damage.ts'
import { dumpOf } from './dump.ts'
import { fileDamage } from './file-damage.ts'
import { Place } from './place.ts'
import { recordDamage } from './record-damage.ts'
import { peerOf, scrub } from './run-scrub.ts'

const allDamage = { ...fileDamage, ...recordDamage }

function lines(
  expected: readonly Expected[],
  outcomeOf: (of: Expected) => string | undefined,
): string[] {
  const told = expected.filter((each) => outcomeOf(each) !== undefined)
  return told.map((each) => `${each.kind} ${outcomeOf(each)} ${each.what}`).sort()
}

interface Damaged {
  readonly expected: readonly Expected[]
  readonly contents: Map<Digest, Buffer>
}

/** Every other repository is a decoy. */
async function damageAll(scene: MaintainScene): Promise<Damaged> {
  const contents = new Map<Digest, Buffer>()
  const expected: Expected[] = []
  let number = 10
  for (const damage of Object.values(allDamage)) {
    number += 1
    await Place.make(scene, `decoy/d${number}`, contents)
    const place = await Place.make(scene, `r${number}`, contents)
    expected.push(...(await damage(place)))
  }
  // What the damage has made of the counters is a case of its own.
  await scene.metadata.recountUsage({ repair: true })
  return { expected, contents }
}

const isUsage = (finding: string): boolean => finding.startsWith('usage-wrong')

describe('a store with every kind of damage', () => {
  test(`there are ${Object.keys(allDamage).length} of them`, () => {
    assert.ok(Object.keys(allDamage).length >= 26)
  })

  test('is found, put right or out of the way, and then stays as it is', async () => {
    await withScene({ stores: 'lmdb' }, async (scene) => {
      const { expected } = await damageAll(scene)
      const before = await dumpOf(scene)
      const dry = await scrub(scene, { dryRun: true })
      assert.deepEqual(
        dry.findings,
        lines(expected, ({ dry: outcome }) => outcome),
      )
      assert.equal(dry.ok, false)
      assert.deepEqual(await dumpOf(scene), before)
      const real = await scrub(scene)
      assert.deepEqual(
        real.findings.filter((finding) => !isUsage(finding)),
        lines(expected, ({ real: outcome }) => outcome),
      )
      assert.deepEqual(await scene.metadata.recountUsage({ repair: false }), [])
      const after = await dumpOf(scene)
      const isDecoy = (line: string): boolean => line.includes('decoy/')
      assert.deepEqual(after.filter(isDecoy), before.filter(isDecoy))
      const again = await scrub(scene)
      assert.deepEqual(
        again.findings,
        lines(expected, ({ again: outcome }) => outcome),
      )
      const waiting = expected.flatMap(({ waiting: what = [] }) => what)
      assert.deepEqual(again.waiting, waiting.sort())
      assert.deepEqual(await dumpOf(scene), after)
    })
  })

  test('is healed where a peer has what is lost, and serves it again', async () => {
    await withScene({ stores: 'lmdb' }, async (scene) => {
      const { expected, contents } = await damageAll(scene)
      const peers = [peerOf(contents)]
      const real = await scrub(scene, { peers })
      const outcomeOf = ({ real: outcome, healed }: Expected): string | undefined =>
        healed ? 'healed' : outcome
      assert.deepEqual(
        real.findings.filter((finding) => !isUsage(finding)),
        lines(expected, outcomeOf),
      )
      const after = await dumpOf(scene)
      const again = await scrub(scene, { peers })
      assert.deepEqual(
        again.findings,
        lines(expected, ({ again: outcome }) => outcome),
      )
      assert.deepEqual(again.waiting, [])
      assert.deepEqual(await dumpOf(scene), after)
      let number = 10
      for (const name of Object.keys(allDamage)) {
        number += 1
        await assertServes(scene, `r${number}`, contents, name)
      }
    })
  })
})

async function assertServes(
  scene: MaintainScene,
  repository: string,
  contents: ReadonlyMap<Digest, Buffer>,
  name: string,
): Promise<void> {
  const manifest = await scene.send('GET', `/v2/${repository}/manifests/v1`)
  assert.equal(manifest.status, 200, `${name}: manifest`)
  const { config, layers } = JSON.parse(manifest.body.toString()) as {
    readonly config: { readonly digest: Digest }
    readonly layers: readonly { readonly digest: Digest }[]
  }
  for (const { digest } of [config, ...layers]) {
    const blob = await scene.send('GET', `/v2/${repository}/blobs/${digest}`)
    assert.equal(blob.status, 200, `${name}: blob`)
    assert.deepEqual(blob.body, contents.get(digest), name)
  }
}
