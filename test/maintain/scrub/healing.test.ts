// Goal: what is lost is served to nobody, and comes back by a push or from a peer, and to nobody who had no right to it;
// what cannot be read is not taken for lost. Method: damage to single blobs and manifests in memory.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerSource } from '../../../src/maintain/scrub/peer.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import {
  blobKey,
  manifestKey,
  tagKey,
  tagOfDigestKey,
} from '../../../src/storage/metadata/kv/keys.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import { imageOf, Place } from './place.ts'
import { peerOf, plant, scrub } from './run-scrub.ts'

async function withPlace(
  body: (place: Place, scene: MaintainScene) => Promise<void>,
): Promise<void> {
  await withScene({}, async (scene) => {
    await body(await Place.make(scene, 'library/app', new Map()), scene)
  })
}

async function statusOf(scene: MaintainScene, what: string): Promise<number> {
  return (await scene.send('GET', `/v2/library/app/${what}`)).status
}

test('a corrupt blob reads as absent until it is pushed again', async () => {
  await withPlace(async (place, scene) => {
    const { layer, bytes } = place.image
    const blob = `blobs/${layer}`
    assert.equal(await statusOf(scene, blob), 200)
    await plant(scene, layer, Buffer.from('layer of library/apq'))
    const { findings, deeds, ok } = await scrub(scene)
    assert.deepEqual(findings, [`corrupt quarantined ${layer}`])
    assert.deepEqual(deeds, [`quarantine-blob ${layer}`])
    assert.equal(ok, false)
    assert.equal(await statusOf(scene, blob), 404)
    const refused = await scene.send('PUT', '/v2/library/app/manifests/v2', {
      body: bytes,
      headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
    })
    assert.equal(refused.status, 404, 'a manifest cannot count on it')
    await place.pushBlob('layer of library/app')
    assert.equal(await statusOf(scene, blob), 200)
    const again = await scrub(scene)
    assert.deepEqual([again.ok, again.findings, again.waiting], [true, [], []])
  })
})

test('a manifest whose bytes are wrong reads as absent until it is pushed again', async () => {
  await withPlace(async (place, scene) => {
    const key = manifestKey(place.repository, place.image.manifest)
    await place.change((t) => t.putBody(key, imageOf('another').bytes))
    const { findings } = await scrub(scene)
    assert.deepEqual(findings, [`body-corrupt quarantined ${key}`])
    assert.equal(await statusOf(scene, 'manifests/v1'), 404)
    const again = await scrub(scene)
    assert.deepEqual([again.ok, again.findings], [false, []])
    assert.deepEqual(again.waiting, [`library/app@${place.image.manifest}`])
    await place.pushManifest(place.image.bytes)
    assert.equal(await statusOf(scene, 'manifests/v1'), 200)
    const healed = await scrub(scene)
    assert.deepEqual([healed.ok, healed.findings, healed.waiting], [true, [], []])
    assert.deepEqual(await scene.metadata.recountUsage({ repair: false }), [])
  })
})

test('a manifest whose bytes are out of the way can be deleted', async () => {
  await withPlace(async (place, scene) => {
    const key = manifestKey(place.repository, place.image.manifest)
    await place.change((t) => t.removeBody(key))
    await scrub(scene)
    const target = `/v2/library/app/manifests/${place.image.manifest}`
    assert.equal((await scene.send('DELETE', target)).status, 202)
    const again = await scrub(scene)
    assert.deepEqual([again.ok, again.findings, again.waiting], [true, [], []])
  })
})

