// Text summary of V8 CPU profiles: where a thread spent its own time, and under which functions.

import { existsSync, readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

interface CallFrame {
  readonly functionName: string
  readonly url: string
  /** From 0. */
  readonly lineNumber: number
  readonly columnNumber: number
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: CallFrame
  readonly children?: readonly number[]
}

/** The format that `node --cpu-prof` writes. Units: microseconds of the monotonic clock. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

export interface FrameTime {
  /** Function, file and line in the TypeScript source where a map tells. */
  readonly frame: string
  readonly selfUs: number
  /** Time with this function anywhere on the stack. */
  readonly totalUs: number
}

const sourceMaps = new Map<string, SourceMap | undefined>()

function sourceMapOf(path: string): SourceMap | undefined {
  if (!sourceMaps.has(path)) {
    const file = `${path}.map`
    const payload = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
    sourceMaps.set(path, payload === undefined ? undefined : new SourceMap(payload))
  }
  return sourceMaps.get(path)
}

function placeOf({ url, lineNumber, columnNumber }: CallFrame): string {
  if (!url.startsWith('file://')) return url === '' ? '' : `${url}:${lineNumber + 1}`
  const path = fileURLToPath(url)
  const shown = relative(process.cwd(), path).replace(/^.*?(?=(src|workers|node_modules)\/)/, '')
  const entry = sourceMapOf(path)?.findEntry(lineNumber, columnNumber)
  if (entry === undefined || !('originalSource' in entry)) return `${shown}:${lineNumber + 1}`
  const source = shown.replace(/\.js$/, '.ts')
  return `${source}:${entry.originalLine + 1}`
}

function nameOf(frame: CallFrame): string {
  const name = frame.functionName === '' ? '(anonymous)' : frame.functionName
  return `${name} ${placeOf(frame)}`.trim()
}

function selfTimes(profile: CpuProfile, fromUs: number, toUs: number): Map<number, number> {
  const self = new Map<number, number>()
  let time = profile.startTime
  for (const [index, node] of profile.samples.entries()) {
    const delta = profile.timeDeltas[index] ?? 0
    time += delta
    if (time >= fromUs && time <= toUs) self.set(node, (self.get(node) ?? 0) + delta)
  }
  return self
}

/** Self and total time per function between two moments of the monotonic clock. Units: µs. */
export function timesByFrame(profile: CpuProfile, fromUs: number, toUs: number): FrameTime[] {
  const self = selfTimes(profile, fromUs, toUs)
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const times = new Map<string, { selfUs: number; totalUs: number }>()
  const onStack = new Set<string>()

  const visit = (id: number): number => {
    const node = nodes.get(id)
    if (node === undefined) return 0
    const frame = nameOf(node.callFrame)
    const outermost = !onStack.has(frame)
    onStack.add(frame)
    const own = self.get(id) ?? 0
    let total = own
    for (const child of node.children ?? []) total += visit(child)
    if (outermost) onStack.delete(frame)
    const entry = times.get(frame) ?? { selfUs: 0, totalUs: 0 }
    entry.selfUs += own
    // A recursive function counts once, at its outermost call.
    if (outermost) entry.totalUs += total
    times.set(frame, entry)
    return total
  }

  const [root] = profile.nodes
  if (root !== undefined) visit(root.id)
  return [...times].map(([frame, entry]) => ({ frame, ...entry }))
}

function lines(rows: readonly FrameTime[], wholeUs: number): string[] {
  return rows.map(({ frame, selfUs, totalUs }) => {
    const share = (us: number): string => `${((us / wholeUs) * 100).toFixed(1).padStart(5)} %`
    return `  ${share(selfUs)} self ${share(totalUs)} total  ${frame}`
  })
}

/** Top frames by self time, then by total time, of one thread; shares are of the whole window. */
export function summarizeThread(title: string, times: readonly FrameTime[], top: number): string {
  const wholeUs = times.reduce((sum, { selfUs }) => sum + selfUs, 0)
  if (wholeUs === 0) return `${title}: no samples\n`
  const seen = times.filter(({ totalUs }) => totalUs > 0)
  const bySelf = [...seen].sort((a, b) => b.selfUs - a.selfUs).slice(0, top)
  const byTotal = seen
    .filter(({ frame }) => !frame.startsWith('('))
    .sort((a, b) => b.totalUs - a.totalUs)
    .slice(0, top)
  return [
    `${title}: ${(wholeUs / 1e6).toFixed(2)} s`,
    ' by self time',
    ...lines(bySelf, wholeUs),
    ' by total time',
    ...lines(byTotal, wholeUs),
    '',
  ].join('\n')
}
