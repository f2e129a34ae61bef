/** What brings zones up to a model: asked before every answer, and done at once if nothing has changed. */
import type { KnownPod, KnownService, ServiceModel } from '../model/index.js'
import type { Zone } from './zone.js'

export interface ZoneFeedOptions {
  /** Nobody else takes what changes in the model. */
  readonly isOwn: boolean
  readonly namespaces: Iterable<string>
}

export class ZoneFeed {
  #model: ServiceModel
  readonly #zones: readonly Zone[]
  #isOwn: boolean
  #follower
  #namespaces: ReadonlySet<string> = new Set()

  constructor(model: ServiceModel, zones: readonly Zone[], options: ZoneFeedOptions) {
    this.#model = model
    this.#zones = zones
    this.#isOwn = options.isOwn
    this.#follower = model.follow()
    this.setNamespaces(options.namespaces)
  }

  /** Takes what changed. */
  readonly refresh = (): void => {
    if (!this.#follower.hasNews) return
    const news = this.#model.news(this.#follower)
    const services: [string, KnownService | undefined][] = []
    for (const id of news.services) services.push([id, this.#model.service(reference(id))])
    const pods: [string, KnownPod | undefined][] = []
    for (const id of news.pods) pods.push([id, this.#model.pod(reference(id))])
    for (const zone of this.#zones) zone.apply({ services, pods })
    // What else it would tell of is nobody's.
    if (this.#isOwn) this.#model.take()
  }

  get model(): ServiceModel {
    return this.#model
  }

  /** Another model, which is somebody else's: what it does not have goes. */
  follow(model: ServiceModel): void {
    const follower = model.follow()
    const all = this.#model.follow()
    for (const id of all.services) follower.services.add(id)
    for (const id of all.pods) follower.pods.add(id)
    this.#model.unfollow(all)
    this.#model.unfollow(this.#follower)
    this.#model = model
    this.#follower = follower
    this.#isOwn = false
  }

  setNamespaces(names: Iterable<string>): void {
    const before = this.#namespaces
    this.#namespaces = new Set(names)
    const namespaces = [...new Set([...before, ...this.#namespaces])].map(
      (name) => [name, this.#namespaces.has(name)] as const,
    )
    for (const zone of this.#zones) zone.apply({ namespaces })
  }

  close(): void {
    this.#model.unfollow(this.#follower)
  }
}

function reference(id: string): { readonly namespace: string; readonly name: string } {
  const slash = id.indexOf('/')
  return { namespace: id.slice(0, slash), name: id.slice(slash + 1) }
}
