// Goal: what systemd/ has beside the service holds: instances differ from it in names alone, what is left
// open has a reason, and the examples for AppArmor and nftables are what they say.
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { attempt, run } from '../support/run.ts'
import { projectRoot } from '../support/server.ts'
import { needs, needsRootAnd } from '../support/tools.ts'

const folder = join(projectRoot, 'systemd')
const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8')
const exposureMax = 2

async function settings(unit: string): Promise<readonly string[]> {
  const lines = (await read(unit)).split('\n')
  return lines.filter((line) => /^(\[|\w+=)/.test(line) && !line.startsWith('Description='))
}

test('an instance is the service under another name', async () => {
  const instance = (await settings('keelson@.service')).map((line) =>
    line
      .replace('/etc/keelson/%i.toml', '/etc/keelson/config.toml')
      .replace('=keelson-%i', '=keelson'),
  )
  assert.deepEqual(instance, await settings('keelson.service'))
})

interface Finding {
  readonly name?: string
  readonly json_field?: string
  readonly exposure: string | null
}

describe('the hardening', needs('systemd-analyze'), () => {
  let units = ''
  before(async () => {
    units = await mkdtemp(join(tmpdir(), 'keelson-units-'))
    for (const name of await readdir(folder)) {
      if (!/\.(service|target|timer)$/.test(name)) continue
      await cp(join(folder, name), join(units, name))
      if (!name.endsWith('.service')) continue
      await mkdir(join(units, `${name}.d`))
      await cp(join(folder, 'hardening.conf'), join(units, `${name}.d`, '10-hardening.conf'))
    }
  })
  after(() => rm(units, { recursive: true, force: true }))

  const analyse = (...args: readonly string[]): Promise<string> =>
    run('systemd-analyze', ['--no-pager', ...args], {
      env: { ...process.env, SYSTEMD_UNIT_PATH: `${units}:` },
    })
  const security = (unit: string, ...args: readonly string[]): Promise<string> =>
    analyse('security', '--offline=true', ...args, join(units, unit))

  const timed = ['doctor', 'gc', 'scrub', 'prune', 'backup'].map(
    (kind) => `keelson-${kind}@.service`,
  )
  for (const unit of ['keelson.service', 'keelson@.service', ...timed]) {
    test(`leaves ${unit} an exposure of at most ${exposureMax}`, async () => {
      const said = await security(unit)
      const [, level] = /Overall exposure level for \S+: ([\d.]+)/.exec(said) ?? []
      assert.ok(Number(level) <= exposureMax, said)
    })
  }

  test('gives a reason for each protection that is not taken', async () => {
    const reasons = `${await read('hardening.conf')}${await read('keelson.service')}`
    const found = JSON.parse(await security('keelson.service', '--json=short')) as Finding[]
    const open = found.filter(({ exposure }) => exposure !== null && Number(exposure) > 0)
    assert.ok(open.length >= 5)
    for (const { name = '' } of open) {
      const directive = name.split(/[=/]/)[0] ?? ''
      assert.ok(reasons.includes(`${directive}=`), name)
    }
  })

  test('is narrower with each drop-in', async () => {
    const level = async (): Promise<number> =>
      Number(/level for \S+: ([\d.]+)/.exec(await security('keelson.service'))?.[1])
    const plain = await level()
    for (const name of ['addresses.conf', 'high-ports.conf']) {
      const place = join(units, 'keelson.service.d', name)
      await cp(join(folder, 'drop-ins', name), place)
      assert.ok((await level()) < plain, name)
      await rm(place)
    }
  })
})

test('the AppArmor profile compiles', needs('apparmor_parser'), async () => {
  const parse = ['--skip-kernel-load', '--skip-cache']
  await run('apparmor_parser', [...parse, join(folder, 'apparmor.d', 'keelson')])
  const broken = await mkdtemp(join(tmpdir(), 'keelson-apparmor-'))
  try {
    const file = join(broken, 'keelson')
    await writeFile(file, (await read('apparmor.d/keelson')).replace(' rw,', ' rq,'))
    assert.notEqual((await attempt('apparmor_parser', [...parse, file])).code, 0)
  } finally {
    await rm(broken, { recursive: true })
  }
})

test('the nftables file is the ruleset of tuning.md', needsRootAnd('nft', 'unshare'), async () => {
  const page = await readFile(join(projectRoot, 'tuning.md'), 'utf8')
  const [, ruleset = 'none'] = /^```nft\n([\s\S]*?)^```$/m.exec(page) ?? []
  const file = join(folder, 'nftables', 'keelson.nft')
  assert.ok((await readFile(file, 'utf8')).endsWith(`\n${ruleset}`))
  // Twice: loading it again must not double it.
  const load = `nft -f "$0" && nft list ruleset && nft -f "$0" && nft list ruleset`
  const said = await run('unshare', ['--net', 'sh', '-c', load, file])
  assert.equal(said.match(/redirect to/g)?.length, 4)
})
