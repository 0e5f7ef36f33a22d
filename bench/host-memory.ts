// Memory of virtual machines whose host takes back what is free. To use such a page again costs the host's
// work, up to 2.4 s of system time for each GiB where memory at hand costs 0.2, and it counts as the server's
// when a push fills the page cache. So as many pages as a round will fill are used just before it: those of a file,
// since pages of a program's own memory, given back, were not the ones that the page cache got (measured).
// Source: Linux, Documentation/mm/free_page_reporting.rst.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'

const GIB = 1 << 30
// What the fastest subject has been seen to write; after a second half of it is gone again.
const BYTES_PER_SECOND = 0.75 * GIB
const SHARE_OF_FREE_MAX = 0.25
const TIMEOUT_MS = 60_000
const FILE = 'memory-at-hand'

const FILL = `
const { closeSync, openSync, unlinkSync, writeSync } = require('node:fs')
const [file, bytes] = process.argv.slice(1)
const block = Buffer.alloc(2 ** 20, 1)
const fd = openSync(file, 'w')
unlinkSync(file)
for (let left = Number(bytes); left > 0; left -= block.length) writeSync(fd, block, 0, Math.min(left, block.length))
closeSync(fd)`

/** Where the kernel says that it gives free pages back; injected in tests. */
export interface ReportingPlaces {
  readonly parameter: string
  readonly balloons: string
}

const PLACES: ReportingPlaces = {
  parameter: '/sys/module/page_reporting/parameters/page_reporting_order',
  balloons: '/sys/bus/virtio/drivers/virtio_balloon',
}

/** Whether the host of this machine takes free memory back. */
export function hostTakesMemoryBack(places: ReportingPlaces = PLACES): boolean {
  if (!existsSync(places.parameter) || !existsSync(places.balloons)) return false
  return readdirSync(places.balloons).some((name) => /^virtio\d+$/.test(name))
}

/** How much to fill before a round of writes, in bytes; never more than a quarter of what is free. */
export function bytesToFill(seconds: number, freeBytes: number = freemem()): number {
  return Math.floor(Math.min(seconds * BYTES_PER_SECOND, freeBytes * SHARE_OF_FREE_MAX))
}

/**
 * Fill `bytes` of free memory with a file in `directory` that has no name any more, and let go of it.
 * `cores`: where that runs, as taskset has them; anywhere without. Errors: Error where it fails.
 */
export function fillFreeMemory(bytes: number, directory: string, cores: string | undefined): void {
  const command = [process.execPath, '-e', FILL, join(directory, FILE), String(bytes)]
  const [program = '', ...args] =
    cores === undefined ? command : ['taskset', '-c', cores, ...command]
  const { status, error, signal } = spawnSync(program, args, {
    timeout: TIMEOUT_MS,
    stdio: 'ignore',
  })
  if (status === 0) return
  const why = error?.message ?? signal ?? `exit code ${status}`
  throw new Error(`memory could not be filled before the round: ${why}`)
}
