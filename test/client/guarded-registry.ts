// Answers for Debian's docker-registry behind nginx, which asks a Keelson about every request: both as
// the blocks of docs/gateway.md have it, with addresses and files of the test's own.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { startListening } from '../support/daemon.ts'
import type { Image } from '../support/images.ts'
import { startNginx } from '../support/nginx.ts'
import { blockOf, replaced } from '../support/page.ts'
import { RegistryClient } from '../support/registry-client.ts'
import { startRelay } from '../support/relay.ts'
import { pushImage } from '../support/served.ts'
import { type Server, startServer } from '../support/server.ts'
import { findTool } from '../support/tools.ts'

export const password = 'tuesday-fjord-lemon'

export interface GuardedOptions {
  /** Else Keelson takes passwords alone. */
  readonly hasTokens: boolean
  /** In place of docker-registry: starts to listen on a unix socket there. */
  readonly startRegistry?: (path: string, onEnd: OnEnd) => Promise<unknown>
}

export interface GuardedRegistry {
  readonly dir: string
  /** Of nginx, as image references have it. */
  readonly host: string
  /** Where nginx listens. */
  readonly frontSocket: string
  readonly keelson: Server
  /** The other registry itself, past nginx. */
  direct(): RegistryClient
  /** Push `name:v1` past nginx. */
  seed(name: string, image: Image): Promise<void>
  onEnd(step: () => Promise<unknown>): void
}

const page = readFileSync('docs/gateway.md', 'utf8').split('## The other way about')[1] ?? ''

export type OnEnd = (step: () => Promise<unknown>) => void

/** `ann` and `bob` may use what is below their names, and pull what is below `public`. */
export async function openGuardedRegistry(
  t: TestContext,
  { hasTokens, startRegistry = startDockerRegistry }: GuardedOptions,
): Promise<GuardedRegistry> {
  const steps: (() => Promise<unknown>)[] = []
  const onEnd: OnEnd = (step) => void steps.push(step)
  t.after(async () => {
    const faults: unknown[] = []
    for (const step of steps.reverse()) await step().catch((error) => faults.push(error))
    assert.deepEqual(faults, [])
  })
  // Short, since unix sockets inside it are limited to 107 bytes.
  const dir = await mkdtemp(join(tmpdir(), 'keel-'))
  onEnd(() => rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
  const keelson = await startKeelson(hasTokens, onEnd)
  const registrySocket = join(dir, 'registry.sock')
  await startRegistry(registrySocket, onEnd)
  const nginx = await startNginx(dir, (socket) => siteOf(keelson.port, registrySocket, socket))
  onEnd(() => nginx.stop())
  const behind = await startRelay(registrySocket)
  onEnd(async () => behind.close())
  const front = await startRelay(nginx.socket)
  onEnd(async () => front.close())
  return {
    ...{ dir, keelson, onEnd },
    frontSocket: nginx.socket,
    host: front.host,
    direct: () => new RegistryClient(behind.url),
    seed: (name, image) => pushImage(behind.url, name, 'v1', image),
  }
}

async function startKeelson(hasTokens: boolean, onEnd: OnEnd): Promise<Server> {
  const hash = JSON.stringify(hashPassword(password))
  const users = ['ann', 'bob'].map(
    (name) => `[auth.identity.${name}]\nusername = "${name}"\npassword = ${hash}\n`,
  )
  const toml = replaced(blockOf(page, 'toml'), {
    '10.1.0.7': '127.0.0.1',
    ...(hasTokens ? {} : { '[auth.token_service]\nservice = "registry.example.com"\n': '' }),
  })
  const server = await startServer({
    base: '[server]\nport = 0\n[blob_store.memory]\n[metadata_store.memory]\n',
    toml: [toml, ...users].join('\n'),
  })
  onEnd(async () => {
    const exit = await server.stop()
    assert.deepEqual(exit, { code: 0, signal: null }, server.log.slice(-20).join('\n'))
  })
  return server
}

async function startDockerRegistry(path: string, onEnd: OnEnd): Promise<void> {
  const dir = dirname(path)
  const file = join(dir, 'registry.yml')
  await writeFile(
    file,
    `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: ${join(dir, 'store')} }
http: { net: unix, addr: ${path} }
`,
  )
  const command = findTool('docker-registry') ?? 'docker-registry'
  const daemon = await startListening(path, command, ['serve', file])
  onEnd(() => daemon.stop())
}

function siteOf(keelsonPort: number, registrySocket: string, socket: string): string {
  return replaced(blockOf(page, 'nginx'), {
    '10.1.0.20:8000': `127.0.0.1:${keelsonPort}`,
    '10.1.0.30:5000': `unix:${registrySocket}`,
    'listen 443 ssl': `listen unix:${socket}`,
    'ssl_certificate /etc/nginx/registry.pem;': '',
    'ssl_certificate_key /etc/nginx/registry.key;': '',
  })
}
