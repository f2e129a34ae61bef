/**
 * The kinds of objects that nf_tables has, and how each of them as a program has it stands to its attributes: whoever
 * reads, writes or deletes looks here.
 */
import { ValidationError } from '../errors/index.js'
import type { AttributeTable, Decoded, Encodable } from '../netlink/index.js'
import { compatibilityOf } from './compatibility.js'
import { type Family, type Hook, hookName, hooks, priorities, type PriorityName } from './hooks.js'
import type { Expression, ExpressionInput, UnknownExpression } from './expressions/index.js'
import type { ObjectTables } from './objects.js'
import {
  type Commented,
  commentOf,
  isAutoMerge,
  mostCommentBytes,
  setUserData,
  userDataOf,
} from './userdata.js'
import type { Data, Verdict } from './values.js'
import * as wire from './wire.js'

/** What stands in one family's tables. */
interface InFamily {
  /** Which packets it is about: `inet` is both `ip` and `ip6`. */
  readonly family: Family
}
interface InTable extends InFamily {
  /** The name of its table. */
  readonly table: string
}
interface CommentInput {
  /** At most 253 bytes. Left out where `userData` is given. */
  readonly comment?: string | undefined
  /** What nft and others keep with it, as bytes. */
  readonly userData?: Uint8Array | undefined
}
interface Comment {
  /** What `nft` shows beside it. */
  readonly comment?: string | undefined
  /** What `nft` and others keep with it, as bytes. */
  readonly userData?: Uint8Array | undefined
}

/** A table to make. */
export interface TableInput extends InFamily, CommentInput {
  /** Its name in its table. */
  readonly name: string
  /** What it is told beside that. */
  readonly flags?: readonly ('dormant' | 'owner' | 'persist')[] | undefined
}
/** A table in the kernel. */
export interface Table extends InFamily, Comment, Omit<Decoded<typeof wire.table>, 'userData'> {}

/** A chain to make. With `hook` it is a base chain: packets come into it. */
export interface ChainInput extends InTable, CommentInput {
  /** Its name in its table. */
  readonly name: string
  /** Of base chains; `filter` unless said. */
  readonly type?: 'filter' | 'nat' | 'route' | undefined
  /** Where packets come into it. */
  readonly hook?: Hook | undefined
  /** A number, or what nft calls it in this family; 0 unless said. */
  readonly priority?: number | PriorityName | undefined
  /** Of family netdev, and of ingress in inet. */
  readonly device?: string | undefined
  /** Several; since 5.5. */
  readonly devices?: readonly string[] | undefined
  /** What becomes of packets that no rule has decided on; accept unless said. */
  readonly policy?: 'accept' | 'drop' | undefined
  /** What has come by at its policy. */
  readonly counters?: Encodable<typeof wire.chain>['counters']
  /** What it is told beside that. */
  readonly flags?: Encodable<typeof wire.chain>['flags']
  /** Names it within a transaction. */
  readonly id?: number | undefined
}
/** A chain in the kernel. */
export interface Chain extends InTable, Comment {
  /** Its name in its table. */
  readonly name: string
  /** The number that the kernel gave it. */
  readonly handle?: number | undefined
  /** What it is for. */
  readonly type?: 'filter' | 'nat' | 'route' | undefined
  /** Where packets come into it. */
  readonly hook?: Hook | undefined
  /** Its place among those of the same hook: smaller ones come first. */
  readonly priority?: number | undefined
  /** The one interface. */
  readonly device?: string | undefined
  /** Interfaces. */
  readonly devices?: readonly string[] | undefined
  /** What becomes of packets that no rule has decided on. */
  readonly policy?: Decoded<typeof wire.chain>['policy']
  /** How many others refer to it. */
  readonly use?: number | undefined
  /** What has come by at its policy. */
  readonly counters?: Decoded<typeof wire.chain>['counters']
  /** What it is told beside that. */
  readonly flags?: Decoded<typeof wire.chain>['flags']
  /** Names it within a transaction. */
  readonly id?: number | undefined
  /** What this version does not know, as it came. */
  readonly unknown?: Decoded<typeof wire.chain>['unknown']
}

/** A rule to make. */
export interface RuleInput
  extends InTable, CommentInput, Omit<Encodable<typeof wire.rule>, 'table' | 'expressions' | 'userData'> {
  /** What it does, in order. */
  readonly expressions?: readonly (ExpressionInput | UnknownExpression)[] | undefined
}
/** A rule in the kernel. */
export interface Rule
  extends InFamily, Comment, Omit<Decoded<typeof wire.rule>, 'expressions' | 'userData' | 'position'> {
  /** The handle of the rule before it. */
  readonly previous?: number | undefined
  /** What it does, in order. */
  readonly expressions?: readonly (Expression | UnknownExpression)[] | undefined
}

