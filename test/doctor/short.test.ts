// Goal: a server that starts says what will make trouble, and nothing else; it is never held up. Method:
// machines made of files, and a log that listens.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { shortDoctor } from '../../src/doctor/short.ts'
import { type FakeMachine, fakeHost } from './fake-tree.ts'

const config = parseConfig(
  [
    {
      file: '/etc/keelson/config.toml',
      text: '[blob_store.fs]\nroot_dir = "/srv/keelson"\n[storage]\nreserve = "0B"\n',
    },
  ],
  {},
)

interface Line {
  readonly level: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

async function logged(machine: FakeMachine, hasTlsOnUws = false): Promise<readonly Line[]> {
  const lines: Line[] = []
  const log = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Line['fields'], message })
  }
  await shortDoctor(
    config,
    { warn: log('warn'), error: log('error') },
    { files: ['/etc/keelson/config.toml'], hasTlsOnUws, host: fakeHost(machine) },
  )
  return lines
}

const well = {
  '/etc/keelson/config.toml': '',
  '/srv/keelson/': '',
  '/proc/sys/kernel/osrelease': '6.1.0',
  '/proc/sys/net/core/somaxconn': '128',
  [`/proc/${process.pid}/limits`]: 'Max open files  65536  65536  files\n',
  '/proc/meminfo': 'MemTotal: 8000000 kB\n',
  '/proc/self/mountinfo': '21 1 0:50 / / rw - ext4 /dev/sda1 rw\n',
}
const modes = { '/srv/keelson': 0o700, '/etc/keelson': 0o755, '/etc/keelson/config.toml': 0o640 }

test('a machine that is well is not spoken of, nor is what only could be better', async () => {
  assert.deepEqual(await logged({ tree: well, modes }), [])
})

test('what makes trouble is logged with what to do, by its severity', async () => {
  const tree = {
    ...well,
    [`/proc/${process.pid}/limits`]: 'Max open files  1024  4096  files\n',
    '/proc/self/mountinfo': '21 1 0:50 / / rw - nfs4 server:/ rw\n',
    '/proc/sys/net/ipv4/tcp_migrate_req': '0',
  }
  const lines = await logged({ tree, modes: { ...modes, '/etc/keelson/config.toml': 0o666 } }, true)
  const shown = lines.map(({ level, message }) => `${level} ${message}`)
  assert.deepEqual(shown, [
    'warn doctor: net.ipv4.tcp_migrate_req: it is 0',
    'warn doctor: open files: the server may have 4096 open, and up to 17920 may be needed',
    'error doctor: configuration file /etc/keelson/config.toml: mode 0666: everybody may change it',
    'warn doctor: file system of the blobs: /srv/keelson is on nfs4, mounted at /',
    'error doctor: file system of the metadata: /srv/keelson/_keelson/metadata is on nfs4, mounted at /',
  ])
  assert.deepEqual(lines[0]?.fields, {
    check: 'tcp-migrate-req',
    remedy: 'set it, and install systemd/sysctl.d/keelson.conf',
    command: 'sysctl -w net.ipv4.tcp_migrate_req=1',
    link: 'tuning.md#kernel',
  })
})

test('nothing that fails is a fault of the start', async () => {
  const fail = (): Promise<never> => Promise.reject(new Error('planted'))
  const host = { ...fakeHost({}), text: fail, state: fail, entries: fail }
  const silent = { warn: () => assert.fail('it spoke'), error: () => assert.fail('it spoke') }
  await shortDoctor(config, silent, { files: [], hasTlsOnUws: false, host })
  const bad = () => {
    throw new Error('the log is full')
  }
  const open = fakeHost({ tree: well, modes: { ...modes, '/srv/keelson': 0o777 } })
  await shortDoctor(
    config,
    { warn: bad, error: bad },
    { files: [], hasTlsOnUws: false, host: open },
  )
})
