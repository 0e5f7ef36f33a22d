// The one import of uWebSockets.js. Says why its binary does not load, instead of failing.

import type * as UWebSockets from 'uWebSockets.js'
import { createRequire } from 'node:module'

type Native = typeof UWebSockets

// The library reads this once, when it is loaded. Its default of 4 KiB refuses a long token as soon as
// the head arrives in more than one segment, as it does on every real network.
const headBytesMax = 16 * 1024

const require = createRequire(import.meta.url)

function load(): { readonly native?: Native; readonly problem?: string } {
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= String(headBytesMax)
  try {
    return { native: require('uWebSockets.js') as Native }
  } catch (cause) {
    // The package's own message lists platforms; what decides here are the ABI and the C library.
    const reason = cause instanceof Error ? (cause.message.split('\n').at(-1) ?? '') : ''
    return {
      problem:
        `uWebSockets.js has no binary that loads here (Node ABI ${process.versions.modules}, ` +
        `${process.platform}-${process.arch}, glibc ${glibcVersion()}): ${reason}`,
    }
  }
}

// Whatever was installed under that name, the official build perhaps.
function packageVersion(): string {
  if (loaded.native === undefined) return 'none'
  try {
    const { version } = require('uWebSockets.js/package.json') as { version?: unknown }
    return typeof version === 'string' ? version : 'unknown'
  } catch {
    return 'unknown'
  }
}

function glibcVersion(): string {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return report.header?.glibcVersionRuntime ?? 'none'
}

// The only builds known to stop: those of this package up to ABI 120. Its later ones have uSockets' change
// "Always read again immediately after reading a full recv buffer" (833497e, February 2024), which asks
// for no pause in between; so has the official package since then.
const soundVersion = '3.0.6'
const soundAbiMax = 120

/**
 * Why a build should not be taken unasked: `pause` does not stop it while its buffer of 512 KiB comes
 * back full, so a fast client is read at once, whatever its length. Measured on loopback: nothing over
 * 512 KiB after a pause with ABI 115, up to 18 MB with 127 and 263 MB with 137.
 */
export function cautionOf(version: string, abi: string): string | undefined {
  if (version === soundVersion && Number(abi) <= soundAbiMax) return undefined
  return (
    `uWebSockets.js ${version} for Node ABI ${abi} goes on reading from a fast client after it was ` +
    'told to pause, which memory and the other clients pay for'
  )
}

const loaded = load()

export const native: Native | undefined = loaded.native
export const problem: string | undefined = loaded.problem
/** Of the package; `none` where its binary does not load. */
export const uwsVersion: string = packageVersion()
/** Undefined where the build is sound, and where none loads. */
export const caution: string | undefined =
  loaded.native === undefined ? undefined : cautionOf(uwsVersion, process.versions.modules)
