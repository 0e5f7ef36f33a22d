// The rows of the encryption of blobs at rest.

const own = {
  keys: {
    kind: 'secret',
    field: 'keys',
    required: false,
    example: '# one key a line, each of 32 random bytes in hex or base64',
    otherwise: 'those of `keys_command`',
    reload: 'restart',
    doc: 'Master keys, one a line: the first one encrypts, the others decrypt what was encrypted before.',
  },
  keys_command: {
    kind: 'path',
    field: 'keysCommand',
    required: false,
    example: '/usr/local/bin/keelson-keys',
    otherwise: '`keys`',
    reload: 'restart',
    doc: 'A program that prints keys, asked at each start, without arguments and without a shell; they come before those of `keys`.',
  },
  keys_timeout: {
    kind: 'duration',
    field: 'keysTimeoutMs',
    default: '10s',
    min: '100ms',
    max: '5m',
    reload: 'restart',
    doc: 'How long it may take.',
  },
} as const

type Encryption = {
  readonly 'blob_store.fs.encryption': {
    readonly doc: string
    readonly alternative: true
    readonly keys: typeof own
  }
}

export const encryptionSchema: Encryption = {
  'blob_store.fs.encryption': {
    doc: 'New blobs are encrypted; those from before stay as they are, and readable. With `keys`, `keys_command` or both.',
    alternative: true,
    keys: own,
  },
}
