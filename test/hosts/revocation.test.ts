// Goal: hosts of one store take one another's tokens and API keys, and what is revoked on one is refused on the others
// within a second, with Redis and without. Method: three servers before one store; many revocations, and their median.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { poll } from '../http/product.ts'
import { inOwnNetwork } from '../support/own-network.ts'
import { type HostNode, needsHosts, Site } from './site.ts'

const service = 'registry.example.com'
const password = 'tuesday-fjord-lemon'
const revocations = 9
const medianMsMax = 1_000

const access = `
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hashPassword(password))}
[auth.token_service]
service = "${service}"
[global.access_policy]
default = "deny"
rules = ["identity.username != null"]
`

inOwnNetwork(import.meta.filename, { ...needsHosts, timeoutMs: 300_000 }, () => {
  describe('hosts of one store', needsHosts, () => {
    let site: Site
    let nodes: readonly HostNode[]

    before(async () => {
      site = await Site.open()
      nodes = [
        await site.add('host-a', access),
        await site.add('host-b', access),
        await site.add('host-c', access),
      ]
      await Promise.all(nodes.map((node) => node.start()))
    })
    after(() => site?.close())

    for (const way of ['with Redis', 'without'] as const) {
      test(`what is revoked is refused everywhere within a second, ${way}`, async (t) => {
        if (way === 'without') await site.redis.kill()
        const tookMs: number[] = []
        for (let i = 0; i < revocations; i++) {
          const at = (offset: number): HostNode => nodes[(i + offset) % nodes.length] ?? nodes[0]!
          const isKey = i % 2 === 0
          const { id, credential } = isKey
            ? await keyOf(at(0), `key-${way === 'without' ? 'b' : 'a'}-${i}`)
            : await tokenOf(at(0))
          for (const node of nodes) {
            await poll('it is known everywhere', async () =>
              (await statusOf(node, credential)) === 404 ? true : undefined,
            )
          }
          await at(1).tell('/tokens/revoke', { id })
          const from = performance.now()
          await poll('it is refused everywhere', async () => {
            for (const node of nodes)
              if ((await statusOf(node, credential)) !== 401) return undefined
            return true
          })
          tookMs.push(performance.now() - from)
        }
        tookMs.sort((one, other) => one - other)
        t.diagnostic(tookMs.map(Math.round).join(' '))
        assert.ok(tookMs[Math.floor(revocations / 2)]! <= medianMsMax, `${tookMs}`)
      })
    }
  })
})

interface Credential {
  readonly id: string
  readonly credential: string
}

async function keyOf(node: HostNode, name: string): Promise<Credential> {
  const input = { name, scopes: ['repository:*:pull'], ttlMs: 3_600_000 }
  const { id, key } = await node.tell<{ id: string; key: string }>('/tokens/create', input)
  return { id, credential: key }
}

async function tokenOf(node: HostNode): Promise<Credential> {
  const credentials = Buffer.from(`ci:${password}`).toString('base64')
  const url = `${node.url}/token?service=${service}&scope=repository:a:pull`
  const response = await fetch(url, { headers: { authorization: `Basic ${credentials}` } })
  assert.equal(response.status, 200)
  const { token } = (await response.json()) as { token: string }
  const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  return { id: (JSON.parse(claims) as { jti: string }).jti, credential: token }
}

/** 404: it was let in, and there is nothing. */
async function statusOf(node: HostNode, credential: string): Promise<number> {
  const headers = { authorization: `Bearer ${credential}` }
  const response = await fetch(`${node.url}/v2/a/manifests/latest`, { headers })
  await response.arrayBuffer()
  return response.status
}
