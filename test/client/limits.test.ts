// Goal: a client that is refused at a limit on requests comes back and succeeds. Method: skopeo, which
// podman and buildah share their ways with, under limits that one image is beyond. What the other
// clients do is told in docs/limits.md.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestsOf, makeImage } from '../support/images.ts'
import { attempt } from '../support/run.ts'
import { containersEnv, openScene } from '../support/scene.ts'
import { assertSameBlobs, assertServesImage, pushImage } from '../support/served.ts'
import { needs } from '../support/tools.ts'

function limitTo(action: string): string {
  return `[limits.rate.few]\nactions = ["${action}"]\nrequests = 4\nperiod = "2s"\n`
}

async function openLimited(t: TestContext, action: string) {
  const scene = await openScene(t, { toml: limitTo(action) })
  const image = await makeImage(join(scene.dir, 'made'), {
    ...{ layers: 6, bytesPerLayer: 100_000, seed: 'limits' },
  })
  const env = await containersEnv(scene.dir)
  const copy = async (...args: readonly string[]): Promise<void> => {
    const { code, stderr } = await attempt('skopeo', ['--debug', 'copy', ...args], { env })
    assert.equal(code, 0, stderr)
    assert.match(stderr, /Too many requests to .*sleeping for [1-9]/)
  }
  return { ...scene, image, copy, reference: `docker://${scene.server.host}/team/app:v1` }
}

test(
  'skopeo pulls an image of more blobs than it may fetch at once',
  needs('skopeo'),
  async (t) => {
    const { dir, server, image, copy, reference } = await openLimited(t, 'get-blob')
    await pushImage(server.url, 'team/app', 'v1', image)
    await copy('--src-tls-verify=false', reference, `oci:${join(dir, 'back')}:latest`)
    await assertSameBlobs(join(dir, 'back'), image.dir, digestsOf(image))
  },
)

test(
  'skopeo pushes an image of more blobs than it may begin at once',
  needs('skopeo'),
  async (t) => {
    const { server, image, copy, reference } = await openLimited(t, 'start-upload')
    await copy('--dest-tls-verify=false', `oci:${image.dir}:latest`, reference)
    await assertServesImage(server.url, 'team/app', 'v1', image)
  },
)
