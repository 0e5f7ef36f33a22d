// Moves what is not a blob out of the way of one, and nothing that has just taken its place.

import { chmod, link, rename, unlink } from 'node:fs'
import type { BlobMark } from '../audit.ts'
import { sightOf } from './audit.ts'
import { fileCall, unlessCode } from './file-call.ts'

/**
 * Move `source` to `place`, whose folder is there; false where there is nothing, or something else than
 * `seen`. Errors: the system's own.
 */
export async function setAside(
  source: string,
  place: string,
  seen: BlobMark | undefined,
): Promise<boolean> {
  if (seen !== undefined && (await markAt(source)) !== seen) return false
  const moved = fileCall<true>((settle) => rename(source, place, (error) => settle(error, true)))
  if ((await unlessCode(moved, 'ENOENT', 'ENOTDIR')) === undefined) return false
  // Between the look and the move a push may have put the right bytes there.
  if (seen === undefined || (await markAt(place)) === seen) return true
  await putBack(place, source)
  return false
}

/**
 * Permissions of a file that turned out to be no blob. Every process that has it open sees them in one call; a
 * person can still read it.
 */
const setAsideMode = 0o1400
const permissionBits = 0o7777

export function isSetAside(mode: number): boolean {
  return (mode & permissionBits) === setAsideMode
}

/** So that whoever has it open serves no more of it. Its permissions are those of its other names, too. */
export async function markSetAside(place: string): Promise<void> {
  const sight = await sightOf(place)
  if (sight.kind !== 'file' || sight.hasOtherName) return
  const marked = fileCall((settle) =>
    chmod(place, setAsideMode, (error) => settle(error, undefined)),
  )
  // Of another user, or looked at and removed already.
  await unlessCode(marked, 'EPERM', 'ENOENT')
}

async function putBack(place: string, source: string): Promise<void> {
  const linked = fileCall<true>((settle) => link(place, source, (error) => settle(error, true)))
  // Where there is a third one by now, that one is as good.
  await unlessCode(linked, 'EEXIST')
  await fileCall((settle) => unlink(place, (error) => settle(error, undefined)))
}

async function markAt(path: string): Promise<BlobMark | undefined> {
  const sight = await sightOf(path)
  return sight.kind === 'file' || sight.kind === 'other' ? sight.mark : undefined
}
