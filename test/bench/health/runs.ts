/** The runs of the benchmark of health checks. */
import { closeSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { HealthMonitor } from '../../../src/health/index.js'
import { openTcpListener } from '../../../src/net/index.js'
import { type Host, sandbox } from '../../../src/testing/index.js'
import { run, within } from '../processes.js'

/** Of one run of ours. */
export interface CheckRun {
  readonly userMicroseconds: number
  readonly systemMicroseconds: number
  readonly processorShare: number
  readonly perSecond: number
  readonly latenessP50: number
  readonly latenessP99: number
  readonly latenessMost: number
  readonly wrongVerdicts: number
}

/** Of one run of the C program. */
export interface FloorRun {
  readonly userMicroseconds: number
  readonly systemMicroseconds: number
}

export interface Figures {
  readonly checks: readonly CheckRun[]
  readonly floor: readonly FloorRun[]
}

/** One in so many servers hangs. */
const oneHangsIn = 20

/** 10.64.x.y answer; 10.128.x.y are routed to the server, which drops what is for them. */
function addressOf(index: number): string {
  const network = index % oneHangsIn === 0 ? 128 : 64
  return `10.${network}.${index >> 8}.${index & 255}`
}

export async function measureAll({
  runs,
  servers,
  seconds,
  floor,
}: {
  readonly runs: number
  readonly servers: number
  readonly seconds: number
  readonly floor: string
}): Promise<Figures> {
  await using net = await sandbox({ hosts: ['director', 'server'], links: [['director', 'server']] })
  const { director, server } = net.hosts
  await server.rtnetlink.routes.add({
    destination: '10.64.0.0/16',
    type: 'local',
    device: 'lo',
    table: 255,
    scope: 'host',
  })
  await server.rtnetlink.routes.add({ destination: '10.128.0.0/16', type: 'blackhole' })
  // One listener stands for all servers, and nobody accepts: the kernel answers alone. Where this process is held up the
  // handshakes under way are whole after 40 ms, and wait there.
  server.sysctl('net.core.somaxconn', 65_535)
  const listener = openTcpListener({ netns: server.netns, address: '0.0.0.0', port: 80, backlog: 65_535 })
  const checks: CheckRun[] = []
  const floors: FloorRun[] = []
  try {
    for (let turn = 0; turn < runs; turn++) {
      floors.push(await floorRun(floor, director))
      checks.push(await checkRun(director, servers, seconds))
    }
  } finally {
    closeSync(listener)
  }
  return { checks, floor: floors }
}

async function floorRun(program: string, director: Host): Promise<FloorRun> {
  const place = { path: `/proc/${process.pid}/fd/${director.netns.fd}` }
  const [command, args] = within(place, [program, '10.64.0.1', '80', '20000'])
  const { stdout } = await run(command, args)
  return JSON.parse(stdout) as FloorRun
}

async function checkRun(director: Host, servers: number, seconds: number): Promise<CheckRun> {
  const list = Array.from({ length: servers }, (_, index) => ({
    address: addressOf(index),
    port: 80,
    weight: 1,
  }))
  const set = (monitor: HealthMonitor): void =>
    monitor.set('bench', {
      servers: list,
      check: { kind: 'tcp', netns: director.netns },
      // Those that hang are asked as often as the others.
      rules: { backoff: false, transitionIntervalMilliseconds: 1000 },
    })
  const monitor = new HealthMonitor()
  try {
    set(monitor)
    // Until everybody was asked twice, and the code is compiled.
    while (monitor.counts.checks < servers * 2) await new Promise((resolve) => setTimeout(resolve, 50))
    const before = process.cpuUsage()
    monitor.resetCounts()
    const begun = performance.now()
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    const { user, system } = process.cpuUsage(before)
    const elapsed = performance.now() - begun
    const { checks: done, latenessMilliseconds } = monitor.counts
    const wrong = monitor
      .health('bench')!
      .servers.filter(({ verdict }, index) => verdict !== (index % oneHangsIn === 0 ? 'down' : 'up'))
    return {
      userMicroseconds: user / done,
      systemMicroseconds: system / done,
      processorShare: (user + system) / 1000 / elapsed,
      perSecond: (done / elapsed) * 1000,
      latenessP50: latenessMilliseconds.p50,
      latenessP99: latenessMilliseconds.p99,
      latenessMost: latenessMilliseconds.most,
      wrongVerdicts: wrong.length,
    }
  } finally {
    monitor.close()
  }
}
