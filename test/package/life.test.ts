// Goal: the Debian package installs, serves under its whole hardening, is watched, reloaded, restarted,
// upgraded, removed and purged, and loses neither content nor configuration. Method: a booted systemd on
// a copy of this machine's root directory, and dpkg.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { readBlocks } from '../docs/page-blocks.ts'
import { type BootedHost, bootHost, needsBootedHostAnd } from '../systemd/booted-host.ts'
import { buildPackages } from './build.ts'

const password = 'correct-horse-battery-9'
const configuration = `[server]
bind_address = "127.0.0.1"
port = 443
[blob_store.fs]
root_dir = "/var/lib/keelson"
[global.access_policy]
default = "deny"
rules = ['identity.username == "alice"']
[auth.identity.alice]
username = "alice"
password = { credential = "secret_alice" }
`
const registry = 'http://127.0.0.1:443'
const curl = `curl -fsS -m 20 -u alice:${password}`
const push = `
head -c 3000000 /dev/urandom >/tmp/blob
digest=sha256:$(sha256sum /tmp/blob | cut -d' ' -f1)
place=$(${curl} -D- -o /dev/null -X POST ${registry}/v2/a/b/blobs/uploads/ | tr -d '\\r' | sed -n 's/^location: //Ip')
case $place in http*) ;; *) place=${registry}$place;; esac
case $place in *\\?*) place="$place&digest=$digest";; *) place="$place?digest=$digest";; esac
${curl} -X PUT -H 'Content-Type: application/octet-stream' --data-binary @/tmp/blob "$place"
echo $digest >/tmp/digest
`
const pull = `${curl} ${registry}/v2/a/b/blobs/$(cat /tmp/digest) | cmp - /tmp/blob`
const show = (property: string): string => `systemctl show -P ${property} keelson`
const waitFor = (condition: string): string =>
  `for i in $(seq 300); do if ${condition}; then exit 0; fi; sleep 0.1; done
  systemctl status --no-pager keelson; journalctl -u keelson --no-pager -n 40 -o cat; exit 1`
const isActive = `[ "$(${show('ActiveState')})" = active ]`

