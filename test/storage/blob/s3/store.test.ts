// Goal: blobs in a bucket keep the contract of a blob store. Method: a real S3 server, and real ingest threads.

import { after, before, describe } from 'node:test'
import { blobStoreContract } from '../../../contract/blob-store.ts'
import { needsVersitygw, S3Server } from '../../../support/versitygw.ts'
import { openS3Scene } from './scene.ts'

describe('blobs in a bucket', needsVersitygw, () => {
  let server: S3Server
  before(async () => {
    server = await S3Server.start()
  })
  after(() => server?.stop())

  blobStoreContract('s3', async () => openS3Scene(server.endpoint, await server.bucket()))
})
