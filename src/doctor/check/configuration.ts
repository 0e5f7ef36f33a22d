// Checks what a configuration says that is legal, and yet seldom meant or seldom safe.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import { some } from '../wording.ts'

export interface PolicyNote {
  readonly severity: 'warning' | 'note'
  /** Of the rule, as `file:line`; '' where it is about none. */
  readonly place: string
  readonly message: string
}

export interface ConfigurationFacts {
  /** Why the server would refuse it; each with its place. */
  readonly problems: readonly string[]
  readonly policy: readonly PolicyNote[]
  /** Of the retention policies. */
  readonly retention: readonly PolicyNote[]
  /** Addresses beyond this host that are served without TLS. */
  readonly plainAddresses: readonly string[]
  /** Somebody logs in with a password or a token. */
  readonly hasLogins: boolean
  /** `server.trusted_proxies` names some. */
  readonly isBehindProxy: boolean
  /** Networks among the trusted ones that are everybody. */
  readonly trustsAll: readonly string[]
  readonly isDurable: boolean
  readonly hasMemoryStore: boolean
  /** Tables and keys that nothing uses. */
  readonly unused: readonly string[]
  /** Providers of tokens without `required_audience`. */
  readonly anyAudience: readonly string[]
  readonly hasAuditFile: boolean
  readonly hasTls: boolean
  readonly externalUrl: string | undefined
  readonly hasTokenService: boolean
  /** Where new blobs are encrypted: how many of those that were looked at are not. */
  readonly sampled?: SampledBlobs
}

export interface SampledBlobs {
  readonly looked: number
  readonly plain: number
}

export const configurationRows = {
  configuration: {
    title: 'configuration',
    why: 'the server does not start with it, and one that runs keeps the old one',
    link: 'docs/configuration.md#configuration',
    error: 'it would be refused',
  },
  policy: {
    title: 'access policy',
    why: 'a rule that decides nothing was meant to decide something, and an open policy lets in everybody',
    link: 'docs/policies.md#how-a-request-is-decided',
    warning:
      '`keelson policy lint` has a warning: there is no policy, it denies or allows everything, a rule is constant, repeated or never reached, or who has not logged in may write',
    advice: '`keelson policy lint` has a note: who has not logged in may read',
  },
  retention: {
    title: 'retention policy',
    why: 'a rule that keeps everything frees no room, and one that keeps nothing fresh takes what was just pushed',
    link: 'docs/retention.md#what-to-look-out-for',
    warning:
      '`keelson policy lint` has a warning: a rule is constant or repeated, asks for pull times that nobody notes, or none keeps what was just pushed',
  },
  'plain-http': {
    title: 'plain HTTP',
    why: 'passwords and tokens can be read, and content changed, by whoever is on the way',
    link: 'docs/tls.md#tls-in-five-minutes',
    warning: 'a listener on another address than loopback has no TLS, and there are logins',
    advice: 'the same behind `server.trusted_proxies`, or without logins',
  },
  'trusted-proxies': {
    title: 'trusted proxies',
    why: 'everybody can say which address they come from, to limits, rules and logs',
    link: 'docs/tls.md#behind-a-proxy',
    warning:
      '`server.trusted_proxies`, or the proxies of `auth.gateway` or `server.forward_auth`, name all addresses',
  },
  'external-url': {
    title: 'external URL',
    why: 'clients are sent there for uploads and tokens',
    link: 'docs/tls.md#behind-a-proxy',
    warning: '`server.external_url` begins with `http:`, and the registry serves TLS',
    advice: 'there is none, behind a proxy or with a token service',
  },
  durability: {
    title: 'durability',
    why: 'a power loss, or the end of the process, takes content that was acknowledged',
    link: 'docs/configuration.md#storage',
    warning: '`storage.durability = "none"`, or a memory store',
  },
  unused: {
    title: 'unused settings',
    why: 'they were meant for something that does not happen',
    link: 'docs/configuration.md#configuration',
    warning:
      'no listener uses `[server.tls]`, no policy a webhook or an OPA, or the transport an OCSP response or a ticket secret',
  },
  audience: {
    title: 'audience of tokens',
    why: 'a token that somebody got for another service can be shown here',
    link: 'docs/oidc.md#what-is-checked',
    warning: 'a provider of tokens has no `required_audience`',
  },
  audit: {
    title: 'audit',
    why: 'without a file of its own the record of logins, denials and changes goes with the log',
    link: 'docs/audit.md#the-audit-log',
    advice: 'there are logins, and no `audit.file`',
  },
  encryption: {
    title: 'encryption',
    why: 'blobs from before, and those that an import links, lie there as they were pushed',
    link: 'docs/encryption.md#what-is-encrypted-and-what-is-not',
    advice: 'new blobs are encrypted, and some of the first 500 in the store are not',
  },
} as const

const say = sayingsOf(configurationRows)

