// The tidy rules: each takes the sources and returns what breaks it, one line a finding.
import { covers, layerOf, packageOwners } from './layers.ts'
import { importsOf, type SourceFile } from './source-file.ts'

export type Rule = (files: readonly SourceFile[]) => readonly string[]

const linesMax = 400
const bannedName = /(^|[-/])(utils?|common|helpers?|misc)([-./]|$)/
const brandCast = /\bas (?:unknown as )?(?:Digest|RepositoryName|Tag|UploadId)\b/
const unfinished = /\b(?:TODO|FIXME|XXX|HACK)\b/
const processExit = /\bprocess\s*\.\s*(?:exit|abort|reallyExit)\b/

/** Nobody imports past the layer table. */
export const importsFollowLayers: Rule = (files) =>
  product(files).flatMap((file) => {
    const layer = layerOf(file.path)
    if (layer === undefined) return [`${file.path} is in no room of the layer table`]
    return importsOf(file)
      .filter(({ target, isPackage, isType }) => {
        // Its own room is that of the target's layer: a room inside it is another one.
        if (isPackage || layerOf(target) === layer) return false
        const places = isType ? [...layer.imports, ...layer.types] : layer.imports
        return !places.some((place) => covers(place, target))
      })
      .map(({ target, isType }) => `${file.path} imports ${isType ? 'type ' : ''}${target}`)
  })

/** A package with an owner is imported by its owner alone. */
export const packagesHaveOneUser: Rule = (files) =>
  product(files).flatMap((file) =>
    importsOf(file).flatMap(({ target, isPackage }) => {
      const owner = isPackage ? packageOwners[target] : undefined
      if (owner === undefined || covers(owner, file.path)) return []
      return [`${file.path} imports ${target}, which belongs to ${owner}`]
    }),
  )

/** No file imports itself by way of others, not even for types. */
export const noCycles: Rule = (files) => {
  const targets = new Map(
    files.map((file) => [
      file.path,
      importsOf(file).flatMap(({ target, isPackage }) => (isPackage ? [] : [target])),
    ]),
  )
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(path)
    if (seenAt !== -1) cycles.push([...trail.slice(seenAt), path].join(' → '))
    if (seenAt !== -1 || done.has(path)) return
    for (const target of targets.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of targets.keys()) visit(path, [])
  return cycles
}

/** A file fits in one reading. */
export const filesAreShort: Rule = (files) =>
  files.flatMap(({ path, text }) => {
    const count = text.trimEnd().split('\n').length
    return count > linesMax ? [`${path} has ${count} lines, more than ${linesMax}`] : []
  })

/** A file starts by saying what it answers for. */
export const filesSayWhatFor: Rule = (files) =>
  files.filter(({ text }) => !/^(?:#!.*\n)?\/\/ \S/.test(text)).map(({ path }) => path)

/** Names say what is inside. */
export const namesAreTelling: Rule = (files) =>
  files.filter(({ path }) => bannedName.test(path)).map(({ path }) => path)

/** What is unfinished is an issue, not a comment. */
export const nothingIsUnfinished: Rule = (files) => linesWith(unfinished, product(files))

/** `main.ts` alone ends the process. */
export const mainAloneExits: Rule = (files) =>
  linesWith(
    processExit,
    product(files).filter(({ path }) => path !== 'src/main.ts'),
  )

/** A validated string comes from its parser in `src/oci`, never from a cast. */
export const parsersAloneMakeBrands: Rule = (files) =>
  linesWith(
    brandCast,
    product(files).filter(({ path }) => !covers('src/oci', path)),
  )

// Not bench, scripts and test, which nothing imports.
function product(files: readonly SourceFile[]): readonly SourceFile[] {
  return files.filter(({ path }) => covers('src', path) || covers('workers', path))
}

function linesWith(pattern: RegExp, files: readonly SourceFile[]): readonly string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) =>
        pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
      ),
  )
}
