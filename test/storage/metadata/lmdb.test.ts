// The metadata contract on LMDB, with and without syncs, alone and shared.

import { metadataStoreContract } from '../../contract/metadata-store.ts'
import { lmdbScene } from './lmdb-scene.ts'

metadataStoreContract('lmdb, fsync, exclusive', () => lmdbScene())
metadataStoreContract('lmdb, none, shared', () =>
  lmdbScene({ durability: 'none', sharing: 'shared' }),
)
