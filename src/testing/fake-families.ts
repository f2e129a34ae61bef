import { family as familyTable, CTRL_CMD_GETFAMILY, GENL_ID_CTRL } from '../genetlink/wire.js'
import { GENL_HDRLEN } from '../genetlink/index.js'
import { NLMSG_HDRLEN } from '../netlink/index.js'
import { type FakeAnswer, fakeReply, type FakeReply, type FakeRequest } from './fake-messages.js'

/** A family of generic netlink. */
export interface FakeFamily {
  /** `IPVS`. */
  readonly name: string
  /** Of its commands, as the controller tells it; 1 unless said. */
  readonly version?: number | undefined
  /** Names of its multicast groups. */
  readonly groups?: readonly string[] | undefined
  /** What it does with a command; the replies' payload begins with the attributes. */
  handle(request: FakeRequest): FakeAnswer
}

interface Loaded {
  readonly family: FakeFamily
  readonly id: number
  readonly groups: ReadonlyMap<string, number>
}

/** The families of a fake kernel, and the controller that tells their numbers. Source: net/netlink/genetlink.c. */
export class FakeFamilies {
  readonly #byName = new Map<string, Loaded>()
  readonly #gone = new Map<string, FakeFamily>()
  #nextId = 0x1b
  #nextGroup = 0x10

  constructor(families: readonly FakeFamily[]) {
    for (const family of families) this.#load(family)
  }

  reload(name: string): number {
    const family = this.#gone.get(name) ?? this.#loaded(name).family
    this.#gone.delete(name)
    return this.#load(family).id
  }

  unload(name: string): void {
    this.#gone.set(name, this.#loaded(name).family)
    this.#byName.delete(name)
  }

  group(family: string, name: string): number {
    const number = this.#loaded(family).groups.get(name)
    if (number === undefined) throw new TypeError(`the fake family ${family} has no group ${name}`)
    return number
  }

  /** Undefined: it is for none of them, and there are none at all (another protocol than generic netlink). */
  perform(request: FakeRequest): FakeAnswer {
    if (this.#byName.size === 0 && this.#gone.size === 0) return undefined
    request.headerBytes = NLMSG_HDRLEN + GENL_HDRLEN
    if (request.type === GENL_ID_CTRL) {
      request.family = 'nlctrl'
      return this.#describe(request)
    }
    const loaded = [...this.#byName.values()].find(({ id }) => id === request.type)
    if (loaded === undefined) return { code: 'ENOENT' }
    request.family = loaded.family.name
    const answer = loaded.family.handle(request)
    if (answer === undefined || 'code' in answer) return answer ?? []
    const header = new Uint8Array([request.command ?? 0, loaded.family.version ?? 1, 0, 0])
    return answer.map((reply) => withHeader(header, reply))
  }

  #describe(request: FakeRequest): FakeAnswer {
    if (request.command !== CTRL_CMD_GETFAMILY) return { code: 'EOPNOTSUPP' }
    const { name } = request.decode(familyTable)
    const loaded = name === undefined ? undefined : this.#byName.get(name)
    if (loaded === undefined) return { code: 'ENOENT' }
    const { family, id, groups } = loaded
    const multicastGroups = [...groups].map(([group, number]) => ({ name: group, id: number }))
    return [
      fakeReply(
        familyTable,
        {
          id,
          name: family.name,
          version: family.version ?? 1,
          headerBytes: 0,
          mostAttribute: 10,
          multicastGroups: multicastGroups.length === 0 ? undefined : multicastGroups,
        },
        // CTRL_CMD_NEWFAMILY
        { header: new Uint8Array([1, 2, 0, 0]) },
      ),
    ]
  }

  #load(family: FakeFamily): Loaded {
    const groups = new Map((family.groups ?? []).map((name) => [name, this.#nextGroup++]))
    const loaded = { family, id: this.#nextId++, groups }
    this.#byName.set(family.name, loaded)
    return loaded
  }

  #loaded(name: string): Loaded {
    const loaded = this.#byName.get(name)
    if (loaded === undefined) throw new TypeError(`the fake kernel has no family ${name}`)
    return loaded
  }
}

function withHeader(header: Uint8Array, reply: FakeReply): FakeReply {
  const payload = new Uint8Array(header.length + reply.payload.length)
  payload.set(header)
  payload.set(reply.payload, header.length)
  return { ...reply, payload }
}
