// A tree that another registry serves, too: what is encrypted there it would give away as it lies on the disk.

import { join } from 'node:path'
import { repositoriesKey } from '../keys.ts'
import { sightOf } from './audit.ts'

/** Why nothing may be encrypted below `root`, for the operator; undefined where it may. */
export async function foreignTreeProblem(root: string): Promise<string | undefined> {
  const place = join(root, repositoriesKey)
  const sight = await sightOf(place)
  if (sight.kind === 'absent') return undefined
  if (sight.kind === 'unreadable') return `${place} cannot be looked at: ${sight.reason}`
  return `blobs in ${root} cannot be encrypted: ${place} is of another registry, as docker-registry, which would serve the encrypted bytes. Take out [blob_store.fs.encryption]; where that registry is gone for good, run keelson import --take-over without it, and move this directory away`
}

/** Errors: Error for the operator. */
export async function requireOwnTree(root: string): Promise<void> {
  const problem = await foreignTreeProblem(root)
  if (problem !== undefined) throw new Error(problem)
}