/** A set or map to make. */
export interface SetInput
  extends
    InTable,
    CommentInput,
    Omit<
      Encodable<typeof wire.set>,
      'table' | 'name' | 'description' | 'expression' | 'expressions' | 'userData'
    > {
  /** Its name in its table. */
  readonly name: string
  /** The most elements. */
  readonly size?: number | undefined
  /** Of concatenations: bytes of each field. */
  readonly fields?: readonly number[] | undefined
  /**
   * Of sets of intervals: elements that overlap or touch become one, by `nft` and by transactions that add elements with
   * `autoMerge`. Left out where `userData` is given.
   */
  readonly autoMerge?: boolean | undefined
  /** What each element carries; where it is one. */
  readonly expression?: ExpressionInput | undefined
  /** What it does, in order. */
  readonly expressions?: readonly ExpressionInput[] | undefined
}
/** A set or map in the kernel. */
export interface NftSet
  extends
    InFamily,
    Comment,
    Omit<Decoded<typeof wire.set>, 'name' | 'description' | 'expression' | 'expressions' | 'userData'> {
  /** Its name in its table. */
  readonly name: string
  /** The most elements. */
  readonly size?: number | undefined
  /** Of concatenations: bytes of each field. */
  readonly fields?: readonly number[] | undefined
  /** Of sets of intervals: elements that overlap or touch become one. */
  readonly autoMerge?: boolean | undefined
  /** What it carries; where it is one. */
  readonly expression?: Expression | undefined
  /** What it does, in order. */
  readonly expressions?: readonly Expression[] | undefined
}

/** An element to add. */
export interface ElementInput
  extends
    CommentInput,
    Omit<
      Encodable<typeof wire.element>,
      'key' | 'keyEnd' | 'data' | 'expression' | 'expressions' | 'userData'
    > {
  /** Left out for the catch-all element. */
  readonly key?: Uint8Array | undefined
  /** Of concatenated ranges: the last key. */
  readonly keyEnd?: Uint8Array | undefined
  /** Of maps. */
  readonly data?: Uint8Array | Encodable<typeof wire.verdict> | undefined
  /** What it carries; where it is one. */
  readonly expression?: ExpressionInput | undefined
  /** What it does, in order. */
  readonly expressions?: readonly ExpressionInput[] | undefined
}
/** An element in the kernel. */
export interface Element
  extends
    Comment,
    Omit<
      Decoded<typeof wire.element>,
      'key' | 'keyEnd' | 'data' | 'expression' | 'expressions' | 'userData'
    > {
  /** Its key, as bytes. */
  readonly key?: Uint8Array | undefined
  /** Of concatenated ranges: the last key. */
  readonly keyEnd?: Uint8Array | undefined
  /** Of maps: the value as bytes, or a verdict. */
  readonly data?: Data | undefined
  /** What it carries; where it is one. */
  readonly expression?: Expression | undefined
  /** What it does, in order. */
  readonly expressions?: readonly Expression[] | undefined
}
/** Elements of a set. */
export interface ElementsInput extends InTable {
  /** The name of the set. */
  readonly set: string
  /** Of a set of the same transaction. */
  readonly setId?: number | undefined
  /** Left out: all of them, where that can be meant. */
  readonly elements?: Iterable<ElementInput> | undefined
  /**
   * Of sets of intervals of one field: what is added is merged with what is in the set, and what is deleted may be a part
   * of it. The set is read for it at each commit, and nothing is lost if somebody changes it meanwhile. What carries more
   * than its key (data, a timeout, a comment) is left as it is. Each element with `interval-end` stands right behind the one
   * that it ends.
   */
  readonly autoMerge?: boolean | undefined
}
/** Elements of a set, as the kernel has them. */
export interface Elements extends InTable {
  /** The name of the set. */
  readonly set: string
  /** Its elements. */
  readonly elements: readonly Element[]
}

/** A stateful object to make: what is in `data` says its `type`. */
export type ObjectInput = InTable &
  CommentInput & { readonly name: string; readonly handle?: number | undefined } & {
    [T in keyof ObjectTables]: {
      readonly type: T
      readonly data?: Encodable<ObjectTables[T]> | Uint8Array | undefined
    }
  }[keyof ObjectTables]
/** A stateful object in the kernel. */
export type NftObject = InFamily &
  Comment &
  Omit<Decoded<typeof wire.object>, 'type' | 'data' | 'name' | 'userData'> & { readonly name: string } & {
    [T in keyof ObjectTables]: {
      readonly type: T
      readonly data?: Decoded<ObjectTables[T]> | Uint8Array | undefined
    }
  }[keyof ObjectTables]

