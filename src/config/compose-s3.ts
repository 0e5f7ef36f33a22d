// The bucket that keeps the blobs: what its keys mean together.
import type { CheckedTables } from './checked-tables.ts'
import type { S3Config } from './schema.ts'
import { formatSize } from './units.ts'

const table = 'blob_store.s3'
const bucketName = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
// Of every upload: two on their way and one that is filled; and one for whoever waits.
const partsInBudget = 4
const customerKeyBytes = 32

/** Errors: refuses half a pair of keys, an endpoint with more than a host, and what no bucket is called. */
export function composeS3(tables: CheckedTables): S3Config {
  const s3 = tables.values(table)
  const { accessKeyId, secretAccessKey, sessionToken } = s3
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    tables.refuse(table, undefined, 'expected both access_key_id and secret_access_key')
  } else if (sessionToken !== undefined && accessKeyId === undefined) {
    tables.refuse(table, 'session_token', 'expected it with access_key_id alone')
  }
  if (s3.endpoint !== undefined && !isBare(s3.endpoint)) {
    tables.refuse(table, 'endpoint', 'expected https://HOST[:PORT], without user, path or query')
  }
  if (s3.redirectEndpoint !== undefined && !isBare(s3.redirectEndpoint)) {
    const message = 'expected https://HOST[:PORT], without user, path or query'
    tables.refuse(table, 'redirect_endpoint', message)
  }
  refuseOddEncryption(tables, s3)
  // A name is missing where it is refused already.
  if (s3.bucket !== undefined && !bucketName.test(s3.bucket)) {
    const message = 'expected 3 to 63 lower-case letters, digits, dots and dashes'
    tables.refuse(table, 'bucket', message)
  }
  if (/\/\/|\\|(^|\/)\.{1,2}(\/|$)/.test(s3.prefix)) {
    tables.refuse(table, 'prefix', 'expected names with single slashes between them')
  }
  const least = s3.partSizeBytes * partsInBudget
  const { partBudgetBytes } = s3
  if (partBudgetBytes !== undefined && partBudgetBytes < least) {
    const message = `expected at least 4 × part_size, ${formatSize(least)}; found ${formatSize(partBudgetBytes)}`
    tables.refuse(table, 'part_budget', message)
  }
  if (tables.values('gc').overwrite) {
    const message =
      'expected false: what a bucket keeps of removed bytes is not for its users to say'
    tables.refuse('gc', 'overwrite', message)
  }
  return s3
}

function refuseOddEncryption(
  tables: CheckedTables,
  { sse, sseKmsKeyId, sseCustomerKey, redirect }: S3Config,
): void {
  if (sseKmsKeyId !== undefined && sse !== 'aws:kms') {
    tables.refuse(table, 'sse_kms_key_id', 'expected it with sse = "aws:kms" alone')
  }
  if (sseCustomerKey === undefined) return
  if (!isCustomerKey(sseCustomerKey.reveal().trim())) {
    const message = 'expected 32 bytes in base64: openssl rand -base64 32'
    tables.refuse(table, 'sse_customer_key', message)
  }
  if (sse !== undefined) {
    tables.refuse(table, 'sse_customer_key', 'expected it or sse, not both')
  }
  // A URL has no room for a key, and the clients must not have it.
  if (redirect) tables.refuse(table, 'redirect', 'expected false with sse_customer_key')
}

function isCustomerKey(text: string): boolean {
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === customerKeyBytes && bytes.toString('base64') === text
}

function isBare(text: string): boolean {
  const { username, password, pathname, search, hash } = new URL(text)
  return `${username}${password}${search}${hash}` === '' && pathname === '/'
}
