// Finds the file system that a path is on, and the disks below it.
import { basename, join } from 'node:path'
import type { Host } from '../host.ts'

export interface Mount {
  readonly mountPoint: string
  /** Such as `ext4`. */
  readonly type: string
  /** Such as `/dev/nvme0n1p2`. */
  readonly source: string
  /** Of this mount, and of its file system. */
  readonly options: readonly string[]
  /** Major and minor number, such as `259:2`. */
  readonly device: string
}

/** A disk that the kernel sees, whatever is really behind it. */
export interface Disk {
  readonly name: string
  readonly isRotational: boolean | undefined
  /** Such as `none`; undefined where it is not told. */
  readonly scheduler: string | undefined
  readonly writeCache: string | undefined
  readonly model: string | undefined
}

/** Source: proc_pid_mountinfo(5). The last mount that covers the path is the one that is seen. */
export function mountOf(path: string, written: string): Mount | undefined {
  let found: Mount | undefined
  for (const line of written.split('\n')) {
    const mount = parseMount(line)
    if (mount === undefined || !covers(mount.mountPoint, path)) continue
    if (found === undefined || mount.mountPoint.length >= found.mountPoint.length) found = mount
  }
  return found
}

function covers(mountPoint: string, path: string): boolean {
  return mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`)
}

function parseMount(line: string): Mount | undefined {
  const [own, ofSystem] = line.split(' - ')
  const [, , device, , mountPoint, options] = own?.split(' ') ?? []
  const [type, source, more = ''] = ofSystem?.split(' ') ?? []
  if (device === undefined || mountPoint === undefined || options === undefined) return undefined
  if (type === undefined || source === undefined) return undefined
  return {
    mountPoint: unescaped(mountPoint),
    source: unescaped(source),
    options: [...new Set([...options.split(','), ...more.split(',')])].filter(
      (each) => each !== '',
    ),
    ...{ type, device },
  }
}

// A blank is \040.
function unescaped(word: string): string {
  return word.replace(/\\([0-7]{3})/g, (_all, code: string) =>
    String.fromCharCode(Number.parseInt(code, 8)),
  )
}

const depthMax = 8
const disksMax = 64

/** Below partitions, dm-crypt, LVM and md. Empty where the kernel shows none, as for ZFS. */
export async function disksOf(host: Host, { device, source }: Mount): Promise<readonly Disk[]> {
  // btrfs has a device number of its own; there the name has to do.
  const start =
    (await host.real(`/sys/dev/block/${device}`)) ??
    (source.startsWith('/dev/')
      ? await host.real(`/sys/class/block/${basename((await host.real(source)) ?? source)}`)
      : undefined)
  if (start === undefined) return []
  const found = new Map<string, Disk>()
  await descend(host, start, found, 0)
  return [...found.values()]
}

async function descend(
  host: Host,
  place: string,
  found: Map<string, Disk>,
  depth: number,
): Promise<void> {
  if (depth > depthMax || found.size >= disksMax) return
  const below = (await host.entries(join(place, 'slaves'))) ?? []
  for (const name of below) {
    const next = await host.real(join(place, 'slaves', name))
    if (next !== undefined) await descend(host, next, found, depth + 1)
  }
  if (below.length > 0) return
  if ((await host.text(join(place, 'partition'))) !== undefined) {
    await descend(host, join(place, '..'), found, depth + 1)
    return
  }
  found.set(place, await readDisk(host, place))
}

async function readDisk(host: Host, place: string): Promise<Disk> {
  const [rotational, scheduler, writeCache, model] = await Promise.all(
    ['queue/rotational', 'queue/scheduler', 'queue/write_cache', 'device/model'].map((name) =>
      host.text(join(place, name)),
    ),
  )
  const digit = rotational?.trim()
  return {
    name: basename(place),
    isRotational: digit === '0' ? false : digit === '1' ? true : undefined,
    scheduler: /\[([\w-]+)\]/.exec(scheduler ?? '')?.[1] ?? (scheduler?.trim() || undefined),
    writeCache: writeCache?.trim(),
    model: model?.trim(),
  }
}