/** A flowtable to make: flows that rules hand to it go past the stack from then on. */
export interface FlowtableInput extends InTable {
  /** Its name in its table. */
  readonly name: string
  /** Its place among those of the same hook: smaller ones come first. */
  readonly priority?: number | PriorityName | undefined
  /** Interfaces. */
  readonly devices?: readonly string[] | undefined
  /** What it is told beside that. */
  readonly flags?: Encodable<typeof wire.flowtable>['flags']
  /** The number that the kernel gave it. */
  readonly handle?: number | undefined
}
/** A flowtable in the kernel. */
export interface Flowtable extends InTable {
  /** Its name in its table. */
  readonly name: string
  /** Where packets come into it. */
  readonly hook?: string | undefined
  /** Its place among those of the same hook: smaller ones come first. */
  readonly priority?: number | undefined
  /** Interfaces. */
  readonly devices?: readonly string[] | undefined
  /** What it is told beside that. */
  readonly flags?: Decoded<typeof wire.flowtable>['flags']
  /** The number that the kernel gave it. */
  readonly handle?: number | undefined
  /** How many others refer to it. */
  readonly use?: number | undefined
  /** What this version does not know, as it came. */
  readonly unknown?: Decoded<typeof wire.flowtable>['unknown']
}

/** What each kind takes. */
export interface Inputs {
  /** A table. */
  table: TableInput
  /** A chain. */
  chain: ChainInput
  /** A rule. */
  rule: RuleInput
  /** A set or map. */
  set: SetInput
  /** Elements of a set. */
  elements: ElementsInput
  /** A stateful object. */
  object: ObjectInput
  /** A flowtable. */
  flowtable: FlowtableInput
}
/** What is read of each kind. */
export interface Outputs {
  /** A table. */
  table: Table
  /** A chain. */
  chain: Chain
  /** A rule. */
  rule: Rule
  /** A set or map. */
  set: NftSet
  /** Elements of a set. */
  elements: Elements
  /** A stateful object. */
  object: NftObject
  /** A flowtable. */
  flowtable: Flowtable
}
/** The kinds of objects. */
export type KindName = keyof Inputs

export interface Kind<K extends KindName = KindName> {
  /** `NFT_MSG_*`. */
  readonly messages: {
    readonly new: number
    readonly get: number
    readonly delete: number
    readonly destroy: number
  }
  /** The name of its table. */
  readonly table: AttributeTable
  /** Its attributes. @throws ValidationError */
  record(input: Inputs[K]): object
  /** What was read, as a program has it. */
  read(family: Family, record: object): Outputs[K]
  /** The caller's path of an attribute. */
  path(path: string): string
}

const same = (path: string): string => path
/** What is in an expression stands beside its name. */
const expressionPath = (path: string): string =>
  path.replaceAll(/(expressions?(?:\[\d+\])?)\.data(?=\.|$)/g, '$1')

type Noun = 'Table' | 'Chain' | 'Rule' | 'Set' | 'Elements' | 'Object' | 'Flowtable'
const messagesOf = (noun: Noun): Kind['messages'] => ({
  new: wire.message[`new${noun}`],
  get: wire.message[`get${noun}`],
  delete: wire.message[`delete${noun}`],
  destroy: wire.message[`destroy${noun}`],
})

