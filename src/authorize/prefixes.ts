// Which of the repository prefixes of a configuration hold a repository.

import type { RepositoryName } from '../oci/name.ts'

/** From short to long. Whole components: `prod` holds `prod/app`, and not `production`. */
export function matching<T>(byPrefix: ReadonlyMap<string, T>, name: RepositoryName): readonly T[] {
  const found: T[] = []
  for (let end = name.indexOf('/'); end !== -1; end = name.indexOf('/', end + 1)) {
    const one = byPrefix.get(name.slice(0, end))
    if (one !== undefined) found.push(one)
  }
  const own = byPrefix.get(name)
  return own === undefined ? found : [...found, own]
}
