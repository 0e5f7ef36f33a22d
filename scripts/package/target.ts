// What a package is made for, and what makes its files the same wherever they are made.
import { chmodSync, lstatSync, lutimesSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export interface Target {
  readonly version: string
  /** As Node.js and as Debian call it. */
  readonly arch: string
  readonly debArchitecture: string
  /** The folder for the packages. */
  readonly out: string
  readonly compression: 'gzip' | 'none'
  /** The date of everything, in seconds. */
  readonly epoch: number
}

/** Modes that do not depend on the mask of whoever builds, and one date. */
export function settle(path: string, epoch: number): void {
  const stat = lstatSync(path)
  if (stat.isDirectory()) {
    for (const name of readdirSync(path)) settle(join(path, name), epoch)
    chmodSync(path, 0o755)
  } else if (stat.isFile()) {
    chmodSync(path, (stat.mode & 0o100) === 0 ? 0o644 : 0o755)
  }
  lutimesSync(path, epoch, epoch)
}
