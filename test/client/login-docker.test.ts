// Goal: the Docker engine logs in over TLS with a password, a token, an API key, and from a directory.
// Method: an engine on a host of its own, where the registry has a name, since Docker checks no
// certificate on loopback; a relay leads from that name to the registry, which asks its provider here.
import { once } from 'node:events'
import { copyFile, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { startDaemon } from '../support/daemon.ts'
import { startDockerd } from '../support/engines.ts'
import { dockerArchive } from '../support/images.ts'
import { needsPrivateHostAnd, openPrivateHost, type PrivateHost } from '../support/private-host.ts'
import { attempt, type Finished, run } from '../support/run.ts'
import {
  assertClientLogsIn,
  describeLogins,
  imageOptions,
  type LoginClient,
  useLogins,
  withTokens,
} from './login-scene.ts'

// There, from the port; a socket in a folder belongs to no network, so both hosts see it.
const relay = `
const { connect, createServer } = require('node:net')
const [, path, port] = process.argv
createServer((near) => {
  const far = connect(path)
  for (const [one, other] of [[near, far], [far, near]]) {
    one.pipe(other)
    one.on('error', () => other.destroy())
  }
}).listen(Number(port), '0.0.0.0', () => console.log('ready'))
`

describeLogins(needsPrivateHostAnd('openssl', 'docker', 'dockerd'), (way) => {
  const scene = useLogins(way)

  /** From now on `registry.test` of that host is our registry, on the same port. */
  async function lead(
    host: PrivateHost,
    port: number,
    onEnd: (step: () => Promise<unknown>) => void,
  ): Promise<void> {
    const path = join(scene.dir, 'relay.sock')
    const near = createServer((socket) => {
      const far = connect(port, '127.0.0.1')
      socket.pipe(far).pipe(socket)
      socket.on('error', () => far.destroy())
      far.on('error', () => socket.destroy())
    })
    near.listen(path)
    await once(near, 'listening')
    onEnd(async () => near.close())
    const [command, ...enter] = host.enter
    const far = await startDaemon({
      command: command ?? '',
      args: [...enter, process.execPath, '-e', relay, path, String(port)],
      onLine: (line) => (line === 'ready' ? true : undefined),
    })
    onEnd(() => far.stop())
  }

  test('docker works, after docker login', async (t) => {
    const { dir, image } = scene
    const steps: (() => Promise<unknown>)[] = []
    t.after(async () => {
      for (const step of steps.reverse()) await step()
    })
    const onEnd = (step: () => Promise<unknown>): void => void steps.push(step)
    const host = await openPrivateHost(dir, ['registry.test'])
    onEnd(() => host.close())
    const { port } = scene.get()
    const registry = `registry.test:${port}`
    await lead(host, port, onEnd)
    await copyFile(scene.pki.serverCa.certificateFile, join(dir, 'ca.crt'))
    const trusted = `/etc/docker/certs.d/${registry}/ca.crt`
    await host.run('install', ['-D', join(dir, 'ca.crt'), trusted])
    const DOCKER_HOST = await startDockerd({ dir, onEnd }, { host })
    const env = { ...process.env, DOCKER_HOST, DOCKER_CONFIG: join(dir, 'config') }
    const docker = (args: readonly string[], input = ''): Promise<Finished> =>
      attempt('docker', args, { env, input })
    const archive = join(dir, 'load.tar')
    await writeFile(archive, await dockerArchive(image, imageOptions, 'kept:v1'))
    await run('docker', ['load', '-i', archive], { env })

    const client: LoginClient = {
      name: 'docker',
      login: (user, secret) =>
        docker(['login', '--username', user, '--password-stdin', registry], secret),
      logout: () => docker(['logout', registry]),
      push: async (name) => {
        await docker(['tag', 'kept:v1', `${registry}/${name}:v1`])
        return docker(['push', `${registry}/${name}:v1`])
      },
      pull: async (name) => {
        await docker(['rmi', `${registry}/${name}:v1`])
        return docker(['pull', `${registry}/${name}:v1`])
      },
    }
    await assertClientLogsIn(scene, client, {
      wrongPassword: /401 Unauthorized|unauthorized/,
      ...(way === withTokens
        ? { denied: /requested access to the resource is denied/ }
        : {
            denied: /no basic auth credentials/,
            // Offered nothing but Basic, the engine sends no request without a password.
            publicDenied: /no basic auth credentials/,
          }),
    })
  })
})