describe('the Debian package', needsBootedHostAnd('dpkg-deb', 'curl', 'ldd'), () => {
  let folder = ''
  let host: BootedHost
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-life-'))
    const packages = join(folder, 'packages')
    await buildPackages(packages, '1.0.0')
    await buildPackages(packages, '1.1.0')
    await mkdir(join(folder, 'host'))
    host = await bootHost(join(folder, 'host'), packages)
  })
  after(async () => {
    await host?.close()
    await rm(folder, { recursive: true, force: true })
  })

  test('installs, and starts nothing before it is configured', async () => {
    await host.sh('dpkg -i /packages/keelson_1.0.0_*.deb')
    assert.equal(await host.sh('keelson --version'), 'keelson 1.0.0')
    const modes =
      'stat -c "%a %U:%G %n" /etc/keelson/config.toml /etc/keelson/credentials /var/lib/keelson'
    assert.deepEqual((await host.sh(modes)).split('\n'), [
      '640 root:keelson /etc/keelson/config.toml',
      '700 root:root /etc/keelson/credentials',
      '750 keelson:keelson /var/lib/keelson',
    ])
    const { stdout } = await host.trySh('systemctl is-active keelson; systemctl is-enabled keelson')
    assert.equal(stdout, 'inactive\ndisabled\n')
    await host.sh('systemctl start keelson')
    const { code } = await host.trySh('curl -fsS -m 20 http://127.0.0.1:8000/v2/')
    assert.notEqual(code, 0, 'everything is denied')
    await host.sh('systemctl stop keelson')
  })

  test('its units are right, and its exposure is 2.0 at most', async () => {
    const units = 'keelson.service keelson@a.service keelson.target keelson-doctor@config.timer'
    assert.equal(await host.sh(`systemd-analyze verify ${units} 2>&1`), '')
    await host.sh('systemd-analyze security --threshold=20 keelson keelson@a keelson-doctor@a >&2')
  })

  test('serves on port 443 under its hardening, with a secret from a credential', async () => {
    await host.sh(`cat >/etc/keelson/config.toml <<'END'\n${configuration}END
      echo ${password} | keelson argon >/etc/keelson/credentials/alice
      systemctl enable --now keelson`)
    const [uid, status] = await Promise.all([
      host.sh('id -u keelson'),
      host.sh(`cat /proc/$(${show('MainPID')})/status`),
    ])
    assert.match(status, new RegExp(`^Uid:\\s+${uid}\\s`, 'm'))
    assert.match(status, /^NoNewPrivs:\s+1$/m)
    assert.match(status, /^Seccomp:\s+2$/m)
    // CAP_NET_BIND_SERVICE is number 10.
    assert.match(status, /^CapBnd:\s+0000000000000400$/m)
    await host.sh(`${push}\n${pull}`)
    assert.equal(await host.sh(show('StatusText')), 'serving')
    // The doctor is right to complain of the file system that this host stands on.
    const journal = await host.sh("journalctl -u keelson --no-pager -o cat | grep -v '\"doctor: '")
    assert.match(journal, /"transport":"uws"/)
    assert.doesNotMatch(journal, /Operation not permitted|"level":(50|60)/)
  })

  test('reloads, and says so where a configuration is refused', async () => {
    const before = await host.sh(show('MainPID'))
    await host.sh(`systemctl reload keelson\n${waitFor(isActive)}`)
    await host.sh(`echo 'nonsense = 1' >>/etc/keelson/config.toml; systemctl reload keelson
      ${waitFor(`${show('StatusText')} | grep -q refused`)}`)
    await host.sh(waitFor(isActive))
    await host.sh(`${pull}\nsed -i '$d' /etc/keelson/config.toml; systemctl reload keelson
      ${waitFor(`[ "$(${show('StatusText')})" = serving ]`)}`)
    assert.equal(await host.sh(show('MainPID')), before)
  })

  test('is started again when it is killed, and when it hangs', async () => {
    await host.sh(`kill -9 $(${show('MainPID')})
      ${waitFor(`[ "$(${show('NRestarts')})" = 1 ] && ${isActive}`)}`)
    await host.sh(`mkdir -p /run/systemd/system/keelson.service.d
      printf '[Service]\\nWatchdogSec=1500ms\\nTimeoutAbortSec=1\\n' >/run/systemd/system/keelson.service.d/watch.conf
      systemctl daemon-reload; systemctl restart keelson`)
    // Longer than the watchdog's patience: the beats keep it running.
    const main = await host.sh(show('MainPID'))
    await host.sh('sleep 3')
    assert.equal(await host.sh(show('MainPID')), main)
    await host.sh(`kill -STOP ${main}
      ${waitFor(`[ "$(${show('MainPID')})" != ${main} ] && ${isActive}`)}`)
    assert.match(await host.sh('journalctl -u keelson --no-pager -o cat'), /Watchdog timeout/)
    await host.sh(`rm -r /run/systemd/system/keelson.service.d; systemctl daemon-reload\n${pull}`)
  })

  test('serves with several processes, of which one may die', async () => {
    await host.sh(`cp /etc/keelson/config.toml /tmp/config.toml
      sed -i 's/^port = 443/port = 443\\nprocesses = 2/' /etc/keelson/config.toml
      printf '[storage]\\nsharing = "shared"\\n' >>/etc/keelson/config.toml
      systemctl restart keelson\n${pull}`)
    const main = await host.sh(show('MainPID'))
    const count = `pgrep -c -P ${main} node`
    assert.ok(Number(await host.sh(count)) >= 2)
    const child = await host.sh(`pgrep -o -P ${main} node`)
    await host.sh(`kill -9 ${child}\n${waitFor(`! kill -0 ${child} 2>/dev/null && ${pull}`)}`)
    assert.equal(await host.sh(show('MainPID')), main)
    await host.sh('cp /tmp/config.toml /etc/keelson/config.toml; systemctl restart keelson')
  })

  test('runs beside other instances, and the doctor looks at each', async () => {
    await host.sh(`sed 's/443/444/; s,/var/lib/keelson,/var/lib/keelson-b,' /etc/keelson/config.toml >/etc/keelson/b.toml
      chgrp keelson /etc/keelson/b.toml; systemctl start keelson@b
      ${curl} http://127.0.0.1:444/v2/ && systemctl is-active keelson.service keelson@b.service`)
    await host.sh('systemctl stop keelson@b; rm /etc/keelson/b.toml')
    await host.sh('systemctl start keelson-doctor@config.timer')
    await host.trySh('systemctl start keelson-doctor@config.service')
    const said = await host.sh('journalctl -u keelson-doctor@config --no-pager -o cat')
    assert.match(said, /tcp_migrate_req|somaxconn|kernel/i)
  })

  test('the drop-in for addresses keeps others away', async () => {
    await host.sh(`mkdir -p /run/systemd/system/keelson.service.d
      cp /opt/keelson/systemd/drop-ins/addresses.conf /run/systemd/system/keelson.service.d/
      systemctl daemon-reload; systemctl restart keelson\n${pull}`)
    assert.match(await host.sh(show('IPAddressDeny')), /::\/0/)
    await host.sh('rm -r /run/systemd/system/keelson.service.d; systemctl daemon-reload')
  })

  test('the drop-in for a network of its own gives it one', async () => {
    await host.sh(`mkdir -p /run/systemd/system/keelson.service.d
      cp /opt/keelson/systemd/drop-ins/network-namespace.conf /run/systemd/system/keelson.service.d/
      cp /opt/keelson/systemd/drop-ins/keelson-network.service /run/systemd/system/
      sed -i 's/127.0.0.1/10.91.0.2/' /etc/keelson/config.toml
      systemctl daemon-reload; systemctl restart keelson
      ${pull.replace('127.0.0.1', '10.91.0.2')}
      systemctl stop keelson keelson-network
      rm -r /run/systemd/system/keelson.service.d /run/systemd/system/keelson-network.service
      sed -i 's/10.91.0.2/127.0.0.1/' /etc/keelson/config.toml
      systemctl daemon-reload; systemctl start keelson`)
  })

  test('an upgrade keeps the configuration and restarts what runs', async () => {
    const before = await host.sh(`${show('MainPID')}; sha256sum /etc/keelson/config.toml`)
    await host.sh('dpkg -i --force-confdef --force-confold /packages/keelson_1.1.0_*.deb')
    const after = await host.sh(`${show('MainPID')}; sha256sum /etc/keelson/config.toml`)
    assert.notEqual(after.split('\n')[0], before.split('\n')[0])
    assert.equal(after.split('\n')[1], before.split('\n')[1])
    assert.equal(await host.sh('keelson --version'), 'keelson 1.1.0')
    assert.equal(await host.sh('stat -c %a:%G /etc/keelson/config.toml'), '640:keelson')
    await host.sh(pull)
    const journal = await host.sh('journalctl -u keelson --no-pager -o cat -n 30')
    assert.match(journal, /"msg":"stopped"/)
    assert.doesNotMatch(journal, /Killing process/)
  })

  test('a removal keeps content and configuration, and a purge content and secrets', async () => {
    await host.sh('dpkg --remove keelson')
    assert.equal((await host.trySh('systemctl is-active keelson')).stdout, 'inactive\n')
    await host.sh(`[ -e /etc/keelson/config.toml ] && [ -d /var/lib/keelson/blobs ]
      [ ! -e /opt/keelson/lib/node ] && [ ! -e /usr/bin/keelson ]`)
    await host.sh('dpkg --purge keelson')
    await host.sh(`[ ! -e /etc/keelson/config.toml ] && [ -d /var/lib/keelson/blobs ]
      [ -e /etc/keelson/credentials/alice ] && id keelson
      find /opt/keelson /etc/systemd/system -name 'keelson*' >/tmp/left 2>/dev/null || true
      cat /tmp/left >&2; [ ! -s /tmp/left ]`)
  })

  for (const block of readBlocks('docs/install.md')) {
    if (block.language !== 'sh' || block.mark.kind === 'not-run') continue
    test(`does what the page says at line ${block.line}`, async () => {
      // The first one finds what the purge before it has left.
      await host.sh(
        block.text
          .replaceAll(/keelson_0\.1\.0_\w+\.deb/g, '/packages/keelson_1.0.0_*.deb')
          .replaceAll(
            /dpkg -i keelson_0\.2\.0_\w+\.deb/g,
            'dpkg -i --force-confold /packages/keelson_1.1.0_*.deb',
          ),
      )
    })
  }
})
