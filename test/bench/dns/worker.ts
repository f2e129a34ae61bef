/** A server with so many services: `worker.js COUNT`. It prints its port; each line of input changes a service so often. */
import { createInterface } from 'node:readline'
import { DnsServer } from '../../../src/dns/index.js'
import { service } from './objects.js'

const count = Number(process.argv[2])
const server = await DnsServer.start({ listen: [{ address: '127.0.0.1', port: 0 }] })
for (let index = 0; index < count; index++) server.model.upsert(service(index))
process.stdout.write(`${JSON.stringify({ port: server.addresses[0]!.port })}\n`)
for await (const line of createInterface({ input: process.stdin })) {
  const changes = Number(line)
  const before = process.cpuUsage()
  for (let change = 0; change < changes; change++) {
    server.model.upsert(service(3, `10.250.${(change >> 8) & 255}.${change & 255}`))
    server.refresh()
  }
  server.model.upsert(service(3))
  const { user, system } = process.cpuUsage(before)
  process.stdout.write(`${JSON.stringify({ microseconds: (user + system) / changes })}\n`)
}
await server.close()
