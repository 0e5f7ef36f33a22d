// Samples a running server with Linux `perf` and sums up where each of its threads spent CPU time,
// kernel and native code included, which V8's own profiler shows as idle.

import { findProgram, runToEnd } from './children.ts'

const SAMPLES_PER_SECOND = 999

interface ThreadSamples {
  count: number
  readonly self: Map<string, number>
  readonly total: Map<string, number>
  readonly kinds: Map<string, number>
}

/** Record all threads of `pid` into `file`. Units: seconds. Errors: Error when perf may not. */
export async function recordPerf(pid: number, file: string, seconds: number): Promise<void> {
  if (findProgram('perf') === undefined) throw new Error('perf is not installed')
  await runToEnd(
    undefined,
    [
      ...['perf', 'record', '-q', '-F', String(SAMPLES_PER_SECOND), '-e', 'cpu-clock', '-g'],
      ...['-p', String(pid), '-o', file, '--', 'sleep', String(seconds)],
    ],
    (seconds + 30) * 1000,
  )
}

function kindOf(symbol: string, object: string): string {
  if (object.startsWith('[kernel') || object.startsWith('([kernel')) return 'kernel'
  if (/^(JS:|Builtins_|Builtin:|BytecodeHandler:)/.test(symbol)) return 'JavaScript'
  if (object.endsWith('.node')) return object.slice(object.lastIndexOf('/') + 1)
  return object.includes('perf-') ? 'JavaScript' : 'native'
}

function shorten(symbol: string): string {
  return symbol
    .replace(/\+0x[0-9a-f]+$/, '')
    .replace(/file:\/\/\S*?\/(src|workers|node_modules)\//, '$1/')
    .slice(0, 110)
}

/** Threads that do the same are summed up; which they are shows at the bottom of their stacks. */
function roleOf(tid: number, pid: number, stack: readonly string[]): string {
  if (tid === pid) return 'main thread'
  const bottom = stack.slice(-6).join('\n')
  if (bottom.includes('node::worker::Worker')) return 'worker threads'
  if (bottom.includes('PlatformWorkerThread')) return 'V8 helpers (compiler, collector)'
  if (/ worker(\+0x[0-9a-f]+)? \(/.test(bottom)) return 'libuv pool'
  return bottom.includes('.node)') ? 'threads of native addons' : 'other threads'
}

function add(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}

function threadOf(threads: Map<string, ThreadSamples>, role: string): ThreadSamples {
  let thread = threads.get(role)
  if (thread === undefined) {
    thread = { count: 0, self: new Map(), total: new Map(), kinds: new Map() }
    threads.set(role, thread)
  }
  return thread
}

function parse(script: string, pid: number): Map<string, ThreadSamples> {
  const threads = new Map<string, ThreadSamples>()
  for (const sample of script.split('\n\n')) {
    const [head = '', ...stack] = sample.trim().split('\n')
    const tid = Number(/(\d+)\s*$/.exec(head)?.[1])
    if (!Number.isInteger(tid) || stack.length === 0) continue
    const thread = threadOf(threads, roleOf(tid, pid, stack))
    thread.count += 1
    const seen = new Set<string>()
    for (const [depth, line] of stack.entries()) {
      const [, symbol = '?', object = ''] = /^\s*[0-9a-f]+ (.*) \((.*)\)$/.exec(line) ?? []
      const name = shorten(symbol === '[unknown]' ? `${symbol} in ${object}` : symbol)
      if (depth === 0) {
        add(thread.self, name)
        add(thread.kinds, kindOf(symbol, object))
      }
      if (!seen.has(name)) add(thread.total, name)
      seen.add(name)
    }
  }
  return threads
}

function table(counts: Map<string, number>, all: number, top: number): string[] {
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .slice(0, top)
    .map(([name, count]) => `  ${((count / all) * 100).toFixed(1).padStart(5)} %  ${name}`)
}

/** Text per kind of thread, busiest first; shares are of the CPU time of that kind. */
export async function summarizePerf(pid: number, file: string, top: number): Promise<string> {
  const script = await runToEnd(
    undefined,
    ['perf', 'script', '-i', file, '-F', 'comm,tid,ip,sym,dso'],
    120_000,
  )
  const threads = [...parse(script, pid)].sort(([, a], [, b]) => b.count - a.count)
  const all = threads.reduce((sum, [, { count }]) => sum + count, 0)
  const parts = threads
    .filter(([, { count }]) => count / all > 0.01)
    .map(([name, thread]) => {
      const seconds = (thread.count / SAMPLES_PER_SECOND).toFixed(2)
      const share = ((thread.count / all) * 100).toFixed(0)
      return [
        `${name}: ${seconds} CPU-s, ${share} % of the process`,
        ...table(thread.kinds, thread.count, 9),
        ' by self time',
        ...table(thread.self, thread.count, top),
        ' by total time',
        ...table(thread.total, thread.count, top),
        '',
      ].join('\n')
    })
  return parts.join('\n')
}
