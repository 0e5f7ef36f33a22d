// Answers for the product that the endpoint tests talk to: one table of set-ups, one running server
// per group of tests, and the check that it served them without a fault.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { RegistryClient } from '../support/registry-client.ts'
import { type Server, type ServerOptions, startServer } from '../support/server.ts'

export interface Setup extends ServerOptions {
  readonly name: string
}

const memoryBase = `
[server]
port = 0
[global.access_policy]
default = "allow"
[blob_store.memory]
[metadata_store.memory]
`

export type SetupName = 'alone' | 'shared' | 'node' | 'memory'

const table: Readonly<Record<SetupName, ServerOptions>> = {
  /** The defaults: uws, blobs in files, metadata in LMDB, this process alone. */
  alone: {},
  /** Several processes may serve the store: nothing mutable is remembered, sessions are claimed. */
  shared: { toml: '[storage]\nsharing = "shared"\n' },
  /** The transport for client certificates and for hosts without a uws binary. */
  node: { toml: '[server]\ntransport = "node"\n[storage]\ndurability = "none"\n' },
  memory: { base: memoryBase },
}

export function setups(...names: readonly SetupName[]): readonly Setup[] {
  return names.map((name) => ({ name, ...table[name] }))
}

/** What the tests read of the admin interface's `/status`. */
export interface Status {
  readonly pid: number
  readonly requestsInFlight: number
  readonly uploadsOpen: number
  readonly ingest: { readonly receiving: number; readonly slabBytesInUse: number }
}

const pollEveryMs = 10

/** A server for the tests of one `describe`. */
export class Product {
  #server: Server | undefined
  #client: RegistryClient | undefined
  #repositories = 0

  get server(): Server {
    assert.ok(this.#server, 'the server runs between the hooks only')
    return this.#server
  }

  get client(): RegistryClient {
    assert.ok(this.#client, 'the client lives between the hooks only')
    return this.#client
  }

  /** A repository that no other test uses. */
  repository(): string {
    this.#repositories += 1
    return `test/repository-${this.#repositories}`
  }

  /** GET of the admin interface; set-ups in memory have none. */
  admin(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return adminCall(join(this.server.rootDir, '_keelson', 'admin.sock'), path)
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.admin('/status')).body) as Status
  }

  /** Until the server's own figures say so. */
  async untilStatus(what: string, holds: (status: Status) => boolean): Promise<Status> {
    return poll(what, async () => {
      const status = await this.status()
      return holds(status) ? status : undefined
    })
  }

  async start(options: ServerOptions): Promise<void> {
    this.#server = await startServer(options)
    this.#client = new RegistryClient(this.#server.url)
  }

  /** SIGTERM. It must end by itself and must have logged no fault of its own. */
  async stop(): Promise<void> {
    this.#client?.close()
    const exit = await this.#server?.stop()
    const log = this.#server?.log ?? []
    assert.deepEqual(exit, { code: 0, signal: null }, log.slice(-20).join('\n'))
    assert.deepEqual(log.filter(isFault), [])
  }
}

/** Called in a `describe`: starts the product before its tests and ends it after them. */
export function useProduct(options: ServerOptions = {}): Product {
  const product = new Product()
  before(() => product.start(options))
  after(() => product.stop())
  return product
}

/** Called in a `describe`: a folder that outlives servers and goes with the tests. */
export function temporaryFolder(): { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'keelson-http-'))
  after(() => rmSync(path, { recursive: true, force: true }))
  return { path }
}

// Levels of pino: 40 is a warning, 50 an error. Where uWS has no binary, its fallback must warn.
function isFault(line: string): boolean {
  if (line.includes('"falling back to the node transport, which is slower"')) return false
  return /^\{"level":[4-6]0/.test(line) || !line.startsWith('{')
}

/**
 * Ask until there is an answer.
 * Limits: `deadlineMs`, default 10,000. Errors: an Error that names `what` after it.
 */
export async function poll<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  deadlineMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline) throw new Error(`not in ${deadlineMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, pollEveryMs))
  }
}

export function adminCall(
  socketPath: string,
  path: string,
  method = 'GET',
  sent = '',
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, method, agent: false }, async (response) => {
      let body = ''
      for await (const chunk of response.setEncoding('utf8')) body += chunk
      resolve({ status: response.statusCode ?? 0, body })
    })
    outgoing.once('error', reject)
    outgoing.end(sent)
  })
}
