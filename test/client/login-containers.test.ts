// Goal: skopeo, podman and buildah log in with a password, a token of a provider, an API key, and from a directory,
// and need no login for what is public. Method: one registry over TLS, the same round with each.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestsOf, layoutArchive } from '../support/images.ts'
import { attempt, type Finished, run } from '../support/run.ts'
import { containersEnv } from '../support/scene.ts'
import { assertSameBlobs } from '../support/served.ts'
import { needs, needsRootAnd } from '../support/tools.ts'
import {
  assertClientLogsIn,
  describeLogins,
  type LoginClient,
  type LoginMessages,
  password,
  provider,
  useLogins,
  username,
} from './login-scene.ts'

const messages: LoginMessages = {
  wrongPassword: /invalid username\/password/,
  denied: /unauthorized: authentication required|authentication required/,
}

describeLogins(needs('openssl'), (way) => {
  const scene = useLogins(way)

  interface Tool {
    readonly dir: string
    readonly env: NodeJS.ProcessEnv
    /** Of this tool, with the storage of this test where it has one. */
    attempt(args: readonly string[], input?: string): Promise<Finished>
    /** `login` and `logout`, which the three have in common. */
    readonly session: Pick<LoginClient, 'login' | 'logout'>
  }

  async function open(name: 'skopeo' | 'podman' | 'buildah'): Promise<Tool> {
    const dir = await mkdtemp(join(scene.dir, 's-'))
    await mkdir(join(dir, 'r'))
    const env = { ...(await containersEnv(dir)), BUILDAH_ISOLATION: 'chroot' }
    const roots = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run')]
    const flags = name === 'skopeo' ? [] : [...roots, '--storage-driver', 'vfs']
    const call = (args: readonly string[], input = ''): Promise<Finished> =>
      attempt(name, [...flags, ...args], { env, input })
    const { host } = scene.get()
    const trust = ['--cert-dir', scene.certs]
    return {
      dir,
      env,
      attempt: call,
      session: {
        login: (user, secret) =>
          call(['login', ...trust, '--username', user, '--password-stdin', host], secret),
        logout: () => call(['logout', host]),
      },
    }
  }

  function skopeo({ dir, session, attempt: call }: Tool, flags: readonly string[]): LoginClient {
    const { host } = scene.get()
    const layout = `oci:${scene.image.dir}:latest`
    return {
      ...session,
      name: 'skopeo',
      push: (name) => {
        const target = `docker://${host}/${name}:v1`
        return call(['copy', '--dest-cert-dir', scene.certs, ...flags, layout, target])
      },
      pull: async (name) => {
        const back = await mkdtemp(join(dir, 'back-'))
        const source = `docker://${host}/${name}:v1`
        const copy = ['copy', '--src-cert-dir', scene.certs, ...flags]
        const done = await call([...copy, source, `oci:${back}:latest`])
        if (done.code === 0) await assertSameBlobs(back, scene.image.dir, digestsOf(scene.image))
        return done
      },
    }
  }

  test('skopeo works, after skopeo login', needs('skopeo'), async () => {
    await assertClientLogsIn(scene, skopeo(await open('skopeo'), []), messages)
  })

  test(
    'skopeo works with credentials in flags, and with an authfile',
    needs('skopeo'),
    async () => {
      const tool = await open('skopeo')
      const { host } = scene.get()
      const copy = ['copy', '--dest-cert-dir', scene.certs, `oci:${scene.image.dir}:latest`]
      const file = join(tool.dir, 'other.json')
      const auth = Buffer.from(`${username}:${password}`).toString('base64')
      await writeFile(file, JSON.stringify({ auths: { [host]: { auth } } }))
      for (const [name, flags] of [
        ['password', ['--dest-creds', `${username}:${password}`]],
        ['token', ['--dest-creds', `${provider}:${await scene.token()}`]],
        ['file', ['--authfile', file]],
      ] as const) {
        const target = `docker://${host}/private/skopeo-${name}:v1`
        const { code, stderr } = await tool.attempt([...copy, ...flags, target])
        assert.equal(code, 0, stderr)
      }
      assert.equal(await readFile(join(tool.dir, 'auth.json'), 'utf8'), '{}')
    },
  )

  /** podman and buildah have the same commands for images. */
  function engine(tool: Tool, name: 'podman' | 'buildah', id: string): LoginClient {
    const { host } = scene.get()
    return {
      ...tool.session,
      name,
      push: async (repository) => {
        const target = `docker://${host}/${repository}:v1`
        return tool.attempt(['push', '--cert-dir', scene.certs, id, target])
      },
      pull: async (repository) => {
        await tool.attempt(['rmi', '--force', `${host}/${repository}:v1`])
        return tool.attempt(['pull', '--cert-dir', scene.certs, `${host}/${repository}:v1`])
      },
    }
  }

  for (const name of ['podman', 'buildah'] as const) {
    test(`${name} works, after ${name} login`, needsRootAnd(name, 'podman'), async () => {
      const tool = await open(name)
      const archive = join(tool.dir, 'layout.tar')
      await writeFile(archive, await layoutArchive(scene.image.dir, digestsOf(scene.image)))
      // buildah has no command that loads an archive; its storage is podman's.
      const roots = ['--root', join(tool.dir, 'root'), '--runroot', join(tool.dir, 'run')]
      const load = [...roots, '--storage-driver', 'vfs', 'load', '--input', archive]
      await run('podman', load, { env: tool.env })
      const id = scene.image.config.digest.slice('sha256:'.length)
      await run('podman', [...roots, '--storage-driver', 'vfs', 'tag', id, 'localhost/kept:v1'], {
        env: tool.env,
      })
      await assertClientLogsIn(scene, engine(tool, name, 'localhost/kept:v1'), messages)
    })
  }
})
