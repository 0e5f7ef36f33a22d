// The rows of those who are asked beside the policies, and of the record that is kept of decisions.
import type { Section } from './entry.ts'
import { clientFiles } from './schema-logins.ts'

const bearer = {
  bearer_token: {
    kind: 'secret',
    field: 'bearerToken',
    required: false,
    example: 'a long random text',
    otherwise: 'none',
    reload: 'live',
    doc: 'Sent as a bearer token.',
  },
} as const

const patience = {
  timeout: {
    kind: 'duration',
    field: 'timeoutMs',
    default: '2s',
    min: '10ms',
    max: '1m',
    reload: 'live',
    doc: 'For each question as a whole; what is not answered by then is denied.',
  },
  concurrency_max: {
    kind: 'integer',
    field: 'concurrencyMax',
    default: 64,
    min: 1,
    max: 4096,
    reload: 'live',
    doc: 'Questions under way at a time; the others wait.',
  },
  breaker_failures: {
    kind: 'integer',
    field: 'breakerFailures',
    default: 5,
    min: 1,
    max: 1000,
    reload: 'live',
    doc: 'After so many failures in a row it is not asked for a while, and everything is denied at once.',
  },
  breaker_cooldown: {
    kind: 'duration',
    field: 'breakerCooldownMs',
    default: '10s',
    min: '100ms',
    max: '10m',
    reload: 'live',
    doc: 'How long that while is; then one question tries whether it is back.',
  },
} as const

const webhookKeys = {
  url: {
    kind: 'url',
    field: 'url',
    required: true,
    example: 'https://guard.example.com/registry',
    reload: 'live',
    doc: 'What is asked with GET: 2xx allows, anything else denies.',
  },
  username: {
    kind: 'text',
    field: 'username',
    lengthMin: 1,
    required: false,
    example: 'keelson',
    otherwise: 'none',
    reload: 'live',
    doc: 'Sent with `password` as Basic credentials; not beside `bearer_token`.',
  },
  password: {
    kind: 'secret',
    field: 'password',
    required: false,
    example: 'a long random text',
    otherwise: 'none',
    reload: 'live',
    doc: 'Password of `username`.',
  },
  forward_headers: {
    kind: 'expressions',
    field: 'forwardHeaders',
    default: [],
    reload: 'live',
    doc: 'Headers of the request that are passed on.',
  },
  cache_ttl: {
    kind: 'duration',
    field: 'cacheTtlMs',
    default: '60s',
    min: '0s',
    max: '1h',
    reload: 'live',
    doc: 'How long an answer holds for requests that are the same in all that is sent; 0 asks each time.',
  },
} as const

const opaKeys = {
  url: {
    kind: 'url',
    field: 'url',
    required: true,
    example: 'http://127.0.0.1:8181',
    reload: 'live',
    doc: 'Address of its REST interface.',
  },
  path: {
    kind: 'text',
    field: 'path',
    lengthMin: 1,
    required: true,
    example: 'keelson/allow',
    reload: 'live',
    doc: 'Document that decides, as in `/v1/data/<path>`: `true`, or an object with `allow` and perhaps `reason`.',
  },
  cache_ttl: {
    kind: 'duration',
    field: 'cacheTtlMs',
    default: '0s',
    min: '0s',
    max: '1h',
    reload: 'live',
    doc: 'How long an answer holds for the same input; 0 asks each time.',
  },
} as const

