// Does the cost of a page grow with the list, or with the rules that say what its reader may see of it?
//
// node dist/bench/micro/lists.js [names] [requests]
// One store of many tags in a repository and many repositories, filled through the metadata store; one server
// after the other on the first core, asked over HTTP from the second. Prints, for each page of 100 (the last
// one reaches behind the end), the median and the 99th percentile of what the client waits, in milliseconds.

import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOfBytes } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { parseTag, type Tag } from '../../src/oci/tag.ts'
import type { ManifestPut, MetadataStore } from '../../src/storage/metadata/contract.ts'
import { openLmdbMetadataStore } from '../../src/storage/metadata/lmdb/open.ts'
import { startServer } from '../../test/support/server.ts'
import { hashPassword } from '../../workers/credentials.ts'
import { ask } from '../long/ask.ts'
import { percentiles } from '../statistics.ts'

const mediaType = 'application/vnd.oci.image.index.v1+json'
const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] }))
const digest = digestOfBytes('sha256', bytes)
const password = 'tuesday-fjord-lemon'
const basic = `Basic ${Buffer.from(`ci:${password}`).toString('base64')}`
const user = `[auth.identity.build]\nusername = "ci"\npassword = ${JSON.stringify(hashPassword(password))}\ngroups = ["builders"]\n`
const atOnce = 500
const warmUps = 20

const never = (): boolean => false
const padded = (number: number): string => String(number).padStart(7, '0')
const repositoryNamed = (number: number): string => `team/r${padded(number)}`
const tagNamed = (number: number): string => `t${padded(number)}`
const tagged = 'team/many-tags'

/** Eight rules that apply to nobody and are read first, and two that say what may be read. */
function rules(...deciding: readonly string[]): string {
  const others = Array.from({ length: 8 }, (_, i) => `identity.username == 'nobody-${i}'`)
  const list = JSON.stringify([...others, ...deciding])
  return `${user}[global.access_policy]\ndefault = "deny"\nrules = ${list}\n`
}

const lists =
  "request.action in ['list-catalog', 'get-api-version'] && 'builders' in identity.groups"

const variants: Readonly<Record<string, string>> = {
  open: '[global.access_policy]\ndefault = "allow"\n',
  'ten rules': rules(
    "request.action == 'delete-manifest' && 'admins' in identity.groups",
    "'builders' in identity.groups",
  ),
  'ten rules by name': rules(
    lists,
    "'builders' in identity.groups && request.repository.startsWith('team/')",
  ),
  'ten rules by tag': rules(
    lists,
    "request.action == 'list-tags' || request.reference != 'hidden'",
  ),
  'almost nothing is seen': rules(
    lists,
    "request.action == 'list-tags' && request.repository == 'team/many-tags' || request.repository.endsWith('7777') || request.reference.endsWith('7777')",
  ),
}

function put(repository: string, tags: readonly string[]): ManifestPut {
  const name = parseRepositoryName(repository)
  const parsed = tags.map((tag) => parseTag(tag)).filter((tag): tag is Tag => tag !== undefined)
  if (name === undefined) throw new Error(`${repository} is no name`)
  return {
    ...{ repository: name, digest, mediaType, bytes, tags: parsed, nowMs: Date.now() },
    ...{ blobs: [], optionalBlobs: [], children: [], quotas: [], isImmutable: never },
    ...{ allowMissingBlobs: false, allowMissingChildren: false },
  }
}

async function fill(store: MetadataStore, names: number): Promise<void> {
  for (let from = 0; from < names; from += atOnce) {
    const numbers = Array.from({ length: Math.min(atOnce, names - from) }, (_, i) => from + i)
    await Promise.all([
      store.putManifest(put(tagged, numbers.map(tagNamed))),
      ...numbers.map((number) => store.putManifest(put(repositoryNamed(number), ['v1']))),
    ])
  }
}

/** By what the page is, the path. */
function pages(names: number): Readonly<Record<string, string>> {
  const catalogue = '/v2/_catalog?n=100'
  const tags = `/v2/${tagged}/tags/list?n=100`
  const [middle, last] = [Math.floor(names / 2), names - 50]
  return {
    'catalogue, first': catalogue,
    'catalogue, middle': `${catalogue}&last=${repositoryNamed(middle)}`,
    'catalogue, last': `${catalogue}&last=${repositoryNamed(last)}`,
    'tags, first': tags,
    'tags, middle': `${tags}&last=${tagNamed(middle)}`,
    'tags, last': `${tags}&last=${tagNamed(last)}`,
  }
}

async function time(port: number, path: string, requests: number): Promise<string> {
  const times: number[] = []
  const headers = { authorization: basic }
  for (let i = -warmUps; i < requests; i++) {
    const before = performance.now()
    const { status } = await ask(port, 'GET', path, undefined, headers)
    if (status !== 200) throw new Error(`GET ${path} answered ${status}`)
    if (i >= 0) times.push(performance.now() - before)
  }
  const { p50, p99 } = percentiles(times) ?? { p50: Number.NaN, p99: Number.NaN }
  const shown = (ms: number): string => ms.toFixed(2).padStart(7)
  return `${shown(p50)} ${shown(p99)}   ${await length(port, path)} names`
}

/** How many names a page has. */
function length(port: number, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, path, headers: { authorization: basic } }, (response) => {
      let text = ''
      response.on('data', (piece) => {
        text += String(piece)
      })
      response.on('end', () => {
        const { tags, repositories } = JSON.parse(text) as Readonly<Record<string, string[]>>
        resolve((tags ?? repositories ?? []).length)
      })
    })
    outgoing.once('error', reject)
    outgoing.end()
  })
}

async function main(): Promise<void> {
  const [names = 100_000, requests = 200] = process.argv.slice(2).map(Number)
  const rootDir = mkdtempSync(join(tmpdir(), 'keelson-lists-'))
  const wrap = availableParallelism() > 1 ? ['taskset', '-c', '0'] : []
  try {
    const path = join(rootDir, '_keelson', 'metadata')
    const store = await openLmdbMetadataStore({
      ...{ path, durability: 'none', sharing: 'exclusive', now: Date.now },
    })
    await fill(store, names)
    await store.close()
    const base = `[server]\nport = 0\n[blob_store.fs]\nroot_dir = ${JSON.stringify(rootDir)}\n`
    for (const [name, toml] of Object.entries(variants)) {
      const server = await startServer({ rootDir, base: `${base}${toml}`, wrap })
      process.stdout.write(`${name}: median, p99 in ms\n`)
      for (const [page, asked] of Object.entries(pages(names))) {
        const told = await time(server.port, asked, requests)
        process.stdout.write(`  ${page.padEnd(20)}${told}\n`)
      }
      await server.stop()
    }
  } finally {
    rmSync(rootDir, { recursive: true })
  }
}

await main()
