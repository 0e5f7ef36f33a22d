// Checks what the server may use of this machine: open files, memory, processor time.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import { counted, shownSize } from '../wording.ts'

export interface ResourceFacts {
  /** The hard limit, which Node.js raises itself to; undefined where it is not told. */
  readonly openFilesMax: number | undefined
  /** Of the server that runs, and not of whoever asks. */
  readonly isOfServer: boolean
  /** `server.limits.connections_max`; 0: no bound. */
  readonly connectionsMax: number
  readonly sessionsMax: number
  readonly cores: number
  /** How many cores' worth of time the cgroup allows; undefined: no bound is known. */
  readonly quotaCores: number | undefined
  readonly processes: number
  /** Of each process. */
  readonly ingestWorkers: number
  /** As the environment has it. */
  readonly uvThreads: string | undefined
  readonly memory: MemoryFacts
}

/** Units: bytes. */
export interface MemoryFacts {
  readonly totalBytes: number | undefined
  /** Of the cgroup and all around it; undefined: none. */
  readonly limitBytes: number | undefined
  /** What the configuration lets bodies of one process use, of uploads and of those that are taken whole. */
  readonly budgetBytes: number
  readonly cacheBytes: number
}

// Beside connections and uploads: the store, logs, pipes of threads, calls to others.
const filesBeside = 512
// Of a process that serves, without its buffers and caches: about what it has after a start, twice.
const baseBytes = 256 * 1024 * 1024
const worthSpreading = 4

export const resourceRows = {
  'open-files': {
    title: 'open files',
    why: 'each connection is a file, and so is each open upload: at the limit new ones fail',
    link: 'tuning.md#files-and-memory',
    warning:
      'the hard limit is below `server.limits.connections_max` + `ingest.sessions_max` + 512, of the server where it runs, else of this shell',
    atStart: true,
  },
  memory: {
    title: 'memory',
    why: 'beyond its limit the kernel kills the server in the middle of its work',
    link: 'tuning.md#files-and-memory',
    warning:
      'the limit of the cgroup, or the memory of the machine, is below `ingest.memory_budget` + `ingest.body_budget` + `cache.reply_bytes` + 256 MiB for each process',
    atStart: true,
  },
  processors: {
    title: 'processors',
    why: 'one process uses one core for its sockets, and more threads than cores only take turns',
    link: 'tuning.md#processes-and-threads',
    warning: 'more processes than cores, or `UV_THREADPOOL_SIZE` is no number from 1 to 1024',
    advice:
      'one process on four cores or more, more ingest workers than twice the cores, or a cgroup that allows less time than the cores that `auto` counts',
  },
} as const

const say = sayingsOf(resourceRows)

export function checkResources(facts: ResourceFacts): readonly Finding[] {
  return [checkOpenFiles(facts), checkMemory(facts), ...checkProcessors(facts)]
}

function checkOpenFiles(facts: ResourceFacts): Finding {
  const { openFilesMax, connectionsMax, sessionsMax, isOfServer } = facts
  if (openFilesMax === undefined) return say.unknown('open-files', 'the limit is not told')
  const needed = connectionsMax + sessionsMax + filesBeside
  const whose = isOfServer ? 'the server' : 'a process that is started here'
  const limit = openFilesMax === Number.POSITIVE_INFINITY ? 'any number' : String(openFilesMax)
  const detail = `${whose} may have ${limit} open`
  if (connectionsMax === 0) {
    return say.ok('open-files', `${detail}, and connections_max = 0 bounds no connections`)
  }
  if (openFilesMax >= needed) return say.ok('open-files', detail)
  return say.warning('open-files', `${detail}, and up to ${needed} may be needed`, {
    remedy: `LimitNOFILE=${roundUp(needed, 1024)} in the unit, or a lower server.limits.connections_max`,
    command: isOfServer ? 'systemctl edit keelson' : `ulimit -Hn ${roundUp(needed, 1024)}`,
  })
}

function checkMemory({ memory, processes }: ResourceFacts): Finding {
  const { totalBytes, limitBytes, budgetBytes, cacheBytes } = memory
  const most = Math.min(
    limitBytes ?? Number.POSITIVE_INFINITY,
    totalBytes ?? Number.POSITIVE_INFINITY,
  )
  if (most === Number.POSITIVE_INFINITY)
    return say.unknown('memory', 'how much there is cannot be read')
  const whose =
    limitBytes === undefined || limitBytes > (totalBytes ?? 0)
      ? 'the machine has'
      : 'the cgroup allows'
  const needed = processes * (budgetBytes + cacheBytes + baseBytes)
  const detail = `${whose} ${shownSize(most)}; ${counted(processes, 'process', 'processes')} may use ${shownSize(needed)}`
  if (most >= needed) return say.ok('memory', detail)
  return say.warning('memory', detail, {
    remedy:
      'lower ingest.memory_budget, ingest.body_budget, cache.reply_bytes or server.processes, or allow more (MemoryMax= of the unit)',
  })
}

function checkProcessors(facts: ResourceFacts): readonly Finding[] {
  const { cores, quotaCores, processes, ingestWorkers, uvThreads } = facts
  const findings: Finding[] = []
  if (processes > cores) {
    const detail = `server.processes is ${processes} on ${counted(cores, 'core')}`
    findings.push(say.warning('processors', detail, { remedy: 'set server.processes = "auto"' }))
  }
  const uv = Number(uvThreads ?? 4)
  if (!Number.isInteger(uv) || uv < 1 || uv > 1024) {
    const detail = 'UV_THREADPOOL_SIZE is no number from 1 to 1024'
    findings.push(
      say.warning('processors', detail, {
        remedy: 'unset it: bin/keelson then sets what fits',
        command: 'unset UV_THREADPOOL_SIZE',
      }),
    )
  }
  if (quotaCores !== undefined && quotaCores < cores) {
    const detail = `the cgroup allows the time of ${Number(quotaCores.toFixed(2))} of ${counted(cores, 'core')}, and "auto" counts the cores`
    const remedy = `set server.processes and ingest.workers to ${Math.max(1, Math.floor(quotaCores))}, or allow more (CPUQuota= of the unit)`
    findings.push(say.advice('processors', detail, { remedy }))
  } else if (processes === 1 && cores >= worthSpreading) {
    const detail = `one process on ${cores} cores uses one of them for its sockets`
    findings.push(
      say.advice('processors', detail, {
        remedy: 'where one core is not enough, set server.processes = "auto"',
      }),
    )
  }
  if (processes * ingestWorkers > 2 * cores) {
    const detail = `${processes * ingestWorkers} ingest workers on ${counted(cores, 'core')}`
    findings.push(say.advice('processors', detail, { remedy: 'lower ingest.workers, or "auto"' }))
  }
  if (findings.length > 0) return findings
  const detail = `${counted(cores, 'core')}, ${counted(processes, 'process', 'processes')} with ${counted(ingestWorkers, 'ingest worker')} each`
  return [say.ok('processors', detail)]
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step
}
