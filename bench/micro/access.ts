// What do logins, policies, guards, limits and the audit log add to a manifest GET?
//
// node dist/bench/micro/access.js [rounds] [seconds] [uws|node] [variant...]
// One server for each variant, on the first core; wrk on the second; rounds interleaved. Prints, for each
// variant, CPU of the server per request and its ratio to the open registry: the median of the rounds.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Server, startServer } from '../../test/support/server.ts'
import { hashPassword } from '../../workers/credentials.ts'
import { median } from '../statistics.ts'

interface Variant {
  readonly toml: string
  readonly credential?: 'basic' | 'bearer'
}

interface Subject {
  readonly name: string
  readonly server: Server
  readonly headers: readonly string[]
}

const run = promisify(execFile)
const password = 'tuesday-fjord-lemon'
const basic = `Basic ${Buffer.from(`ci:${password}`).toString('base64')}`
const path = '/v2/team/app/manifests/v1'
const open = '[global.access_policy]\ndefault = "allow"\n'
const user = `[auth.token_service]\n[auth.identity.build]\nusername = "ci"\npassword = ${JSON.stringify(hashPassword(password))}\ngroups = ["builders"]\n`
const tenRules = [
  ...Array.from({ length: 8 }, (_, i) => `identity.username == 'nobody-${i}'`),
  "request.action == 'delete-manifest' && 'admins' in identity.groups",
  "'builders' in identity.groups && request.namespace.startsWith('team/')",
]
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

function variants(webhookPort: number, folder: string): Readonly<Record<string, Variant>> {
  const guarded = `[auth.webhook.guard]\nurl = "http://127.0.0.1:${webhookPort}/"\ncache_ttl = "1h"\n[global]\nauthorization_webhook = "guard"\n`
  const rate = '[limits.rate.all]\nrequests = 1000000000\n'
  const audit = `[audit]\nfile = ${JSON.stringify(join(folder, 'audit.jsonl'))}\nallow = ["get-manifest"]\non_full = "drop"\n`
  return {
    open: { toml: open },
    basic: { toml: `${user}${open}`, credential: 'basic' },
    bearer: { toml: `${user}${open}`, credential: 'bearer' },
    rules: {
      toml: `${user}[global.access_policy]\ndefault = "deny"\nrules = ${JSON.stringify(tenRules)}\n`,
      credential: 'basic',
    },
    webhook: { toml: `${guarded}${open}` },
    addressLimit: { toml: `${open}${rate}per = "address"\n` },
    identityLimit: { toml: `${user}${open}${rate}`, credential: 'basic' },
    audit: { toml: `${open}${audit}` },
  }
}

async function seed(url: string, authorization: string | undefined): Promise<void> {
  const headers = authorization === undefined ? {} : { authorization }
  const blob = Buffer.from('{}')
  const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`
  const start = `${url}/v2/team/app/blobs/uploads/?digest=${digest}`
  const pushed = await fetch(start, { method: 'POST', body: blob, headers })
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 2 }
  const manifest = {
    ...{ schemaVersion: 2, mediaType: manifestType, config, layers: [] },
    annotations: { note: 'n'.repeat(900) },
  }
  const stored = await fetch(`${url}${path}`, {
    method: 'PUT',
    body: JSON.stringify(manifest),
    headers: { ...headers, 'content-type': manifestType },
  })
  if (pushed.status !== 201 || stored.status !== 201) {
    throw new Error(`push answered ${pushed.status}, ${stored.status}: ${await stored.text()}`)
  }
}

async function bearerOf(url: string): Promise<string> {
  const asked = `${url}/token?service=keelson&scope=repository:team/app:pull`
  const answer = await fetch(asked, { headers: { authorization: basic } })
  const { token } = (await answer.json()) as { readonly token: string }
  return `Bearer ${token}`
}

async function begin(name: string, variant: Variant, transport: string): Promise<Subject> {
  const dir = mkdtempSync(join(tmpdir(), 'keelson-access-'))
  const base = `[server]\nport = 0\ntransport = "${transport}"\n[blob_store.fs]\nroot_dir = ${JSON.stringify(dir)}\n`
  const server = await startServer({
    base: `${base}${variant.toml}`,
    wrap: ['taskset', '-c', '0'],
  })
  const { credential } = variant

  await seed(server.url, credential === undefined ? undefined : basic)
  const authorization =
    credential === undefined ? [] : [credential === 'basic' ? basic : await bearerOf(server.url)]
  return { name, server, headers: authorization.map((value) => `Authorization: ${value}`) }
}

function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return Number(fields[11]) + Number(fields[12])
}

/** In µs of the server's CPU. */
async function perRequest({ server, headers }: Subject, seconds: number): Promise<number> {
  const before = cpuTicks(server.pid)
  // Not the synchronous one: the webhook answers in this process.
  const { stdout: output } = await run('taskset', [
    ...['-c', '1', 'wrk', '-t1', '-c16', `-d${seconds}s`],
    ...headers.flatMap((line) => ['-H', line]),
    `${server.url}${path}`,
  ])
  if (output.includes('Non-2xx')) throw new Error(output)
  const requests = Number(/(\d+) requests in/.exec(output)?.[1])
  return ((cpuTicks(server.pid) - before) * 10_000) / requests
}

function startWebhook(): Promise<HttpServer> {
  const webhook = createServer((_, response) => response.writeHead(204).end())
  return new Promise((resolve) => {
    webhook.listen(0, '127.0.0.1', () => resolve(webhook))
  })
}

async function main(): Promise<void> {
  const [rounds = '7', seconds = '1', transport = 'uws', ...only] = process.argv.slice(2)
  const webhook = await startWebhook()
  const folder = mkdtempSync(join(tmpdir(), 'keelson-access-'))
  const all = variants((webhook.address() as AddressInfo).port, folder)
  const subjects: Subject[] = []
  for (const [name, variant] of Object.entries(all)) {
    const isAsked = only.length === 0 || name === 'open' || only.includes(name)
    if (isAsked) subjects.push(await begin(name, variant, transport))
  }
  const ratios = new Map<string, number[]>(subjects.map(({ name }) => [name, []]))
  const costs = new Map<string, number[]>(subjects.map(({ name }) => [name, []]))
  for (let round = 0; round <= Number(rounds); round += 1) {
    const found: number[] = []
    for (const subject of subjects) found.push(await perRequest(subject, Number(seconds)))
    const reference = found[0] ?? Number.NaN
    // The first warms up.
    if (round === 0) continue
    for (const [index, { name }] of subjects.entries()) {
      const cost = found[index] ?? Number.NaN
      costs.get(name)?.push(cost)
      ratios.get(name)?.push(reference / cost)
    }
  }
  for (const { name } of subjects) {
    const cost = median(costs.get(name) ?? []).toFixed(2)
    const ratio = median(ratios.get(name) ?? []).toFixed(3)
    process.stdout.write(`${name.padEnd(14)} ${cost} µs of CPU per request, ${ratio} × open\n`)
  }
  for (const { server } of subjects) await server.stop()
  webhook.close()
  rmSync(folder, { recursive: true })
}

await main()
