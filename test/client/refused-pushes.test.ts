// Goal: a push that is refused by a quota, for an immutable tag or by validation ends at once, and its user
// reads why.
// Method: every client pushes through a front that counts what it asks for; its exit and output are read.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startContainerd, startDockerd } from '../support/engines.ts'
import {
  digestsOf,
  dockerArchive,
  type Image,
  layoutArchive,
  makeImage,
} from '../support/images.ts'
import { attempt, type Finished, run } from '../support/run.ts'
import { containersEnv, openScene, type Scene } from '../support/scene.ts'
import { pushImage } from '../support/served.ts'
import { needs, needsRootAnd } from '../support/tools.ts'

const toml = `
[repository.fixed]
immutable_tags = true
[repository.small.quota]
bytes = "1000B"
[repository.named.validation]
repository_pattern = "named/[a-z]+-service"
[repository.tagged.validation]
tag_pattern = "release-[0-9]+"
`
const options = { layers: 2, bytesPerLayer: 50_000, seed: 'refused' }

interface Front {
  readonly host: string
  /** `PUT manifests 409`, as they were answered. */
  readonly answers: string[]
}

async function openFront(scene: Scene): Promise<Front> {
  const answers: string[] = []
  const front = createServer((asked, answer) => {
    const { method, url, headers } = asked
    const { port } = scene.server
    const body: Buffer[] = []
    const to = { host: '127.0.0.1', port, method, path: url, headers, agent: false }
    const forward = request(to, (got) => {
      const kind = url?.includes('/manifests/') ? 'manifests' : 'blobs'
      answers.push(`${method} ${kind} ${got.statusCode}`)
      answer.writeHead(got.statusCode ?? 500, got.headers)
      got.pipe(answer)
    })
    forward.on('error', () => answer.destroy())
    // Sent in one piece, since a refusal in the middle of a body would be lost to node's client.
    asked.on('data', (chunk: Buffer) => body.push(chunk))
    asked.on('end', () => forward.end(Buffer.concat(body)))
  })
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  scene.onEnd(async () => {
    front.closeAllConnections()
    front.close()
  })
  const { port } = front.address() as AddressInfo
  return { host: `127.0.0.1:${port}`, answers }
}

interface Refused {
  readonly scene: Scene
  readonly front: Front
  readonly image: Image
}

async function openRefused(t: TestContext): Promise<Refused> {
  const scene = await openScene(t, { toml })
  const taken = await makeImage(join(scene.dir, 'taken'), { ...options, seed: 'taken' })
  await pushImage(scene.server.url, 'fixed/app', 'v1', taken)
  const image = await makeImage(join(scene.dir, 'image'), options)
  return { scene, image, front: await openFront(scene) }
}

interface Refusal {
  readonly repository: string
  readonly status: number
  /** What the client shows. */
  readonly shows: RegExp
}

const refusals: readonly Refusal[] = [
  { repository: 'fixed/app', status: 409, shows: /the tag v1 is immutable/ },
  { repository: 'small/app', status: 403, shows: /the quota of small leaves no room/ },
  {
    repository: 'named/app',
    status: 403,
    shows: /the repository name named\/app does not match the repository_pattern of named/,
  },
  {
    repository: 'tagged/app',
    status: 403,
    shows: /the tag v1 does not match the tag_pattern of tagged/,
  },
]

/** `push` to each repository fails, says why, and is not tried again and again. */
async function assertTold(
  { front }: Refused,
  push: (reference: string) => Promise<Finished>,
  expected: readonly Refusal[] = refusals,
): Promise<void> {
  for (const { repository, status, shows } of expected) {
    front.answers.length = 0
    const { code, stdout, stderr } = await push(`${front.host}/${repository}:v1`)
    assert.ok(code !== 0 && code !== null, `${repository}: ${code} ${stdout} ${stderr}`)
    assert.match(`${stdout}${stderr}`, shows)
    const refused = front.answers.filter((answer) => answer.endsWith(` ${status}`))
    // For each layer that goes up at once a mount and an upload.
    assert.ok(refused.length >= 1 && refused.length <= 2 * options.layers, front.answers.join('\n'))
  }
}

test('skopeo tells why a push is refused', needs('skopeo'), async (t) => {
  const refused = await openRefused(t)
  const { scene, image } = refused
  const env = await containersEnv(scene.dir)
  await assertTold(refused, (reference) => {
    const copy = ['copy', '--dest-tls-verify=false', `oci:${image.dir}:latest`]
    return attempt('skopeo', [...copy, `docker://${reference}`], { env })
  })
})

test('podman tells why a push is refused', needsRootAnd('podman'), async (t) => {
  const refused = await openRefused(t)
  const { scene, image } = refused
  const env = await containersEnv(scene.dir)
  const storage = ['--root', join(scene.dir, 'root'), '--runroot', join(scene.dir, 'run')]
  const flags = [...storage, '--storage-driver', 'vfs']
  const path = join(scene.dir, 'load.tar')
  await writeFile(path, await dockerArchive(image, options, 'localhost/made:v1'))
  await run('podman', [...flags, 'load', '-i', path], { env })
  const push = ['push', '--tls-verify=false', 'localhost/made:v1']
  await assertTold(refused, (reference) =>
    attempt('podman', [...flags, ...push, reference], { env }),
  )
})

test('docker tells why a push is refused', needsRootAnd('docker', 'dockerd'), async (t) => {
  const refused = await openRefused(t)
  const { scene, image } = refused
  const env = {
    ...process.env,
    DOCKER_HOST: await startDockerd(scene),
    DOCKER_CONFIG: join(scene.dir, 'config'),
  }
  const path = join(scene.dir, 'load.tar')
  await writeFile(path, await dockerArchive(image, options, 'made:v1'))
  await run('docker', ['load', '-i', path], { env })
  await assertTold(refused, async (reference) => {
    await run('docker', ['tag', 'made:v1', reference], { env })
    return attempt('docker', ['push', reference], { env })
  })
})

test('containerd tells that a push is refused', needsRootAnd('containerd', 'ctr'), async (t) => {
  const refused = await openRefused(t)
  const { scene, image } = refused
  const flags = ['--address', await startContainerd(scene)]
  const archive = join(scene.dir, 'layout.tar')
  await writeFile(archive, await layoutArchive(image.dir, digestsOf(image)))
  const load = ['images', 'import', '--all-platforms', '--no-unpack', '--base-name', 'made']
  await run('ctr', [...flags, ...load, archive])
  const push = async (reference: string): Promise<Finished> => {
    await run('ctr', [...flags, 'images', 'tag', 'made:latest', reference])
    return attempt('ctr', [...flags, 'images', 'push', '--plain-http', reference])
  }
  // Of a refusal it shows the status alone, whatever its body says.
  const statuses = refusals.map((each) => ({
    ...each,
    shows: each.status === 409 ? /409 Conflict/ : /403 Forbidden/,
  }))
  await assertTold(refused, push, statuses)
})
