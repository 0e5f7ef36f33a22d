// Goal: containerd works with the user of ctr's flag, and with a header in hosts.toml, which is how
// one of its hosts logs in; and needs neither for what is public. Method: one daemon, one registry.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startContainerd } from '../support/engines.ts'
import { digestsOf, layoutArchive } from '../support/images.ts'
import { attempt, type Finished, run } from '../support/run.ts'
import { needsRootAnd } from '../support/tools.ts'
import {
  assertClientLogsIn,
  describeLogins,
  type LoginClient,
  type LoginScene,
  password,
  provider,
  useLogins,
  username,
} from './login-scene.ts'

const finished: Finished = { code: 0, stdout: '', stderr: '' }

/** The folder for `--hosts-dir`; with a header where a credential is given. */
async function writeHosts(
  scene: LoginScene,
  name: string,
  credential?: readonly [username: string, password: string],
): Promise<string> {
  const { host, url } = scene.get()
  const hosts = join(scene.dir, name)
  await mkdir(join(hosts, host), { recursive: true })
  const lines = [
    `server = "${url}"`,
    `[host."${url}"]`,
    'capabilities = ["pull", "resolve", "push"]',
    `ca = ${JSON.stringify(scene.pki.serverCa.certificateFile)}`,
  ]
  if (credential !== undefined) {
    const basic = Buffer.from(credential.join(':')).toString('base64')
    lines.push(`[host."${url}".header]`, `Authorization = "Basic ${basic}"`)
  }
  await writeFile(join(hosts, host, 'hosts.toml'), `${lines.join('\n')}\n`)
  return hosts
}

describeLogins(needsRootAnd('openssl', 'containerd', 'ctr'), (way) => {
  const scene = useLogins(way)

  test('containerd works with --user and with a header in hosts.toml', async (t) => {
    const { dir, image } = scene
    const steps: (() => Promise<unknown>)[] = []
    t.after(() => Promise.all(steps.map((step) => step())))
    const address = await startContainerd({ dir, onEnd: (step) => steps.push(step) })
    const { host } = scene.get()
    const ctr = (...args: readonly string[]): Promise<string> =>
      run('ctr', ['--address', address, 'images', ...args])
    const archive = join(dir, 'layout.tar')
    await writeFile(archive, await layoutArchive(image.dir, digestsOf(image)))
    await ctr('import', '--all-platforms', '--no-unpack', '--base-name', 'made', archive)

    const push = (name: string, flags: readonly string[]): Promise<Finished> =>
      attempt('ctr', [
        '--address',
        address,
        'images',
        'push',
        ...flags,
        `${host}/${name}:v1`,
        'made:latest',
      ])
    const pull = async (name: string, flags: readonly string[]): Promise<Finished> => {
      await ctr('rm', '--sync', `${host}/${name}:v1`)
      const verb = ['--address', address, 'images', 'pull', '--snapshotter', 'native']
      return attempt('ctr', [...verb, ...flags, `${host}/${name}:v1`])
    }
    let flags: readonly string[] = []
    const client: LoginClient = {
      name: 'containerd',
      login: async (user, secret) => {
        flags = ['--user', `${user}:${secret}`]
        return finished
      },
      logout: async () => {
        flags = []
      },
      push: (name) => push(name, [...hostsDir, ...flags]),
      pull: (name) => pull(name, [...hostsDir, ...flags]),
    }
    const hostsDir = ['--hosts-dir', await writeHosts(scene, 'hosts')]
    await assertClientLogsIn(scene, client, {
      wrongPassword: /401 Unauthorized|authorization failed/,
      denied: /401 Unauthorized|authorization failed/,
      believesAll: true,
    })

    for (const [name, credential] of [
      ['header', [username, password]],
      ['header-token', [provider, await scene.token()]],
    ] as const) {
      const withHeader = ['--hosts-dir', await writeHosts(scene, name, credential)]
      const pushed = await push(`private/${name}`, withHeader)
      assert.equal(pushed.code, 0, pushed.stderr)
      const pulled = await pull(`private/${name}`, withHeader)
      assert.equal(pulled.code, 0, pulled.stderr)
    }
  })
})
