// Goal: crane and regctl log in with a password, a token, an API key, and from a directory, and need no
// login for what is public. Method: one registry over TLS, the same round with each.
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { goTool, needsGo } from '../support/go-tools.ts'
import { digestsOf } from '../support/images.ts'
import { needsOpenssl } from '../support/pki.ts'
import { attempt, type Finished } from '../support/run.ts'
import { assertSameBlobs } from '../support/served.ts'
import { assertClientLogsIn, describeLogins, useLogins } from './login-scene.ts'

const programs = {
  crane: 'github.com/google/go-containerregistry/cmd/crane',
  regctl: 'github.com/regclient/regclient/cmd/regctl',
} as const

describeLogins({ skip: needsGo().skip || needsOpenssl.skip }, (way) => {
  const scene = useLogins(way)

  type Call = (args: readonly string[], input?: string) => Promise<Finished>

  async function open(t: TestContext, name: keyof typeof programs): Promise<Call | undefined> {
    const program = await goTool(t, 'test/client/go', programs[name])
    if (program === undefined) return undefined
    const dir = await mkdtemp(join(scene.dir, `${name}-`))
    const trust = { SSL_CERT_FILE: scene.pki.serverCa.certificateFile, SSL_CERT_DIR: dir }
    const env = { PATH: process.env['PATH'], HOME: dir, DOCKER_CONFIG: dir, ...trust }
    return (args, input = '') => attempt(program, args, { env, input })
  }

  /** The client's copy into a new folder, whose bytes are ours. */
  async function pulled(copy: (folder: string) => Promise<Finished>): Promise<Finished> {
    const folder = await mkdtemp(join(scene.dir, 'back-'))
    const done = await copy(folder)
    if (done.code === 0) await assertSameBlobs(folder, scene.image.dir, digestsOf(scene.image))
    return done
  }

  test('crane works, after crane auth login', async (t) => {
    const call = await open(t, 'crane')
    if (call === undefined) return
    const { host } = scene.get()
    const client = {
      name: 'crane',
      login: (user: string, secret: string) =>
        call(['auth', 'login', '--username', user, '--password-stdin', host], secret),
      logout: () => call(['auth', 'logout', host]),
      push: (name: string) => call(['push', scene.image.dir, `${host}/${name}:v1`]),
      pull: (name: string) =>
        pulled((folder) => call(['pull', '--format', 'oci', `${host}/${name}:v1`, folder])),
    }
    const unauthorized = /UNAUTHORIZED: authentication required/
    await assertClientLogsIn(scene, client, {
      wrongPassword: unauthorized,
      denied: unauthorized,
      believesAll: true,
    })
  })

  test('regctl works, after regctl registry login', async (t) => {
    const call = await open(t, 'regctl')
    if (call === undefined) return
    const { host } = scene.get()
    const layout = `ocidir://${scene.image.dir}:latest`
    const client = {
      name: 'regctl',
      login: (user: string, secret: string) =>
        call(['registry', 'login', '--user', user, '--pass-stdin', host], secret),
      logout: () => call(['registry', 'logout', host]),
      push: (name: string) => call(['image', 'copy', layout, `${host}/${name}:v1`]),
      pull: (name: string) =>
        pulled((folder) => call(['image', 'copy', `${host}/${name}:v1`, `ocidir://${folder}:v1`])),
    }
    await assertClientLogsIn(scene, client, {
      wrongPassword: /unauthorized/,
      denied: /unauthorized/,
    })
  })
})
