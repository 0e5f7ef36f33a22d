// Checks where the stores are: the disks, the file systems with their options, and the room on them.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import type { Space } from '../host.ts'
import type { Disk, Mount } from '../probe/mounts.ts'
import { quoted, shownSize } from '../wording.ts'

/** One directory of the stores. */
export interface PlaceFacts {
  readonly role: 'blobs' | 'metadata'
  readonly path: string
  /** Undefined where it could not be found out. */
  readonly mount: Mount | undefined
  readonly disks: readonly Disk[]
  readonly space: Space | undefined
  readonly reserveBytes: number
  /** Whether a 201 has to be on disk: `storage.durability`. */
  readonly isDurable: boolean
}

// LMDB needs locks and memory maps that are coherent between processes.
const networkTypes: ReadonlySet<string> = new Set([
  ...['nfs', 'nfs4', 'cifs', 'smb3', 'smbfs', '9p', 'ceph', 'glusterfs', 'lustre', 'afs'],
  ...['beegfs', 'ocfs2', 'gfs2', 'virtiofs', 'vboxsf', 'ncpfs', 'coda', 'orangefs', 'fuse.sshfs'],
  ...['fuse.glusterfs', 'fuse.ceph', 'fuse.s3fs', 'fuse.rclone', 'fuse.gcsfuse', 'fuse.juicefs'],
])
const layeredTypes: ReadonlySet<string> = new Set(['overlay', 'aufs', 'fuse.fuse-overlayfs'])
const memoryTypes: ReadonlySet<string> = new Set(['tmpfs', 'ramfs'])
const copyingTypes: ReadonlySet<string> = new Set(['btrfs', 'zfs', 'bcachefs'])

const fewInodesShare = 0.01

export const storageRows = {
  'file-system': {
    title: 'file system of the',
    why: 'LMDB needs locks and memory maps that only local file systems give, and what lies in memory or in a layer of a container is lost with it',
    link: 'tuning.md#disks',
    error: 'metadata on a network file system or in a layer of a container',
    warning: 'blobs there, or either in memory (tmpfs)',
    advice: 'metadata on a file system that copies what it changes (btrfs, ZFS)',
    atStart: true,
  },
  'mount-options': {
    title: 'mount options of the',
    why: 'without write barriers a power loss takes what was acknowledged; each sync waits for what a mount does beside it',
    link: 'tuning.md#disks',
    error: 'read-only; or `nobarrier` or `barrier=0` with `storage.durability = "fsync"`',
    warning: '`sync` or `dirsync`; `data=writeback` with `storage.durability = "fsync"`',
    advice: '`strictatime`: each read writes',
    atStart: true,
  },
  disk: {
    title: 'disk of the',
    why: 'each push waits for the disk several times, and a disk that turns needs about ten milliseconds each time',
    link: 'tuning.md#disks',
    warning: 'it turns; what a virtual disk says of itself is not believed',
  },
  'io-scheduler': {
    title: 'io scheduler of the',
    why: 'a fast disk sorts by itself, and waits for a scheduler that does; one that turns gains by it',
    link: 'tuning.md#disks',
    advice: '`bfq` on a disk that does not turn; `none` on one that does',
  },
  'free-space': {
    title: 'free space for the',
    why: 'below `storage.reserve` pushes are answered 507, and at the end nothing can be written, deletions included',
    link: 'tuning.md#disks',
    error: 'below `storage.reserve`, or no inode is left',
    warning: 'below twice `storage.reserve`, or less than one inode in a hundred is left',
  },
} as const

const say = sayingsOf(storageRows)

export function checkPlaces(places: readonly PlaceFacts[]): readonly Finding[] {
  const seen = new Set<string>()
  return places.flatMap((place) => {
    const { mountPoint } = place.mount ?? {}
    // Of one that holds both, all but its type is told once.
    const isSeen = mountPoint !== undefined && seen.has(mountPoint)
    if (mountPoint !== undefined) seen.add(mountPoint)
    return [checkSystem(place), ...(isSeen ? [] : checkMount(place))]
  })
}

function checkMount(place: PlaceFacts): readonly Finding[] {
  return [
    checkOptions(place),
    ...place.disks.flatMap((disk) => [checkDisk(disk, place), ...checkScheduler(disk, place)]),
    checkSpace(place),
  ]
}

function checkSystem({ role, path, mount }: PlaceFacts): Finding {
  if (mount === undefined) {
    return say.unknown('file-system', `it is not told what ${path} is on`, role)
  }
  const { type, mountPoint } = mount
  const detail = `${path} is on ${type}, mounted at ${mountPoint}`
  const move = {
    remedy: `move it to a local disk, and set ${role === 'blobs' ? 'blob_store.fs.root_dir' : 'metadata_store.lmdb.path'}`,
  }
  if (networkTypes.has(type) || layeredTypes.has(type)) {
    return role === 'metadata'
      ? say.error('file-system', detail, move, role)
      : say.warning('file-system', detail, move, role)
  }
  if (memoryTypes.has(type)) {
    return say.warning('file-system', `${detail}: a restart of the machine takes it`, move, role)
  }
  if (role === 'metadata' && copyingTypes.has(type)) {
    const remedy = 'put it on ext4 or XFS'
    return say.advice(
      'file-system',
      `${detail}, which copies each page that changes`,
      { remedy },
      role,
    )
  }
  return say.ok('file-system', detail, role)
}

