/** What ipvsadm says to an error of the kernel's. */
import { isKernelError } from '../../errors/index.js'
import type { CommandName } from './options.js'

const noService = { ESRCH: 'No such service' }
const noEngine = 'Scheduler or persistence engine not found'
const ofServer = { ESRCH: 'Service not defined', ENOENT: 'No such destination' }

const byCommand: Readonly<Partial<Record<CommandName, Readonly<Record<string, string>>>>> = {
  'add-service': { EEXIST: 'Service already exists', ENOENT: noEngine },
  'edit-service': { ...noService, ENOENT: noEngine },
  'delete-service': noService,
  zero: noService,
  list: noService,
  save: noService,
  'add-server': { ESRCH: 'Service not defined', EEXIST: 'Destination already exists' },
  'edit-server': ofServer,
  'delete-server': ofServer,
  'start-daemon': { EEXIST: 'Daemon has already run' },
  'stop-daemon': { ESRCH: 'No daemon is running' },
}

const always: Readonly<Record<string, string>> = {
  EPERM: 'Permission denied (you must be root)',
  EINVAL: 'Invalid operation.  Possibly wrong module version, address not unicast, ...',
  ENOPROTOOPT: 'Protocol not available',
  ENOMEM: 'Memory allocation problem',
  EOPNOTSUPP: 'Operation not supported with IPv6',
  EAFNOSUPPORT: 'Operation not supported with specified address family',
  EMSGSIZE: 'Module is wrong version',
  // As strerror(3) has them.
  ENOENT: 'No such file or directory',
  ESRCH: 'No such process',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  ENODEV: 'No such device',
  ERANGE: 'Numerical result out of range',
  EPROTONOSUPPORT: 'Protocol not supported',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  ENETDOWN: 'Network is down',
  ENETUNREACH: 'Network is unreachable',
  ENOBUFS: 'No buffer space available',
}

export function kernelMessage(error: unknown, command: CommandName): string {
  // A namespace is not ipvsadm's: it has no words for one.
  if (isKernelError(error) && !error.operation.startsWith('netns.')) {
    const known = byCommand[command]?.[error.code] ?? always[error.code]
    // With words of the kernel's or of the transport's there is more to say than the number.
    if (known !== undefined && error.kernelMessage === undefined) return known
  }
  return error instanceof Error ? error.message : String(error)
}
