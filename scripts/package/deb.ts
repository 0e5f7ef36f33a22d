// The Debian package: the program in /opt/keelson, units, a configuration, and what its scripts do.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { requirements } from './requirements.ts'
import { settle, type Target } from './target.ts'

const debian = 'scripts/package/debian'
// Whoever builds a package answers for it, and tells so as for any Debian tool.
const { DEBFULLNAME: fullName = 'Keelson developers', DEBEMAIL: email = 'keelson@localhost' } =
  process.env
const maintainer = `${fullName} <${email}>`
const units = 'lib/systemd/system'
/** Services that a timer starts. */
const timed = ['doctor', 'gc', 'scrub', 'prune', 'backup'] as const
/** From the sources to where Debian has them. */
const placed: readonly (readonly [from: string, to: string])[] = [
  ['systemd/keelson.service', `${units}/keelson.service`],
  ['systemd/keelson@.service', `${units}/keelson@.service`],
  ['systemd/keelson.target', `${units}/keelson.target`],
  ...timed.flatMap((kind): readonly (readonly [from: string, to: string])[] => [
    [`systemd/keelson-${kind}@.service`, `${units}/keelson-${kind}@.service`],
    [`systemd/keelson-${kind}@.timer`, `${units}/keelson-${kind}@.timer`],
    ['systemd/hardening.conf', `${units}/keelson-${kind}@.service.d/10-hardening.conf`],
  ]),
  ['systemd/hardening.conf', `${units}/keelson.service.d/10-hardening.conf`],
  ['systemd/hardening.conf', `${units}/keelson@.service.d/10-hardening.conf`],
  ['systemd/sysusers.d/keelson.conf', 'usr/lib/sysusers.d/keelson.conf'],
  ['systemd/tmpfiles.d/keelson.conf', 'usr/lib/tmpfiles.d/keelson.conf'],
  ['systemd/sysctl.d/keelson.conf', 'usr/lib/sysctl.d/60-keelson.conf'],
  ['systemd/config.toml', 'etc/keelson/config.toml'],
  [`${debian}/copyright`, 'usr/share/doc/keelson/copyright'],
  [`${debian}/lintian-overrides`, 'usr/share/lintian/overrides/keelson'],
]
const scripts = ['postinst', 'prerm', 'postrm']

/** `root` has the program in opt/keelson. Answers the file. */
export function buildDeb(root: string, target: Target): string {
  for (const [from, to] of placed) {
    mkdirSync(join(root, dirname(to)), { recursive: true })
    copyFileSync(from, join(root, to))
  }
  mkdirSync(join(root, 'usr', 'bin'), { recursive: true })
  symlinkSync('/opt/keelson/bin/keelson', join(root, 'usr', 'bin', 'keelson'))
  const changes = gzipSync(changelog(target), { level: 9 })
  writeFileSync(join(root, 'usr/share/doc/keelson/changelog.gz'), changes)
  const control = join(root, 'DEBIAN')
  mkdirSync(control)
  for (const name of scripts) {
    copyFileSync(join(debian, name), join(control, name))
    chmodSync(join(control, name), 0o755)
  }
  writeFileSync(join(control, 'conffiles'), '/etc/keelson/config.toml\n')
  writeFileSync(join(control, 'md5sums'), sums(root))
  writeFileSync(join(control, 'control'), controlFile(root, target))
  settle(root, target.epoch)
  const file = join(target.out, `keelson_${target.version}_${target.debArchitecture}.deb`)
  execFileSync(
    'dpkg-deb',
    ['--root-owner-group', `-Z${target.compression}`, '--build', root, file],
    {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(target.epoch) },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  return file
}

function controlFile(root: string, { version, debArchitecture }: Target): string {
  const size = execFileSync('du', ['-sk', '--apparent-size', '--exclude=DEBIAN', root], {
    encoding: 'utf8',
  })
  return `Package: keelson
Version: ${version}
Architecture: ${debArchitecture}
Maintainer: ${maintainer}
Installed-Size: ${size.split('\t')[0]}
Depends: ${requirements(join(root, 'opt', 'keelson')).join(', ')}, systemd (>= 247)
Recommends: ca-certificates
Suggests: apparmor, nftables
Section: net
Priority: optional
Description: OCI container registry for bare metal
 Keelson stores and serves container images and other OCI artefacts. It runs
 under systemd with a store in a local folder, its own TLS, authentication and
 access policies.
 .
 This package brings its own Node.js, which it uses alone.
`
}

function changelog({ version, epoch }: Target): string {
  const date = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000')
  return `keelson (${version}) unstable; urgency=medium

  * See /opt/keelson/CHANGELOG.md.

 -- ${maintainer}  ${date}
`
}

function sums(root: string): string {
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter((file) => !file.startsWith('DEBIAN/') && !file.startsWith('etc/'))
    .sort()
  return execFileSync('md5sum', ['--', ...files], {
    ...{ cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 },
  })
}
