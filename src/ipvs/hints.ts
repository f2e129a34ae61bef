import type { Acknowledgement } from '../netlink/index.js'

/**
 * What to do about the kernel's error numbers. IPVS parses its nests with a null extack (ip_vs_ctl.c), so the kernel
 * sends neither text nor offset for them: these lines are all that a user gets.
 */
export type Subject = 'service' | 'destination' | 'daemon' | 'config'

export const permissionHint =
  'IPVS needs CAP_NET_ADMIN in the initial user namespace: run as root, or give the container NET_ADMIN (a rootless container or an unprivileged user namespace does not suffice)'

export function hintFor(
  subject: Subject,
  verb: 'create' | 'set' | 'delete' | 'get' | 'zero',
): (acknowledged: Acknowledgement) => string | undefined {
  return ({ errno }) => {
    const always = general[errno]
    if (always !== undefined) return always
    return bySubject[subject][errno]?.(verb)
  }
}

const general: Readonly<Record<number, string>> = {
  [-1]: permissionHint,
  [-93]: 'The kernel has no IPVS support for this protocol (CONFIG_IP_VS_PROTO_*)',
  [-95]: 'The kernel does not know this command: it is older than it',
  [-97]:
    'The kernel has no IPVS support for this address family (IPv6 needs CONFIG_IP_VS_IPV6 and the module ipv6)',
  [-12]: 'The kernel is out of memory',
}

const bySubject: Readonly<Record<Subject, Readonly<Record<number, (verb: string) => string | undefined>>>> = {
  service: {
    [-17]: () => 'The service is there already: set it, or use ensure()',
    [-3]: () => 'There is no such virtual service in this network namespace',
    [-2]: () =>
      'The scheduler or the persistence engine is absent: the kernel needs the module ip_vs_<scheduler> (ip_vs_pe_<engine>)',
    [-22]: () => 'For IPv6 the persistence netmask is a prefix length from 1 to 128',
  },
  destination: {
    [-17]: () => 'The destination is there already: set it instead',
    [-3]: () => 'There is no such virtual service in this network namespace: create it first',
    [-2]: (verb) => (verb === 'create' ? undefined : 'The service has no such destination'),
    [-22]: (verb) =>
      verb === 'delete'
        ? undefined
        : 'The address must be unicast; lo must be up in this namespace (in a fresh one it is down); families may differ with tunnelling alone and not while a sync daemon runs; GUE needs a port',
    [-34]: () => 'The weight must not be negative and the lower threshold not above the upper one',
  },
  daemon: {
    [-17]: () => 'A sync daemon of this state runs already: stop it first',
    [-3]: () => 'No sync daemon of this state is running',
    [-19]: () => 'There is no such interface in this network namespace',
    [-22]: () =>
      'The multicast group must be a multicast address that the interface has a family for, and no service may have destinations of the other family',
    [-2]: () => 'No sync daemon of this state is running',
  },
  config: {
    [-22]: () => 'A timeout is too large for the kernel',
  },
}
