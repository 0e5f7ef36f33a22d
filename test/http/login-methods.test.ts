// Goal: whatever the way to log in, clients are asked for it at /v2/ although the policies allow everything,
// since they take a 200 to mean that no login is needed. Method: a server with each way alone.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { deadUrl } from '../authorize/opa/scene.ts'
import { startServer } from '../support/server.ts'
import { temporaryFolder } from './product.ts'

const hash = hashPassword('tuesday-fjord-lemon')
const basic = 'Basic realm="keelson"'

describe('a client that shows no credential', { concurrency: 2 }, () => {
  const folder = temporaryFolder()

  const ways: Readonly<Record<string, () => Promise<string>>> = {
    'a user of the configuration': async () =>
      `[auth.identity.ci]\nusername = "ci"\npassword = ${JSON.stringify(hash)}\n`,
    'an htpasswd file': async () => {
      const file = join(folder.path, 'htpasswd')
      await writeFile(file, `ci:${hash}\n`)
      return `[auth]\nhtpasswd = ${JSON.stringify(file)}\n`
    },
    'an identity provider': async () =>
      `[auth.oidc.actions]\nissuer = "${(await deadUrl()).replace('http', 'https')}"\nrequired_audience = ["a"]\n`,
    'a directory': async () =>
      `[auth.ldap.corp]\nurl = "${(await deadUrl()).replace('http', 'ldap')}"\nuser_base = "ou=people,dc=a"\n`,
    'a gateway': async () =>
      '[auth.gateway]\nproxies = ["127.0.0.2"]\nshared_secret = "the secret of the gateway"\n',
    'the token service': async () => '[auth.token_service]\nservice = "registry.example.com"\n',
  }

  for (const [name, toml] of Object.entries(ways)) {
    test(`is asked for a login at /v2/ where there is ${name} alone`, async (t) => {
      const stores = '[server]\nport = 0\n[blob_store.memory]\n[metadata_store.memory]\n'
      const policy = '[global.access_policy]\ndefault = "allow"\n'
      const server = await startServer({ base: `${stores}${policy}${await toml()}` })
      t.after(() => server.stop())
      const isToken = name === 'the token service'
      const challenge = isToken
        ? `Bearer realm="${server.url}/token",service="registry.example.com"`
        : basic
      // What podman, buildah and skopeo send when they have none, too.
      for (const headers of [{}, { authorization: 'Basic Og==' }] as const) {
        for (const method of ['GET', 'HEAD']) {
          const { status, headers: said } = await fetch(`${server.url}/v2/`, { method, headers })
          assert.deepEqual([status, said.get('www-authenticate')], [401, challenge], method)
        }
        const elsewhere = await fetch(`${server.url}/v2/a/tags/list`, { headers })
        assert.equal(elsewhere.status, 404)
      }
    })
  }

  test('is not asked where nobody could log in', async (t) => {
    const server = await startServer()
    t.after(() => server.stop())
    assert.equal((await fetch(`${server.url}/v2/`)).status, 200)
  })
})
