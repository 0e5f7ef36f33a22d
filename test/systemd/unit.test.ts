// Goal: the unit's user, with the unit's capabilities and no more, serves TLS on port 443; without them
// the error says what is lacking. Method: the unit's own lines, applied by setpriv to a process in a
// network of its own, where port 443 is free and privileged as usual.
import assert from 'node:assert/strict'
import { chmod, chown, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { needsPrivateHostAnd, openPrivateHost, type PrivateHost } from '../support/private-host.ts'
import { projectRoot, type ServerOptions, startServer } from '../support/server.ts'
import { stopServer, tlsTable, usePki } from '../support/tls-server.ts'

const folder = join(projectRoot, 'systemd')
const nobody = { uid: 65_534, gid: 65_534 }

/** Of the service, with the drop-in that holds its hardening. */
async function settings(): Promise<ReadonlyMap<string, string>> {
  const files = ['keelson.service', 'hardening.conf'].map((name) => join(folder, name))
  const text = (await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('\n')
  return new Map(
    [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, key = '', value = '']) => [key, value]),
  )
}

/** A unit's list of capabilities in the notation of setpriv. */
function capabilities(list: string): string {
  const names = list.split(' ').filter((name) => name !== '')
  return ['-all', ...names.map((name) => `+${name.replace('CAP_', '').toLowerCase()}`)].join(',')
}

test('the unit reloads by SIGHUP', async () => {
  const unit = await settings()
  assert.equal(unit.get('ExecReload'), '/bin/kill -HUP $MAINPID')
  assert.notEqual(unit.get('User'), 'root')
  assert.equal(unit.get('NoNewPrivileges'), 'yes')
})

describe('the unit’s user', needsPrivateHostAnd('openssl', 'setpriv', 'curl', 'sysctl'), () => {
  const scene = usePki()
  let host: PrivateHost
  let program: readonly string[] | undefined
  before(async () => {
    host = await openPrivateHost(scene.dir)
    // The tree may be in a folder that only root can enter.
    if (process.env['KEELSON_BIN'] === undefined) {
      await host.run('mount', ['--bind', projectRoot, '/mnt'])
      program = ['/mnt/bin/keelson']
    }
    await Promise.all([scene.dir, join(scene.dir, 'pki')].map((dir) => chmod(dir, 0o755)))
    await chown(scene.pki.server.keyFile, nobody.uid, nobody.gid)
  })
  after(() => host.close())

  function asUser(ambient: string, bounding: string, transport: string): ServerOptions {
    const who = [`--reuid=${nobody.uid}`, `--regid=${nobody.gid}`, '--clear-groups']
    const ambientCaps = capabilities(ambient)
    const caps = [`--inh-caps=${ambientCaps}`, `--ambient-caps=${ambientCaps}`]
    const bounds = [`--bounding-set=${capabilities(bounding)}`, '--no-new-privs']
    return {
      wrap: [...host.enter, 'setpriv', ...who, ...caps, ...bounds, '--'],
      owner: nobody,
      ...(program && { program }),
      listeners: ['bind_address = "127.0.0.1"\nport = 443'],
      toml: `[server]\ntransport = "${transport}"\n${tlsTable(scene.pki)}`,
    }
  }

  for (const transport of ['uws', 'node']) {
    test(`serves on port 443 (${transport})`, async () => {
      const unit = await settings()
      const ambient = unit.get('AmbientCapabilities') ?? ''
      const bounding = unit.get('CapabilityBoundingSet') ?? ''
      const server = await startServer(asUser(ambient, bounding, transport))
      const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
      assert.match(status, /^Uid:\s+65534\s+65534\s/m)
      // CAP_NET_BIND_SERVICE is number 10.
      assert.match(status, /^CapEff:\s+0000000000000400$/m)
      const trust = ['--cacert', scene.pki.serverCa.certificateFile]
      await host.run('curl', ['-fsS', ...trust, 'https://localhost/v2/'])
      await stopServer(server)
    })

    test(`is told what is lacking without the capability (${transport})`, async () => {
      await assert.rejects(startServer(asUser('', '', transport)), (error: Error) => {
        assert.match(error.message, /ended before it was ready \(code 1\)/)
        assert.match(error.message, /127\.0\.0\.1/)
        assert.match(error.message, /port 443|:443/)
        assert.match(error.message, /CAP_NET_BIND_SERVICE/)
        return true
      })
    })
  }

  test('finds the kernel set to hand connections over', async () => {
    const file = join(projectRoot, 'systemd', 'sysctl.d', 'keelson.conf')
    const read = (): Promise<string> => host.run('sysctl', ['-n', 'net.ipv4.tcp_migrate_req'])
    assert.equal(await read(), '0')
    await host.run('sysctl', ['--load', file])
    assert.equal(await read(), '1')
  })
})
