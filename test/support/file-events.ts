// The log of a file recorder: what a process did to the files below one directory, in order.

export type FileOperation =
  | { readonly kind: 'open'; readonly path: string; readonly flags: number }
  | { readonly kind: 'close'; readonly fd: number }
  | {
      readonly kind: 'write'
      readonly fd: number
      readonly position: number
      /** Base64. */
      readonly bytes: string
    }
  | { readonly kind: 'truncate'; readonly fd: number; readonly length: number }
  /** fdatasync of a file or fsync of a directory. */
  | { readonly kind: 'sync'; readonly fd: number }
  | { readonly kind: 'link'; readonly from: string; readonly path: string }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'mkdir'; readonly path: string; readonly recursive: boolean }
  | { readonly kind: 'rmdir'; readonly path: string }
  /** The recorder has no model of this call. */
  | { readonly kind: 'unknown'; readonly name: string; readonly path: string }

export type FileEvent =
  | { readonly at: 'begin'; readonly id: string; readonly operation: FileOperation }
  | {
      readonly at: 'end'
      readonly id: string
      /** System code where it failed. */
      readonly error?: string
      /** What `open` gave, or how many bytes were written. */
      readonly value?: number
    }
  /** Something the process promised at this point; the test says what it means. */
  | { readonly at: 'promise'; readonly text: string }
