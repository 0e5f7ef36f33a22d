// Goal: a package holds what the program needs and nothing else, the same bytes each time, and Debian's
// own check finds no fault. Method: build it, unpack it, look, and run it.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { loadConfig } from '../../src/config/load.ts'
import { attempt, run } from '../support/run.ts'
import { projectRoot, startServer } from '../support/server.ts'
import { needs } from '../support/tools.ts'
import { type Built, buildPackages } from './build.ts'

describe('a package', needs('dpkg-deb', 'ldd', 'tar'), () => {
  let folder = ''
  let built: Built
  let root = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-content-'))
    built = await buildPackages(join(folder, 'one'), '1.0.0')
    root = join(folder, 'root')
    await run('dpkg-deb', ['--raw-extract', built.deb, root])
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const program = (): string => join(root, 'opt', 'keelson')
  const filesOf = (place: string): readonly string[] =>
    readdirSync(place, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))

  test('is the same, byte for byte, when it is made again', async () => {
    const again = await buildPackages(join(folder, 'two'), '1.0.0')
    assert.equal(basename(again.deb), basename(built.deb))
    for (const kind of ['deb', 'tarball'] as const) {
      assert.ok(readFileSync(again[kind]).equals(readFileSync(built[kind])), kind)
    }
  })

  test('has the addons of this platform alone, and no package of developers', () => {
    const addons = filesOf(program()).filter((file) => file.endsWith('.node'))
    const own = readFileSync(process.execPath).subarray(0, 20)
    for (const file of addons) {
      const head = readFileSync(file).subarray(0, 20)
      assert.equal(head.readUInt16LE(18), own.readUInt16LE(18), file)
      assert.doesNotMatch(basename(file), /musl|win32|darwin/)
    }
    const uws = addons.filter((file) => basename(file).startsWith('uws_'))
    assert.deepEqual(
      uws.map((file) => basename(file)),
      [`uws_linux_${process.arch}_${process.versions.modules}.node`],
    )
    const modules = readdirSync(join(program(), 'node_modules'))
    for (const name of ['typescript', 'fast-check', 'autocannon', '.bin', '.package-lock.json']) {
      assert.ok(!modules.includes(name), name)
    }
  })

  test('has the licence of everything that it brings', () => {
    const notices = readFileSync(join(program(), 'THIRD-PARTY-LICENCES.txt'), 'utf8')
    assert.ok(notices.includes(`Node.js ${process.version}`))
    const lock = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
      readonly dependencies: Readonly<Record<string, string>>
    }
    for (const name of Object.keys(lock.dependencies)) {
      const [, heading = ''] = new RegExp(`^(${name} \\d.*)$`, 'm').exec(notices) ?? []
      assert.ok(heading !== '', name)
    }
  })

  test('has a configuration that loads and denies everything', () => {
    const config = loadConfig([join(root, 'etc', 'keelson', 'config.toml')])
    assert.equal(config.global.accessPolicy?.default, 'deny')
    assert.deepEqual(config.global.accessPolicy?.rules, [])
  })

  test('runs from wherever its tarball is unpacked, by its own Node.js', async () => {
    const place = join(folder, 'elsewhere')
    await mkdir(place)
    await run('tar', ['-xf', built.tarball, '-C', place])
    const command = join(place, 'keelson-1.0.0', 'bin', 'keelson')
    const server = await startServer({ program: [command], env: { PATH: '/usr/bin:/bin' } })
    assert.equal((await fetch(`${server.url}/v2/`)).status, 200)
    assert.equal((await server.stop()).code, 0)
  })

  test('passes Debian’s own check', needs('lintian'), async () => {
    // Without the program itself: it is in /opt and brings other people's files, which is overridden.
    for (const part of ['lib', 'node_modules', 'dist', 'docs']) {
      await rm(join(program(), part), { recursive: true })
    }
    const sums = join(root, 'DEBIAN', 'md5sums')
    const lines = readFileSync(sums, 'utf8').split('\n')
    writeFileSync(
      sums,
      lines
        .filter((line) => !/ opt\/keelson\/(lib|node_modules|dist|docs)\//.test(line))
        .join('\n'),
    )
    const file = join(folder, 'thin.deb')
    await run('dpkg-deb', ['--root-owner-group', '-Zgzip', '--build', root, file])
    // The address is that of whoever builds it, see DEBEMAIL.
    const suppressed = ['--suppress-tags', 'bogus-mail-host,bogus-mail-host-in-debian-changelog']
    const options = ['--allow-root', '--fail-on', 'error,warning', ...suppressed]
    const said = await attempt('lintian', [...options, file])
    assert.equal(said.code, 0, said.stdout + said.stderr)
  })
})
