// Goal: whatever garbage collection does beside a push, what a client was told holds. Method: the races
// that other registries lost, one by one, in a real server whose time the test lets pass.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gatedBody } from '../fault/gated-body.ts'
import { descriptor, sampleImage, sampleIndex, types } from '../http/sample-content.ts'
import { seededBytes } from '../support/images.ts'
import { assertStatus, digestOf, locationOf } from '../support/registry-client.ts'
import { TimeMachine } from './time-machine.ts'

const blobs = '/v2/app/blobs'

function image(seed: string): ReturnType<typeof sampleImage> {
  return sampleImage(seed)
}

async function pushBlobs(machine: TimeMachine, seed: string, repository = 'app'): Promise<void> {
  for (const bytes of image(seed).blobs) await machine.client.pushBlob(repository, bytes)
}

async function pushImage(machine: TimeMachine, seed: string, reference: string): Promise<string> {
  await pushBlobs(machine, seed)
  const pushed = await machine.client.putManifest('app', reference, image(seed).manifest)
  assertStatus(pushed.answer, 201, `push ${reference}`)
  return pushed.digest
}

/** All of it is there. */
async function assertPulls(machine: TimeMachine, seed: string, reference: string): Promise<void> {
  const { client } = machine
  const path = `/v2/app/manifests/${reference}`
  const manifest = assertStatus(await client.get(path), 200, `pull ${reference}`)
  assert.equal(digestOf(manifest.body), digestOf(Buffer.from(JSON.stringify(image(seed).manifest))))
  for (const bytes of image(seed).blobs) {
    const blob = assertStatus(await client.get(`${blobs}/${digestOf(bytes)}`), 200, 'pull a blob')
    assert.ok(blob.body.equals(bytes))
  }
}

test('what HEAD said is there is there for the manifest, whenever garbage is collected', async (t) => {
  const machine = await TimeMachine.open(t)
  const { client } = machine
  await pushBlobs(machine, 'asked for')
  await pushBlobs(machine, 'forgotten')
  machine.pass(40)
  for (const bytes of image('asked for').blobs) {
    assertStatus(await client.head(`${blobs}/${digestOf(bytes)}`), 200, 'HEAD')
  }
  machine.pass(40)
  await machine.job('gc')
  const { manifest } = image('asked for')
  assertStatus((await client.putManifest('app', 'v1', manifest)).answer, 201)
  await assertPulls(machine, 'asked for', 'v1')
  // What nobody asked for is gone, and who relies on it is told to bring it again.
  const refused = await client.putManifest('app', 'v2', image('forgotten').manifest)
  assertStatus(refused.answer, 404)
  assert.match(String(refused.answer.body), /MANIFEST_BLOB_UNKNOWN/)
})

test('a mount while garbage is collected gives the blob, or an upload', async (t) => {
  const machine = await TimeMachine.open(t, 'blobs_per_second = 200\n')
  const { client } = machine
  const contents = Array.from({ length: 400 }, (_, i) => Buffer.from(`blob ${i}`))
  for (const bytes of contents) await client.pushBlob('app', bytes)
  machine.pass(61)
  const collecting = machine.job('gc')
  const mounted: Buffer[] = []
  for (const bytes of contents.toReversed()) {
    const query = `?mount=${digestOf(bytes)}&from=app`
    const answer = await client.call('POST', `/v2/other/blobs/uploads/${query}`)
    if (answer.status === 201) mounted.push(bytes)
    else await client.delete(locationOf(assertStatus(answer, 202, 'mount')))
  }
  await collecting
  await machine.job('gc')
  assert.ok(mounted.length > 0 && mounted.length < contents.length, `${mounted.length} mounted`)
  const [config, ...layers] = mounted.map((bytes) => descriptor(types.layer, bytes))
  const manifest = { schemaVersion: 2, mediaType: types.image, config, layers: layers.slice(0, 50) }
  assertStatus((await client.putManifest('other', 'v1', manifest)).answer, 201)
  for (const bytes of mounted) {
    const answer = await client.get(`/v2/other/blobs/${digestOf(bytes)}`)
    assert.ok(assertStatus(answer, 200, 'a mounted blob').body.equals(bytes))
  }
})

