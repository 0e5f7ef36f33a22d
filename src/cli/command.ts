// What a command is: its help and what it does with its invocation.

/** Where a command writes. */
export interface Terminal {
  out(text: string): void
  err(text: string): void
  /** Columns of the terminal that `err` writes to; undefined where it is none. */
  width?(): number | undefined
}

export interface Invocation {
  /** The `-c` files in their order; empty where none was given. */
  readonly files: readonly string[]
  /** The command's own flags that were given, by their long names. */
  readonly flags: ReadonlySet<string>
  /** The command's own options that were given, with their values. */
  readonly options: Readonly<Record<string, string | undefined>>
  /** The word behind the command's name; undefined where it takes none, or none was given. */
  readonly argument: string | undefined
  /** All words behind the command's name, for those that take several. */
  readonly words: readonly string[]
  readonly cwd: string
  readonly terminal: Terminal
}

export interface Command {
  /** One word, or two where several commands share the first. */
  readonly name: string
  readonly summary: string
  /** The paragraphs of `keelson <name> --help` after its first line. */
  readonly help: string
  /** Flags besides the common ones, with what they do. */
  readonly flags: Readonly<Record<string, string>>
  /** Options that take a value: what stands for it in the help, and what it does. */
  readonly options?: Readonly<Record<string, readonly [value: string, meaning: string]>>
  /** Options that may be given more than once; their values are joined by blanks. */
  readonly repeatable?: readonly string[]
  /** What stands for its argument in the help; absent where it takes none. */
  readonly argument?: string
  /** It takes any number of them. */
  readonly takesSeveral?: true
  /** Resolves to the exit code, of those that `exitCodes` names. */
  run(invocation: Invocation): Promise<number>
}

/** The exit codes of every command. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** A fault of the program itself. Source: sysexits.h, EX_SOFTWARE. */
  crashed: 70,
} as const
