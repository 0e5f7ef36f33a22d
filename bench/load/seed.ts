// Fills a registry over HTTP before the clock starts, and checks that it gives the bytes back.

import { createHash } from 'node:crypto'
import { type Content, MANIFEST_TYPE } from '../content.ts'
import { pushBlob } from './push.ts'
import { RawConnection } from './raw-connection.ts'

/** Push all of `content`. Errors: Error naming the refused step. */
export async function pushContent(port: number, content: Content): Promise<void> {
  const connection = await RawConnection.open(port)
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

async function digestOf(url: string): Promise<string> {
  const answer = await fetch(url, { headers: { Accept: `${MANIFEST_TYPE}, */*` } })
  if (!answer.ok || answer.body === null) throw new Error(`${url}: ${answer.status}`)
  const hash = createHash('sha256')
  for await (const chunk of answer.body) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}

/** Read every blob and manifest back and compare digests, so that no server wins by lying. */
export async function verifyContent(port: number, content: Content): Promise<void> {
  const base = `http://127.0.0.1:${port}/v2/${content.repository}`
  const wanted = [
    ...content.blobs.map(({ digest }) => ({ digest, url: `${base}/blobs/${digest}` })),
    ...content.manifests.flatMap(({ digest, tag }) => [
      { digest, url: `${base}/manifests/${digest}` },
      { digest, url: `${base}/manifests/${tag}` },
    ]),
  ]
  for (const { digest, url } of wanted) {
    const got = await digestOf(url)
    if (got !== digest) throw new Error(`${url} gave ${got}`)
  }
}
