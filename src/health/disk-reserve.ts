// How much room the disks of both stores have, and whether pushes may take of it. Below the reserve no
// push begins; bodies under way may use half of it, so that what was promised room is not cut at once.

import { type StatsFs, stat, statfs } from 'node:fs'
import { dirname } from 'node:path'
import type { DiskFigures, ReserveFigures } from './contract.ts'

export interface DiskPlace {
  readonly store: 'blobs' | 'metadata'
  readonly path: string
}

/** Bytes of request bodies that go to the blob store. */
export interface Taking {
  /** Since the start. */
  readonly received: number
  /** Announced by bodies under way, and not yet here. */
  readonly awaited: number
}

/** What a file system says of itself. */
export interface Room {
  readonly bsize: number
  readonly blocks: number
  /** For a process without special rights. */
  readonly bavail: number
  readonly files: number
  readonly ffree: number
}

export interface DiskReserveOptions {
  readonly places: readonly DiskPlace[]
  /** 0 for none. Asked each time, since a reload may change it. */
  readonly reserveBytes: () => number
  readonly taking: () => Taking
  /** The reserve was reached, or there is room again. */
  readonly onChange: (figures: ReserveFigures) => void
  readonly measure?: (path: string) => Promise<Room>
  /** Which file system a path is on; default: its device number. */
  readonly deviceOf?: (path: string) => Promise<number>
}

// At 2 GB/s half of the default reserve lasts a quarter of a second; in between the bytes that came are counted.
const measureEveryMs = 500
// Without it the state would change back and forth with every blob that is deleted.
const hysteresis = 1 / 8
const usableShare = 1 / 2
// A file system without inodes is as full as one without blocks.
const freeInodesMin = 256

interface Disk {
  readonly stores: DiskPlace['store'][]
  readonly path: string
  room: Room | undefined
  /** `Taking.received` when `room` was measured. */
  receivedBefore: number
  isLow: boolean
}

/** Without an answer of the file system nothing is refused: then the writes themselves tell. */
export class DiskReserve {
  readonly #options: DiskReserveOptions
  readonly #disks: Disk[]
  readonly #timer: NodeJS.Timeout
  #measuring: Promise<void> | undefined
  #isLow = false
  #refused = 0
  #reached = 0

  private constructor(options: DiskReserveOptions, disks: Disk[]) {
    this.#options = options
    this.#disks = disks
    this.#timer = setInterval(() => void this.measure(), measureEveryMs)
    this.#timer.unref()
  }

  /** Resolves when the disks have been measured once. Stores in memory have no place. */
  static async open(options: DiskReserveOptions): Promise<DiskReserve> {
    const reserve = new DiskReserve(options, await disksOf(options))
    await reserve.measure()
    return reserve
  }