export const kinds: { readonly [K in KindName]: Kind<K> } = {
  table: {
    messages: messagesOf('Table'),
    table: wire.table,
    record: ({ family: _, ...input }) => withUserData('table', input),
    read: (family, record) => ({ family, ...commented('table', record as Decoded<typeof wire.table>) }),
    path: same,
  },
  chain: {
    messages: messagesOf('Chain'),
    table: wire.chain,
    record: chainRecord,
    read(family, record) {
      const { hook, name = '', ...rest } = commented('chain', record as Decoded<typeof wire.chain>)
      if (hook === undefined) return { family, name, ...rest }
      const { number, ...where } = hook
      return { family, name, ...rest, hook: hookName(family, number ?? 0), ...where }
    },
    path: (path) => path.replace(/^hook\.number$/, 'hook').replace(/^hook\.(?=.)/, ''),
  },
  rule: {
    messages: messagesOf('Rule'),
    table: wire.rule,
    record({ family: _, ...input }) {
      const { compatibility = compatibilityOf(input.expressions ?? []) } = input
      return withUserData('rule', compatibility === undefined ? input : { ...input, compatibility })
    },
    read(family, record) {
      const { position, ...rest } = commented('rule', record as Decoded<typeof wire.rule>)
      return { family, ...rest, ...(position === undefined ? {} : { previous: position }) }
    },
    path: expressionPath,
  },
  set: {
    messages: messagesOf('Set'),
    table: wire.set,
    record({ family: _, size, fields, autoMerge, ...input }) {
      const { comment, userData, ...rest } = input
      if (autoMerge === true && input.flags?.includes('interval') !== true) {
        throw new ValidationError('autoMerge', autoMerge, 'nothing, where the set has no flag interval')
      }
      const described =
        size === undefined && fields === undefined
          ? rest
          : { ...rest, description: { size, fields: fields?.map((length) => ({ length })) } }
      if (userData !== undefined) return { ...described, userData }
      if (autoMerge !== true) return withUserData('set', { ...described, comment })
      const made = setUserData({ autoMerge, comment })
      if (made === undefined) throw tooLong('comment', comment)
      return { ...described, userData: made }
    },
    read(family, record) {
      const { description, name = '', ...rest } = commented('set', record as Decoded<typeof wire.set>)
      return {
        family,
        name,
        ...rest,
        ...(description?.size === undefined ? {} : { size: description.size }),
        ...(description?.fields === undefined
          ? {}
          : { fields: description.fields.map(({ length }) => length ?? 0) }),
        ...(rest.userData !== undefined && isAutoMerge(rest.userData) ? { autoMerge: true } : {}),
      } as NftSet
    },
    path: (path) => expressionPath(path).replace(/^description\./, ''),
  },
  elements: {
    messages: messagesOf('Elements'),
    table: wire.elements,
    record({ table, set, setId, elements }) {
      if (elements === undefined) return { table, set, setId }
      const list: object[] = []
      for (const element of elements) {
        list.push(
          element.comment === undefined
            ? element
            : withUserData('element', element, () => `elements[${list.length}].comment`),
        )
      }
      return { table, set, setId, elements: list }
    },
    read(family, record) {
      const { table, set, elements = [] } = record as Decoded<typeof wire.elements>
      return { family, table, set, elements: elements.map((one) => commented('element', one)) as Element[] }
    },
    path: expressionPath,
  },
  object: {
    messages: messagesOf('Object'),
    table: wire.object,
    record: ({ family: _, ...input }) => withUserData('object', input),
    read(family, record) {
      return { family, name: '', ...commented('object', record as Decoded<typeof wire.object>) } as NftObject
    },
    path: same,
  },
  flowtable: {
    messages: messagesOf('Flowtable'),
    table: wire.flowtable,
    record({ family, priority, devices, ...input }) {
      if (priority === undefined && devices === undefined) return input
      const number = hooks.netdev.ingress
      return { ...input, hook: { number, priority: priorityOf(family, priority), devices } }
    },
    read(family, record) {
      const { hook, name = '', ...rest } = record as Decoded<typeof wire.flowtable>
      if (hook === undefined) return { family, name, ...rest }
      const { number, ...where } = hook
      return { family, name, ...rest, hook: hookName('netdev', number ?? 0), ...where }
    },
    path: (path) => path.replace(/^hook\.(?=.)/, ''),
  },
}

function chainRecord({ family, hook, priority, device, devices, type, ...input }: ChainInput): object {
  if (hook === undefined) {
    const given = { priority, device, devices, type, policy: input.policy }
    for (const [key, value] of Object.entries(given)) {
      if (value !== undefined && key !== 'policy') {
        throw new ValidationError(key, value, 'nothing, where there is no hook')
      }
    }
    return withUserData('chain', input)
  }
  const number = hooks[family][hook] ?? (/^\d+$/.test(hook) ? Number(hook) : undefined)
  if (number === undefined) {
    throw new ValidationError('hook', hook, `one of ${Object.keys(hooks[family]).join(', ')}`)
  }
  return withUserData('chain', {
    ...input,
    type: type ?? 'filter',
    hook: { number, priority: priorityOf(family, priority), device, devices },
  })
}

function priorityOf(family: Family, priority: number | PriorityName = 0): number {
  if (typeof priority === 'number') return priority
  const number = priorities[family][priority]
  if (number !== undefined) return number
  throw new ValidationError(
    'priority',
    priority,
    `a number, or one of ${Object.keys(priorities[family]).join(', ')}`,
  )
}

function withUserData<T extends CommentInput>(kind: Commented, input: T, path = () => 'comment'): object {
  const { comment } = input
  if (comment === undefined || input.userData !== undefined) return input
  const userData = userDataOf(kind, comment)
  if (userData !== undefined) return { ...input, userData }
  throw tooLong(path(), comment)
}

function tooLong(path: string, comment: unknown): ValidationError {
  return new ValidationError(path, comment, `at most ${mostCommentBytes} bytes without NUL`)
}

function commented<T extends { readonly userData?: Uint8Array | undefined }>(
  kind: Commented,
  record: T,
): T & { readonly comment?: string } {
  if (record.userData === undefined) return record
  const comment = commentOf(kind, record.userData)
  return comment === undefined ? record : { ...record, comment }
}

export type { Data, Verdict }
