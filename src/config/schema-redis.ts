// The rows of what several hosts share quickly.
import { clientFilesAtStart } from './schema-logins.ts'

const own = {
  url: {
    kind: 'text',
    field: 'url',
    lengthMin: 1,
    required: true,
    example: 'rediss://redis.example.com:6379',
    reload: 'restart',
    doc: '`rediss://HOST[:PORT][/DB]`, or `redis://` on loopback; with `sentinel_name` the address of a sentinel, with `cluster` of a node.',
  },
  more_urls: {
    kind: 'expressions',
    field: 'moreUrls',
    default: [],
    reload: 'restart',
    doc: 'Further sentinels or nodes, in the form of `url`.',
  },
  sentinel_name: {
    kind: 'text',
    field: 'sentinelName',
    lengthMin: 1,
    required: false,
    example: 'registry',
    otherwise: 'no sentinels',
    reload: 'restart',
    doc: 'Name by which the sentinels know the master.',
  },
  cluster: {
    kind: 'boolean',
    field: 'cluster',
    default: false,
    reload: 'restart',
    doc: 'The addresses are nodes of a Redis Cluster.',
  },
  username: {
    kind: 'text',
    field: 'username',
    lengthMin: 1,
    required: false,
    example: 'keelson',
    otherwise: 'the default user',
    reload: 'restart',
    doc: 'ACL user.',
  },
  password: {
    kind: 'secret',
    field: 'password',
    required: false,
    example: 'a long random text',
    otherwise: 'none',
    reload: 'restart',
    doc: 'Password of the user.',
  },
  key_prefix: {
    kind: 'text',
    field: 'keyPrefix',
    lengthMin: 1,
    default: 'keelson:',
    reload: 'restart',
    doc: 'What every key and channel begins with: registries that share users and keys have the same.',
  },
  hash_key: {
    kind: 'secret',
    field: 'hashKey',
    required: false,
    example: 'the same 32 random characters or more on all hosts',
    otherwise: 'none: no limit can be shared',
    reload: 'restart',
    doc: 'Secret, the same on all hosts, by which the callers of shared limits are hashed: Redis holds no user name and no address. At least 32 characters.',
  },
  timeout: {
    kind: 'duration',
    field: 'timeoutMs',
    default: '2s',
    min: '50ms',
    max: '1m',
    reload: 'restart',
    doc: 'For each command and each attempt to connect.',
  },
} as const

type Redis = {
  readonly redis: {
    readonly doc: string
    readonly alternative: true
    readonly keys: typeof own & typeof clientFilesAtStart
  }
}

export const redisSchema: Redis = {
  redis: {
    doc: 'A Redis by which several hosts tell each other at once what was revoked, and count requests together. The stores stay the only copy: without it everything works, and news takes longer.',
    alternative: true,
    keys: { ...own, ...clientFilesAtStart },
  },
}
