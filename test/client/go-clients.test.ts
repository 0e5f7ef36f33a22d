// Goal: clients that share no code with Docker's engine or podman's library get along with the
// registry. Method: crane and regctl, built from pinned source, push and pull images made here.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { goTool, needsGo } from '../support/go-tools.ts'
import { digestsOf, makeImage, makeIndex } from '../support/images.ts'
import { run } from '../support/run.ts'
import { openScene, type Scene } from '../support/scene.ts'
import { assertSameBlobs, assertServesImage, assertServesIndex } from '../support/served.ts'

const options = { layers: 3, bytesPerLayer: 2_000_000, seed: 'go-clients' }
const architectures = ['amd64', 'arm64']
const programs = {
  crane: 'github.com/google/go-containerregistry/cmd/crane',
  regctl: 'github.com/regclient/regclient/cmd/regctl',
} as const

interface ClientScene extends Scene {
  client(...args: readonly string[]): Promise<string>
}

async function openClient(
  t: TestContext,
  name: keyof typeof programs,
): Promise<ClientScene | undefined> {
  const program = await goTool(t, 'test/client/go', programs[name])
  if (program === undefined) return undefined
  const scene = await openScene(t)
  // Without the user's own settings and credentials.
  const env = { PATH: process.env['PATH'], HOME: scene.dir, DOCKER_CONFIG: scene.dir }
  return { ...scene, client: (...args) => run(program, args, { env }) }
}

test('crane pushes, copies, lists, deletes and pulls', needsGo(), async (t) => {
  const scene = await openClient(t, 'crane')
  if (scene === undefined) return
  const { dir, server, client } = scene
  const image = await makeImage(join(dir, 'made'), options)
  const repository = `${server.host}/crane/app`
  await client('push', '--insecure', image.dir, `${repository}:v1`)
  await assertServesImage(server.url, 'crane/app', 'v1', image)
  await client('copy', '--insecure', `${repository}:v1`, `${server.host}/crane/copy:v2`)
  await assertServesImage(server.url, 'crane/copy', 'v2', image)
  assert.equal(await client('digest', '--insecure', `${repository}:v1`), image.manifest.digest)
  await client('tag', '--insecure', `${repository}:v1`, 'v2')
  assert.equal(await client('ls', '--insecure', repository), 'v1\nv2')
  assert.equal(await client('catalog', '--insecure', server.host), 'crane/app\ncrane/copy')
  await client('pull', '--insecure', '--format', 'oci', `${repository}:v1`, join(dir, 'back'))
  await assertSameBlobs(join(dir, 'back'), image.dir, digestsOf(image))
  await client('delete', '--insecure', `${repository}@${image.manifest.digest}`)
  const head = await fetch(`${server.url}/v2/crane/app/manifests/v2`, { method: 'HEAD' })
  assert.equal(head.status, 404)
})

test('regctl copies an index, attaches an artifact and finds it', needsGo(), async (t) => {
  const scene = await openClient(t, 'regctl')
  if (scene === undefined) return
  const { dir, server, client } = scene
  await client('registry', 'set', server.host, '--tls', 'disabled')
  const made = await makeIndex(join(dir, 'made'), { ...options, architectures })
  const repository = `${server.host}/regctl/multi`
  await client('image', 'copy', `ocidir://${made.dir}:latest`, `${repository}:v1`)
  await assertServesIndex(server.url, 'regctl/multi', 'v1', made)
  await client('image', 'copy', `${repository}:v1`, `ocidir://${join(dir, 'back')}:v1`)
  const digests = [made.index.digest, ...made.images.flatMap(digestsOf)]
  await assertSameBlobs(join(dir, 'back'), made.dir, digests)

  const kind = 'application/vnd.example.note'
  const subject = ['--subject', `${repository}:v1`]
  await writeFile(join(dir, 'note'), 'a note')
  await client('artifact', 'put', '--artifact-type', kind, ...subject, '--file', join(dir, 'note'))
  const listed = await client('artifact', 'list', '--format', '{{json .}}', `${repository}:v1`)
  const [found, ...others] = JSON.parse(listed).descriptors
  assert.equal(found.artifactType, kind)
  assert.deepEqual(others, [])
  assert.equal(await client('artifact', 'get', `${repository}@${found.digest}`), 'a note')
  const response = await fetch(`${server.url}/v2/regctl/multi/referrers/${made.index.digest}`)
  const referrers = (await response.json()) as { manifests: { digest: string }[] }
  assert.deepEqual(
    referrers.manifests.map((entry) => entry.digest),
    [found.digest],
  )
})
