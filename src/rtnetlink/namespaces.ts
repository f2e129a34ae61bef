import { type Netns, NetworkNamespace } from '../net/index.js'

/** Namespaces that a request names by descriptor, open until it is answered. */
export class HeldNamespaces {
  readonly #held: NetworkNamespace[] = []

  hold(netns: Netns): number {
    const namespace = NetworkNamespace.open(netns)
    this.#held.push(namespace)
    return namespace.fd
  }

  close(): void {
    for (const namespace of this.#held) namespace.close()
  }
}

export async function holdingNamespaces<T>(work: (namespaces: HeldNamespaces) => Promise<T>): Promise<T> {
  const namespaces = new HeldNamespaces()
  try {
    return await work(namespaces)
  } finally {
    namespaces.close()
  }
}
