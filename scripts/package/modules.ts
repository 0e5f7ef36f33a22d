// The packages that the program runs with: of this platform alone, without what only builds need.
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'

interface InstalledPackage {
  readonly version?: string
  readonly license?: string
  readonly dev?: boolean
}

interface Staged {
  /** Name, version, licence and its text, one for each package. */
  readonly notices: readonly string[]
}

// Types, maps, pages, and sources of addons that are here as binaries.
const neededByBuildsOnly =
  /\.(d\.[cm]?ts|[cm]?ts|map|md|markdown|flow|c|cc|cpp|h|hpp|gyp|gypi|svg|html|yml)$|(^|\/)(Makefile|build\.c|\.[^/]*)$/i
// At the top of a package.
const foldersOfDevelopers =
  /^(test|tests|bench|benchmark|benchmarks|example|examples|docs|tools|dependencies)\//
const licenceFile = /^(licen[cs]e|copying|notice)([.-].*)?$/i
// ELF's own numbers of machines.
const elfMachines: Readonly<Record<string, number>> = { x64: 62, arm64: 183 }
const elfMagic = Buffer.from('\x7fELF', 'latin1')

/** From ./node_modules, as `npm ci` has left it. */
export function stageModules(to: string, arch: string): Staged {
  const lock: unknown = JSON.parse(readFileSync('node_modules/.package-lock.json', 'utf8'))
  const { packages } = lock as { packages: Readonly<Record<string, InstalledPackage>> }
  const wanted = Object.entries(packages).filter(([, { dev }]) => dev !== true)
  const notices = wanted.map(([path, { version = '', license = 'no licence stated' }]) => {
    const files = filesOf(path).filter((file) => isWanted(path, file, arch))
    for (const file of files) {
      const target = join(to, relative('node_modules', path), file)
      mkdirSync(dirname(target), { recursive: true })
      copyFileSync(join(path, file), target)
      chmodSync(target, 0o644)
    }
    const name = path.replace(/^.*node_modules\//, '')
    return `${name} ${version} (${license})\n\n${licenceText(path)}\n`
  })
  return { notices }
}

/** In a stable order; packages within packages have entries of their own. */
function filesOf(folder: string, within = ''): readonly string[] {
  return readdirSync(join(folder, within), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(within, entry.name)
      if (entry.name === 'node_modules') return []
      return entry.isDirectory() ? filesOf(folder, path) : [path]
    })
}

function isWanted(folder: string, file: string, arch: string): boolean {
  if (foldersOfDevelopers.test(file)) return false
  if (licenceFile.test(basename(file))) return true
  if (file.endsWith('.node')) return isOfThisPlatform(join(folder, file), arch)
  return !neededByBuildsOnly.test(file)
}

// Packages ship addons for several systems, C libraries and versions of Node.js side by side.
function isOfThisPlatform(file: string, arch: string): boolean {
  const name = basename(file)
  if (name.includes('musl')) return false
  const [, abi] = /(?:abi|_)(\d{2,3})\./.exec(name) ?? []
  if (abi !== undefined && abi !== process.versions.modules) return false
  const head = readFileSync(file).subarray(0, 20)
  return head.subarray(0, 4).equals(elfMagic) && head.readUInt16LE(18) === elfMachines[arch]
}

function licenceText(folder: string): string {
  const names = readdirSync(folder).filter((name) => licenceFile.test(name))
  if (names.length === 0) return 'The package has no file with the text of its licence.'
  return names
    .sort()
    .map((name) => readFileSync(join(folder, name), 'utf8').trim())
    .join('\n\n')
}
