// Gathers what the checks look at, theme by theme. Changes nothing but a file of its own that measures the
// disk; what fails is told as a failure, and never ends the others.
import type { Config, ListenerConfig } from '../config/schema.ts'
import { isLoopbackHost } from '../http/loopback.ts'
import type { ClockFacts, SkewFacts } from './check/clock.ts'
import type { ConfigurationFacts, SampledBlobs } from './check/configuration.ts'
import type { FileFacts } from './check/files.ts'
import type { KernelFacts } from './check/kernel.ts'
import type { NetworkFacts } from './check/network.ts'
import type { PagingFacts } from './check/paging.ts'
import type { PasswordFacts } from './check/passwords.ts'
import type { ProcessorFacts, RateFacts } from './check/processor.ts'
import type { ResourceFacts } from './check/resources.ts'
import type { ServiceFacts } from './check/services.ts'
import type { PlaceFacts } from './check/storage.ts'
import type { SyncFacts } from './check/sync-rate.ts'
import type { TlsFacts } from './check/tls.ts'
import type { TransportFacts } from './check/transport.ts'
import { type Host, nearestThere } from './host.ts'
import { askClock, readClock } from './probe/clock.ts'
import { readFiles } from './probe/files.ts'
import { readKernel, readPaging } from './probe/kernel.ts'
import { readLinks, readPaths } from './probe/network.ts'
import { measureRates, readProcessor } from './probe/processor.ts'
import { readBounds } from './probe/resources.ts'
import { askServices, destinations } from './probe/services.ts'
import { readListeners } from './probe/sockets.ts'
import { measureSync, readPlaces } from './probe/storage.ts'

/** Everything that the checks ask for; undefined: there is nothing to check, or it was not looked at. */
export interface Facts {
  readonly configuration: ConfigurationFacts | undefined
  readonly transport: TransportFacts | undefined
  readonly network: NetworkFacts | undefined
  readonly tls: TlsFacts | undefined
  readonly passwords: PasswordFacts | undefined
  readonly files: FileFacts | undefined
  readonly places: readonly PlaceFacts[] | undefined
  readonly sync: SyncFacts | string | undefined
  readonly processor: ProcessorFacts | undefined
  readonly rates: RateFacts | undefined
  readonly resources: ResourceFacts | undefined
  readonly paging: PagingFacts | undefined
  readonly kernel: KernelFacts | undefined
  readonly clock: ClockFacts | undefined
  readonly skews: readonly SkewFacts[] | undefined
  readonly services: readonly ServiceFacts[] | undefined
  readonly failures: readonly Failure[]
}

/** A theme that could not be looked at. */
export interface Failure {
  readonly theme: string
  readonly reason: string
}

/** What the caller knows: the doctor loads no transport by itself. */
export interface Surroundings {
  readonly host: Host
  /** Those that the configuration came from. */
  readonly files: readonly string[]
  /** What the server would refuse, each with its place. */
  readonly problems: readonly string[]
  /** Absent where blobs are not encrypted, or cannot be looked at. */
  readonly sampled?: SampledBlobs | undefined
  readonly uwsProblem: string | undefined
  readonly uwsCaution: string | undefined
  /** Whether uws can serve this listener. */
  readonly isForUws: (listener: ListenerConfig) => boolean
  /** Pid of the server that runs with this configuration. */
  readonly serverPid: number | undefined
  readonly cores: number
  /** Of this machine's interfaces. */
  readonly addresses: ReadonlySet<string> | undefined
  readonly architecture: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Who asks. */
  readonly uid: number
  readonly now: () => number
  /** Whose Date is compared with our clock. */
  readonly clockUrl: URL | undefined
  /** Nothing is measured, and nobody else is asked. */
  readonly isQuick: boolean
}

// Longer than all that one theme may wait for, each thing within its own bound.
const themeMs = 12_000

/** The facts of a configuration on this machine. Never rejects. Limits: `deadlineMs` for each theme. */
export async function gatherFacts(
  config: Config,
  around: Surroundings,
  deadlineMs: number = themeMs,
): Promise<Facts> {
  const { host, isQuick } = around
  const failures: Failure[] = []
  const attempt = async <T>(theme: string, read: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await inTime(read, deadlineMs)
    } catch (error) {
      failures.push({ theme, reason: error instanceof Error ? error.message : String(error) })
      return undefined
    }
  }
  const transport = transportFacts(config, around)
  const [configuration, network, tls, passwords, files, places, ...rest] = await Promise.all([
    attempt('configuration', () => configurationFacts(config, around)),
    attempt('network', () => networkFacts(config, around)),
    attempt('TLS', () => tlsFacts(config, around)),
    attempt('passwords', () => passwordFacts(config, around)),
    attempt('files', () => readFiles(host, config, around)),
    attempt('storage', () => readPlaces(host, config)),
    attempt('processor', () => readProcessor(host, around)),
    attempt('resources', () => resourceFacts(config, around)),
    attempt('paging', () => readPaging(host)),
    attempt('kernel', () => kernelFacts(config, around)),
    attempt('clock', () => readClock(host, isQuick)),
    attempt('clocks of others', () => clockSkews(around)),
    attempt('services', () => (isQuick ? undefined : askServices(config))),
  ])
  const [processor, resources, paging, kernel, clock, skews, asked] = rest
  // At the end: nobody else's answer has to wait for a thread that is measured.
  const sync = isQuick ? undefined : await attempt('sync', () => syncFacts(config, host))
  const rates = isQuick ? undefined : await attempt('measurements', measureRates)
  return {
    ...{ configuration, transport, network, tls, passwords, files, places, sync },
    ...{ processor, rates, resources, paging, kernel, clock, failures },
    skews: [...(skews ?? []), ...(asked?.clocks ?? [])],
    services: asked?.services,
  }
}

