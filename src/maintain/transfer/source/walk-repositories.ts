// Goes through the nested directories of a tree of repositories, one level in memory at a time.

import { repositoryNameLengthMax } from '../../../oci/name.ts'
import { byCode, type SourceTree, shownName } from './tree.ts'

export type FoundRepository =
  | {
      readonly kind: 'found'
      readonly name: string
      /** Names of its directories that are no components of repositories, such as `_manifests`. */
      readonly markers: ReadonlySet<string>
    }
  | { readonly kind: 'fault'; readonly name: string; readonly reason: string }

// A name of this length has at most so many components.
const depthMax = (repositoryNameLengthMax + 1) / 2

/**
 * Every directory from `top` (whose name is empty) on that has a marker, each before those below it, sorted by component; `after` is
 * exclusive. `isMarker` tells which directories are none of a name. What cannot be read is a fault.
 */
export async function* walkRepositories(
  tree: SourceTree,
  top: string,
  after?: string,
  isMarker: (name: string) => boolean = (name) => name.startsWith('_'),
): AsyncGenerator<FoundRepository> {
  yield* walk({ tree, top, isMarker }, [], after === undefined ? undefined : after.split('/'))
}

interface Walk {
  readonly tree: SourceTree
  readonly top: string
  readonly isMarker: (name: string) => boolean
}

async function* walk(
  context: Walk,
  components: readonly string[],
  after: readonly string[] | undefined,
): AsyncGenerator<FoundRepository> {
  const name = components.join('/')
  if (components.length > depthMax || name.length > repositoryNameLengthMax * 2) {
    yield { kind: 'fault', name: shownName(name), reason: 'its name is too long' }
    return
  }
  let names: string[]
  try {
    names = await context.tree.directories(`${context.top}/${name}`)
  } catch (error) {
    yield {
      kind: 'fault',
      name: shownName(name),
      reason: `cannot be read: ${(error as Error).message}`,
    }
    return
  }
  const markers = new Set(names.filter(context.isMarker))
  const isPast = after === undefined
  if (isPast && markers.size > 0) yield { kind: 'found', name, markers }
  const first = after?.[0]
  for (const below of names) {
    if (below.includes('\ufffd')) {
      // What such a byte was is lost, so the directory cannot be opened by this name.
      const odd = shownName([...components, below].join('/'))
      yield { kind: 'fault', name: odd, reason: 'its name is not UTF-8' }
      continue
    }
    if (markers.has(below) || (first !== undefined && byCode(below, first) < 0)) continue
    // Of the one that `after` lies in or is, only what comes behind it.
    const rest = below === first ? after?.slice(1) : undefined
    yield* walk(context, [...components, below], rest)
  }
}
