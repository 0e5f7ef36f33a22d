// The version of this build, which package.json alone states.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The product's version, such as `0.1.0`. */
export function productVersion(): string {
  return readVersion(dirname(fileURLToPath(import.meta.url)))
}

// Built files lie one folder deeper than their sources, so the depth is not fixed.
function readVersion(folder: string): string {
  try {
    const parsed: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const { version } = parsed as { version?: unknown }
    if (typeof version === 'string') return version
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
  const parent = dirname(folder)
  return parent === folder ? 'unknown' : readVersion(parent)
}
