// Goal: skopeo, podman and buildah push and pull over TLS and mTLS with the certificates of a folder
// in the form of certs.d. Method: one server without and one that requires client certificates.
import assert from 'node:assert/strict'
import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { digestsOf, type Image, layoutArchive, makeImage } from '../support/images.ts'
import { attempt, run } from '../support/run.ts'
import { containersEnv } from '../support/scene.ts'
import { assertSameBlobs, assertServesImage, assertServesWhole } from '../support/served.ts'
import { usePki, useTlsServer } from '../support/tls-server.ts'
import { needs, needsRootAnd } from '../support/tools.ts'

const options = { layers: 2, bytesPerLayer: 1_500_000, seed: 'tls' }

describe('over TLS', needs('openssl'), () => {
  const scene = usePki()
  let image: Image
  before(async () => {
    image = await makeImage(join(scene.dir, 'made'), options)
  })

  for (const clientAuth of [undefined, 'required'] as const) {
    describe(clientAuth ? 'with client certificates' : 'without client certificates', () => {
      const product = useTlsServer(scene, () => (clientAuth ? { clientAuth } : {}))
      let certs: string
      let withoutCa: string
      before(async () => {
        const { serverCa, client } = scene.pki
        certs = await mkdtemp(join(scene.dir, 'certs-'))
        withoutCa = await mkdtemp(join(scene.dir, 'certs-'))
        await copyFile(serverCa.certificateFile, join(certs, 'ca.crt'))
        if (clientAuth === undefined) return
        await copyFile(client.bundleFile, join(certs, 'client.cert'))
        await copyFile(client.keyFile, join(certs, 'client.key'))
      })

      async function openStorage(): Promise<{ dir: string; env: NodeJS.ProcessEnv }> {
        const dir = await mkdtemp(join(scene.dir, 's-'))
        await mkdir(join(dir, 'r'))
        return { dir, env: { ...(await containersEnv(dir)), BUILDAH_ISOLATION: 'chroot' } }
      }

      const storageOf = (dir: string): readonly string[] => [
        ...['--root', join(dir, 'root'), '--runroot', join(dir, 'run'), '--storage-driver', 'vfs'],
      ]

      test('skopeo copies in and out', needs('skopeo'), async () => {
        const { dir, env } = await openStorage()
        const { host, server } = product.get()
        const reference = `docker://${host}/skopeo/app:v1`
        const into = ['copy', '--dest-cert-dir', certs, `oci:${image.dir}:latest`, reference]
        await run('skopeo', into, { env })
        await assertServesImage(server.url, 'skopeo/app', 'v1', image)
        const back = join(dir, 'back')
        const out = ['copy', '--src-cert-dir', certs, reference, `oci:${back}:latest`]
        await run('skopeo', out, { env })
        await assertSameBlobs(back, image.dir, digestsOf(image))
        const blind = await attempt('skopeo', ['inspect', '--cert-dir', withoutCa, reference], {
          env,
        })
        assert.notEqual(blind.code, 0)
        assert.match(blind.stderr, /x509|certificate/)
      })

      test('podman pushes and pulls', needsRootAnd('podman'), async () => {
        const { dir, env } = await openStorage()
        const { host, server } = product.get()
        const podman = (...args: readonly string[]): Promise<string> =>
          run('podman', [...storageOf(dir), '--log-level', 'error', ...args], { env })
        const reference = `${host}/podman/app:v1`
        const archive = join(dir, 'layout.tar')
        await writeFile(archive, await layoutArchive(image.dir, digestsOf(image)))
        await podman('load', '--input', archive)
        await podman('tag', image.config.digest.slice('sha256:'.length), reference)
        await podman('push', '--cert-dir', certs, reference)
        const { manifest } = await assertServesWhole(server.url, 'podman/app', 'v1')
        assert.equal(manifest.config.digest, image.config.digest)
        await podman('rmi', '--all', '--force')
        await podman('pull', '--cert-dir', certs, reference)
        const [found] = JSON.parse(await podman('image', 'inspect', reference))
        assert.equal(`sha256:${found.Id}`, image.config.digest)
      })

      test('buildah pushes and pulls', needsRootAnd('buildah'), async () => {
        const { dir, env } = await openStorage()
        const { host, server } = product.get()
        const buildah = (...args: readonly string[]): Promise<string> =>
          run('buildah', [...storageOf(dir), ...args], { env })
        const reference = `${host}/buildah/app:v1`
        const container = await buildah('from', 'scratch')
        await buildah('add', container, join(image.dir, 'oci-layout'), '/file')
        await buildah('commit', '--rm', container, reference)
        await buildah('push', '--cert-dir', certs, reference)
        const { manifest } = await assertServesWhole(server.url, 'buildah/app', 'v1')
        await buildah('rmi', '--all', '--force')
        await buildah('pull', '--cert-dir', certs, reference)
        const id = await buildah('images', '--quiet', '--no-trunc')
        assert.equal(id, manifest.config.digest)
      })
    })
  }
})