test('what waits since an earlier run is healed once a peer has it', async () => {
  await withPlace(async (place, scene) => {
    const { layer, manifest } = place.image
    await plant(scene, layer, undefined)
    await place.change((t) => t.removeBody(manifestKey(place.repository, manifest)))
    await scrub(scene)
    const waiting = await scrub(scene, { peers: [peerOf(new Map())] })
    assert.deepEqual(waiting.waiting, [`library/app@${manifest}`, layer])
    const peers = [peerOf(new Map(), 'empty'), peerOf(place.contents)]
    const healed = await scrub(scene, { peers })
    assert.deepEqual(healed.findings, [
      `quarantined-before healed library/app@${manifest}`,
      `quarantined-before healed ${layer}`,
    ])
    assert.equal(healed.ok, true)
    assert.equal(await statusOf(scene, 'manifests/v1'), 200)
    assert.equal(await statusOf(scene, `blobs/${layer}`), 200)
  })
})

test('a tag whose manifest is gone without a trace is healed with all of its records', async () => {
  await withPlace(async (place, scene) => {
    const { manifest, bytes } = imageOf('lost')
    await place.pushBlob('config of lost')
    await place.pushBlob('layer of lost')
    const tag = place.tag
    await place.row(tagOfDigestKey(place.repository, place.image.manifest, tag), undefined)
    await place.row(tagKey(place.repository, tag), manifest)
    await place.row(tagOfDigestKey(place.repository, manifest, tag), '1')
    const { findings } = await scrub(scene, { peers: [peerOf(new Map([[manifest, bytes]]))] })
    assert.deepEqual(findings, [`tag-dangling healed ${tagKey(place.repository, tag)}`])
    assert.equal(await statusOf(scene, 'manifests/v1'), 200)
    assert.deepEqual((await scrub(scene)).findings, [])
  })
})

test('a peer that sends other bytes heals nothing, and is named', async () => {
  await withPlace(async (place, scene) => {
    const { layer, manifest } = place.image
    await plant(scene, layer, undefined)
    await place.change((t) => t.removeBody(manifestKey(place.repository, manifest)))
    const lies = new Map<string, Uint8Array>([
      [layer, Buffer.from('layer of library/apq')],
      [manifest, imageOf('another').bytes],
    ])
    const { findings, peerProblems } = await scrub(scene, { peers: [peerOf(lies, 'liar')] })
    // That the bytes no longer count is found, too.
    assert.deepEqual(
      findings.filter((finding) => !finding.startsWith('usage-wrong')),
      [
        `body-missing quarantined ${manifestKey(place.repository, manifest)}`,
        `missing quarantined ${layer}`,
      ],
    )
    assert.match(peerProblems.join(), /^peer liar: .*something else$/)
    assert.equal(await statusOf(scene, `blobs/${layer}`), 404)
    const staged: string[] = []
    for await (const upload of scene.disk.blobs.listStaged()) staged.push(upload)
    assert.deepEqual(staged, [])
    assert.deepEqual(await scene.metadata.listUploads({ limit: 9 }), [])
  })
})

test('a peer that is away is asked a few times, not for each blob', async () => {
  await withScene({}, async (scene) => {
    for (let i = 0; i < 8; i++) {
      const place = await Place.make(scene, `r${i}`, new Map())
      await plant(scene, place.image.layer, undefined)
    }
    let asked = 0
    const away: PeerSource = {
      name: 'away',
      open: async () => {
        asked++
        throw new Error('nobody listens there')
      },
    }
    const { findings, peerProblems } = await scrub(scene, { peers: [away] })
    assert.equal(findings.length, 8)
    assert.equal(asked, 3)
    assert.deepEqual(peerProblems, ['peer away: nobody listens there'])
  })
})

test('a blob of which neither record nor file is left can be pushed again', async () => {
  await withPlace(async (place, scene) => {
    const leased = await place.pushBlob('that no manifest names')
    for (const digest of [place.image.layer, leased]) {
      await place.row(blobKey(digest), undefined)
      await plant(scene, digest, undefined)
    }
    const { findings } = await scrub(scene)
    const expected = [place.image.layer, leased].flatMap((digest) => [
      `blob-record-missing repaired ${blobKey(digest)}`,
      `missing quarantined ${digest}`,
    ])
    assert.deepEqual(
      findings.filter((finding) => !finding.startsWith('usage-wrong')),
      expected.sort(),
    )
    for (const text of ['layer of library/app', 'that no manifest names']) {
      const digest = await place.pushBlob(text)
      assert.equal(await statusOf(scene, `blobs/${digest}`), 200)
    }
    const again = await scrub(scene)
    assert.deepEqual([again.ok, again.findings, again.waiting], [true, [], []])
  })
})