  get figures(): ReserveFigures {
    const disks: DiskFigures[] = []
    for (const { room, stores, isLow } of this.#disks) {
      if (room === undefined) continue
      disks.push({
        ...{ stores, isLow },
        freeBytes: room.bavail * room.bsize,
        sizeBytes: room.blocks * room.bsize,
        inodes: room.files === 0 ? undefined : room.files,
        freeInodes: room.files === 0 ? undefined : room.ffree,
      })
    }
    const reserveBytes = this.#options.reserveBytes()
    const [isLow, refused, reached] = [this.#isLow, this.#refused, this.#reached]
    return { disks, reserveBytes, isLow, refused, reached }
  }

  /** Whether a push of so many bytes may begin. One that may not is counted. */
  admits(bytes: number): boolean {
    if (this.#options.reserveBytes() === 0) return true
    const isAdmitted = !this.#isLow && this.#leaves(bytes, 1)
    if (!isAdmitted) this.#refused += 1
    return isAdmitted
  }

  /** As `admits`, of what is no push: nothing is counted. */
  leaves(bytes: number): boolean {
    return this.#options.reserveBytes() === 0 || (!this.#isLow && this.#leaves(bytes, 1))
  }

  /** Whether what has begun may take more. Asked for each chunk of a body. */
  mayGoOn(): boolean {
    if (this.#options.reserveBytes() === 0 || this.#leaves(0, usableShare)) return true
    this.#refused += 1
    return false
  }

  /** Resolves with what is well. Errors: Error that says which disk is low. */
  async look(): Promise<string> {
    await this.measure()
    if (this.#disks.length === 0) return 'in memory'
    const { disks, reserveBytes } = this.figures
    if (disks.length < this.#disks.length) throw new Error('a file system does not tell its room')
    const said = disks.map(({ stores, freeBytes, freeInodes }) => {
      const inodes = freeInodes !== undefined && freeInodes < freeInodesMin
      const free = inodes ? `${freeInodes} inodes` : inUnits(freeBytes)
      return `${stores.join(' and ')}: ${free} free`
    })
    const text = `${said.join(', ')}; reserve ${inUnits(reserveBytes)}`
    if (this.#isLow) throw new Error(`pushes are refused: ${text}`)
    return text
  }

  /** At most one at a time: a file system that hangs holds one thread. Never rejects. */
  measure(): Promise<void> {
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = undefined
    })
    return this.#measuring
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #measure(): Promise<void> {
    const { measure = measured, taking, onChange } = this.#options
    for (const disk of this.#disks) {
      // Before the answer: bytes that come while it is on its way are counted twice rather than never.
      const { received } = taking()
      disk.room = await measure(disk.path).catch(() => undefined)
      disk.receivedBefore = received
      disk.isLow = this.#isDiskLow(disk)
    }
    const isLow = this.#disks.some((disk) => disk.isLow)
    if (isLow === this.#isLow) return
    this.#isLow = isLow
    if (isLow) this.#reached += 1
    onChange(this.figures)
  }

  #isDiskLow({ room, isLow }: Disk): boolean {
    const reserveBytes = this.#options.reserveBytes()
    if (room === undefined || reserveBytes === 0) return false
    const factor = isLow ? 1 + hysteresis : 1
    const isShortOfInodes = room.files > 0 && room.ffree < freeInodesMin * factor
    return isShortOfInodes || room.bavail * room.bsize < reserveBytes * factor
  }

  /** Whether so many bytes more, and all that is on its way, leave that share of the reserve alone. */
  #leaves(bytes: number, share: number): boolean {
    const disk = this.#disks.find(({ stores }) => stores.includes('blobs'))
    if (disk?.room === undefined) return true
    const taking = this.#options.taking()
    const { bavail, bsize } = disk.room
    // What is awaited is summed up when it is asked for, which a chunk of a body need not wait for.
    const promised = bytes === 0 ? 0 : bytes + taking.awaited
    const taken = taking.received - disk.receivedBefore + promised
    if (bavail * bsize - taken >= this.#options.reserveBytes() * share) return true
    // What was counted since the last look may have been given back.
    void this.measure()
    return false
  }
}

async function disksOf(options: DiskReserveOptions): Promise<Disk[]> {
  const { deviceOf = deviceNumber, places } = options
  const byDevice = new Map<number | string, Disk>()
  for (const { store, path } of places) {
    const device = await deviceOf(path).catch(() => path)
    const known = byDevice.get(device)
    if (known !== undefined) known.stores.push(store)
    else {
      const disk: Disk = { stores: [store], path, room: undefined, receivedBefore: 0, isLow: false }
      byDevice.set(device, disk)
    }
  }
  return [...byDevice.values()]
}

function measured(path: string): Promise<Room> {
  return new Promise((resolve, reject) => {
    statfs(path, (error, room: StatsFs) => (error ? reject(error) : resolve(room)))
  })
}

function deviceNumber(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    stat(path, (error, stats) => {
      if (error === null) resolve(stats.dev)
      else if (error.code === 'ENOENT') resolve(deviceNumber(dirname(path)))
      else reject(error)
    })
  })
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

function inUnits(bytes: number): string {
  let value = bytes
  let index = 0
  for (; value >= 1024 && index < units.length - 1; index++) value /= 1024
  return `${value >= 100 || index === 0 ? Math.round(value) : Math.round(value * 10) / 10} ${units[index]}`
}
