// Where and with what a run was made, and which cores its two sides get.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { SUBJECTS } from './catalogue.ts'
import { findProgram, programSays } from './children.ts'
import { filesystemOf, type StoreBases } from './workspace.ts'

export interface Placement {
  readonly serverCores: string | undefined
  readonly loadCores: string | undefined
  /** For the report: how the two sides were kept apart, or that they were not. */
  readonly note: string
}

function allowedCores(): number[] {
  const status = readFileSync('/proc/self/status', 'utf8')
  const list = /^Cpus_allowed_list:\s+(\S+)$/m.exec(status)?.[1] ?? '0'
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}

/** The server gets the first core this process may use, the load and the bench itself the second. */
export function choosePlacement(): Placement {
  const [serverCore, loadCore] = allowedCores()
  if (loadCore === undefined || findProgram('taskset') === undefined) {
    const lack = loadCore === undefined ? 'one core' : 'no taskset'
    const note = `NOT pinned (${lack}): server and load compete, so take no figure from this run`
    return { serverCores: undefined, loadCores: undefined, note }
  }
  return {
    serverCores: String(serverCore),
    loadCores: String(loadCore),
    note: `server pinned to core ${serverCore}, load generator to core ${loadCore}`,
  }
}

/** Move this process and its threads off the server's core. */
export function moveToLoadCore({ loadCores }: Placement): void {
  if (loadCores === undefined) return
  spawnSync('taskset', ['-a', '-c', '-p', loadCores, String(process.pid)])
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly kernel: string
  /** One-minute load average as the run began; above 0.5 the machine was not quiet. */
  readonly loadAverage: number
  readonly node: string
  readonly diskFilesystem: string
  readonly memoryFilesystem: string
  /** Version per program; absent programs are left out. */
  readonly programs: Readonly<Record<string, string>>
}

export function describeMachine(bases: StoreBases): Machine {
  const programs: Record<string, string> = {}
  for (const { name, version } of Object.values(SUBJECTS)) {
    const said = version()
    if (said !== undefined && name !== 'null-sink' && name !== 'keelson') programs[name] = said
  }
  const wrk = /^wrk (?:debian\/)?(\S+)/.exec(programSays('wrk', '-v') ?? '')?.[1]
  if (wrk !== undefined) programs['wrk'] = wrk
  const typeOf = (base: string | undefined): string =>
    base === undefined ? 'none' : filesystemOf(resolve(base))
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release().split('-')[0] ?? '',
    loadAverage: loadavg()[0] ?? 0,
    node: process.version,
    diskFilesystem: typeOf(bases.disk),
    memoryFilesystem: typeOf(bases.memory),
    programs,
  }
}

function git(...args: string[]): string {
  return spawnSync('git', args, { encoding: 'utf8' }).stdout?.trim() ?? ''
}

export interface Revision {
  /** Abbreviated commit, or "none" outside a clone. */
  readonly commit: string
  /** True when files other than results differ from the commit. */
  readonly dirty: boolean
}

export function describeRevision(): Revision {
  const commit = git('rev-parse', '--short=10', 'HEAD')
  const changes = git('status', '--porcelain', '--', ':!bench/result')
  return { commit: /^[0-9a-f]+$/.test(commit) ? commit : 'none', dirty: changes !== '' }
}
