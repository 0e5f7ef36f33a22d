// A source file as the tidy rules see it: its path, its text, and what it imports.
import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'

export interface SourceFile {
  /** From the project's root, with slashes. */
  readonly path: string
  readonly text: string
}

export interface Import {
  /** A path from the project's root, or the name of a package. */
  readonly target: string
  readonly isPackage: boolean
  readonly isType: boolean
}

const importForm =
  /^\s*(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'|(?:import|require|createRequire\([^)]*\))\(\s*'([^']+)'/gm

/** Every TypeScript source of the given folders. */
export function readSources(folders: readonly string[]): readonly SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => posix.join(folder, name))
      .sort()
      .map((path) => ({ path, text: readFileSync(path, 'utf8') })),
  )
}

/** The imports of a file, dynamic ones and re-exports included. */
export function importsOf({ path, text }: SourceFile): readonly Import[] {
  return [...text.matchAll(importForm)].map(([, type, statically, dynamically]) => {
    const specifier = statically ?? dynamically ?? ''
    const isPackage = !specifier.startsWith('.')
    const target = isPackage ? specifier : posix.join(posix.dirname(path), specifier)
    return { target, isPackage, isType: type !== undefined }
  })
}
