// Reads what a process of this machine may use: its limits, and those of the cgroups around it.
import { dirname, join } from 'node:path'
import type { Host } from '../host.ts'

/** Units: bytes, and cores' worth of time. */
export interface Bounds {
  readonly openFilesMax: number | undefined
  readonly totalBytes: number | undefined
  readonly limitBytes: number | undefined
  readonly quotaCores: number | undefined
}

/** `pid`: of the process that is asked about; undefined: this one. */
export async function readBounds(host: Host, pid: number | undefined): Promise<Bounds> {
  const process = `/proc/${pid ?? 'self'}`
  const [limits, information, groups] = await Promise.all([
    host.text(`${process}/limits`),
    host.text('/proc/meminfo'),
    host.text(`${process}/cgroup`),
  ])
  return {
    openFilesMax: openFilesOf(limits),
    totalBytes: totalOf(information),
    ...(await groupBounds(host, groups ?? '')),
  }
}

function openFilesOf(limits: string | undefined): number | undefined {
  const [, hard] = /^Max open files +\S+ +(\d+|unlimited)/m.exec(limits ?? '') ?? []
  if (hard === 'unlimited') return Number.POSITIVE_INFINITY
  return hard === undefined ? undefined : Number(hard)
}

function totalOf(information: string | undefined): number | undefined {
  const [, kib] = /^MemTotal: +(\d+) kB/m.exec(information ?? '') ?? []
  return kib === undefined ? undefined : Number(kib) * 1024
}

const cgroups = '/sys/fs/cgroup'
// The old cgroups say this, rounded to pages, where there is no limit.
const noLimitBytes = 2 ** 62

async function groupBounds(
  host: Host,
  written: string,
): Promise<Pick<Bounds, 'limitBytes' | 'quotaCores'>> {
  const paths = new Map<string, string>()
  for (const line of written.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    for (const controller of controllers.split(',')) paths.set(controller, path)
  }
  const memories: Array<number | undefined> = []
  const quotas: Array<number | undefined> = []
  // A limit of any group around it is one of its own.
  for (const path of upwards(paths.get('') ?? '/')) {
    memories.push(limitOf(await host.text(join(cgroups, path, 'memory.max'))))
    quotas.push(quotaOf(await host.text(join(cgroups, path, 'cpu.max'))))
  }
  for (const path of upwards(paths.get('memory') ?? '/')) {
    const file = join(cgroups, 'memory', path, 'memory.limit_in_bytes')
    memories.push(limitOf(await host.text(file)))
  }
  for (const path of upwards(paths.get('cpu') ?? '/')) {
    const place = join(cgroups, 'cpu', path)
    const quota = await host.text(join(place, 'cpu.cfs_quota_us'))
    const period = await host.text(join(place, 'cpu.cfs_period_us'))
    quotas.push(quotaOf(`${quota} ${period}`))
  }
  return { limitBytes: least(memories), quotaCores: least(quotas) }
}

/** The path and all above it; in a container its own group is often mounted as the root. */
function upwards(path: string): readonly string[] {
  const found = [path]
  for (let at = path; at !== '/' && found.length < 32; ) {
    at = dirname(at)
    found.push(at)
  }
  return found
}

function limitOf(written: string | undefined): number | undefined {
  if (written === undefined || !/^\d+$/.test(written.trim())) return undefined
  const bytes = Number(written)
  return bytes >= noLimitBytes ? undefined : bytes
}

function quotaOf(written: string | undefined): number | undefined {
  const [, quota, period] = /^(\d+) (\d+)$/.exec(written?.trim() ?? '') ?? []
  if (quota === undefined || period === undefined || Number(period) === 0) return undefined
  return Number(quota) / Number(period)
}

function least(values: ReadonlyArray<number | undefined>): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}