function checkOptions({ role, mount, isDurable }: PlaceFacts): Finding {
  if (mount === undefined) return say.unknown('mount-options', 'they are not told', role)
  const { mountPoint, options } = mount
  const has = (...names: readonly string[]): string | undefined =>
    names.find((name) => options.includes(name))
  const remount = (changed: string): { readonly remedy: string; readonly command: string } => ({
    remedy: 'mount it otherwise, and change /etc/fstab',
    command: `mount -o remount,${changed} ${quoted(mountPoint)}`,
  })
  const readOnly = has('ro')
  if (readOnly) return say.error('mount-options', `${mountPoint} is read-only`, remount('rw'), role)
  const barrier = has('nobarrier', 'barrier=0')
  if (barrier !== undefined && isDurable) {
    const detail = `${mountPoint} has ${barrier}: a sync does not reach the disk`
    return say.error('mount-options', detail, remount('barrier'), role)
  }
  const slow = has('sync', 'dirsync')
  if (slow !== undefined) {
    const detail = `${mountPoint} has ${slow}: each write waits for the disk`
    return say.warning('mount-options', detail, remount('async'), role)
  }
  if (has('data=writeback') !== undefined && isDurable) {
    const detail = `${mountPoint} has data=writeback: after a crash files may hold what was there before`
    return say.warning('mount-options', detail, { remedy: 'mount it with data=ordered' }, role)
  }
  if (has('strictatime') !== undefined) {
    const detail = `${mountPoint} has strictatime: each read writes`
    return say.advice('mount-options', detail, remount('noatime'), role)
  }
  return say.ok('mount-options', options.join(','), role)
}

function checkDisk({ name, isRotational, writeCache, model }: Disk, { role }: PlaceFacts): Finding {
  const cache = writeCache === undefined ? '' : `, write cache: ${writeCache}`
  const what = `${name}${model ? ` (${model})` : ''}`
  if (isRotational === false) {
    const kind = name.startsWith('nvme') ? 'is NVMe' : 'does not turn'
    return say.ok('disk', `${what} ${kind}${cache}`, role)
  }
  // virtio and Xen say that they turn whatever the host has.
  if (isRotational === undefined || /^(?:vd|xvd)/.test(name)) {
    return say.unknown('disk', `what is behind ${what} is not told${cache}`, role)
  }
  const remedy = 'move the store to an SSD, better to NVMe'
  return say.warning('disk', `${what} turns${cache}`, { remedy }, role)
}

function checkScheduler(disk: Disk, { role }: PlaceFacts): readonly Finding[] {
  const { name, scheduler, isRotational } = disk
  if (scheduler === undefined || isRotational === undefined) return []
  const choose = (better: string): { readonly remedy: string; readonly command: string } => ({
    remedy: 'choose another, and keep it by a udev rule',
    command: `echo ${better} > /sys/block/${name}/queue/scheduler`,
  })
  if (!isRotational && scheduler === 'bfq') {
    return [say.advice('io-scheduler', `${name} has bfq`, choose('none'), role)]
  }
  if (isRotational && scheduler === 'none' && !/^(?:vd|xvd)/.test(name)) {
    return [say.advice('io-scheduler', `${name} turns and has none`, choose('mq-deadline'), role)]
  }
  return [say.ok('io-scheduler', `${name} has ${scheduler}`, role)]
}

function checkSpace({ role, space, reserveBytes, mount }: PlaceFacts): Finding {
  if (space === undefined) return say.unknown('free-space', 'it is not told', role)
  const { freeBytes, totalBytes, freeInodes, totalInodes } = space
  const detail = `${shownSize(freeBytes)} of ${shownSize(totalBytes)}, and ${shownSize(reserveBytes)} is the reserve`
  const free = {
    remedy: 'delete what is not needed, or make the file system larger',
    ...(mount === undefined
      ? {}
      : { command: `du -x -d 2 -h ${quoted(mount.mountPoint)} | sort -h` }),
  }
  if (freeBytes < reserveBytes) return say.error('free-space', detail, free, role)
  const inodes = `${freeInodes} of ${totalInodes} inodes`
  if (totalInodes > 0 && freeInodes === 0) return say.error('free-space', inodes, free, role)
  if (freeBytes < 2 * reserveBytes) return say.warning('free-space', detail, free, role)
  if (totalInodes > 0 && freeInodes < totalInodes * fewInodesShare) {
    return say.warning('free-space', inodes, free, role)
  }
  return say.ok('free-space', totalInodes > 0 ? `${detail}; ${inodes}` : detail, role)
}
