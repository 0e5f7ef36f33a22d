// A small request body, whole in memory.

import type { RequestBody } from '../http/body.ts'
import { OciError } from '../oci/error.ts'

/**
 * Units: `bytesMax` in bytes. Refused before it is read where its announced length says so.
 * Errors: OciError CONTENT_TOO_LARGE; REQUEST_INVALID where the client leaves (nobody reads it).
 */
export function collectBody(body: RequestBody, bytesMax: number): Promise<Uint8Array> {
  if (body.length !== undefined && body.length > bytesMax) return Promise.reject(tooLarge(bytesMax))
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let size = 0
    let settled = false
    body.consume({
      onChunk: (chunk, last) => {
        if (settled) return
        size += chunk.length
        if (size > bytesMax) {
          settled = true
          reject(tooLarge(bytesMax))
          return
        }
        // Copied: the transport takes its memory back when this returns.
        if (chunk.length > 0) chunks.push(chunk.slice())
        if (!last) return
        settled = true
        const [only] = chunks
        resolve(only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks))
      },
      onAbort: () => {
        if (settled) return
        settled = true
        reject(new OciError('REQUEST_INVALID', { message: 'the client left' }))
      },
    })
  })
}

function tooLarge(bytesMax: number): OciError {
  return new OciError('CONTENT_TOO_LARGE', {
    message: 'the content is larger than this registry accepts',
    detail: { bytesMax },
  })
}
