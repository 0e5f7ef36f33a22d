// Lists the licence of every package in the lock file, and fails for one that is not allowed.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const allowed = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Python-2.0',
  'Zlib',
])

interface LockedPackage {
  readonly version?: string
  readonly license?: string
  readonly dev?: boolean
}

/** True for an SPDX expression of allowed licences: one side of OR, both sides of AND. */
export function isAllowed(expression: string): boolean {
  const bare = expression.replaceAll(/[()]/g, '')
  return bare.split(' OR ').some((side) => side.split(' AND ').every((name) => allowed.has(name)))
}

function listLicences(): number {
  const lock: unknown = JSON.parse(readFileSync('package-lock.json', 'utf8'))
  const { packages } = lock as { readonly packages: Readonly<Record<string, LockedPackage>> }
  let refused = 0
  for (const [path, { version, license = 'none stated', dev }] of Object.entries(packages)) {
    if (path === '') continue
    const name = path.replace(/^.*node_modules\//, '')
    const verdict = isAllowed(license) ? '' : '  NOT ALLOWED'
    if (verdict !== '') refused += 1
    console.log(`${license}\t${name} ${version}${dev ? ' (development)' : ''}${verdict}`)
  }
  return refused
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.exitCode = listLicences() === 0 ? 0 : 1
}
