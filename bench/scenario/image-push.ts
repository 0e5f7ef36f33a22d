// `docker push` of new images, and of an image that the registry has: what CI does all day.

import { type Content, EMPTY, imageOf, KIB, MIB, PayloadSource, smallPayload } from '../content.ts'
import type { RoundContext, Scenario } from '../contract.ts'
import { drive } from '../load/drive.ts'
import type { ImageOrder } from '../load/image-driver.ts'
import { repeatSequence, type Step } from '../load/sequence.ts'
import { ROUNDS_ANY } from '../scenario-kind.ts'

const CONFIG_BYTES = 2 * KIB
const LAYER_BYTES = [4 * MIB, 2 * MIB, MIB, 100 * KIB, 4 * KIB]
const CLIENTS = 3
// What one round may leave in a store before it is reclaimed, beside one image per client.
const ROUND_BYTES_MAX = 1536 * MIB

export const imagePush: Scenario = {
  name: 'image-push',
  asks: 'Push images of 7.1 MiB in 5 layers, 3 clients (HEAD, POST, PATCH, PUT; manifest)',
  unit: 'push/s',
  edge: 'plain',
  stores: ['disk', 'memory'],
  references: ['docker-registry'],
  content: () => EMPTY,
  round: async (server, content, context) => {
    const order: ImageOrder = {
      ...{ port: server.port, repository: content.repository, configBytes: CONFIG_BYTES },
      ...{ layerBytes: LAYER_BYTES, clients: CLIENTS, bytesMax: ROUND_BYTES_MAX },
      seconds: context.seconds,
    }
    const result = await drive('image-driver', order, context)
    return { ...result, figure: result.requests / result.seconds, driver: 'node socket' }
  },
  writes: true,
  warmUp: true,
  roundsMax: ROUNDS_ANY,
  storeBytesMax: ROUND_BYTES_MAX + 32 * MIB,
  expected: [{ against: 'docker-registry', atLeast: 4 }],
}

/** Each blob is asked for, found, and the manifest is sent again. */
function repushSteps({ repository, blobs, manifests }: Content): readonly Step[] {
  const base = `/v2/${repository}`
  const [manifest] = manifests
  if (manifest === undefined) throw new Error('an image needs a manifest')
  const path = `${base}/manifests/${manifest.tag}`
  const accept = `Accept: ${manifest.mediaType}`
  const common = { headers: [], body: '', status: 200 }
  return [
    ...blobs.map(({ digest }): Step => {
      return { ...common, method: 'HEAD', path: `${base}/blobs/${digest}` }
    }),
    { ...common, method: 'HEAD', path, headers: [accept] },
    {
      ...{ method: 'PUT', path, headers: [`Content-Type: ${manifest.mediaType}`] },
      ...{ body: manifest.bytes.toString(), status: 201 },
    },
  ]
}

export const imageRepush: Scenario = {
  name: 'image-repush',
  asks: 'Push an image again that is there (7 × HEAD, manifest PUT), 16 clients',
  unit: 'push/s',
  edge: 'plain',
  stores: ['disk', 'memory'],
  references: ['docker-registry'],
  content: () =>
    imageOf(
      smallPayload(CONFIG_BYTES),
      LAYER_BYTES.map((size) => new PayloadSource(size).next()),
    ),
  round: async (server, content, context: RoundContext) => {
    const order = { steps: repushSteps(content), connections: 16, seconds: context.seconds }
    const result = await repeatSequence(server.port, order, context)
    return { ...result, figure: result.requests / result.seconds }
  },
  writes: false,
  warmUp: true,
  roundsMax: ROUNDS_ANY,
  storeBytesMax: 16 * MIB,
  expected: [{ against: 'docker-registry', atLeast: 30 }],
}