test('a condemned blob that is pushed again lives, whatever was about to become of it', async (t) => {
  const machine = await TimeMachine.open(t)
  const { client } = machine
  await pushBlobs(machine, 'again')
  machine.pass(61)
  await machine.job('gc')
  const [config = Buffer.alloc(0)] = image('again').blobs
  assertStatus(await client.get(`${blobs}/${digestOf(config)}`), 404, 'condemned')
  machine.pass(61)
  // Its window is over: the next run would destroy it.
  await pushImage(machine, 'again', 'v1')
  await machine.job('gc')
  machine.pass(200)
  await machine.job('gc')
  await assertPulls(machine, 'again', 'v1')
})

test('a blob can be pushed while it is destroyed', async (t) => {
  const machine = await TimeMachine.open(t)
  const { client } = machine
  const contents = Array.from({ length: 120 }, (_, i) => Buffer.from(`blob ${i}`))
  for (const bytes of contents) await client.pushBlob('app', bytes)
  machine.pass(61)
  await machine.job('gc')
  machine.pass(61)
  const destroying = machine.job('gc')
  await Promise.all(contents.map((bytes) => client.pushBlob('app', bytes)))
  await destroying
  await machine.job('gc')
  for (const bytes of contents) {
    const answer = await client.get(`${blobs}/${digestOf(bytes)}`)
    assert.ok(assertStatus(answer, 200, 'pushed again').body.equals(bytes))
  }
})

test('an upload may take longer than the grace', async (t) => {
  const machine = await TimeMachine.open(t)
  const { client } = machine
  const bytes = seededBytes('slow', 300_000)
  const location = await client.startUpload('app')
  assertStatus(await client.patch(location, bytes.subarray(0, 100_000)), 202)
  machine.pass(600)
  await machine.job('gc')
  const gate = gatedBody()
  const rest = client.patch(location, gate.body)
  gate.feed(bytes.subarray(100_000, 200_000))
  machine.pass(600)
  await machine.job('gc')
  gate.feed(bytes.subarray(200_000))
  gate.end()
  assertStatus(await rest, 202)
  machine.pass(600)
  await machine.job('gc')
  assertStatus(await client.finish(location, digestOf(bytes)), 201)
  const answer = await client.get(`${blobs}/${digestOf(bytes)}`)
  assert.ok(assertStatus(answer, 200).body.equals(bytes))
})

test('what two indexes share stays when one of them goes, and goes with the other', async (t) => {
  const toml = 'untagged = "delete"\nuntagged_after = "1m"\n'
  const machine = await TimeMachine.open(t, toml)
  const { client } = machine
  const child = await pushImage(machine, 'shared', digestOf(manifestOf('shared')))
  const indexes = ['one', 'two'].map((name) => ({
    ...sampleIndex([descriptor(types.image, manifestOf('shared'))]),
    annotations: { name },
  }))
  for (const [i, index] of indexes.entries()) {
    assertStatus((await client.putManifest('app', `index-${i}`, index)).answer, 201)
  }
  const sweep = async (): Promise<void> => {
    for (let round = 0; round < 3; round++) {
      machine.pass(61)
      await machine.job('gc')
    }
  }
  const first = digestOf(Buffer.from(JSON.stringify(indexes[0])))
  assertStatus(await client.delete(`/v2/app/manifests/${first}`), 202)
  await sweep()
  await assertPulls(machine, 'shared', child)
  assertStatus(await client.get('/v2/app/manifests/index-1'), 200)
  assertStatus(await client.delete('/v2/app/manifests/index-1'), 202)
  await sweep()
  assertStatus(await client.get(`/v2/app/manifests/${child}`), 404, 'nobody lists it')
  await sweep()
  for (const bytes of image('shared').blobs) {
    assertStatus(await client.get(`${blobs}/${digestOf(bytes)}`), 404, 'nobody names it')
  }
})

function manifestOf(seed: string): Buffer {
  return Buffer.from(JSON.stringify(image(seed).manifest))
}
