// A day of a team: nine reads for each push, while garbage is collected all the time. What a round
// pushed is deleted behind it, so that the next one has it to destroy.

import type { Content } from '../content.ts'
import { KIB, MIB, smallImage } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { drive } from '../load/drive.ts'
import { besideGarbageCollection } from '../load/garbage.ts'
import type { MixedOrder, Read } from '../load/mixed-driver.ts'
import { ROUNDS_ANY, targetHeaders, targetPath } from '../scenario-kind.ts'

const CONNECTIONS = 16

/** A manifest, its two first blobs, and so on. */
function readsOf(content: Content): readonly Read[] {
  const [manifest] = content.manifests
  const [blob] = content.blobs
  if (manifest === undefined || blob === undefined) throw new Error('an image is wanted')
  const read = (target: 'tag' | 'blob', size: number): Read => {
    return { path: targetPath(content, target), headers: targetHeaders(target), size }
  }
  const pull = [
    read('tag', manifest.bytes.length),
    read('blob', blob.size),
    read('blob', blob.size),
  ]
  return [...pull, ...pull, ...pull]
}

export const mixed90To10: Scenario = {
  name: 'mixed-90-10',
  asks: `90 % reads (manifest, 8 KiB blobs), 10 % pushes of 100 KiB, ${CONNECTIONS} connections, beside GC`,
  unit: 'req/s',
  edge: 'plain',
  settings: '[gc]\ngrace = "1m"\nrestore_window = "0s"\nevery = "0s"\n',
  stores: ['disk', 'memory'],
  references: ['docker-registry'],
  content: smallImage,
  round: async (server, content, context) => {
    const order: MixedOrder = {
      ...{ port: server.port, repository: content.repository, reads: readsOf(content) },
      ...{ pushBytes: 100 * KIB, connections: CONNECTIONS, seconds: context.seconds },
      deletes: server.name === 'keelson',
    }
    const result = await besideGarbageCollection(server, () =>
      drive('mixed-driver', order, context),
    )
    return { ...result, figure: result.requests / result.seconds, driver: 'node socket' }
  },
  // Nothing is reclaimed between rounds, since that would take the image that is read, too.
  writes: false,
  warmUp: true,
  roundsMax: ROUNDS_ANY,
  storeBytesMax: 2048 * MIB,
  expected: [],
}
