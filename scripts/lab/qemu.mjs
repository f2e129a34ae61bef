/**
 * QEMU's side of the lab: how a Debian kernel is booted with the host's file system as its root.
 */
import { ensurePackages } from '../packages.mjs'
import { channels } from './guest.mjs'

export const qemuPackages = ['qemu-system-x86', 'busybox-static', 'kmod', 'xz-utils']

/** What the initramfs inserts: the bus, the host's file system, the overlay, the channels. */
export const qemuModules = ['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'virtio_console']

/** @param {(line: string) => void} say */
export async function prepareQemu(say) {
  await ensurePackages(qemuPackages, { why: 'boot kernels that have IPVS', say })
}

/**
 * The program and arguments of a QEMU guest.
 *
 * @param {object} options
 * @param {'kvm' | 'tcg'} options.accelerator
 * @param {string} options.image
 * @param {string} options.initrd
 * @param {number} options.memoryMegabytes
 * @param {string | undefined} options.results folder that the guest may write to
 * @returns {[string, ...string[]]}
 */
export function qemuProgram({ accelerator, image, initrd, memoryMegabytes, results }) {
  return [
    'qemu-system-x86_64',
    ...['-accel', accelerator === 'tcg' ? 'tcg,thread=multi' : accelerator],
    ...['-cpu', 'max', '-smp', '2', '-m', String(memoryMegabytes)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', image, '-initrd', initrd],
    // An oops is a failure like a panic: the guest ends and its console is shown.
    ...['-append', 'console=ttyS0 panic=-1 oops=panic quiet mitigations=off lab_root=9p'],
    ...fileSystem('root', '/', ',readonly=on'),
    ...(results === undefined ? [] : fileSystem('results', results, '')),
    ...['-chardev', `socket,id=console,fd=${channels.console}`, '-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-pci'],
    ...['control', 'stdout', 'stderr'].flatMap((name) => [
      ...['-chardev', `socket,id=${name},fd=${channels[/** @type {'control'} */ (name)]}`],
      ...['-device', `virtserialport,chardev=${name},name=${name}`],
    ]),
  ]
}

/**
 * @param {string} tag
 * @param {string} path
 * @param {string} more
 */
function fileSystem(tag, path, more) {
  const escaped = path.replaceAll(',', ',,')
  return [
    ...['-fsdev', `local,id=${tag},path=${escaped},security_model=none,multidevs=remap${more}`],
    ...['-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
  ]
}
