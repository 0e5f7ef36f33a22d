// Does the cost of a page grow with the list? Many tags in one repository, many repositories.

import { createHash } from 'node:crypto'
import { MANIFEST_TYPE } from '../content.ts'
import { median } from '../statistics.ts'
import { ask } from './ask.ts'

export interface ScaleResult {
  readonly tags: number
  readonly repositories: number
  /** Medians, in milliseconds, of pages of 100. */
  readonly firstTagsMs: number
  readonly lastTagsMs: number
  readonly firstCatalogMs: number
  readonly lastCatalogMs: number
}

const tagsPerPut = 50
const asked = 50

async function timed(port: number, path: string): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < asked; i++) {
    const before = performance.now()
    const { status } = await ask(port, 'GET', path)
    if (status !== 200) throw new Error(`GET ${path} answered ${status}`)
    times.push(performance.now() - before)
  }
  return median(times)
}

async function putManifest(port: number, repository: string, query: string): Promise<void> {
  const body = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_INDEX, manifests: [] }),
  )
  const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
  const path = `/v2/${repository}/manifests/${digest}${query}`
  const { status } = await ask(port, 'PUT', path, body, { 'Content-Type': MANIFEST_INDEX })
  if (status !== 201) throw new Error(`PUT ${path} answered ${status}`)
}

const MANIFEST_INDEX = MANIFEST_TYPE.replace('manifest.v1', 'index.v1')
const padded = (number: number): string => String(number).padStart(7, '0')

/** Fill, then time. Limits: `tags` and `repositories` of one small manifest each. */
export async function scale(
  port: number,
  tags: number,
  repositories: number,
): Promise<ScaleResult> {
  for (let from = 0; from < tags; from += tagsPerPut) {
    const names = Array.from({ length: tagsPerPut }, (_, i) => `tag=t${padded(from + i)}`)
    await putManifest(port, 'scale/tags', `?${names.join('&')}`)
  }
  for (let from = 0; from < repositories; from += 16) {
    const batch = Array.from({ length: 16 }, (_, i) => `scale/r${padded(from + i)}`)
    await Promise.all(batch.map((name) => putManifest(port, name, '?tag=v1')))
  }
  return {
    tags,
    repositories,
    firstTagsMs: await timed(port, '/v2/scale/tags/tags/list?n=100'),
    lastTagsMs: await timed(port, `/v2/scale/tags/tags/list?n=100&last=t${padded(tags - 200)}`),
    firstCatalogMs: await timed(port, '/v2/_catalog?n=100'),
    lastCatalogMs: await timed(
      port,
      `/v2/_catalog?n=100&last=scale/r${padded(repositories - 200)}`,
    ),
  }
}
