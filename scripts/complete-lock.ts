// Adds to package-lock.json the optional packages of other platforms that a registry at hand did not
// have when it was written. Without their entries `npm ci` refuses the lock file everywhere.
import { readFileSync, writeFileSync } from 'node:fs'

const file = 'package-lock.json'

type LockedPackage = Readonly<Record<string, unknown>> & {
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

/** `@scope/tool-linux-x64-musl` says by its name where it installs. */
function platformOf(name: string): LockedPackage {
  const [, os, cpu, libc] = /(android|darwin|linux|win32)-([a-z0-9]+)(?:-(musl))?$/.exec(name) ?? []
  if (os === undefined || cpu === undefined) throw new Error(`no platform in the name ${name}`)
  return { os: [os], cpu: [cpu], ...(libc === undefined ? {} : { libc: [libc] }) }
}

function missingPackages({ packages }: Lock): readonly (readonly [string, LockedPackage])[] {
  return Object.values(packages).flatMap((parent) =>
    Object.entries(parent.optionalDependencies ?? {})
      .filter(([name]) => !Object.hasOwn(packages, `node_modules/${name}`))
      .map(([name, version]) => {
        if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${name} is not pinned: ${version}`)
        const { license, dev } = parent
        const shared = { license, ...(dev === undefined ? {} : { dev }) }
        return [`node_modules/${name}`, { version, ...shared, optional: true, ...platformOf(name) }]
      }),
  )
}

const lock = JSON.parse(readFileSync(file, 'utf8')) as Lock
const missing = missingPackages(lock)
const sorted = Object.entries({ ...lock.packages, ...Object.fromEntries(missing) }).sort(
  // As npm sorts them, so that its next run changes nothing.
  ([a], [b]) => a.localeCompare(b, 'en'),
)
const completed = { ...lock, packages: Object.fromEntries(sorted) }
if (missing.length > 0) writeFileSync(file, `${JSON.stringify(completed, undefined, 2)}\n`)
console.log(`${missing.length} packages added to ${file}`)
