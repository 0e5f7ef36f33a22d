// The metadata contract on memory.

import { MemoryMetadataStore } from '../../../src/storage/metadata/memory/store.ts'
import { metadataStoreContract } from '../../contract/metadata-store.ts'

metadataStoreContract('memory', async () => {
  const store = new MemoryMetadataStore()
  return { store, cleanup: () => store.close() }
})
