// Other registries that are asked for content: what the keys mean together.
import type { CheckedTables } from './checked-tables.ts'
import { refuseHalfPair } from './client-files.ts'
import type { PeerConfig, SchemaValues } from './schema.ts'

/** Errors: refuses half a login, half a pair of keys, and a URL that is more than an address. */
export function composePeers(tables: CheckedTables): readonly PeerConfig[] {
  return tables.named('peer').map(({ name, table, values }) => {
    // readTables has checked the values against the rows that this type is derived from.
    const peer = values as SchemaValues<'peer'>
    refuseHalfPair(tables, table, peer)
    if ((peer.username === undefined) !== (peer.password === undefined)) {
      tables.refuse(table, undefined, 'expected both username and password, or none of them')
    }
    if (peer.url !== undefined && URL.canParse(peer.url) && new URL(peer.url).pathname !== '/') {
      tables.refuse(table, 'url', 'expected the address of a registry, without a path')
    }
    return { ...peer, name }
  })
}
