// Notices that files were written, replaced, or reached by another symbolic link, as when Kubernetes
// swaps `..data`. Watches the folders of every step of each path; file systems that tell nothing are
// left to the caller's poll.
import { type FSWatcher, watch } from 'node:fs'
import { lstat, readlink, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, parse, resolve, sep } from 'node:path'

// As many as Linux follows.
const linksMax = 40

export class FileWatch {
  readonly #onChange: () => void
  readonly #folders = new Map<string, FSWatcher>()
  /** By folder: the names whose change matters. */
  #names: ReadonlyMap<string, ReadonlySet<string>> = new Map()
  #isClosed = false

  /** `onChange` may be called often, and for nothing. */
  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** Watch these paths from now on, by the links of now. What cannot be watched is left out. */
  async watch(paths: readonly string[]): Promise<void> {
    const names = new Map<string, Set<string>>()
    for (const path of paths) {
      for (const step of await stepsOf(path)) {
        const folder = dirname(step)
        const own = names.get(folder) ?? new Set()
        names.set(folder, own.add(step.slice(folder.length).replace(sep, '')))
      }
    }
    if (this.#isClosed) return
    this.#names = names
    for (const [folder, watcher] of this.#folders) {
      if (names.has(folder)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const folder of names.keys()) this.#watchFolder(folder)
  }

  close(): void {
    this.#isClosed = true
    for (const watcher of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #watchFolder(folder: string): void {
    if (this.#folders.has(folder)) return
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        if (name === null || this.#names.get(folder)?.has(name)) this.#onChange()
      })
      const forget = (): void => {
        watcher.close()
        if (this.#folders.get(folder) === watcher) this.#folders.delete(folder)
      }
      watcher.on('error', forget)
      this.#folders.set(folder, watcher)
    } catch {
      // It is not there, or the kernel has no watches left: the poll sees the change.
    }
  }
}

/** Every link that the path goes through, and the file at its end, as far as they exist. */
export async function stepsOf(path: string): Promise<readonly string[]> {
  const steps: string[] = []
  let done = parse(resolve(path)).root
  let rest = resolve(path).slice(done.length).split(sep)
  while (rest.length > 0 && steps.length <= linksMax) {
    const [name = '', ...others] = rest
    const next = join(done, name)
    const target = await linkTarget(next)
    if (target !== undefined) {
      steps.push(next)
      if (isAbsolute(target)) done = parse(target).root
      rest = [...target.split(sep).filter((part) => part !== ''), ...others]
      continue
    }
    if (others.length === 0) steps.push(next)
    done = next
    rest = others
  }
  return steps
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : undefined
  } catch {
    return undefined
  }
}

/** Differs after every change of the files, but for one within the file system's clock tick. */
export async function stampOf(paths: readonly string[]): Promise<string> {
  const stamps = paths.map(async (path) => {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
      return [dev, ino, size, mtimeNs, ctimeNs].join(':')
    } catch {
      return 'absent'
    }
  })
  return (await Promise.all(stamps)).join(' ')
}
