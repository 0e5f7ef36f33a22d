// Answers for what a client test stands on: a temporary folder, a fresh registry, and their removal
// in reverse order, with the registry's clean exit checked.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Server, type ServerOptions, startServer } from './server.ts'

export interface Scene {
  /** Short, since unix sockets inside it are limited to 107 bytes. */
  readonly dir: string
  readonly server: Server
  /** Registers a step of the clean-up; the last one registered runs first. */
  onEnd(step: () => Promise<unknown>): void
}

/** A registry and a folder for one test, both gone after it. */
export async function openScene(t: TestContext, options: ServerOptions = {}): Promise<Scene> {
  const steps: (() => Promise<unknown>)[] = []
  t.after(async () => {
    const faults: unknown[] = []
    for (const step of steps.reverse()) await step().catch((error) => faults.push(error))
    assert.deepEqual(faults, [])
  })
  const dir = await mkdtemp(join(tmpdir(), 'keel-'))
  steps.push(() => rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
  const server = await startServer(options)
  steps.push(async () => {
    const exit = await server.stop()
    assert.deepEqual(exit, { code: 0, signal: null }, server.log.slice(-20).join('\n'))
  })
  return { dir, server, onEnd: (step) => steps.push(step) }
}

/**
 * The environment for podman, buildah and skopeo: nothing of the machine's own configuration,
 * storage or credentials, and no signature policy but "accept".
 */
export async function containersEnv(dir: string): Promise<NodeJS.ProcessEnv> {
  const home = join(dir, 'home')
  const temp = join(dir, 'tmp')
  await mkdir(join(home, '.config', 'containers'), { recursive: true })
  await mkdir(temp)
  const policy = JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] })
  await writeFile(join(home, '.config', 'containers', 'policy.json'), policy)
  const credentials = join(dir, 'auth.json')
  await writeFile(credentials, '{}')
  const registries = join(dir, 'registries.conf')
  await writeFile(registries, 'unqualified-search-registries = []\n')
  const { PATH } = process.env
  return {
    PATH,
    HOME: home,
    TMPDIR: temp,
    XDG_RUNTIME_DIR: temp,
    REGISTRY_AUTH_FILE: credentials,
    CONTAINERS_REGISTRIES_CONF: registries,
  }
}
