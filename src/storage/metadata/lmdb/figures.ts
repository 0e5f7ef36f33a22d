// How large a store is and who reads it, as LMDB tells.

import type { LmdbFigures } from '../../../telemetry/lmdb-figures.ts'
import { startTimeOf } from '../../process-table.ts'
import type { Databases } from './databases.ts'

interface TreeStats {
  readonly pageSize: number
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
  readonly entryCount: number
}

interface Stats extends TreeStats {
  readonly mapSize: number
  readonly lastPageNumber: number
  /** Of the list of databases, and of the list of free pages. */
  readonly root: TreeStats
  readonly free: TreeStats
}

/** Costs some 50 µs. Source: LMDB's mdb_stat, mdb_env_info and mdb_reader_list. */
export function readFigures({ root, records, bodies }: Databases): LmdbFigures {
  // The package types none of it.
  const ofRecords = records.getStats() as Stats
  const ofBodies = bodies.getStats() as Stats
  const trees = [ofRecords, ofBodies, ofRecords.root, ofRecords.free]
  const pages = trees.reduce((sum, tree) => sum + pagesOf(tree), metaPages)
  const pids = readerPids(root.readerList())
  return {
    mapBytes: ofRecords.mapSize,
    fileBytes: (ofRecords.lastPageNumber + 1) * ofRecords.pageSize,
    usedBytes: pages * ofRecords.pageSize,
    entries: ofRecords.entryCount + ofBodies.entryCount,
    readers: pids.length,
    staleReaders: pids.filter((pid) => startTimeOf(pid) === 'gone').length,
  }
}

// At the begin of the file.
const metaPages = 2

function pagesOf(tree: TreeStats): number {
  return tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages
}

/** Of a table whose first line names its columns: process, thread, transaction. */
export function readerPids(table: string): readonly number[] {
  return table.split('\n').flatMap((line) => {
    const found = /^\s*(\d+)\s+[\da-f]+\s/.exec(line)?.[1]
    return found === undefined ? [] : [Number(found)]
  })
}
