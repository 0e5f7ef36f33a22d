// Lets through to the LDAP library only what is, byte for byte, an answer to what was asked. The library
// takes an answer without a result for success, one kind of answer for another, and loops for ever
// over lengths that do not fit; so nothing of the sort reaches it.

import { BerError, type Element, element, readAll, readHead, readNumber } from './ber.ts'

/** How a request ended. Source: RFC 4511 §4.1.9. */
export interface Outcome {
  readonly code: number
  /** It says that the password must be changed before it is good for anything else. */
  readonly isPasswordExpired: boolean
}

// Of one request. A thousand groups with long names fit in it.
const answerBytesMax = 1024 * 1024
const entriesMax = 1024

const tags = {
  number: 0x02,
  octets: 0x04,
  enumerated: 0x0a,
  sequence: 0x30,
  set: 0x31,
  bindRequest: 0x60,
  bindResponse: 0x61,
  searchRequest: 0x63,
  searchEntry: 0x64,
  searchDone: 0x65,
  searchReference: 0x73,
  extendedResponse: 0x78,
  controls: 0xa0,
  referral: 0xa3,
  saslCredentials: 0x87,
} as const

// Source: draft-vchu-ldap-pwd-policy-00; sent by 389 Directory Server without being asked for.
const passwordExpired = '2.16.840.1.113730.3.4.4'
// The library would take an attribute of the name `dn` for the name of the entry.
const attributeName = /^(?!dn$)[A-Za-z0-9.;_-]{1,256}$/

interface Question {
  readonly id: number
  readonly kind: 'bind' | 'search'
  bytes: number
  entries: number
}

/** One connection's answers, of one question at a time. */
export class Answers {
  #question: Question | undefined
  #outcome: Outcome | undefined
  #chunks: Buffer[] = []
  #size = 0
  /** Bytes that must be there before it is worth looking again. */
  #wanted = 2

  /** Of the question asked last; undefined until its answer has ended. */
  get outcome(): Outcome | undefined {
    return this.#outcome
  }

