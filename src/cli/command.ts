// What a command is: its help and what it does with its invocation.

/** Where a command writes. */
export interface Terminal {
  out(text: string): void
  err(text: string): void
}

export interface Invocation {
  /** The `-c` files in their order; empty where none was given. */
  readonly files: readonly string[]
  /** The command's own flags that were given, by their long names. */
  readonly flags: ReadonlySet<string>
  readonly cwd: string
  readonly terminal: Terminal
}

export interface Command {
  readonly name: string
  readonly summary: string
  /** The paragraphs of `keelson <name> --help` after its first line. */
  readonly help: string
  /** Flags besides the common ones, with what they do. */
  readonly flags: Readonly<Record<string, string>>
  /** Resolves to the exit code, of those that `exitCodes` names. */
  run(invocation: Invocation): Promise<number>
}

/** The exit codes of every command. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
} as const
