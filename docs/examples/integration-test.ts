/**
 * An integration test that runs in a privileged container: does my balancer keep its promise with real packets?
 *
 * A client, a director and two servers are network namespaces of this process; when it ends, they are gone. See
 * Containerfile beside this file for the container.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IpvsService } from 'viaduct'
import { requires, sandbox } from 'viaduct/testing'

const address = '192.0.2.80'
/** On a machine of one's own it is skipped where it cannot run; in the container, which is made for it, it must. */
const mustRun = process.env.MUST_RUN !== undefined

test(
  'a server that is drained gets no new requests',
  { skip: mustRun ? undefined : requires({ sandbox: true, ipvs: true }) },
  async () => {
    await using net = await sandbox({
      hosts: ['client', 'director', 'blue', 'green'] as const,
      links: [
        ['client', 'director'],
        ['director', 'blue', 'green'],
      ],
      settings: { director: { addresses: [`${address}/32`] } },
    })
    const { client, director, blue, green } = net.hosts
    for (const host of [blue, green]) {
      await host.serve((_request, response) => response.end(host.name), { port: 8080 })
    }

    // What is under test would be your own program, given the director's namespace.
    await using web = await IpvsService.ensure(
      { protocol: 'tcp', address, port: 80, scheduler: 'rr' },
      { netns: director.netns },
    )
    await web.servers.set([
      { address: blue.address, port: 8080 },
      { address: green.address, port: 8080 },
    ])

    const ask = async (): Promise<string> => (await client.fetch(`http://${address}/`)).text()
    assert.deepEqual(new Set([await ask(), await ask()]), new Set(['blue', 'green']))

    const { drained } = await web.drain({ address: blue.address, port: 8080 }, { timeoutSeconds: 10 })
    assert.equal(drained, true)
    assert.deepEqual([await ask(), await ask()], ['green', 'green'])
  },
)
