// `import`: brings what another registry holds, or ends the time in which its tree is shared.

import type { Job, JobContext, JobReport } from '../job/contract.ts'
import type { Importer, ImportRequest, ImportSource } from './contract.ts'
import { type ImportInput, parseImport } from './import-input.ts'
import { ImportRun } from './import-run.ts'
import { ownRoot } from './own-root.ts'
import { angosImporter } from './source/angos.ts'
import { distributionImporter } from './source/distribution.ts'
import { ociLayoutImporter } from './source/oci-layout.ts'

/** Bounds as a push has them. */
export interface ImportSettings {
  readonly graceMs: number
  readonly manifestBytesMax: number
  readonly descriptorsMax: number
}

/** Those that read directories of this host. */
export const fileImporters: readonly Importer[] = [
  distributionImporter,
  ociLayoutImporter,
  angosImporter,
]

/** `settings` are asked at each run. Limits: those of `settings`. */
export function createImportJob(
  settings: () => ImportSettings,
  importers: readonly Importer[] = fileImporters,
): Job<ImportInput> {
  return {
    kind: 'import',
    parse: (input) => parseImport(input, importers),
    rates: (input) => ({
      itemsPerSecond: 0,
      bytesPerSecond: input.kind === 'import' ? input.request.bytesPerSecond : 0,
    }),
    async run(input, context) {
      if (input.kind === 'take-over') return takeOver(input.dryRun, context)
      const { request } = input
      const importer = importers.find(({ from }) => from === request.from)
      if (importer === undefined) throw new Error(`nothing imports from ${request.from}`)
      const limits = settings()
      const source = await importer.open(request, limits, context.signal)
      try {
        return await importFrom(source, request, limits, context)
      } finally {
        await source.close()
      }
    },
  }
}

async function importFrom(
  source: ImportSource,
  request: ImportRequest,
  settings: ImportSettings,
  context: JobContext,
): Promise<JobReport> {
  const isInPlace =
    source.blobsRoot !== undefined && source.blobsRoot === (await ownRoot(context.blobs))
  const notes: string[] = []
  if (isInPlace) {
    if (request.from !== 'distribution') {
      throw new Error(
        `${source.title} is our own blob store, and only a docker-registry's is shared`,
      )
    }
    notes.push(
      'Its blobs stay where they are. Till keelson import --take-over, nothing is removed from there.',
    )
    // Before anything refers to its blobs.
    if (!request.dryRun) await adopt(source, context)
  }
  return new ImportRun(context, source, request, { ...settings, isInPlace }).run(notes)
}

async function adopt(source: ImportSource, { metadata, now }: JobContext): Promise<void> {
  const adoption = await metadata.readAdoption()
  if (adoption !== undefined) return
  await metadata.setAdoption({ sinceMs: now(), of: source.title })
}

async function takeOver(dryRun: boolean, { metadata, now }: JobContext): Promise<JobReport> {
  const adoption = await metadata.readAdoption()
  if (adoption === undefined) {
    return {
      ok: true,
      summary: ['Nothing is shared with another registry.'],
      details: { takenOver: false, dryRun },
    }
  }
  const since = new Date(adoption.sinceMs).toISOString()
  if (!dryRun) await metadata.setAdoption(undefined)
  const days = Math.floor((now() - adoption.sinceMs) / 86_400_000)
  return {
    ok: true,
    summary: [
      dryRun
        ? `${adoption.of}, adopted ${since}, would be taken over.`
        : `${adoption.of}, adopted ${since}, is taken over. From now on garbage collection removes blobs from it.`,
    ],
    details: { takenOver: !dryRun, dryRun, of: adoption.of, sinceMs: adoption.sinceMs, days },
  }
}
