// Reads what strace wrote of a server: its system calls, each with its place in the order of events.

import { readFile } from 'node:fs/promises'

export interface Call {
  readonly name: string
  /** What the first descriptor stands for: a path, or an address in brackets. '' where there is none. */
  readonly on: string
  /** As strace prints them. */
  readonly args: string
  /** -1 where it failed. */
  readonly result: number
  /** Lines of the trace, at which it was entered and left: a later line is a later event. */
  readonly begun: number
  readonly ended: number
}

/**
 * What the assertions need: strings long enough for whole pages and reply heads, and slow syncs, so that
 * whoever does not wait for one is far ahead of its end.
 */
export const straceArgs: readonly string[] = [
  '-f',
  '-yy',
  '-s',
  '200000',
  '-e',
  'trace=fdatasync,fsync,msync,sync_file_range,link,linkat,mkdir,openat,write,writev,pwrite64,pwritev,sendto,sendmsg',
  '-e',
  'inject=fdatasync,fsync:delay_exit=20000',
]

const whole = /^(\d+) +(\w+)\((.*)\) += (-?\d+)/s
const unfinished = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/s
const resumed = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)/s

/** Every call that has ended, by its end. Source: strace(1), "-f" and "-yy". */
export async function readTrace(file: string): Promise<readonly Call[]> {
  const calls: Call[] = []
  const open = new Map<string, { readonly args: string; readonly begun: number }>()
  const lines = (await readFile(file, 'latin1')).split('\n')
  for (const [number, line] of lines.entries()) {
    const [, thread = '', name = '', args = '', result] =
      whole.exec(line) ?? unfinished.exec(line) ?? resumed.exec(line) ?? []
    if (thread === '') continue
    const key = `${thread} ${name}`
    if (result === undefined) {
      open.set(key, { args, begun: number })
      continue
    }
    const start = line.includes(' resumed>') ? open.get(key) : { args: '', begun: number }
    open.delete(key)
    // One that was under way when the trace began.
    if (start === undefined) continue
    const all = start.args + args
    calls.push({
      ...{ name, on: descriptorOf(all), args: all, result: Number(result) },
      ...{ begun: start.begun, ended: number },
    })
  }
  return calls
}

function descriptorOf(args: string): string {
  const target = /^\d+<(.*?)>(?:, |$)/s.exec(args)?.[1] ?? ''
  return target.replace(/ ?\(deleted\)$/, '')
}
