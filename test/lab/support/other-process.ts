/**
 * What a second process does to a table that another one changes, too: `node other-process.js PATH-OF-NAMESPACE`. It
 * says `ready`, takes one task a line (JSON) on standard input, and answers each with a line.
 */
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import {
  type DestinationInput,
  Ipvs,
  IpvsService,
  isKernelError,
  type ServiceKey,
} from '../../../src/index.js'

export type Task =
  | {
      readonly do: 'create' | 'delete'
      readonly service: ServiceKey
      readonly servers: readonly DestinationInput[]
    }
  | {
      readonly do: 'set'
      readonly service: ServiceKey
      readonly servers: readonly DestinationInput[]
      readonly times: number
    }

/** Of `create` and `delete`: which servers this process has changed, and how it failed for the others. */
export interface Answer {
  readonly applied: readonly number[]
  readonly errors: readonly string[]
}

export const otherProcess = fileURLToPath(import.meta.url)

/** Does it one command at a time, so that two processes take turns, or `set` as often as said. */
export async function perform(ipvs: Ipvs, task: Task): Promise<Answer> {
  const { service } = task
  const applied: number[] = []
  const errors: string[] = []
  if (task.do === 'set') {
    const found = (await IpvsService.find(service, { ipvs }))!
    for (let time = 1; time <= task.times; time++) await found.servers.set(task.servers)
    return { applied, errors }
  }
  for (const [index, server] of task.servers.entries()) {
    try {
      if (task.do === 'create') await ipvs.createDestination(service, server)
      else await ipvs.deleteDestination(service, server)
      applied.push(index)
    } catch (error) {
      if (!isKernelError(error)) throw error
      errors.push(error.code)
    }
  }
  return { applied, errors }
}

const [program, path] = process.argv.slice(1)
if (program === otherProcess && path !== undefined) {
  const ipvs = await Ipvs.open({ netns: { path } })
  process.stdout.write('ready\n')
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await perform(ipvs, JSON.parse(line) as Task))}\n`)
  }
  ipvs.close()
}
