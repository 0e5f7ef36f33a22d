// Answers for leaks of file descriptors in tests: which paths of a directory this process has open.

import { readdirSync, readlinkSync } from 'node:fs'

/** Targets of this process's descriptors that lie below `directory`. */
export function openFilesBelow(directory: string): readonly string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => linkTarget(`/proc/self/fd/${fd}`))
    .filter((target) => target.startsWith(`${directory}/`))
}

// A descriptor may be closed between the listing and the look, as the listing's own is.
function linkTarget(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