async function inTime<T>(read: () => T | Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_settle, reject) => {
    timer = setTimeout(() => reject(new Error(`it took more than ${deadlineMs} ms`)), deadlineMs)
  })
  try {
    return await Promise.race([read(), late])
  } finally {
    clearTimeout(timer)
  }
}

function transportFacts(
  config: Config,
  { uwsProblem, uwsCaution, isForUws }: Surroundings,
): TransportFacts {
  const choice = config.server.transport
  const listenersForUws = choice === 'node' ? 0 : config.listeners.filter(isForUws).length
  return { choice, uwsProblem, uwsCaution, listenersForUws }
}

/** Whether uws will serve it. */
function isOnUws(config: Config, around: Surroundings, listener: ListenerConfig): boolean {
  const { uwsProblem, uwsCaution, isForUws } = around
  const choice = config.server.transport
  const isTaken = choice === 'uws' || (choice === 'auto' && uwsCaution === undefined)
  return isTaken && uwsProblem === undefined && isForUws(listener)
}

async function configurationFacts(
  config: Config,
  around: Surroundings,
): Promise<ConfigurationFacts> {
  // Loaded here, as what follows: a start of the server looks at none of it.
  const { readConfiguration } = await import('./probe/configuration.ts')
  const { problems, sampled } = around
  return readConfiguration(config, {
    problems,
    sampled,
    isOnUws: (each) => isOnUws(config, around, each),
  })
}

async function networkFacts(config: Config, around: Surroundings): Promise<NetworkFacts> {
  const { host, isQuick } = around
  const [listeners, links, paths] = await Promise.all([
    readListeners(host, config.listeners, around),
    readLinks(host),
    isQuick ? [] : readPaths(host, destinations(config)),
  ])
  return { listeners, ...links, paths }
}

async function tlsFacts(config: Config, around: Surroundings): Promise<TlsFacts | undefined> {
  const { tls, listeners, server } = config
  if (tls === undefined || !listeners.some((each) => each.tls)) return undefined
  const { readTls } = await import('./probe/tls.ts')
  return readTls(around.host, tls, { now: around.now, externalUrl: server.externalUrl })
}

async function passwordFacts(config: Config, { now }: Surroundings): Promise<PasswordFacts> {
  const { loadUsers } = await import('../authenticate/users.ts')
  const users = loadUsers(config.auth).users.map(({ username, passwordHash, expiresAtMs }) => ({
    ...{ username, expiresAtMs },
    isBcrypt: passwordHash.startsWith('$2'),
  }))
  return { nowMs: now(), users }
}

/** What one process, and all of them, may use here. */
export async function resourceFacts(config: Config, around: Surroundings): Promise<ResourceFacts> {
  const { host, serverPid, cores, env } = around
  const { server, limits, ingest, cache } = config
  const { openFilesMax, ...bounds } = await readBounds(host, serverPid)
  const processes = server.processes === 'auto' ? cores : server.processes
  return {
    openFilesMax,
    isOfServer: serverPid !== undefined,
    connectionsMax: limits.connectionsMax,
    sessionsMax: ingest.sessionsMax,
    ...{ cores, processes, quotaCores: bounds.quotaCores },
    ingestWorkers:
      ingest.workers === 'auto' ? Math.max(1, Math.ceil((cores - 1) / processes)) : ingest.workers,
    uvThreads: env['UV_THREADPOOL_SIZE'],
    memory: {
      ...{ totalBytes: bounds.totalBytes, limitBytes: bounds.limitBytes },
      budgetBytes: ingest.memoryBudgetBytes + ingest.bodyBudgetBytes,
      cacheBytes: cache.replyBytes,
    },
  }
}

export async function kernelFacts(config: Config, around: Surroundings): Promise<KernelFacts> {
  const { listeners, limits, server } = config
  const processes = server.processes === 'auto' ? around.cores : server.processes
  return {
    ...(await readKernel(around.host)),
    hasTlsOnUws: listeners.some((each) => each.tls && isOnUws(config, around, each)),
    asksOthers: destinations(config).some(({ hostname }) => !isLoopbackHost(hostname)),
    listensOnTcp: listeners.some(({ kind }) => kind === 'tcp'),
    connectionsMax: processes * limits.connectionsMax,
  }
}

async function clockSkews({ clockUrl, now }: Surroundings): Promise<readonly SkewFacts[]> {
  return clockUrl === undefined ? [] : [await askClock(clockUrl, now)]
}

async function syncFacts(
  { blobStore }: Config,
  host: Host,
): Promise<SyncFacts | string | undefined> {
  if (blobStore.kind !== 'fs') return undefined
  // Before the first start the store is not there, and the doctor makes none.
  const folder = await nearestThere(host, blobStore.rootDir)
  return folder === undefined ? undefined : measureSync(folder)
}
