import type { OptionRow } from '../options.js'

export const socketRow: OptionRow = {
  name: 'socket',
  value: 'FILE',
  help: 'the control socket of `viaduct run`; /run/viaduct/control.sock unless said',
}

export const runRows: readonly OptionRow[] = [
  {
    name: 'filename',
    short: 'f',
    value: 'FOLDER',
    isList: true,
    help: 'manifests: a folder or a file; may be given several times',
  },
  {
    name: 'dataplane',
    value: 'KIND',
    help: 'auto, nftables or ipvs; auto takes the best that this kernel has',
  },
  { name: 'config', value: 'FILE', help: 'a Configuration of viaduct/v1, or a KubeProxyConfiguration' },
  { name: 'dry-run', help: 'prints what would be done, and does nothing' },
  { name: 'teardown', help: 'removes all that is ours from the kernel, restores settings, and ends' },
  socketRow,
]

export const drainRows: readonly OptionRow[] = [
  { name: 'undo', help: 'the server gets connections again' },
  { name: 'wait', help: 'until its connections have ended' },
  { name: 'timeout', value: 'SECONDS', help: 'with --wait, and then it exits with 1; for ever unless said' },
]

export const explainRows: readonly OptionRow[] = [
  {
    name: 'from',
    value: 'ADDRESS',
    help: 'who sends it: an address, or `node`; somebody outside unless said',
  },
  { name: 'protocol', short: 'p', value: 'NAME', help: 'tcp, udp or sctp; tcp unless said' },
]
