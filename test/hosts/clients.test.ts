// Goal: clients as they are push to several hosts and pull from them, whichever host their next request comes to.
// Method: skopeo, podman, docker, and a client that sends an image's blobs in chunks, by way of a balancer without affinity;
// every byte is compared, on each host.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startDockerd } from '../support/engines.ts'
import { blobPath, digestsOf, dockerArchive, layoutArchive, makeImage } from '../support/images.ts'
import { inOwnNetwork } from '../support/own-network.ts'
import { assertStatus, locationOf, RegistryClient } from '../support/registry-client.ts'
import { run } from '../support/run.ts'
import { containersEnv } from '../support/scene.ts'
import { assertSameBlobs, assertServesImage, assertServesWhole } from '../support/served.ts'
import { needs, needsRootAnd } from '../support/tools.ts'
import { type Balancer, needsBalancer, startBalancer } from './balancer.ts'
import { needsHosts, Site } from './site.ts'
import { servedBy } from './weather.ts'

const options = { layers: 3, bytesPerLayer: 7_000_000 }
const chunkBytes = 1_500_000

inOwnNetwork(
  import.meta.filename,
  { skip: needsHosts.skip || needsBalancer.skip, timeoutMs: 900_000 },
  () => {
    describe('behind a balancer without affinity', {
      skip: needsHosts.skip || needsBalancer.skip,
    }, () => {
      let dir = ''
      let site: Site
      let balancer: Balancer
      let host = ''
      let env: NodeJS.ProcessEnv = {}

      before(async () => {
        dir = await mkdtemp(join(tmpdir(), 'keel-'))
        site = await Site.open()
        for (const name of ['host-a', 'host-b', 'host-c']) await site.add(name)
        await Promise.all(site.nodes.map((node) => node.start()))
        balancer = await startBalancer(dir, site.nodes)
        host = new URL(balancer.url).host
        env = await containersEnv(dir)
      })
      after(async () => {
        await balancer?.stop()
        await site?.close()
        await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
      })

      test('skopeo copies an image in and out unchanged', needs('skopeo'), async () => {
        const image = await makeImage(join(dir, 'skopeo'), { ...options, seed: 'hosts skopeo' })
        const reference = `docker://${host}/clients/skopeo:v1`
        const skopeo = (...args: readonly string[]): Promise<string> => run('skopeo', args, { env })
        await skopeo('copy', '--dest-tls-verify=false', `oci:${image.dir}:latest`, reference)
        for (const { url } of site.nodes)
          await assertServesImage(url, 'clients/skopeo', 'v1', image)
        const back = join(dir, 'skopeo-back')
        await skopeo('copy', '--src-tls-verify=false', reference, `oci:${back}:latest`)
        await assertSameBlobs(back, image.dir, digestsOf(image))
      })

      test('podman pushes an image and pulls it back', needsRootAnd('podman'), async () => {
        const image = await makeImage(join(dir, 'podman'), { ...options, seed: 'hosts podman' })
        const reference = `${host}/clients/podman:v1`
        const flags = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run')]
        const podman = (...args: readonly string[]): Promise<string> =>
          run('podman', [...flags, '--storage-driver', 'vfs', '--log-level', 'error', ...args], {
            env,
          })
        const archive = join(dir, 'layout.tar')
        await writeFile(archive, await layoutArchive(image.dir, digestsOf(image)))
        await podman('load', '--input', archive)
        await podman('tag', image.config.digest.slice('sha256:'.length), reference)
        await podman('push', '--tls-verify=false', reference)
        for (const { url } of site.nodes) {
          const { manifest } = await assertServesWhole(url, 'clients/podman', 'v1')
          assert.equal(manifest.config.digest, image.config.digest)
        }
        await podman('rmi', '--all', '--force')
        await podman('pull', '--tls-verify=false', reference)
        const [found] = JSON.parse(await podman('image', 'inspect', reference))
        assert.deepEqual(
          [`sha256:${found.Id}`, found.RootFS.Layers],
          [image.config.digest, image.diffIds],
        )
      })

      test(
        'docker pushes an image and pulls it back',
        needsRootAnd('docker', 'dockerd'),
        async (t) => {
          const place = join(dir, 'docker')
          const made = { ...options, seed: 'hosts docker' }
          const image = await makeImage(join(place, 'image'), made)
          const reference = `${host}/clients/docker:v1`
          // Ends before its directory goes.
          const engine = await startDockerd({ dir: place, onEnd: (end) => t.after(end) })
          const settings = { DOCKER_HOST: engine, DOCKER_CONFIG: join(place, 'config') }
          const docker = (...args: readonly string[]): Promise<string> =>
            run('docker', args, { env: { ...process.env, ...settings } })
          const archive = join(place, 'load.tar')
          await writeFile(archive, await dockerArchive(image, made, reference))
          await docker('load', '-i', archive)
          await docker('push', reference)
          for (const { url } of site.nodes) {
            const { manifest } = await assertServesWhole(url, 'clients/docker', 'v1')
            assert.equal(manifest.config.digest, image.config.digest)
          }
          await docker('rmi', reference)
          assert.equal(await docker('images', '-aq'), '')
          await docker('pull', reference)
          const found = await docker(
            'image',
            'inspect',
            '--format',
            '{{.Id}} {{json .RootFS.Layers}}',
            reference,
          )
          assert.equal(found, `${image.config.digest} ${JSON.stringify(image.diffIds)}`)
        },
      )

      test('each chunk of a client comes to another host', async () => {
        const image = await makeImage(join(dir, 'chunks'), { ...options, seed: 'hosts chunks' })
        const client = new RegistryClient(balancer.url)
        const repository = 'clients/chunks'
        try {
          for (const { digest } of [image.config, ...image.layers]) {
            const bytes = await readFile(blobPath(image.dir, digest))
            const hosts: (string | undefined)[] = []
            const started = await client.call('POST', `/v2/${repository}/blobs/uploads/`)
            let location = locationOf(assertStatus(started, 202))
            for (let at = 0; at < bytes.length; at += chunkBytes) {
              const chunk = bytes.subarray(at, at + chunkBytes)
              const answer = await client.patch(location, chunk, `${at}-${at + chunk.length - 1}`)
              location = locationOf(assertStatus(answer, 202))
              hosts.push(answer.headers[servedBy])
            }
            for (const [i, each] of hosts.entries()) if (i > 0) assert.notEqual(each, hosts[i - 1])
            assertStatus(await client.finish(location, digest), 201)
          }
          const manifest = await readFile(blobPath(image.dir, image.manifest.digest))
          const { mediaType } = image.manifest
          const put = await client.putManifest(repository, 'v1', manifest, mediaType)
          assertStatus(put.answer, 201)
        } finally {
          client.close()
        }
        for (const { url } of site.nodes) await assertServesImage(url, repository, 'v1', image)
      })
    })
  },
)