const others = {
  'server.forward_auth': {
    doc: 'Decide for another registry behind the same proxy: nginx `auth_request`, Traefik and Envoy ask here.',
    alternative: true,
    keys: {
      path: {
        kind: 'text',
        field: 'path',
        lengthMin: 2,
        default: '/forward-auth',
        reload: 'live',
        doc: 'Path that the proxy asks; what follows it, if anything, is the path of the original request.',
      },
      proxies: {
        kind: 'networks',
        field: 'proxies',
        required: true,
        example: ['127.0.0.1'],
        reload: 'live',
        doc: 'Addresses and networks that may ask; anybody else is answered 404.',
      },
      method_header: {
        kind: 'text',
        field: 'methodHeader',
        lengthMin: 1,
        default: 'X-Forwarded-Method',
        reload: 'live',
        doc: 'Header by which the proxy tells the method of the original request; it must always set it itself.',
      },
      uri_header: {
        kind: 'text',
        field: 'uriHeader',
        lengthMin: 1,
        default: 'X-Forwarded-Uri',
        reload: 'live',
        doc: 'Header by which the proxy tells the path and query of the original request; it must always set it itself.',
      },
      user_header: {
        kind: 'text',
        field: 'userHeader',
        lengthMin: 1,
        default: 'X-Forwarded-User',
        reload: 'live',
        doc: 'Header of the answer with the name of the user.',
      },
      groups_header: {
        kind: 'text',
        field: 'groupsHeader',
        lengthMin: 1,
        default: 'X-Forwarded-Groups',
        reload: 'live',
        doc: 'Header of the answer with the groups of the user.',
      },
    },
  },
  audit: {
    doc: 'The record of decisions, logins and changes.',
    keys: {
      file: {
        kind: 'path',
        field: 'file',
        required: false,
        example: '/var/log/keelson/audit.jsonl',
        otherwise: 'denials, logins and changes go to the log alone',
        reload: 'restart',
        doc: 'File of JSON lines; it is opened again on SIGHUP, and when it was moved away.',
      },
      allow: {
        kind: 'expressions',
        field: 'allow',
        default: ['put-manifest', 'delete-manifest', 'delete-blob'],
        reload: 'restart',
        doc: 'Actions that are recorded when they are allowed, too; `*` stands for all. Denials always are.',
      },
      anonymous: {
        kind: 'boolean',
        field: 'anonymous',
        default: true,
        reload: 'restart',
        doc: 'Record also denials of requests that show no credentials, as clients send before each login.',
      },
      on_full: {
        kind: 'choice',
        field: 'onFull',
        of: ['refuse', 'drop'],
        default: 'refuse',
        reload: 'restart',
        doc: 'What happens when the file cannot be written fast enough: requests whose record has no place are answered 503, or the loss is counted.',
      },
      queue_max: {
        kind: 'integer',
        field: 'queueMax',
        default: 10_000,
        min: 16,
        max: 1_000_000,
        reload: 'restart',
        doc: 'Records that may wait for the file.',
      },
      hash_chain: {
        kind: 'boolean',
        field: 'hashChain',
        default: false,
        reload: 'restart',
        doc: 'Each record holds a hash over itself and the one before, so that `keelson audit verify` finds changes.',
      },
      sync: {
        kind: 'choice',
        field: 'sync',
        of: ['none', 'batch'],
        default: 'none',
        reload: 'restart',
        doc: '`batch`: what was written is synced to disk with each batch, so that a power loss takes at most what waited.',
      },
    },
  },
} as const

type WebhookKeys = typeof webhookKeys & typeof bearer & typeof clientFiles & typeof patience
type OpaKeys = typeof opaKeys & typeof bearer & typeof clientFiles & typeof patience

type NamedSection<Keys extends Section['keys']> = {
  readonly doc: string
  readonly alternative: true
  readonly named: 'name'
  readonly keys: Keys
}

type Guards = {
  readonly 'auth.webhook': NamedSection<WebhookKeys>
  readonly 'auth.opa': NamedSection<OpaKeys>
}

const named = { alternative: true, named: 'name' } as const

export const guardsSchema: Guards & typeof others = {
  'auth.webhook': {
    doc: 'A service that is asked about requests that the policies allow, by a name that `authorization_webhook` uses.',
    ...named,
    keys: { ...webhookKeys, ...bearer, ...clientFiles, ...patience },
  },
  'auth.opa': {
    doc: 'An Open Policy Agent that is asked about requests that the policies allow, by a name that `authorization_opa` uses.',
    ...named,
    keys: { ...opaKeys, ...bearer, ...clientFiles, ...patience },
  },
  ...others,
}
