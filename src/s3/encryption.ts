// How the bucket is told to encrypt what it keeps: one table of what each request says of it, put into whatever is sent.

import type { S3Client } from '@aws-sdk/client-s3'
import type { S3Encryption } from './contract.ts'

type Fields = Readonly<Record<string, string>>

/** What a request says of what it reads or writes with a key of its caller's. */
interface Role {
  /** It decides how an object is encrypted. */
  readonly decides?: true
  /** It copies from an object that is encrypted in the same way. */
  readonly copies?: true
}

// Source: Amazon S3 API reference, each request; those that are not here know no such headers. The end of a
// multipart upload needs them only with checksums of a kind that is not used here.
const roles: ReadonlyMap<string, Role> = new Map<string, Role>([
  ['PutObjectCommand', { decides: true }],
  ['CreateMultipartUploadCommand', { decides: true }],
  ['CopyObjectCommand', { decides: true, copies: true }],
  ['UploadPartCommand', {}],
  ['UploadPartCopyCommand', { copies: true }],
  ['GetObjectCommand', {}],
  ['HeadObjectCommand', {}],
])

/** From here on all that this client sends. Nothing but these fields is added. */
export function encryptWith(client: S3Client, encryption: S3Encryption): void {
  const known = new Map([...roles].map(([name, role]) => [name, fieldsOf(role, encryption)]))
  client.middlewareStack.add(
    (next, context) => (args) => {
      const fields = known.get(context.commandName ?? '')
      return next(fields === undefined ? args : { ...args, input: { ...args.input, ...fields } })
    },
    // Before the SDK's own, which adds the sum of a key.
    { step: 'initialize', name: 'encryption', priority: 'high' },
  )
}

function fieldsOf({ decides, copies }: Role, encryption: S3Encryption): Fields {
  if (encryption.kind === 'customer') {
    const { key } = encryption
    return {
      ...{ SSECustomerAlgorithm: 'AES256', SSECustomerKey: key },
      ...(copies
        ? { CopySourceSSECustomerAlgorithm: 'AES256', CopySourceSSECustomerKey: key }
        : {}),
    }
  }
  if (!decides) return {}
  if (encryption.kind === 'aes256') return { ServerSideEncryption: 'AES256' }
  const { keyId } = encryption
  return {
    ServerSideEncryption: 'aws:kms',
    ...(keyId === undefined ? {} : { SSEKMSKeyId: keyId }),
  }
}
