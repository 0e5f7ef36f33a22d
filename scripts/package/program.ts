// The folder that a package installs: the built program, its packages, Node.js itself, units and pages.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stageModules } from './modules.ts'
import type { Target } from './target.ts'

// The build at hand, which this file is a part of.
const built = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const folders = ['docs', 'systemd']
const pages = ['README.md', 'CHANGELOG.md', 'LICENSE', 'SECURITY.md', 'tuning.md']
const samples = ['config.example.toml']
// What every Debian has; another library of the host would make it fail elsewhere.
const usualLibraries = /^(linux-vdso|ld-linux[\w-]*|lib(c|dl|m|pthread|rt|gcc_s|stdc\+\+))\.so\b/

// Found by its real place, since /usr/bin/keelson is a link to it. `exec`, so that the service's main
// process is the server.
const launcher = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/../lib/node" "$here/../lib/keelson.cjs" "$@"
`

/** Errors: Error where something of this build cannot be taken to another host. */
export function stageProgram(to: string, target: Target): void {
  for (const folder of ['bin', 'lib', 'dist']) mkdirSync(join(to, folder), { recursive: true })
  for (const room of ['src', 'workers']) {
    const isKept = (path: string): boolean => !path.endsWith('.d.ts')
    cpSync(join(built, room), join(to, 'dist', room), { recursive: true, filter: isKept })
  }
  for (const folder of folders) cpSync(folder, join(to, folder), { recursive: true })
  for (const file of [...pages, ...samples]) copyFileSync(file, join(to, file))
  writeFileSync(join(to, 'package.json'), packageFile(target.version))
  copyFileSync(join('bin', 'keelson'), join(to, 'lib', 'keelson.cjs'))
  chmodSync(join(to, 'lib', 'keelson.cjs'), 0o644)
  writeFileSync(join(to, 'bin', 'keelson'), launcher, { mode: 0o755 })
  const modules = stageModules(join(to, 'node_modules'), target.arch)
  const node = realpathSync(process.execPath)
  copyFileSync(node, join(to, 'lib', 'node'))
  requireUsualLibraries(node)
  const notices = [nodeNotice(node), ...modules.notices].join(`\n${'='.repeat(80)}\n\n`)
  writeFileSync(join(to, 'THIRD-PARTY-LICENCES.txt'), notices)
  requireThatItRuns(to, target.version)
}

// Only what is read at run time, so that nobody takes it for a source tree.
function packageFile(version: string): string {
  const { name, description, license, type } = JSON.parse(
    readFileSync('package.json', 'utf8'),
  ) as Readonly<Record<string, string>>
  return `${JSON.stringify({ name, version, description, license, type, private: true }, null, 2)}\n`
}

function requireUsualLibraries(program: string): void {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).trim().split('\n')
  const names = lines.map((line) => (line.trim().split(' ')[0] ?? '').replace(/^.*\//, ''))
  const others = names.filter((name) => !usualLibraries.test(name))
  if (others.length === 0) return
  throw new Error(
    `${program} needs ${others.join(', ')}: build with a Node.js of nodejs.org instead`,
  )
}

function nodeNotice(node: string): string {
  const places = [
    join(dirname(node), '..', 'LICENSE'),
    join(dirname(node), '..', 'share', 'doc', 'nodejs', 'LICENSE'),
    join(dirname(node), '..', 'share', 'doc', 'nodejs', 'copyright'),
  ]
  const found = places.find((place) => existsSync(place))
  if (found === undefined) {
    throw new Error(`the licence of ${node} is at none of: ${places.join(', ')}`)
  }
  return `Node.js ${process.version} (MIT and others)\n\n${readFileSync(found, 'utf8').trim()}\n`
}

function requireThatItRuns(to: string, version: string): void {
  const told = execFileSync(join(to, 'bin', 'keelson'), ['--version'], {
    ...{ encoding: 'utf8', cwd: '/', env: {} },
  })
  if (!told.includes(version)) throw new Error(`the packaged program says its version is ${told}`)
}
