// Asks each service that the configuration names, all at once, each for so long and no longer.
import type { Config } from '../../config/schema.ts'
import type { SkewFacts } from '../check/clock.ts'
import type { ServiceFacts } from '../check/services.ts'
import type { Destination } from './network.ts'

export interface AskedServices {
  readonly services: readonly ServiceFacts[]
  /** What their clocks say, where they tell. */
  readonly clocks: readonly SkewFacts[]
}

/** Never rejects. Limits: what each may take, 5 s and 1 s more at most. */
export async function askServices(config: Config): Promise<AskedServices> {
  const { auth, blobStore, metadataStore, peers, redis, storage, tracing } = config
  const isDurable = storage.durability === 'fsync'
  const clocks: SkewFacts[] = []
  const services = await Promise.all([
    ...(blobStore.kind === 's3'
      ? [import('./ask-s3.ts').then(({ askS3 }) => askS3(blobStore, (skew) => clocks.push(skew)))]
      : []),
    ...(metadataStore.kind === 'postgres'
      ? [
          import('./ask-postgres.ts').then(({ askPostgres }) =>
            askPostgres(metadataStore, isDurable),
          ),
        ]
      : []),
    ...(redis === undefined
      ? []
      : [import('./ask-redis.ts').then(({ askRedis }) => askRedis(redis))]),
    ...auth.oidc.map(async (each) => {
      const { askProvider } = await import('./ask-provider.ts')
      return askProvider(each, (skew) => clocks.push(skew))
    }),
    ...auth.webhooks.map(async (each) => (await import('./ask-guards.ts')).askWebhook(each)),
    ...auth.opas.map(async (each) => (await import('./ask-guards.ts')).askOpa(each)),
    ...auth.ldap.map(async (each) => (await import('./ask-ldap.ts')).askLdap(each)),
    ...(tracing === undefined
      ? []
      : [import('./ask-collector.ts').then(({ askCollector }) => askCollector(tracing))]),
    ...peers.map(async (each) => (await import('./ask-peer.ts')).askPeer(each)),
  ])
  return { services, clocks }
}

/** Where they are, for what is known of the way there. */
export function destinations({ auth, peers, redis, tracing }: Config): readonly Destination[] {
  const named: ReadonlyArray<readonly [service: string, url: string]> = [
    ...(redis === undefined ? [] : [['redis', redis.url] as const]),
    ...auth.oidc.map(({ name, issuer }) => [`auth.oidc.${name}`, issuer] as const),
    ...auth.webhooks.map(({ name, url }) => [`auth.webhook.${name}`, url] as const),
    ...auth.opas.map(({ name, url }) => [`auth.opa.${name}`, url] as const),
    ...auth.ldap.map(({ name, url }) => [`auth.ldap.${name}`, url] as const),
    ...(tracing === undefined ? [] : [['tracing', tracing.endpoint] as const]),
    ...peers.map(({ name, url }) => [`peer.${name}`, url] as const),
  ]
  return named.flatMap(([service, url]) => {
    if (!URL.canParse(url)) return []
    return [{ service, hostname: new URL(url).hostname }]
  })
}
