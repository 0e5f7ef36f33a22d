// Whether every host does again all that clients want, without anybody's help.

import { poll } from '../http/product.ts'
import { type Answer, assertStatus, RegistryClient } from '../support/registry-client.ts'
import { within } from '../support/until.ts'
import { Holdings, manifestType } from './holdings.ts'
import type { HostNode } from './site.ts'
import { recoveryMsMax } from './weather.ts'

const answerMsMax = 15_000
let probes = 0

/** Limits: 60 s. Errors: an Error with what failed last. */
export async function requireAllWorks(nodes: readonly HostNode[]): Promise<void> {
  await Promise.all(nodes.map((node) => requireWorks(node)))
}

async function requireWorks(node: HostNode): Promise<void> {
  let last: unknown
  const attempt = async (): Promise<true | undefined> => {
    // Connections of before are none of a new client's.
    const client = new RegistryClient(node.url)
    try {
      await within(`${node.name} does all`, doAll(node, client), answerMsMax)
      return true
    } catch (error) {
      last = error
      return undefined
    } finally {
      client.close()
    }
  }
  await poll(`${node.name} works`, attempt, recoveryMsMax).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${String(last)}`, { cause: last })
  })
}

async function doAll(node: HostNode, client: RegistryClient): Promise<void> {
  probes += 1
  const holdings = new Holdings(`probe/${node.name}`, `probe ${probes} ${process.pid}`)
  const { repository } = holdings
  const ready = await node.admin('/readyz')
  if (ready.status !== 200) throw new Error(`not ready: ${ready.body}`)
  const blob = holdings.newBlob(3000)
  const manifest = holdings.newManifest([blob])
  const answers: [number, () => Promise<Answer>][] = [
    [
      201,
      () =>
        client.call('POST', `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`, {
          body: blob.bytes,
        }),
    ],
    [200, () => client.head(`/v2/${repository}/blobs/${blob.digest}`)],
    [
      201,
      async () =>
        (await client.putManifest(repository, 'probe', manifest.bytes, manifestType)).answer,
    ],
    [200, () => client.get(`/v2/${repository}/manifests/probe`)],
    [200, () => client.get(`/v2/${repository}/blobs/${blob.digest}`)],
    [202, () => client.delete(`/v2/${repository}/manifests/${manifest.digest}`)],
    [202, () => client.delete(`/v2/${repository}/blobs/${blob.digest}`)],
    [404, () => client.get(`/v2/${repository}/manifests/probe`)],
  ]
  for (const [status, send] of answers) assertStatus(await send(), status, node.name)
}
