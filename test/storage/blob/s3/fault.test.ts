// Goal: what a bucket says about a request that it refuses holds keys, signatures and tokens; none of it reaches a log.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { s3Fault } from '../../../../src/s3/fault.ts'
import { storageFault } from '../../../../src/storage/blob/s3/fault.ts'
import { loggedError } from '../../../../src/telemetry/log-error.ts'

test('what passes is tried again, whatever its status', () => {
  const told = (name: string): Error =>
    Object.assign(new Error(name), { name, $metadata: { httpStatusCode: 409 } })
  for (const code of ['OperationAborted', 'ExistingObjectIsDirectory']) {
    assert.equal(s3Fault('PutObject', told(code)).mayRetry, true, code)
  }
  assert.equal(s3Fault('PutObject', told('BucketNotEmpty')).mayRetry, false)
})

test('a refused signature is told without what was signed', () => {
  const told = Object.assign(new Error('SECRET in the message'), {
    name: 'SignatureDoesNotMatch',
    $metadata: { httpStatusCode: 403, requestId: 'request-1' },
    AWSAccessKeyId: 'SECRET key',
    StringToSign: 'SECRET text',
    CanonicalRequest: 'x-amz-security-token:SECRET',
    'Token-0': 'SECRET token',
  })
  const logged = JSON.stringify(loggedError(storageFault('write a/b', s3Fault('PutObject', told))))
  assert.doesNotMatch(logged, /SECRET/)
  assert.match(logged, /SignatureDoesNotMatch \(403\)/)
  assert.match(logged, /request-1/)
})
