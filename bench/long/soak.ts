// Does memory grow? A steady mix of pushes, pulls, tag moves and deletes for minutes, sampling RSS.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { MANIFEST_TYPE } from '../content.ts'
import { median } from '../statistics.ts'
import { type Answer, ask } from './ask.ts'

export interface SoakSample {
  readonly second: number
  /** Anonymous memory: what the process itself holds, without mapped files. */
  readonly anonymousMiB: number
  readonly fileMiB: number
}

export interface SoakResult {
  readonly minutes: number
  readonly operations: number
  readonly failures: number
  /** Median of the second quarter and of the last quarter; the first warms up. */
  readonly earlyMiB: number
  readonly lateMiB: number
  readonly samples: readonly SoakSample[]
}

const lanes = 8
const blobBytes = 32 * 1024
const tagsPerLane = 16
function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** Push, read, replace and delete one image; answers how many requests did not end as they should. */
async function turn(port: number, lane: number, number: number): Promise<number> {
  const repository = `/v2/soak/lane${lane}`
  const blob = randomBytes(blobBytes)
  const digest = digestOf(blob)
  const start = await ask(port, 'POST', `${repository}/blobs/uploads/`)
  const location = start.headers.location ?? '/'
  const statuses = [[start.status, 202]]
  const expect = async (wanted: number, answer: Promise<Answer>): Promise<void> => {
    statuses.push([(await answer).status, wanted])
  }
  await expect(202, ask(port, 'PATCH', location, blob))
  await expect(201, ask(port, 'PUT', `${location}?digest=${digest}`))
  const descriptor = { mediaType: 'application/octet-stream', digest, size: blob.length }
  const layer = { ...descriptor, mediaType: 'application/vnd.oci.image.layer.v1.tar' }
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: descriptor,
      layers: [layer],
    }),
  )
  const tag = `${repository}/manifests/t${number % tagsPerLane}`
  await expect(201, ask(port, 'PUT', tag, manifest, { 'Content-Type': MANIFEST_TYPE }))
  await expect(200, ask(port, 'GET', tag))
  await expect(200, ask(port, 'HEAD', `${repository}/blobs/${digest}`))
  await expect(200, ask(port, 'GET', `${repository}/blobs/${digest}`))
  await expect(200, ask(port, 'GET', `${repository}/tags/list`))
  await expect(202, ask(port, 'DELETE', `${repository}/manifests/${digestOf(manifest)}`))
  await expect(202, ask(port, 'DELETE', `${repository}/blobs/${digest}`))
  return statuses.filter(([found, wanted]) => found !== wanted).length
}

function sample(pid: number, second: number): SoakSample {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const field = (name: string): number =>
    Math.round(Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024)
  return { second, anonymousMiB: field('RssAnon'), fileMiB: field('RssFile') }
}

/** Limits: `minutes`; 8 lanes, each one request at a time. The store grows by some GB. */
export async function soak(port: number, pid: number, minutes: number): Promise<SoakResult> {
  const startedAt = performance.now()
  const seconds = (): number => (performance.now() - startedAt) / 1000
  const samples: SoakSample[] = []
  let operations = 0
  let failures = 0
  const timer = setInterval(() => {
    samples.push(sample(pid, Math.round(seconds())))
  }, 5000)
  const run = async (lane: number): Promise<void> => {
    for (let number = 0; seconds() < minutes * 60; number++) {
      failures += await turn(port, lane, number)
      operations += 10
    }
  }
  await Promise.all(Array.from({ length: lanes }, (_, lane) => run(lane)))
  clearInterval(timer)
  const quarter = Math.floor(samples.length / 4)
  const anonymous = samples.map((it) => it.anonymousMiB)
  return {
    minutes,
    operations,
    failures,
    earlyMiB: median(anonymous.slice(quarter, 2 * quarter)),
    lateMiB: median(anonymous.slice(3 * quarter)),
    samples,
  }
}
