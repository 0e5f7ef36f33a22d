// The rows of a bucket that keeps the blobs.

const own = {
  endpoint: {
    kind: 'url',
    field: 'endpoint',
    required: false,
    example: 'https://s3.example.com',
    otherwise: 'that of AWS for the region',
    reload: 'restart',
    doc: 'Where S3 is spoken: `https://HOST[:PORT]`, or `http://` on loopback.',
  },
  region: {
    kind: 'text',
    field: 'region',
    lengthMin: 1,
    default: 'us-east-1',
    reload: 'restart',
    doc: 'Region of the bucket, which requests are signed for.',
  },
  bucket: {
    kind: 'text',
    field: 'bucket',
    lengthMin: 3,
    required: true,
    example: 'registry',
    reload: 'restart',
    doc: 'Name of the bucket. It must be there.',
  },
  prefix: {
    kind: 'text',
    field: 'prefix',
    lengthMin: 0,
    default: '',
    reload: 'restart',
    doc: 'What the keys begin with, the `rootdirectory` of docker-registry; `docker/registry/v2` follows, unless it ends so already.',
  },
  path_style: {
    kind: 'boolean',
    field: 'pathStyle',
    default: false,
    reload: 'restart',
    doc: 'Put the bucket in the path and not in the name of the host, as most servers but that of AWS need it.',
  },
  access_key_id: {
    kind: 'secret',
    field: 'accessKeyId',
    required: false,
    example: 'a long random text',
    otherwise: 'with `secret_access_key`: of the environment, a web identity or the instance',
    reload: 'restart',
    doc: 'Access key.',
  },
  secret_access_key: {
    kind: 'secret',
    field: 'secretAccessKey',
    required: false,
    example: 'a long random text',
    otherwise: 'as `access_key_id`',
    reload: 'restart',
    doc: 'Secret of the access key.',
  },
  session_token: {
    kind: 'secret',
    field: 'sessionToken',
    required: false,
    example: 'a long random text',
    otherwise: 'none',
    reload: 'restart',
    doc: 'Session token of keys that are valid for a while.',
  },
  server_ca_bundle: {
    kind: 'path',
    field: 'serverCaBundle',
    required: false,
    example: '/etc/keelson/s3-ca.pem',
    otherwise: 'the CAs of Node.js',
    reload: 'restart',
    doc: 'The CAs that are trusted for it, and no others.',
  },
  part_size: {
    kind: 'size',
    field: 'partSizeBytes',
    default: '8MiB',
    min: '5MiB',
    max: '64MiB',
    reload: 'restart',
    doc: 'Bytes that are sent at once. A blob has at most 10,000 of them.',
  },
  part_budget: {
    kind: 'size',
    field: 'partBudgetBytes',
    required: false,
    example: '256MiB',
    otherwise: '4 × `part_size` for each ingest thread, and at least 128MiB',
    min: '32MiB',
    max: '64GiB',
    reload: 'restart',
    doc: 'Memory for the parts of all uploads of a process, at least four times `part_size`, and three times for each ingest thread; when it is used up, parts are sent earlier and clients are made to wait.',
  },
  attempt_timeout: {
    kind: 'duration',
    field: 'attemptTimeoutMs',
    default: '30s',
    min: '100ms',
    max: '10m',
    reload: 'restart',
    doc: 'For one attempt at a request, and between two pieces of an answer; a second more for each MiB that is sent, and for each 10 MiB that the bucket copies.',
  },
  attempts_max: {
    kind: 'integer',
    field: 'attemptsMax',
    default: 4,
    min: 1,
    max: 20,
    reload: 'restart',
    doc: 'Most attempts at one request, with growing pauses between them; then 503.',
  },
  connections_max: {
    kind: 'integer',
    field: 'connectionsMax',
    default: 256,
    min: 8,
    max: 10_000,
    reload: 'restart',
    doc: 'Most connections of the event loop of a process, each transfer of a blob to a client holds one; and of each of its threads.',
  },
} as const

type S3 = {
  readonly 'blob_store.s3': {
    readonly doc: string
    readonly alternative: true
    readonly keys: typeof own
  }
}

export const s3Schema: S3 = {
  'blob_store.s3': {
    doc: 'Blobs in a bucket that speaks S3, in place of a directory.',
    alternative: true,
    keys: own,
  },
}