test('a condemned blob that is corrupt is not served after it is restored', async () => {
  await withPlace(async (place, scene) => {
    const digest = await place.pushBlob('to be condemned')
    const lease = { beforeMs: scene.nowMs + 2 * scene.graceMs, limit: 9 }
    const leases = await scene.metadata.listEndedLeases(lease)
    await scene.metadata.condemn(leases, { nowMs: lease.beforeMs, run: 'gc' })
    await plant(scene, digest, Buffer.from('to be condemneD'))
    assert.deepEqual((await scrub(scene)).findings, [`corrupt quarantined ${digest}`])
    assert.deepEqual((await scrub(scene)).findings, [])
    const dropped = await scene.metadata.listDropped({ limit: 9 })
    const by = { nowMs: scene.nowMs, leaseUntilMs: scene.nowMs + scene.graceMs }
    await scene.metadata.restoreDropped(dropped, by)
    assert.equal(await statusOf(scene, `blobs/${digest}`), 404)
    await place.pushBlob('to be condemned')
    assert.equal(await statusOf(scene, `blobs/${digest}`), 200)
  })
})

test('a link that was taken away stays so when the blob is healed', async () => {
  await withPlace(async (place, scene) => {
    const digest = await place.pushBlob('let go')
    await scene.pushBlob('library/other', Buffer.from('let go'))
    await scene.send('DELETE', `/v2/library/app/blobs/${digest}`)
    await plant(scene, digest, undefined)
    // Nothing names it, so it is not missed.
    assert.deepEqual((await scrub(scene)).findings, [`missing quarantined ${digest}`])
    const healed = await scrub(scene, { peers: [peerOf(place.contents)] })
    assert.deepEqual(healed.findings, [])
    assert.equal(await statusOf(scene, `blobs/${digest}`), 404)
  })
})

test('in the tree of another registry no file is moved', async () => {
  await withPlace(async (place, scene) => {
    await scene.metadata.setAdoption({ sinceMs: 1, of: 'distribution' })
    const { layer } = place.image
    const wrong = Buffer.from('layer of library/apq')
    await plant(scene, layer, wrong)
    const orphan = await scene.disk.blobs.size(layer)
    const { findings } = await scrub(scene, { peers: [peerOf(place.contents)] })
    assert.deepEqual(findings, [`corrupt quarantined ${layer}`])
    assert.equal(await scene.disk.blobs.size(layer), orphan)
    assert.equal(await statusOf(scene, `blobs/${layer}`), 404)
  })
})

test('a run that is stopped goes on where it was, and tells all that it found', async () => {
  await withScene({}, async (scene) => {
    const lost: Digest[] = []
    for (let i = 0; i < 6; i++) {
      const place = await Place.make(scene, `r${i}`, new Map())
      await plant(scene, place.image.layer, undefined)
      lost.push(place.image.layer)
    }
    let blobs = 0
    for (let tries = 0; tries < 3; tries++) {
      const stop = new AbortController()
      let left = 4
      const onPace = ({ items }: { readonly items: number }): void => {
        if (items === 1 && --left === 0) stop.abort()
      }
      const cut = await scrub(scene, { onPace, signal: stop.signal })
      assert.ok(cut.blobs > blobs, `try ${tries}: ${cut.blobs} after ${blobs}`)
      blobs = cut.blobs
    }
    const whole = await scrub(scene)
    assert.equal(whole.blobs, 12)
    assert.deepEqual(whole.findings, lost.map((digest) => `missing quarantined ${digest}`).sort())
  })
})
