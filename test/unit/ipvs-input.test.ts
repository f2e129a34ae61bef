import t from 'tap'
import { isValidationError, type ValidationError } from '../../src/errors/index.js'
import {
  destinationId,
  type DestinationInput,
  serviceId,
  type ServiceInput,
  type ServiceKey,
  wireDestination,
  wireKey,
  wireService,
} from '../../src/ipvs/input.js'

const web: ServiceKey = { protocol: 'tcp', address: '192.0.2.1', port: 80 }
const mark: ServiceKey = { firewallMark: 7, family: 'ipv4' }

function refusal(act: () => unknown): ValidationError | undefined {
  try {
    act()
  } catch (error) {
    if (isValidationError(error)) return error
    throw error
  }
  return undefined
}

void t.test('a service that the kernel would accept and could not serve is refused', async (t) => {
  const cases: [ServiceInput, string][] = [
    [{ ...web, port: 0 }, 'service.port'],
    [{ ...web, onePacket: true }, 'service.onePacket'],
    [{ ...web, protocol: 'sctp', onePacket: true }, 'service.onePacket'],
    [{ ...web, port: 65_536 }, 'service.port'],
    [{ ...web, port: 1.5 }, 'service.port'],
    [{ ...web, protocol: 'icmp' as 'tcp' }, 'service.protocol'],
    [{ ...web, protocol: 'toString' as 'tcp' }, 'service.protocol'],
    [{ ...web, address: '' }, 'service.address'],
    [{ ...web, persistenceTimeoutSeconds: -1 }, 'service.persistenceTimeoutSeconds'],
    [{ ...web, persistenceTimeoutSeconds: 2_678_401 }, 'service.persistenceTimeoutSeconds'],
    [{ ...web, persistenceEngine: 'sip' }, 'service.persistenceEngine'],
    [{ ...web, persistenceTimeoutSeconds: 60, persistenceEngine: 'sip' }, 'service.persistenceEngine'],
    [{ ...web, scheduler: 'rr', schedulerFlags: ['sh-port'] }, 'service.schedulerFlags[0]'],
    [{ ...web, scheduler: 'sh', schedulerFlags: ['sh-port', 'mh-port'] }, 'service.schedulerFlags[1]'],
    [{ firewallMark: 0, family: 'ipv4' }, 'service.firewallMark'],
    [{ firewallMark: 2 ** 32, family: 'ipv4' }, 'service.firewallMark'],
    [{ firewallMark: 1 } as ServiceInput, 'service.family'],
    [{ ...mark, port: 80 } as unknown as ServiceInput, 'service'],
  ]
  for (const [input, path] of cases)
    t.equal(refusal(() => wireService(input))?.path, path, JSON.stringify(input))
})

void t.test('a service gets its defaults', async (t) => {
  t.match(wireService(web), {
    scheduler: 'wlc',
    persistenceTimeoutSeconds: 0,
    persistenceNetmask: 32,
    flags: { flags: 0 },
  })
  t.match(wireService({ ...web, address: '2001:db8::1' }), { family: 'ipv6', persistenceNetmask: 128 })
  t.match(wireService({ ...web, port: 0, persistenceTimeoutSeconds: 60 }), { flags: { flags: 1 } })
  t.match(wireService({ ...web, protocol: 'udp', onePacket: true }), { flags: { flags: 4 } })
  t.match(wireService({ ...web, scheduler: 'mh', schedulerFlags: ['mh-fallback', 'mh-port'] }), {
    flags: { flags: 0x18 },
  })
  t.match(wireService({ ...mark, onePacket: true }), { firewallMark: 7, flags: { flags: 4 } })
})

void t.test('a destination that the kernel would accept and could not reach is refused', async (t) => {
  const a: DestinationInput = { address: '10.0.0.1', port: 8080 }
  const cases: [ServiceKey, DestinationInput, string][] = [
    [web, { ...a, forwardingMethod: 'direct-route' }, 'destination.port'],
    [web, { ...a, forwardingMethod: 'tunnel' }, 'destination.port'],
    [web, { ...a, forwardingMethod: 'local' }, 'destination.port'],
    [{ ...web, port: 0 }, a, 'destination.port'],
    [web, { ...a, forwardingMethod: 'bypass' }, 'destination.forwardingMethod'],
    [web, { ...a, forwardingMethod: 'teleport' as 'local' }, 'destination.forwardingMethod'],
    [web, { address: '2001:db8::7' }, 'destination.forwardingMethod'],
    [mark, { address: '2001:db8::7' }, 'destination.forwardingMethod'],
    [web, { ...a, weight: -1 }, 'destination.weight'],
    [web, { ...a, weight: 2 ** 31 }, 'destination.weight'],
    [web, { ...a, upperThreshold: 1, lowerThreshold: 2 }, 'destination.lowerThreshold'],
    [web, { ...a, tunnelType: 'gre' }, 'destination.tunnelType'],
    [web, { ...a, tunnelPort: 5 }, 'destination.tunnelPort'],
    [web, { address: '10.0.0.1', forwardingMethod: 'tunnel', tunnelType: 'gue' }, 'destination.tunnelPort'],
    [web, { address: '10.0.0.1', forwardingMethod: 'tunnel', tunnelPort: 6080 }, 'destination.tunnelPort'],
    [
      web,
      { address: '10.0.0.1', forwardingMethod: 'tunnel', tunnelFlags: ['checksum'] },
      'destination.tunnelFlags',
    ],
    [
      web,
      { address: '10.0.0.1', forwardingMethod: 'tunnel', tunnelType: 'vxlan' as 'gre' },
      'destination.tunnelType',
    ],
    [
      web,
      {
        address: '10.0.0.1',
        forwardingMethod: 'tunnel',
        tunnelType: 'gre',
        tunnelFlags: ['remote-checksum'],
      },
      'destination.tunnelFlags',
    ],
    [web, { address: '', port: 80 }, 'destination.address'],
    [web, { address: '10.0.0.1', port: -1 }, 'destination.port'],
  ]
  for (const [service, input, path] of cases) {
    t.equal(refusal(() => wireDestination(service, input))?.path, path, JSON.stringify(input))
  }
})

void t.test('a destination gets its defaults, and the port of its service', async (t) => {
  t.match(wireDestination(web, { address: '10.0.0.1' }), {
    port: 80,
    forwardingMethod: 'masquerade',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    family: 'ipv4',
  })
  t.match(wireDestination(web, { address: '2001:db8::7', forwardingMethod: 'tunnel' }), {
    family: 'ipv6',
    tunnelType: 'ipip',
    tunnelPort: 0,
  })
  t.match(wireDestination(mark, { address: '10.0.0.1' }), { port: 0 })
})

void t.test('one identity for every spelling', async (t) => {
  t.equal(
    serviceId({ protocol: 'tcp', address: '2001:DB8::0:1', port: 80 }),
    serviceId({ protocol: 'tcp', address: '2001:db8::1', port: 80 }),
  )
  t.equal(serviceId(mark), 'mark 7 ipv4')
  t.equal(destinationId(web, { address: '10.0.0.1' }), '10.0.0.1:80')
  t.equal(destinationId(web, { address: '2001:DB8::7', port: 81 }), '[2001:db8::7]:81')
  t.same(wireKey(mark), { family: 'ipv4', firewallMark: 7 })
})
