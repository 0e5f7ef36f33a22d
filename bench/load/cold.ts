// Pulls of blobs that are not in the page cache, each pulled once.

import { get } from 'node:http'
import { runToEnd } from '../children.ts'
import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'

// Takes the store's own files out of the cache alone: dropping all of it would slow the whole machine.
const EVICT =
  'sync -f "$0" && find "$0" -size +64k -type f -exec dd if={} iflag=nocache count=0 status=none ";"'

/** Take every file of more than 64 KiB below `root` out of the page cache. */
export async function evict(root: string): Promise<void> {
  await runToEnd(undefined, ['sh', '-c', EVICT, root], 120_000)
}

function drain(port: number, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      if (response.statusCode !== 200) {
        response.destroy()
        reject(new Error(`GET ${path}: ${response.statusCode}`))
        return
      }
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      response.on('end', () => resolve(bytes))
      response.on('error', reject)
    }).on('error', reject)
  })
}

/**
 * Pull each path once, so many at a time, each on a connection of its own.
 * Units: bytes. Errors: Error where an answer is not 200 or not of `size`.
 */
export async function pullEach(
  port: number,
  paths: readonly string[],
  size: number,
  lanes: number,
): Promise<DriverResult> {
  const waiting = [...paths]
  const latenciesMs: number[] = []
  const start = performance.now()
  const lane = async (): Promise<void> => {
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      const began = performance.now()
      const bytes = await drain(port, path)
      if (bytes !== size) throw new Error(`GET ${path}: ${bytes} of ${size} bytes`)
      latenciesMs.push(performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  const seconds = (performance.now() - start) / 1000
  const requests = paths.length
  return { requests, bytes: requests * size, seconds, latencyMs: percentiles(latenciesMs) }
}
