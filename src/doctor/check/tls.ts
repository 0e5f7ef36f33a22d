// Checks TLS: whether the files can be used, when they end, whom they name, and who may read the key.
import type { Term } from '../../server/tls/load.ts'
import { noticesOf } from '../../server/tls/terms.ts'
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import { counted, quoted, shownMode, some } from '../wording.ts'

/** What is known of the TLS files. */
export interface TlsFacts {
  readonly nowMs: number
  /** Why the files cannot be used; then there are no terms. */
  readonly fault:
    | { readonly file: string; readonly reason: string; readonly remedy: string }
    | undefined
  readonly terms: readonly Term[]
  readonly warnings: readonly string[]
  /** DNS names and addresses of the server certificate. */
  readonly names: readonly string[]
  /** By which clients reach the server; undefined where nothing says. */
  readonly hostname: string | undefined
  readonly chain: ChainFacts | undefined
  readonly key: KeyFacts | undefined
}

export interface KeyFacts {
  readonly file: string
  /** Permission bits. */
  readonly mode: number
  readonly isEncrypted: boolean
}

/** Where the bundle of the server certificate leads. */
export interface ChainFacts {
  readonly file: string
  /** `public`: to a CA that Node.js knows. `self`: its last one signed itself. */
  readonly end: 'public' | 'self' | 'unknown'
  /** Of the last certificate. */
  readonly issuer: string
  readonly length: number
}

export const tlsRows = {
  'tls-files': {
    title: 'TLS files',
    why: 'a server that cannot use them does not start, and one that runs keeps the old ones',
    link: 'docs/tls.md#when-it-does-not-work',
    error: 'they cannot be used',
  },
  'tls-term': {
    title: 'term of the',
    why: 'clients refuse a certificate that has ended, and the server refuses clients where a list has',
    link: 'docs/tls.md#renewing-certificates',
    error: 'it has ended',
    warning:
      'a certificate ends within two weeks; of a revocation list or OCSP response less than a quarter of its time is left, or less than a day',
  },
  'client-ca': {
    title: 'client CA',
    why: 'certificates of a CA that has ended are refused',
    link: 'docs/tls.md#client-certificates',
    warning: 'one of the bundle has ended, or not begun',
  },
  'tls-names': {
    title: 'names of the server certificate',
    why: 'clients refuse a certificate that does not name the host that they asked for',
    link: 'docs/tls.md#tls-in-five-minutes',
    error: 'the host of `server.external_url` is not among them',
    warning: 'there are none',
  },
  'tls-chain': {
    title: 'chain of the server certificate',
    why: 'clients that cannot lead it to a CA that they trust refuse it',
    link: 'docs/tls.md#clients',
    advice: 'it ends at a CA that Node.js does not know: an own one, or an intermediate is missing',
  },
  'private-key': {
    title: 'private key',
    why: 'who has it can be the server',
    link: 'docs/doctor.md#files',
    error: 'it is not encrypted, and others may read it or its group may write it',
  },
} as const

const say = sayingsOf(tlsRows)

export function checkTls(facts: TlsFacts): readonly Finding[] {
  const { fault, terms, nowMs, key, warnings, chain } = facts
  const ofKey = key === undefined ? [] : [keyFinding(key)]
  if (fault !== undefined) {
    const { remedy } = fault
    return [say.error('tls-files', `${fault.file}: ${fault.reason}`, { remedy }), ...ofKey]
  }
  const old = { remedy: 'take it out of the bundle, or renew it' }
  return [
    ...terms.map((term) => termFinding(term, nowMs)),
    ...warnings.map((detail) => say.warning('client-ca', detail, old)),
    namesFinding(facts),
    ...(chain === undefined ? [] : [chainFinding(chain)]),
    ...ofKey,
  ]
}

const termNames = {
  certificate: 'server certificate',
  crl: 'revocation list',
  ocsp: 'OCSP response',
} as const

const remedies: Readonly<Record<Term['kind'], string>> = {
  certificate: 'renew it; the server takes a new file without a restart',
  crl: 'fetch a new list from its CA, and see why it is not fetched in time',
  ocsp: 'fetch a new response from the CA, and see why it is not fetched in time',
}

const dayMs = 86_400_000

function termFinding(term: Term, nowMs: number): Finding {
  const about = termNames[term.kind]
  const [notice] = noticesOf([term], nowMs)
  if (notice !== undefined) {
    const { severity, message } = notice
    return say[severity]('tls-term', message, { remedy: remedies[term.kind] }, about)
  }
  const left = counted(Math.floor((term.untilMs - nowMs) / dayMs), 'day')
  return say.ok('tls-term', `${term.file} holds for ${left} more`, about)
}

function namesFinding({ names, hostname }: TlsFacts): Finding {
  if (names.length === 0) {
    const remedy = 'issue one that names the host as clients do'
    return say.warning('tls-names', 'it has no subject alternative name, which clients ask for', {
      remedy,
    })
  }
  if (hostname !== undefined && !names.some((name) => isNamed(hostname, name))) {
    const detail = `${hostname}, the host of server.external_url, is not among ${some(names)}`
    const remedy = 'issue a certificate with that name, or correct server.external_url'
    return say.error('tls-names', detail, { remedy })
  }
  return say.ok('tls-names', names.join(', '))
}

// Source: RFC 6125 §6.4.3: a star stands for the whole first label.
function isNamed(hostname: string, name: string): boolean {
  const [host, own] = [hostname.toLowerCase(), name.toLowerCase()]
  if (host === own) return true
  return own.startsWith('*.') && host.slice(host.indexOf('.')) === own.slice(1)
}

function chainFinding({ end, issuer, length, file }: ChainFacts): Finding {
  const what = counted(length, 'certificate')
  if (end === 'public') return say.ok('tls-chain', `${what}, issued by ${issuer}`)
  const own = {
    remedy: 'give clients the CA (docs/clients-tls.md), or use a certificate of a public one',
  }
  if (end === 'self') {
    return say.advice('tls-chain', `${what}, ending at ${issuer}, which signed itself`, own)
  }
  const missing = {
    remedy:
      'add the missing intermediate to the bundle, or give clients the CA (docs/clients-tls.md)',
    command: `openssl crl2pkcs7 -nocrl -certfile ${quoted(file)} | openssl pkcs7 -print_certs -noout`,
  }
  return say.advice(
    'tls-chain',
    `${what}, the last issued by ${issuer}, which is no public CA`,
    missing,
  )
}

function keyFinding({ file, mode, isEncrypted }: KeyFacts): Finding {
  if (isEncrypted) return say.ok('private-key', `${file} is encrypted`)
  const shown = shownMode(mode & 0o777)
  // A group that may read is how several services share a key.
  if ((mode & 0o027) === 0) return say.ok('private-key', `${file} has mode ${shown}`)
  const who = (mode & 0o007) === 0 ? 'its group may replace it' : 'others may reach it'
  const detail = `${file} is not encrypted and has mode ${shown}: ${who}`
  const command = `chmod 600 ${quoted(file)}`
  return say.error('private-key', detail, { remedy: 'close it, and replace the key', command })
}
