#!/bin/busybox sh
# First stage of a lab guest, process 1 in the initramfs: makes the host's own file system, seen read-only
# with a tmpfs over it, the root of the guest and goes there. What follows is in main.sh.
#
# From the kernel's command line comes $lab_root: 9p (QEMU) or hostfs (user-mode Linux).

set -e
/bin/busybox mkdir -p /proc /sys /dev /host /layer /root
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null || true # initramfs may have it already

while read -r module; do
  insmod "/modules/$module"
done </modules/order

case $lab_root in
9p) mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=1048576,cache=loose root /host ;;
hostfs) mount -t hostfs -o ro hostfs /host ;;
esac

mount -t tmpfs -o size=90% layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /root

mount -t tmpfs -o mode=0755 run /root/run
mkdir -p /root/run/lab /root/proc /root/sys /root/dev
cp /bin/busybox /lab/main.sh /lab/settings.sh /lab/command.sh /root/run/lab/
mount --move /proc /root/proc
mount --move /sys /root/sys
mount --move /dev /root/dev

# Not chroot: the kernel starts modprobe in the root of process 1, and with a chroot nothing would load.
exec switch_root /root /run/lab/busybox sh /run/lab/main.sh