  /** `message` as the library sends it. Errors: BerError where another question is still open. */
  ask(message: Buffer): void {
    const { id, operation } = readMessage(message)
    const { tag } = operation
    // An unbind, which has no answer.
    if (tag !== tags.bindRequest && tag !== tags.searchRequest) return
    if (this.#question !== undefined) throw new BerError('two questions at a time')
    const kind = tag === tags.bindRequest ? 'bind' : 'search'
    this.#question = { id, kind, bytes: 0, entries: 0 }
    this.#outcome = undefined
  }

  /**
   * The messages that `chunk` completes, as far as the library shall see them.
   * Limits: 1 MiB and 1024 entries for one question. Errors: BerError; then nothing more can be read.
   */
  take(chunk: Buffer): readonly Buffer[] {
    this.#chunks.push(chunk)
    this.#size += chunk.byteLength
    if (this.#size > answerBytesMax) throw new BerError('an answer that is too long')
    if (this.#size < this.#wanted) return []
    const bytes = Buffer.concat(this.#chunks)
    const messages: Buffer[] = []
    let offset = 0
    for (;;) {
      const head = readHead(bytes, offset, bytes.byteLength)
      if (head !== undefined && head.tag !== tags.sequence) throw new BerError('no message')
      if (head !== undefined && head.end - offset > answerBytesMax) {
        throw new BerError('an answer that is too long')
      }
      if (head === undefined || head.end > bytes.byteLength) {
        this.#keep(bytes.subarray(offset), head === undefined ? 0 : head.end - offset)
        return messages
      }
      const message = this.#read(bytes.subarray(offset, head.end))
      if (message !== undefined) messages.push(message)
      offset = head.end
    }
  }

  #keep(rest: Buffer, wanted: number): void {
    this.#chunks = rest.byteLength === 0 ? [] : [rest]
    this.#size = rest.byteLength
    this.#wanted = Math.max(wanted, rest.byteLength + 1)
  }

  #read(message: Buffer): Buffer | undefined {
    const { id, idElement, operation, controls } = readMessage(message)
    const question = this.#question
    if (id === 0 && operation.tag === tags.extendedResponse) {
      throw new BerError('a notice that the connection ends')
    }
    if (question === undefined || question.id !== id) throw new BerError('an answer to nothing')
    question.bytes += message.byteLength
    if (question.bytes > answerBytesMax) throw new BerError('an answer that is too long')
    const isSearch = question.kind === 'search'
    // Whom it names is not asked.
    if (isSearch && operation.tag === tags.searchReference) return undefined
    if (isSearch && operation.tag === tags.searchEntry) {
      question.entries += 1
      if (question.entries > entriesMax) throw new BerError('too many entries')
      checkEntry(message, operation)
      return rebuilt(message, idElement, operation.tag, contentOf(message, operation))
    }
    if (operation.tag !== (isSearch ? tags.searchDone : tags.bindResponse)) {
      throw new BerError('an answer of another kind')
    }
    const { code, content } = readResult(message, operation)
    const isPasswordExpired = controls !== undefined && namesControl(message, controls)
    this.#outcome = { code, isPasswordExpired }
    this.#question = undefined
    return rebuilt(message, idElement, operation.tag, content)
  }
}

// Without what nobody asked for: referrals and controls.
function rebuilt(message: Buffer, id: Message['idElement'], tag: number, content: Buffer): Buffer {
  const body = [message.subarray(id.offset, id.end), element(tag, content)]
  return element(tags.sequence, Buffer.concat(body))
}

function contentOf(message: Buffer, { start, end }: Element): Buffer {
  return message.subarray(start, end)
}

interface Message {
  readonly id: number
  readonly idElement: Element & { readonly offset: number }
  readonly operation: Element
  readonly controls: Element | undefined
}

function readMessage(message: Buffer): Message {
  const head = readHead(message, 0, message.byteLength)
  if (head?.tag !== tags.sequence || head.end !== message.byteLength) {
    throw new BerError('no message')
  }
  const [id, operation, controls, surplus] = readAll(message, head.start, head.end)
  if (id?.tag !== tags.number || operation === undefined || surplus !== undefined) {
    throw new BerError('no message')
  }
  if (controls !== undefined && controls.tag !== tags.controls) {
    throw new BerError('no message')
  }
  const idElement = { ...id, offset: head.start }
  return { id: readNumber(message, id), idElement, operation, controls }
}

function readResult(
  message: Buffer,
  { start, end }: Element,
): { readonly code: number; readonly content: Buffer } {
  const [code, name, text, ...more] = readAll(message, start, end)
  const isWhole =
    code?.tag === tags.enumerated &&
    name?.tag === tags.octets &&
    text?.tag === tags.octets &&
    more.every(({ tag }) => tag === tags.referral || tag === tags.saslCredentials)
  if (!isWhole) throw new BerError('a result that is not whole')
  return { code: readNumber(message, code), content: message.subarray(start, text.end) }
}

function checkEntry(message: Buffer, { start, end }: Element): void {
  const [name, attributes, surplus] = readAll(message, start, end)
  const isEntry = name?.tag === tags.octets && attributes?.tag === tags.sequence
  if (!isEntry || surplus !== undefined) throw new BerError('an entry that is none')
  for (const attribute of readAll(message, attributes.start, attributes.end)) {
    const [type, values, more] = readAll(message, attribute.start, attribute.end)
    const isAttribute =
      attribute.tag === tags.sequence && type?.tag === tags.octets && values?.tag === tags.set
    if (!isAttribute || more !== undefined) throw new BerError('an attribute that is none')
    if (!attributeName.test(message.toString('latin1', type.start, type.end))) {
      throw new BerError('an attribute of no possible name')
    }
    const all = readAll(message, values.start, values.end)
    if (!all.every(({ tag }) => tag === tags.octets)) throw new BerError('a value that is none')
  }
}

function namesControl(message: Buffer, controls: Element): boolean {
  return readAll(message, controls.start, controls.end).some((control) => {
    const [oid] = readAll(message, control.start, control.end)
    if (control.tag !== tags.sequence || oid?.tag !== tags.octets) {
      throw new BerError('a control that is none')
    }
    return message.toString('latin1', oid.start, oid.end) === passwordExpired
  })
}

/**
 * Whether all of `bytes` is one answer that the message 1 was done as an extended operation; undefined
 * where more must come. Errors: BerError, also where anything comes after it.
 * Source: RFC 4511 §4.14.
 */
export function readExtendedResult(bytes: Buffer): number | undefined {
  const head = readHead(bytes, 0, bytes.byteLength)
  if (head === undefined || head.end > bytes.byteLength) return undefined
  const { id, operation } = readMessage(bytes)
  if (id !== 1 || operation.tag !== tags.extendedResponse) {
    throw new BerError('an answer of another kind')
  }
  const [code, name, text] = readAll(bytes, operation.start, operation.end)
  const isWhole =
    code?.tag === tags.enumerated && name?.tag === tags.octets && text?.tag === tags.octets
  if (!isWhole) throw new BerError('a result that is not whole')
  return readNumber(bytes, code)
}
