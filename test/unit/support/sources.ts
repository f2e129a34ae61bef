/** Folders of manifests, and what sources tell of them. */
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ModelObject } from '../../../src/model/index.js'
import {
  formatReference,
  keyOf,
  referenceOf,
  type Source,
  type SourceEvent,
  type SourceProblem,
} from '../../../src/sources/index.js'

/** A folder that is gone after the test. */
export async function folderFor(t: { teardown(work: () => Promise<void>): void }): Promise<string> {
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'viaduct-sources-')))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A service as a manifest; `mark` makes it another one of the same name. */
export function service(name: string, mark = ''): string {
  return [
    'apiVersion: v1',
    'kind: Service',
    `metadata: { name: ${name}, annotations: { mark: '${mark}' } }`,
    'spec: { ports: [{ port: 80 }] }',
    '',
  ].join('\n')
}

/** `Service default/web` and its mark, as the source has them: in order. */
export async function listed(source: Source): Promise<string[]> {
  return (await source.list()).objects.map(named).sort()
}

/** As `listed` says it. */
export function named(object: ModelObject): string {
  const mark = 'kind' in object ? object.metadata?.annotations?.['mark'] : undefined
  return [formatReference(referenceOf(object)), ...(mark ? [mark] : [])].join(' ')
}

/** `place:line:column path message`, places as they are below the folder. */
export function told(problems: readonly SourceProblem[], folder = ''): string[] {
  return problems.map(({ severity, place, line, column, path: at, message }) => {
    const where = [path.relative(folder, place), line, column].filter((part) => part !== undefined).join(':')
    return [severity, where, at, message].filter((part) => part !== undefined && part !== '').join(' ')
  })
}

/** Follows a source from now on, as somebody who keeps a copy. Everything ends after ten seconds at the latest. */
export class Follower {
  readonly objects = new Map<string, string>()
  readonly problems = new Map<string, readonly SourceProblem[]>()
  readonly #source: Source
  readonly #end = new AbortController()
  #events!: AsyncIterableIterator<SourceEvent>

  private constructor(source: Source) {
    this.#source = source
  }

  static async start(source: Source, t: { teardown(work: () => void): void }): Promise<Follower> {
    const follower = new Follower(source)
    t.teardown(() => {
      follower.stop()
    })
    const deadline = setTimeout(() => {
      follower.#end.abort(new Error('waited for ten seconds'))
    }, 10_000)
    t.teardown(() => {
      clearTimeout(deadline)
    })
    await follower.#list()
    return follower
  }

  async #list(): Promise<void> {
    const { revision, objects } = await this.#source.list()
    this.objects.clear()
    for (const object of objects) this.objects.set(keyOf(referenceOf(object)), named(object))
    this.#events = this.#source.watch(revision, { signal: this.#end.signal })
  }

  /** The next event, after it was taken over. */
  async next(): Promise<SourceEvent> {
    const { value, done } = await this.#events.next()
    if (done === true) throw new Error('the events are over')
    if (value.event === 'upserted') {
      this.objects.set(keyOf(referenceOf(value.object)), named(value.object))
    } else if (value.event === 'deleted') this.objects.delete(keyOf(value.reference))
    else if (value.event === 'problems') {
      if (value.problems.length === 0) this.problems.delete(value.place)
      else this.problems.set(value.place, value.problems)
    } else await this.#list()
    return value
  }

  /** Until the objects are these. */
  async until(...names: string[]): Promise<void> {
    while ([...this.objects.values()].sort().join('\n') !== names.sort().join('\n')) await this.next()
  }

  /** Until something is wrong at a place, or nothing is any more. */
  async untilProblem(place: string, wanted: boolean): Promise<readonly SourceProblem[]> {
    while (this.problems.has(place) !== wanted) await this.next()
    return this.problems.get(place) ?? []
  }

  stop(): void {
    this.#end.abort(new Error('stopped'))
  }
}

/** How many inotify watches this process has: Node keeps one inotify instance, and its watches are what costs. */
export function inotifyWatches(): number {
  return readdirSync('/proc/self/fdinfo').reduce((sum, fd) => {
    try {
      return sum + (readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').match(/^inotify wd:/gm)?.length ?? 0)
    } catch {
      return sum // the one that the folder was read through
    }
  }, 0)
}

/** Where each open descriptor leads, but for what Node opens for itself. */
export async function openFiles(below: string): Promise<string[]> {
  const { readlink } = await import('node:fs/promises')
  const links = await Promise.all(
    readdirSync('/proc/self/fd').map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return links.filter((link) => link.startsWith(below))
}

/** Of a file in the repository. */
export const textOf = (file: string): Promise<string> => readFile(file, 'utf8')
