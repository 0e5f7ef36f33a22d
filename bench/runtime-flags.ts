// With which flags of Node a server runs, as the kernel knows them.

import { readFileSync } from 'node:fs'

export interface RuntimeFlags {
  /** What stands between Node and its program. */
  readonly execArgv: readonly string[]
  readonly nodeOptions: string
}

function parts(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\0')
  } catch {
    // Ended already: then it has no flags to tell.
    return []
  }
}

/** Of a command line without its end, such as that of /proc. */
export function execArgvOf(command: readonly string[]): readonly string[] {
  const end = command.findIndex((word, index) => index > 0 && !word.startsWith('-'))
  return command.slice(1, Math.max(1, end))
}

/** Undefined for a program other than Node. */
export function runtimeFlags(pid: number): RuntimeFlags | undefined {
  const command = parts(`/proc/${pid}/cmdline`)
  if (!/(^|\/)node$/.test(command[0] ?? '')) return undefined
  const assigned = parts(`/proc/${pid}/environ`).find((it) => it.startsWith('NODE_OPTIONS='))
  return {
    execArgv: execArgvOf(command),
    nodeOptions: assigned?.slice('NODE_OPTIONS='.length) ?? '',
  }
}
