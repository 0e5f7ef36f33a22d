// Checks the services that the server asks: whether each answers as it has to.
import type { Finding } from '../contract.ts'
import { type Fix, sayingsOf } from '../finding.ts'

/** What came of asking one service once. */
export interface ServiceFacts {
  readonly kind:
    | 's3'
    | 'postgres'
    | 'redis'
    | 'oidc'
    | 'webhook'
    | 'opa'
    | 'ldap'
    | 'tracing'
    | 'peer'
  /** As the configuration names it; '' where there can be but one. */
  readonly name: string
  /** Where it is; holds no secret. */
  readonly url: string
  /** Why it cannot be used; undefined where it answered as it should. */
  readonly fault: ServiceFault | undefined
  /** What it said, where it did. */
  readonly answer: string
  /** What is legal about how a directory is asked or a database set, and seldom meant. */
  readonly doubts: ReadonlyArray<{ readonly detail: string; readonly fix: Fix }>
  readonly tookMs: number
}

export interface ServiceFault {
  readonly reason: string
  /** What most likely is to be done. */
  readonly remedy: string
}

export const serviceRows = {
  s3: {
    title: 'bucket',
    why: 'all blobs are in it: while it is away pulls and pushes of them are answered 503',
    link: 'docs/s3.md#when-the-bucket-is-away',
    error: 'it does not answer, or does not let the configured keys list it',
    warning: 'it keeps old versions of what is removed',
  },
  postgres: {
    title: 'PostgreSQL',
    why: 'all metadata is in it: while it is away every request is answered 503, and what it loses is lost',
    link: 'docs/postgres.md#when-postgresql-is-away',
    error:
      'it does not answer, not to the role that the configuration names, is a standby, or has another encoding than UTF8',
    warning: '`fsync` or `full_page_writes` is off, with `storage.durability = "fsync"`',
  },
  redis: {
    title: 'Redis',
    why: 'without it what is revoked here counts on other hosts only later',
    link: 'docs/several-hosts.md#when-redis-is-away',
    warning: 'it does not answer, or not to the user that the configuration names',
  },
  oidc: {
    title: 'provider of tokens',
    why: 'without its keys none of its tokens can be judged, and all are answered 503',
    link: 'docs/oidc.md#when-it-does-not-work',
    error: 'its discovery document, its keys or its answers about tokens cannot be had',
  },
  webhook: {
    title: 'webhook',
    why: 'what a webhook does not allow is denied, so one that is away denies everything',
    link: 'docs/webhooks.md#when-a-webhook-is-in-trouble',
    error: 'it does not answer, or neither allows nor denies',
  },
  opa: {
    title: 'OPA',
    why: 'what it does not allow is denied, so one that is away denies everything',
    link: 'docs/opa.md#watching-it',
    error: 'it does not answer, or its document neither allows nor denies',
  },
  ldap: {
    title: 'LDAP directory',
    why: 'while it is away its users cannot log in',
    link: 'docs/ldap.md#when-it-does-not-work',
    error: 'it does not answer, does not take `bind_dn`, or a base is not to be seen',
    warning: 'it is spoken to in clear text, or as nobody in particular',
  },
  tracing: {
    title: 'collector of traces',
    why: 'traces that it does not take are dropped',
    link: 'docs/doctor.md#services',
    warning: 'it does not take an empty batch',
  },
  peer: {
    title: 'other registry',
    why: 'while it cannot be read, nothing is imported from it, and scrub heals nothing with it',
    link: 'docs/import.md#from-another-registry-over-http',
    warning: 'it does not answer, has another certificate, or refuses the login',
  },
} as const

const say = sayingsOf(serviceRows)

export function checkServices(facts: readonly ServiceFacts[]): readonly Finding[] {
  return facts.flatMap((each) => [
    checkService(each),
    ...each.doubts.map(({ detail, fix }) =>
      say.warning(doubtOf(each.kind), detail, fix, each.name),
    ),
  ])
}

function doubtOf(kind: ServiceFacts['kind']): 's3' | 'postgres' | 'ldap' {
  return kind === 's3' || kind === 'postgres' ? kind : 'ldap'
}

function checkService({ kind, name, url, fault, answer, tookMs }: ServiceFacts): Finding {
  if (fault === undefined) {
    return say.ok(kind, `${url} ${answer} in ${Math.round(tookMs)} ms`, name)
  }
  const detail = `${url}: ${fault.reason}`
  const fix = { remedy: fault.remedy }
  // The registry works without these.
  if (kind === 'redis' || kind === 'tracing' || kind === 'peer')
    return say.warning(kind, detail, fix, name)
  return say.error(kind, detail, fix, name)
}
