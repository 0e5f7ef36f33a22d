// Fills a registry over HTTP before the clock starts, and checks that it gives the bytes back.

import { createHash } from 'node:crypto'
import { type Content, MANIFEST_TYPE } from '../content.ts'
import type { Origin } from '../contract.ts'
import { get } from './get.ts'
import { pushBlob } from './push.ts'
import { RawConnection } from './raw-connection.ts'

/** Push all of `content`. Errors: Error naming the refused step. */
export async function pushContent(origin: Origin, content: Content): Promise<void> {
  const connection = await RawConnection.open(origin)
  try {
    for (const blob of content.blobs) {
      await pushBlob(connection, content.repository, blob, 'monolithic')
    }
    for (const manifest of content.manifests) {
      const answer = await connection.exchange(
        'PUT',
        `/v2/${content.repository}/manifests/${manifest.tag}`,
        [`Content-Type: ${manifest.mediaType}`, `Content-Length: ${manifest.bytes.length}`],
        [manifest.bytes],
      )
      if (answer.status !== 201) throw new Error(`manifest: ${answer.status} ${answer.body}`)
    }
  } finally {
    connection.close()
  }
}

async function digestOf(origin: Origin, path: string): Promise<string> {
  const answer = await get(origin, path, { Accept: `${MANIFEST_TYPE}, */*` })
  if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode}`)
  const hash = createHash('sha256')
  for await (const chunk of answer) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}

/** Read every blob and manifest back and compare digests, so that no server wins by lying. */
export async function verifyContent(origin: Origin, content: Content): Promise<void> {
  const base = `/v2/${content.repository}`
  const wanted = [
    ...content.blobs.map(({ digest }) => ({ digest, path: `${base}/blobs/${digest}` })),
    ...content.manifests.flatMap(({ digest, tag }) => [
      { digest, path: `${base}/manifests/${digest}` },
      { digest, path: `${base}/manifests/${tag}` },
    ]),
  ]
  for (const { digest, path } of wanted) {
    const got = await digestOf(origin, path)
    if (got !== digest) throw new Error(`${path} gave ${got}`)
  }
}
