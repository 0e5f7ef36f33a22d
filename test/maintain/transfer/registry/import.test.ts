// Goal: what another registry holds comes over with every tag and digest, by whatever login it wants, and a
// second run brings only what is new. Method: real servers, ours with tokens and Debian's docker-registry.

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { hashPassword } from '../../../../workers/credentials.ts'
import { type Ran, runCommand } from '../../../support/command-line.ts'
import { startListening } from '../../../support/daemon.ts'
import {
  assertStatus,
  digestOf,
  json,
  type PushedManifest,
  RegistryClient,
} from '../../../support/registry-client.ts'
import { startRelay } from '../../../support/relay.ts'
import { getBlob, getManifest } from '../../../support/served.ts'
import { type Server, startServer } from '../../../support/server.ts'
import { findTool, needs } from '../../../support/tools.ts'

const password = 'tuesday-fjord-lemon'
const imageType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'keel-'))
  t.after(() => rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
  return dir
}

async function serve(t: TestContext, base: string): Promise<Server> {
  const server = await startServer({ base })
  t.after(() => server.stop())
  return server
}

const open = '[global.access_policy]\ndefault = "allow"\n'
const users = `
[auth.token_service]
[auth.identity.ann]
username = "ann"
password = ${JSON.stringify(hashPassword(password))}
[global.access_policy]
default = "deny"
rules = ["identity.username == 'ann'"]
`

function config(dir: string, more: string): string {
  return `[server]\nport = 0\n[blob_store.fs]\nroot_dir = ${JSON.stringify(join(dir, 'data'))}\n${more}`
}

const layer = Buffer.from('a layer that all share')

/** An image of a shared layer and its own config; its digest. */
async function pushImage(
  client: RegistryClient,
  name: string,
  reference: string | undefined,
  text: string,
  subject?: PushedManifest,
): Promise<PushedManifest> {
  const config = Buffer.from(JSON.stringify({ text }))
  for (const bytes of [layer, config]) await client.pushBlob(name, bytes)
  const manifest = {
    schemaVersion: 2,
    mediaType: imageType,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)],
    ...(subject === undefined ? {} : { subject: descriptor(imageType, subject.bytes) }),
  }
  return put(client, name, reference, manifest)
}

async function put(
  client: RegistryClient,
  name: string,
  reference: string | undefined,
  manifest: object,
): Promise<PushedManifest> {
  const bytes = Buffer.from(JSON.stringify(manifest))
  const pushed = await client.putManifest(name, reference ?? digestOf(bytes), manifest)
  assertStatus(pushed.answer, 201)
  return pushed
}

