// The shape of the schema's rows, and the TypeScript values that they stand for.
import type { Secret } from './secret.ts'

interface EntryBase {
  /** The name in the TypeScript configuration; a duration ends in Ms, a size in Bytes. */
  readonly field: string
  readonly doc: string
  readonly reload: 'live' | 'restart'
}

/** A key has a default, or must be given, or may be absent; `example` stands in for a default. */
type Presence<Written> =
  | { readonly default: Written }
  | { readonly required: boolean; readonly example: Written; readonly otherwise?: string }

type Row<Kind extends string, Written, More = unknown> = EntryBase &
  Presence<Written> &
  More & { readonly kind: Kind }

/** One row of the schema: everything that is known about one key. */
export type Entry =
  | Row<'boolean', boolean>
  | Row<'integer', number, { readonly min: number; readonly max: number }>
  | Row<'integer-or-auto', number | 'auto', { readonly min: number; readonly max: number }>
  | Row<'choice', string, { readonly of: readonly string[] }>
  | Row<'duration', string, { readonly min: string; readonly max: string }>
  | Row<'size', string, { readonly min: string; readonly max: string }>
  | Row<'address', string>
  | Row<'origin', string>
  | Row<'path', string>
  | Row<'paths', readonly string[]>
  | Row<'text', string, { readonly lengthMin: number }>
  | Row<'mode', string>
  | Row<'networks', readonly string[]>
  | Row<'secret', string>
  | Row<'expressions', readonly string[]>
  | Row<'time', string>
  | Row<'url', string>
  | Row<'choices', readonly string[], { readonly of: readonly string[] }>

/** One table of the TOML file. */
export interface Section {
  readonly doc: string
  /** Such a table is written only by those who want it: the example shows it as a comment. */
  readonly alternative?: boolean
  /** An array of tables: each `[[…]]` of the file is one of them. */
  readonly list?: boolean
  /** Tables whose last name the user chooses; this stands for it in docs. */
  readonly named?: string
  readonly keys: { readonly [key: string]: Entry }
}

type ValueOfKind<E extends Entry> = E extends { readonly kind: 'boolean' }
  ? boolean
  : E extends { readonly kind: 'choice'; readonly of: readonly (infer Choice)[] }
    ? Choice
    : E extends { readonly kind: 'integer' | 'duration' | 'size' | 'mode' | 'time' }
      ? number
      : E extends { readonly kind: 'integer-or-auto' }
        ? number | 'auto'
        : E extends {
              readonly kind: 'choices'
              readonly of: readonly (infer Choice)[]
            }
          ? readonly Choice[]
          : E extends { readonly kind: 'expressions' | 'networks' | 'paths' }
            ? readonly string[]
            : E extends { readonly kind: 'secret' }
              ? Secret
              : string

type ValueOf<E extends Entry> = E extends { readonly required: false }
  ? ValueOfKind<E> | undefined
  : ValueOfKind<E>

/** What a table of the file becomes: fields by their TypeScript names, values in base units. */
export type SectionValues<S extends Section> = {
  readonly [K in keyof S['keys'] as S['keys'][K]['field']]: ValueOf<S['keys'][K]>
}
