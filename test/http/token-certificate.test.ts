// Goal: a token that was obtained with a client certificate is worth nothing without it. Method: one
// server that asks for certificates, and clients with one, with another and with none.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { type Certificate, needsOpenssl } from '../support/pki.ts'
import { secureClient, usePki, useTlsServer } from '../support/tls-server.ts'

const password = 'tuesday-fjord-lemon'
const toml = `
[auth.token_service]
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hashPassword(password))}
[global.access_policy]
default = "deny"
rules = [
  "identity.certificate.organizations.contains('Infrastructure')",
  "identity.username == 'ci' && identity.certificate == null",
]
`

describe('a token and a certificate', needsOpenssl, () => {
  const scene = usePki()
  const product = useTlsServer(scene, () => ({ clientAuth: 'optional', toml }))

  interface Asked {
    readonly status: number
    readonly challenge: string
  }

  async function ask(token: string, certificate?: Certificate): Promise<Asked> {
    const client = secureClient(scene.pki, product.get(), certificate)
    const headers = { authorization: `Bearer ${token}` }
    const { status, headers: told } = await client.get('/v2/app/manifests/v1', headers)
    client.close()
    return { status, challenge: String(told['www-authenticate'] ?? '') }
  }

  async function tokenFor(certificate?: Certificate, login?: string): Promise<string> {
    const client = secureClient(scene.pki, product.get(), certificate)
    const authorization = `Basic ${Buffer.from(login ?? '').toString('base64')}`
    const headers: Record<string, string> = login === undefined ? {} : { authorization }
    const answer = await client.get('/token?scope=repository:app:pull', headers)
    client.close()
    assert.equal(answer.status, 200)
    return (JSON.parse(answer.body.toString()) as { token: string }).token
  }

  test('belong together, with a login and without one', async () => {
    const { client, clientCa } = scene.pki
    const other = await clientCa.clientCertificate({ organizations: ['Infrastructure'] })
    for (const token of [await tokenFor(client), await tokenFor(client, `ci:${password}`)]) {
      assert.equal((await ask(token, client)).status, 404)
      for (const wrong of [undefined, other]) {
        const { status, challenge } = await ask(token, wrong)
        assert.equal(status, 401)
        assert.match(challenge, /^Bearer realm="https:\/\/localhost:\d+\/token",.*"invalid_token"$/)
      }
      // Refused to one, it is still good for the other.
      assert.equal((await ask(token, client)).status, 404)
    }
  })

  test('that was obtained without one is good beside one', async () => {
    const token = await tokenFor(undefined, `ci:${password}`)
    assert.equal((await ask(token)).status, 404)
    assert.equal((await ask(token, scene.pki.client)).status, 404)
  })
})