export function checkConfiguration(facts: ConfigurationFacts): readonly Finding[] {
  return [
    ...checkProblems(facts.problems),
    ...checkPolicy(facts.policy),
    ...checkRetention(facts.retention),
    ...checkExposure(facts),
    ...checkExternalUrl(facts),
    ...checkDurability(facts),
    ...checkRest(facts),
  ]
}

/** `told`: what a command says of a configuration that is refused, a problem a line. */
export function refusedFindings(told: string): readonly Finding[] {
  const lines = told.split('\n').filter((line) => line.trim() !== '')
  // The last line counts the others.
  return checkProblems(lines.length > 1 ? lines.slice(0, -1) : lines)
}

function checkProblems(problems: readonly string[]): readonly Finding[] {
  if (problems.length === 0) return [say.ok('configuration', 'it would be taken')]
  const fix = { remedy: 'correct it', command: 'keelson check-config' }
  return problems.map((problem) => say.error('configuration', problem, fix))
}

function checkPolicy(notes: readonly PolicyNote[]): readonly Finding[] {
  if (notes.length === 0) return [say.ok('policy', 'nothing stands out')]
  const fix = { remedy: 'see whether that is meant', command: 'keelson policy lint' }
  return notes.map(({ severity, place, message }) => {
    const detail = place === '' ? message : `${place}: ${message}`
    return severity === 'note'
      ? say.advice('policy', detail, fix)
      : say.warning('policy', detail, fix)
  })
}

// Nothing to say where there is none.
function checkRetention(notes: readonly PolicyNote[]): readonly Finding[] {
  const fix = { remedy: 'see whether that is meant', command: 'keelson policy lint' }
  return notes.map(({ place, message }) =>
    say.warning('retention', place === '' ? message : `${place}: ${message}`, fix),
  )
}

function checkExposure(facts: ConfigurationFacts): readonly Finding[] {
  const { plainAddresses, hasLogins, isBehindProxy, trustsAll } = facts
  const findings: Finding[] = []
  if (plainAddresses.length === 0) {
    findings.push(say.ok('plain-http', 'on this host alone, or nowhere'))
  } else {
    const detail = `${some(plainAddresses)} ${plainAddresses.length === 1 ? 'is' : 'are'} served without TLS${hasLogins ? ', and there are logins' : ''}`
    const fix = { remedy: 'set [server.tls], or listen on loopback behind a proxy that has it' }
    findings.push(
      hasLogins && !isBehindProxy
        ? say.warning('plain-http', detail, fix)
        : say.advice('plain-http', detail, fix),
    )
  }
  if (trustsAll.length > 0) {
    const remedy = 'name the addresses of the proxies, and no others'
    findings.push(say.warning('trusted-proxies', `${some(trustsAll)} is everybody`, { remedy }))
  }
  const { looked, plain } = facts.sampled ?? { looked: 0, plain: 0 }
  if (plain > 0) {
    const detail = `${plain} of ${looked} blobs that were looked at are not encrypted`
    const remedy = 'migrate to a directory in which everything is, if they must be'
    findings.push(say.advice('encryption', detail, { remedy }))
  }
  return findings
}

function checkExternalUrl(facts: ConfigurationFacts): readonly Finding[] {
  const { externalUrl, hasTls, isBehindProxy, hasTokenService } = facts
  if (externalUrl === undefined) {
    if (!isBehindProxy && !hasTokenService) return []
    const remedy = 'set server.external_url to what clients write'
    const detail = 'none is set: the Host header of each request decides where clients are sent'
    return [say.advice('external-url', detail, { remedy })]
  }
  if (hasTls && externalUrl.startsWith('http:')) {
    const remedy = 'write https://'
    return [say.warning('external-url', `${externalUrl} is not https`, { remedy })]
  }
  return [say.ok('external-url', externalUrl)]
}

function checkDurability({ isDurable, hasMemoryStore }: ConfigurationFacts): readonly Finding[] {
  if (hasMemoryStore) {
    const detail = 'a memory store is for tests: its content is lost at exit'
    const remedy = 'set [blob_store.fs], and no [metadata_store.memory]'
    return [say.warning('durability', detail, { remedy })]
  }
  if (isDurable) return [say.ok('durability', 'what is acknowledged is on disk')]
  const remedy = 'set storage.durability = "fsync", unless the content can be had again'
  return [say.warning('durability', 'storage.durability is "none"', { remedy })]
}

function checkRest(facts: ConfigurationFacts): readonly Finding[] {
  const { unused, anyAudience, hasAuditFile, hasLogins } = facts
  const findings = unused.map((detail) =>
    say.warning('unused', detail, { remedy: 'take it out, or use it' }),
  )
  for (const name of anyAudience) {
    const detail = `auth.oidc.${name} takes every token of its issuer`
    const remedy = 'set required_audience to a name of this registry'
    findings.push(say.warning('audience', detail, { remedy }))
  }
  if (hasLogins && !hasAuditFile) {
    const remedy = 'set audit.file'
    findings.push(say.advice('audit', 'audit.file is not set', { remedy }))
  }
  return findings
}
