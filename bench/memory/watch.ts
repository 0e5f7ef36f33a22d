// The highest memory of a server while something goes on, and whether it is given back afterwards.

import { openFiles, type Resident, resident } from '../usage.ts'

export interface MemoryWatch {
  /** The highest of each since the start; not necessarily at the same moment. */
  stop(): Resident
}

const everyMs = 50
const pollMs = 100

/** Samples the family of `pid`. VmHWM would count the pages of mapped files, and forgets nothing. */
export function watchMemory(pid: number): MemoryWatch {
  let { anonymousBytes, fileBytes } = resident(pid)
  const look = (): void => {
    const now = resident(pid)
    anonymousBytes = Math.max(anonymousBytes, now.anonymousBytes)
    fileBytes = Math.max(fileBytes, now.fileBytes)
  }
  const timer = setInterval(look, everyMs)
  return {
    stop: () => {
      clearInterval(timer)
      look()
      return { anonymousBytes, fileBytes }
    },
  }
}

export interface Holdings {
  readonly anonymousBytes: number
  readonly files: number
}

export function holdingsOf(pid: number): Holdings {
  return { anonymousBytes: resident(pid).anonymousBytes, files: openFiles(pid) }
}

/**
 * Resolves when `isBack` says so of what the server holds.
 * Errors: Error with what it holds instead after `deadlineMs`.
 */
export async function untilGivenBack(
  pid: number,
  what: string,
  isBack: (holdings: Holdings) => boolean,
  deadlineMs: number,
): Promise<void> {
  const end = performance.now() + deadlineMs
  for (;;) {
    const holdings = holdingsOf(pid)
    if (isBack(holdings)) return
    if (performance.now() > end) {
      const mebibytes = Math.round(holdings.anonymousBytes / 2 ** 20)
      throw new Error(`${what}: ${mebibytes} MiB and ${holdings.files} open files are held`)
    }
    await pause(pollMs)
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
