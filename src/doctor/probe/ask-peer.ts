// Asks another registry for the tags of a repository that it hardly has: whether it can be reached, is who it should
// be, and takes the login.
import type { PeerConfig } from '../../config/schema.ts'
import { RemoteError } from '../../outbound/registry/contract.ts'
import { openRemoteRegistry } from '../../outbound/registry/open.ts'
import { readCallerTls } from '../../outbound/tls-files.ts'
import type { ServiceFacts } from '../check/services.ts'
import { type Asked, factsOf, patienceMs } from './ask.ts'

const remedy =
  'see that it can be reached, that server_ca_bundle is the CA of its certificate, and that username and password are right'
const repository = 'keelson-doctor/nothing'

export function askPeer({
  name,
  url,
  username,
  password,
  timeoutMs,
  ...files
}: PeerConfig): Promise<ServiceFacts> {
  const ask = async (): Promise<Asked> => {
    const what = `peer.${name}`
    const hasLogin = username !== undefined && password !== undefined
    const remote = openRemoteRegistry({
      ...{ name: what, url, connectionsMax: 1, manifestBytesMax: 0 },
      timeoutMs: Math.min(timeoutMs, patienceMs),
      tls: await readCallerTls(what, files),
      ...(hasLogin ? { auth: { kind: 'basic', username, password } as const } : {}),
      elapsed: () => performance.now(),
      // What fails is tried again at once, if at all: nobody waits for so long here.
      wait: async (_ms, signal) => signal?.throwIfAborted(),
    })
    try {
      const signal = AbortSignal.timeout(patienceMs)
      for await (const _tag of remote.tags(repository, signal)) break
      return hasLogin ? `answers ${username}` : 'answers'
    } catch (error) {
      // Some say so of whatever is not there.
      if (error instanceof RemoteError && error.problem === 'denied') {
        return `answers, and denies ${repository}`
      }
      throw error
    } finally {
      await remote.close()
    }
  }
  return factsOf({ kind: 'peer', name, url }, ask, remedy)
}
