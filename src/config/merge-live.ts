// What is in force after a configuration was loaded anew: its live keys, and of the old one those that
// only a restart changes.
import { deepFreeze } from './deep-freeze.ts'
import type { Section } from './entry.ts'
import { sameSettings } from './same-settings.ts'
import {
  type AuthConfig,
  type Config,
  type RepositoryConfig,
  schema,
  type TlsConfig,
} from './schema.ts'
import { Secret } from './secret.ts'

/**
 * `after` with the restart keys of `before`. A table comes or goes live only where all of its keys are
 * live. Secrets that are the same stay the very objects of `before`.
 */
export function mergeLive(before: Config, after: Config): Config {
  const merged: Config = {
    server: mergeKeys(schema.server, before.server, after.server),
    // None of their rows is live: sockets are bound once.
    listeners: before.listeners,
    tls: mergeTls(before, after),
    limits: mergeKeys(schema['server.limits'], before.limits, after.limits),
    headers: mergeKeys(schema['server.headers'], before.headers, after.headers),
    auth: mergeAuth(before.auth, after.auth),
    global: {
      ...mergeKeys(schema.global, before.global, after.global),
      ...mergeRules(before.global, after.global),
    },
    repositories: mergeNamed(
      schema.repository,
      ({ prefix }) => prefix,
      before.repositories,
      after.repositories,
      mergeRepository,
    ),
    usage: {
      ...mergeKeys(schema.limits, before.usage, after.usage),
      rates: mergeNamed(schema['limits.rate'], nameOf, before.usage.rates, after.usage.rates),
    },
    audit: mergeKeys(schema.audit, before.audit, after.audit),
    forwardAuth: mergeTable(schema['server.forward_auth'], before.forwardAuth, after.forwardAuth),
    redis: mergeTable(schema.redis, before.redis, after.redis),
    // None of their rows is live: content does not move.
    blobStore: before.blobStore,
    metadataStore: before.metadataStore,
    storage: mergeKeys(schema.storage, before.storage, after.storage),
    ingest: mergeKeys(schema.ingest, before.ingest, after.ingest),
    gc: mergeKeys(schema.gc, before.gc, after.gc),
    retention: mergeKeys(schema.retention, before.retention, after.retention),
    scrub: mergeKeys(schema.scrub, before.scrub, after.scrub),
    backup: mergeKeys(schema.backup, before.backup, after.backup),
    peers: mergeNamed(schema.peer, nameOf, before.peers, after.peers),
    cache: mergeKeys(schema.cache, before.cache, after.cache),
    log: mergeKeys(schema.log, before.log, after.log),
    health: mergeKeys(schema.health, before.health, after.health),
    tracing: mergeTable(schema.tracing, before.tracing, after.tracing),
    admin: mergeKeys(schema.admin, before.admin, after.admin),
  }
  return deepFreeze(merged)
}

// Which transport serves a listener was decided when it was opened, also by whether it asks for
// client certificates.
function mergeTls(before: Config, after: Config): TlsConfig | undefined {
  const merged = mergeTable(schema['server.tls'], before.tls, after.tls)
  const [was, is] = [before.tls, after.tls]
  if (merged === undefined || was === undefined || is === undefined) return merged
  const asksAnew = (was.clientCaBundle === undefined) !== (is.clientCaBundle === undefined)
  if (!asksAnew || before.server.transport === 'node') return merged
  const { clientCaBundle, clientAuth, clientCrls } = was
  return { ...merged, clientCaBundle, clientAuth, clientCrls }
}

function mergeAuth(before: AuthConfig, after: AuthConfig): AuthConfig {
  const named = <T extends { readonly name: string }>(
    section: Section,
    listOf: (auth: AuthConfig) => readonly T[],
  ) => mergeNamed(section, nameOf, listOf(before), listOf(after))
  return {
    ...mergeKeys(schema.auth, before, after),
    tokenService: mergeTable(schema['auth.token_service'], before.tokenService, after.tokenService),
    identities: mergeNamed(
      schema['auth.identity'],
      ({ id }) => id,
      before.identities,
      after.identities,
    ),
    oidc: named(schema['auth.oidc'], ({ oidc }) => oidc),
    ldap: named(schema['auth.ldap'], ({ ldap }) => ldap),
    webhooks: named(schema['auth.webhook'], ({ webhooks }) => webhooks),
    opas: named(schema['auth.opa'], ({ opas }) => opas),
    gateway: mergeTable(schema['auth.gateway'], before.gateway, after.gateway),
  }
}

type Rules = Pick<RepositoryConfig, 'accessPolicy' | 'retentionPolicy' | 'quota' | 'validation'>

function mergeRules(before: Rules, after: Rules): Rules {
  return {
    accessPolicy: mergeTable(
      schema['global.access_policy'],
      before.accessPolicy,
      after.accessPolicy,
    ),
    retentionPolicy: mergeTable(
      schema['global.retention_policy'],
      before.retentionPolicy,
      after.retentionPolicy,
    ),
    quota: mergeTable(schema['global.quota'], before.quota, after.quota),
    validation: mergeTable(schema['global.validation'], before.validation, after.validation),
  }
}

function mergeRepository(before: RepositoryConfig, after: RepositoryConfig): RepositoryConfig {
  return { ...mergeKeys(schema.repository, before, after), ...mergeRules(before, after) }
}

function nameOf({ name }: { readonly name: string }): string {
  return name
}

function mergeNamed<T extends object>(
  section: Section,
  nameOf: (item: T) => string,
  before: readonly T[],
  after: readonly T[],
  merge: (old: T, new_: T) => T = (old, new_) => mergeKeys(section, old, new_),
): readonly T[] {
  const [old, new_] = [before, after].map(
    (items) => new Map(items.map((item) => [nameOf(item), item])),
  )
  return (isLive(section) ? after : before).map((item) => {
    const [was, is] = [old?.get(nameOf(item)), new_?.get(nameOf(item))]
    return was && is ? merge(was, is) : item
  })
}

function mergeTable<T extends object>(
  section: Section,
  before: T | undefined,
  after: T | undefined,
): T | undefined {
  if (before && after) return mergeKeys(section, before, after)
  return isLive(section) ? after : before
}

function mergeKeys<T extends object>(section: Section, before: T, after: T): T {
  // The fields that the rows name are among those of T.
  const [old, new_] = [before, after] as readonly [Values, Values]
  const kept = Object.values(section.keys).flatMap(({ field, reload }) => {
    const isSame = old[field] instanceof Secret && sameSettings(old[field], new_[field])
    return field in old && (reload === 'restart' || isSame) ? [[field, old[field]] as const] : []
  })
  return { ...after, ...Object.fromEntries(kept) }
}

type Values = Readonly<Record<string, unknown>>

function isLive(section: Section): boolean {
  return Object.values(section.keys).every(({ reload }) => reload === 'live')
}
