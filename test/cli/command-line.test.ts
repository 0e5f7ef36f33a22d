// Goal: a command line does what its help says, or is refused with a hint. Method: run it against a
// terminal that remembers.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { commands } from '../../src/cli/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { type Ran, runCommand } from '../support/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-cli-'))
after(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

function run(...args: readonly string[]): Promise<Ran> {
  return runCommand(args, folder)
}

describe('help', () => {
  test('the general help names every command and every exit code', async () => {
    for (const args of [['--help'], ['-h']]) {
      const { code, out } = await run(...args)
      assert.equal(code, 0)
      for (const { name } of commands) assert.ok(out.includes(`  ${name} `), name)
      for (const line of ['  0  ', '  1  ', '  2  ', '  70  ']) assert.ok(out.includes(line), line)
    }
  })

  for (const { name, flags } of commands) {
    test(`the help of ${name} shows its usage and its own options`, async () => {
      const { code, out } = await run(name, '-h')
      assert.equal(code, 0)
      assert.ok(out.startsWith(`Usage: keelson [-c FILE]... ${name}`))
      for (const flag of Object.keys(flags)) assert.ok(out.includes(`  --${flag} `), flag)
      for (const line of out.split('\n')) assert.ok(line.length <= 110, line)
    })
  }

  test('the version is that of the package', async () => {
    assert.match((await run('--version')).out, /^keelson \d+\.\d+\.\d+\n$/)
  })
})

describe('refused command lines exit 2 and say why', () => {
  const cases: readonly (readonly [args: readonly string[], message: string])[] = [
    [[], 'a command is missing'],
    [['chek-config'], "'chek-config' is not a command: did you mean 'check-config'?"],
    [['gather'], "'gather' is not a command"],
    [['--frob', 'server'], "Unknown option '--frob'"],
    [['check-config', '--quick-start'], "check-config takes no option '--quick-start'"],
    [['check-config', 'more'], "check-config takes no argument 'more'"],
    [['check-config', '-c'], "Option '-c, --config <value>' argument missing"],
  ]
  for (const [args, message] of cases) {
    test(`keelson ${args.join(' ')}`, async () => {
      assert.deepEqual(await run(...args), {
        code: 2,
        out: '',
        err: `keelson: ${message}\nTry 'keelson --help'.\n`,
      })
    })
  }
})

describe('check-config', () => {
  const base = file('base.toml', '[blob_store.fs]\nroot_dir = "data"\n')
  const more = file(
    'more.toml',
    '[server]\nshutdown_timeout = 90\nexternal_url = "https://r.example/"\n[global.access_policy]\ndefault = "allow"\n',
  )

  test('it prints TOML that loads to the same configuration', async () => {
    const { code, out, err } = await run('-c', base, 'check-config', '--config', more)
    assert.deepEqual([code, err], [0, `OK: ${base}, ${more}\n`])
    assert.deepEqual(loadConfig([file('printed.toml', out)]), loadConfig([base, more]))
    assert.match(out, /^shutdown_timeout = "90s"$/m)
  })

  test('it prints memory stores as well', async () => {
    const memory = file('memory.toml', '[blob_store.memory]\n[metadata_store.memory]\n')
    const { out, err } = await run('-c', memory, 'check-config')
    assert.deepEqual(loadConfig([file('printed.toml', out)]), loadConfig([memory]))
    assert.match(err, /warning: a memory store is for tests/)
  })

  test('it warns that without a policy everything is denied', async () => {
    const { code, err } = await run('-c', base, 'check-config')
    assert.equal(code, 0)
    assert.equal(err, `warning: no access policy: everything is denied\nOK: ${base}\n`)
  })

  test('it warns of a registry that is open beyond loopback', async () => {
    const open = file('open.toml', '[server]\nbind_address = "::"\n')
    const { err } = await run('-c', base, '-c', more, '-c', open, 'check-config')
    assert.match(err, /warning: whoever can reach :: may pull, push and delete/)
  })

  test('it lists every problem, exits 1 and prints no configuration', async () => {
    const bad = file('bad.toml', '[server]\nport = -1\nprot = 2\n')
    const { code, out, err } = await run('-c', base, '-c', bad, 'check-config')
    assert.deepEqual([code, out], [1, ''])
    assert.deepEqual(err.split('\n'), [
      `${bad}:2: server.port: expected a whole number from 0 to 65535; found -1`,
      `${bad}:3: server.prot: is not a known key: did you mean server.port?`,
      'keelson: the configuration has 2 problems',
      '',
    ])
  })

  test('without a file it says what to give', async () => {
    const { code, err } = await run('check-config')
    assert.equal(code, 1)
    assert.match(err, /no configuration: give -c FILE/)
  })
})
