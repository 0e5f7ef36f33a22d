// Goal: blobs in memory keep the contract of a blob store.

import { MemoryBlobStore } from '../../../../src/storage/blob/memory/store.ts'
import { blobStoreContract } from '../../../contract/blob-store.ts'

blobStoreContract('memory', async () => {
  const store = new MemoryBlobStore()
  return {
    store,
    stage: async (upload, bytes) => {
      store.truncate(upload, 0)
      store.append(upload, bytes)
    },
    close: () => store.close(),
  }
})