function descriptor(mediaType: string, bytes: Buffer): object {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

interface Seeded {
  /** Digests by `name:tag`. */
  readonly tags: ReadonlyMap<string, string>
  readonly subject: string
  readonly signature: string
}

/** Images that share a layer, an index of two of them, and a signature of one. */
async function seed(url: string): Promise<Seeded> {
  const client = new RegistryClient(url)
  const tags = new Map<string, string>()
  for (const [name, tag] of [
    ['team/app', 'v1'],
    ['team/app', 'v2'],
    ['library/base', 'latest'],
  ] as const) {
    tags.set(`${name}:${tag}`, (await pushImage(client, name, tag, `${name} ${tag}`)).digest)
  }
  const children = []
  for (const text of ['amd64', 'arm64']) {
    const { bytes } = await pushImage(client, 'team/app', undefined, text)
    children.push(descriptor(imageType, bytes))
  }
  const index = { schemaVersion: 2, mediaType: indexType, manifests: children }
  tags.set('team/app:multi', (await put(client, 'team/app', 'multi', index)).digest)
  const subject = await pushImage(client, 'team/app', 'signed', 'signed')
  tags.set('team/app:signed', subject.digest)
  const signature = await pushImage(client, 'team/app', undefined, 'signature', subject)
  client.close()
  return { tags, subject: subject.digest, signature: signature.digest }
}

/** Every tag with its digest, and every manifest and blob below it byte for byte. */
async function assertServes(url: string, { tags }: Pick<Seeded, 'tags'>): Promise<void> {
  for (const [image, digest] of tags) {
    const [name = '', tag = ''] = image.split(':')
    const served = await getManifest(url, name, tag)
    assert.equal(served.digest, digest, image)
    await assertWhole(url, name, served.bytes)
  }
}

async function assertWhole(url: string, name: string, bytes: Buffer): Promise<void> {
  const { manifests = [], layers = [], config } = JSON.parse(bytes.toString()) as Parts
  for (const { digest } of manifests) {
    await assertWhole(url, name, (await getManifest(url, name, digest)).bytes)
  }
  for (const { digest } of [...layers, ...(config ? [config] : [])])
    await getBlob(url, name, digest)
}

interface Part {
  readonly digest: string
}

interface Parts {
  readonly manifests?: readonly Part[]
  readonly layers?: readonly Part[]
  readonly config?: Part
}

interface Report {
  readonly ok: boolean
  readonly details: Readonly<Record<string, unknown>>
}

async function importFrom(
  target: Server,
  source: string,
  ...more: readonly string[]
): Promise<{ ran: Ran; report: Report }> {
  const line = ['-c', target.configFile, 'import', '--from', 'registry', '--json', ...more, source]
  const ran = await runCommand(line, target.rootDir)
  const report = ran.out === '' ? { ok: false, details: {} } : (JSON.parse(ran.out) as Report)
  return { ran, report }
}

test('a registry that wants a token is imported whole, and once', async (t) => {
  const [from, to] = [await folder(t), await folder(t)]
  const first = await startServer({ base: config(from, open) })
  const seeded = await seed(first.url)
  await first.stop()
  const source = await serve(t, config(from, users))
  const peer = `[peer.east]\nurl = "${source.url}"\nusername = "ann"\npassword = "${password}"\n`
  const target = await serve(t, config(to, `${peer}${open}`))

  const stranger = await importFrom(target, source.url)
  assert.equal(stranger.ran.code, 1, stranger.ran.out)
  assert.match(`${stranger.ran.out}${stranger.ran.err}`, /credentials/)

  const dry = await importFrom(target, 'east', '--dry-run')
  assert.equal(dry.ran.code, 0, dry.ran.err)
  assert.equal((await fetch(`${target.url}/v2/team/app/tags/list`)).status, 404)

  const { ran, report } = await importFrom(target, 'east')
  assert.equal(ran.code, 0, `${ran.out}${ran.err}`)
  assert.equal(report.details['tagsNew'], seeded.tags.size, ran.out)
  await assertServes(target.url, seeded)
  const client = new RegistryClient(target.url)
  t.after(() => client.close())
  const referrers = json<{ manifests: Part[] }>(
    await client.get(`/v2/team/app/referrers/${seeded.subject}`),
  )
  assert.deepEqual(
    referrers.manifests.map(({ digest }) => digest),
    [seeded.signature],
  )
  const again = await importFrom(
    target,
    'east',
    '--repository',
    'mirror/east',
    '--only',
    'team/app',
  )
  assert.equal(again.ran.code, 0, again.ran.err)
  assert.equal(
    (await getManifest(target.url, 'mirror/east/team/app', 'v1')).digest,
    seeded.tags.get('team/app:v1'),
  )
  const third = await importFrom(target, 'east')
  assert.deepEqual(
    [third.report.details['tagsNew'], third.report.details['tagsSame']],
    [0, seeded.tags.size],
  )
  assert.doesNotMatch(`${ran.out}${ran.err}${target.log.join()}`, new RegExp(password))
  assert.match((await importFrom(target, 'west')).ran.out, /known are east/)
})

test('a docker-registry is imported over HTTP', needs('docker-registry'), async (t) => {
  const [from, to] = [await folder(t), await folder(t)]
  const registry = await startDockerRegistry(t, from)
  const seeded = await seed(registry)
  const target = await serve(t, config(to, open))
  const { ran, report } = await importFrom(target, registry)
  assert.equal(ran.code, 0, `${ran.out}${ran.err}`)
  assert.equal(report.details['tagsNew'], seeded.tags.size, ran.out)
  await assertServes(target.url, seeded)
})

/** Its address, on a port that the kernel chose. */
async function startDockerRegistry(t: TestContext, dir: string): Promise<string> {
  const socket = join(dir, 'registry.sock')
  const file = join(dir, 'registry.yml')
  await writeFile(
    file,
    `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${join(dir, 'store')} } }
http: { net: unix, addr: ${socket} }
`,
  )
  const daemon = await startListening(socket, findTool('docker-registry') ?? '', ['serve', file])
  t.after(() => daemon.stop())
  const relay = await startRelay(socket)
  t.after(() => relay.close())
  return relay.url
}
