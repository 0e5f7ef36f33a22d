// Which permissions the files of blobs should not have.

// Everybody but the owner and the group.
const writableByOthers = 0o002
const readableByOwner = 0o400

/** For people, why a file or folder of blobs should not have these; undefined where it may. */
export function modeProblem(mode: number, of: 'file' | 'folder'): string | undefined {
  if ((mode & readableByOwner) === 0) return `its owner cannot read the ${of}`
  if ((mode & writableByOthers) !== 0) return `everybody on this host can write the ${of}`
  return undefined
}
