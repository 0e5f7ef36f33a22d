// Other registries: those that the configuration names, and those that the operator does.

import { setTimeout as delay } from 'node:timers/promises'
import type { Config, PeerConfig } from '../config/schema.ts'
import { type AnyJob, anyJob } from '../maintain/job/any-job.ts'
import {
  createImportJob,
  fileImporters,
  type ImportSettings,
} from '../maintain/transfer/import-job.ts'
import { createRegistryImporter, type OpenRemote } from '../maintain/transfer/registry/source.ts'
import type { RemoteRegistry } from '../outbound/registry/contract.ts'
import { openRemoteRegistry } from '../outbound/registry/open.ts'
import { readCallerTls } from '../outbound/tls-files.ts'

// Of one that only the operator names.
const timeoutMsDefault = 30_000
const connectionsMax = 16

/** Its files are read anew. Errors: Error with a message for the operator, and no secret. */
export async function openPeer(
  { name, url, username, password, timeoutMs, ...files }: PeerConfig,
  manifestBytesMax: number,
): Promise<RemoteRegistry> {
  const what = `peer.${name}`
  const hasLogin = username !== undefined && password !== undefined
  return openRemoteRegistry({
    ...{ name: what, url, timeoutMs, connectionsMax, manifestBytesMax, wait, elapsed },
    tls: await readCallerTls(what, files),
    ...(hasLogin ? { auth: { kind: 'basic', username, password } as const } : {}),
  })
}

/** What `keelson import --from registry` means: the name of a peer, or a URL. */
export function remoteOpener(config: () => Config): OpenRemote {
  return async (source, { manifestBytesMax }) => {
    const { peers } = config()
    const peer = peers.find(({ name }) => name === source)
    if (peer !== undefined) return openPeer(peer, manifestBytesMax)
    if (!/^https?:\/\//.test(source)) {
      const names = peers.map(({ name }) => name).join(', ')
      const known = names === '' ? 'there is none' : `known are ${names}`
      throw new Error(`${source} is no URL, and no [peer.<name>] of the configuration: ${known}`)
    }
    return openRemoteRegistry({
      ...{ name: 'the registry', url: source, timeoutMs: timeoutMsDefault },
      ...{ connectionsMax, manifestBytesMax, wait, elapsed },
    })
  }
}

/** Of trees, layouts and registries. */
export function importJob(config: () => Config): AnyJob {
  const settings = (): ImportSettings => {
    const { gc, global } = config()
    const { descriptorsMax, maxManifestSizeBytes: manifestBytesMax } = global
    return { graceMs: gc.graceMs, descriptorsMax, manifestBytesMax }
  }
  const registries = createRegistryImporter(remoteOpener(config))
  return anyJob(createImportJob(settings, [...fileImporters, registries]))
}

async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(ms, undefined, signal === undefined ? {} : { signal })
}

function elapsed(): number {
  return performance.now()
}
