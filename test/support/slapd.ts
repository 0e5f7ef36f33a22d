// Answers for a real directory in tests: OpenLDAP's slapd on loopback, plain and with TLS, with people
// and groups in a database of its own.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Daemon, startDaemon } from './daemon.ts'
import type { Pki } from './pki.ts'
import { freePort } from './redis.ts'
import { run } from './run.ts'
import { findTool, needs } from './tools.ts'

/** Options for `test()`: skipped where slapd is absent. */
export const needsSlapd: { readonly skip: string | false } = needs('slapd', 'openssl')

export const suffix = 'dc=example,dc=org'
export const people: string = `ou=people,${suffix}`
export const groups: string = `ou=groups,${suffix}`
export const service: { readonly dn: string; readonly password: string } = {
  dn: `cn=search,${suffix}`,
  password: 'search-secret',
}

export interface SlapdOptions {
  /** Files go there; the caller removes it. */
  readonly dir: string
  /** Undefined: it knows no TLS. */
  readonly pki: Pki | undefined
  /** LDIF of entries below `people` and `groups`. */
  readonly entries: string
  /** Whether clients must show a certificate of the PKI's client CA; default not. */
  readonly wantsCertificate?: boolean
  /** Further lines of the database. */
  readonly database?: string
}

export interface Slapd {
  readonly port: number
  /** Of TLS from the start. */
  readonly tlsPort: number
  /** What it logged of connections and operations. */
  readonly log: readonly string[]
  /** SIGSTOP: it takes connections, as the kernel does, and says nothing. */
  pause(): void
  resume(): void
  stop(): Promise<unknown>
}

/** One person. Attributes besides the usual ones go into `more`, a line each. */
export function person(uid: string, password: string | undefined, more = ''): string {
  const secret = password === undefined ? '' : `userPassword: ${password}\n`
  return `
dn: uid=${uid},${people}
objectClass: inetOrgPerson
uid: ${uid}
cn: ${uid}
sn: ${uid}
${secret}${more}`
}

export function group(cn: string, ...uids: readonly string[]): string {
  const members = uids.map((uid) => `member: uid=${uid},${people}\n`).join('')
  return `\ndn: cn=${cn},${groups}\nobjectClass: groupOfNames\ncn: ${cn}\n${members}`
}

export async function startSlapd(options: SlapdOptions): Promise<Slapd> {
  const { dir, entries } = options
  const data = join(dir, 'data')
  await mkdir(data, { recursive: true })
  const conf = join(dir, 'slapd.conf')
  await writeFile(conf, configuration(options, data))
  const ldif = join(dir, 'tree.ldif')
  await writeFile(ldif, `${tree}${entries}`)
  const slapd = findTool('slapd') ?? 'slapd'
  await run(slapd, ['-T', 'add', '-f', conf, '-l', ldif])
  // It cannot choose its own.
  const [port, tlsPort] = [await freePort(), await freePort()]
  const urls = [`ldap://127.0.0.1:${port}/`]
  if (options.pki !== undefined) urls.push(`ldaps://127.0.0.1:${tlsPort}/`)
  const daemon: Daemon<true> = await startDaemon({
    command: slapd,
    args: ['-f', conf, '-h', urls.join(' '), '-d', '256'],
    onLine: (line) => (line.includes('slapd starting') ? true : undefined),
  })
  return {
    port,
    tlsPort,
    log: daemon.log,
    pause: () => process.kill(daemon.pid, 'SIGSTOP'),
    resume: () => process.kill(daemon.pid, 'SIGCONT'),
    stop: () => daemon.stop(),
  }
}

const tree = `
dn: ${suffix}
objectClass: domain
dc: example

dn: ${service.dn}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: search
userPassword: ${service.password}

dn: ${people}
objectClass: organizationalUnit
ou: people

dn: ${groups}
objectClass: organizationalUnit
ou: groups
`

// Nobody but the search account, and each user for its own entry and the groups, may read.
function configuration({ dir, pki, wantsCertificate, database = '' }: SlapdOptions, data: string) {
  const schemas = ['core', 'cosine', 'inetorgperson', 'nis']
  const tls =
    pki === undefined
      ? []
      : [
          `TLSCACertificateFile ${pki.clientCa.certificateFile}`,
          `TLSCertificateFile ${pki.server.bundleFile}`,
          `TLSCertificateKeyFile ${pki.server.keyFile}`,
          `TLSVerifyClient ${wantsCertificate === true ? 'demand' : 'never'}`,
        ]
  return `${schemas.map((name) => `include /etc/ldap/schema/${name}.schema`).join('\n')}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile ${join(dir, 'slapd.pid')}
idletimeout 0
${tls.join('\n')}
database mdb
suffix "${suffix}"
rootdn "cn=root,${suffix}"
directory ${data}
maxsize 16777216
dbnosync
${database}
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="${groups}" by dn.exact="${service.dn}" read by users read by * none
access to * by dn.exact="${service.dn}" read by self read by * none
`
}
