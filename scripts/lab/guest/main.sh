# Second stage of a lab guest, process 1 with its final root: makes the system whole, runs the command and
# reports. Three channels lead to the host, each a device on which bytes pass unchanged:
#   control  "up <kernel release>", then "exit <status> <bytes of standard output> <bytes of standard error>"
#   stdout, stderr  what the command wrote
# The host ends the guest when it has all of them.

/run/lab/busybox mkdir /run/lab/bin
/run/lab/busybox --install -s /run/lab/bin
export PATH=/run/lab/bin
. /run/lab/settings.sh # $modules $results $results_at

mkdir -p /dev/shm /dev/pts /run/lock /sys/fs/cgroup
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
[ -e /dev/stdout ] || ln -s /proc/self/fd/1 /dev/stdout
[ -e /dev/stderr ] || ln -s /proc/self/fd/2 /dev/stderr
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null

release=$(uname -r)
mkdir -p "/lib/modules/$release"
mount --bind "$modules" "/lib/modules/$release"
hostname lab
# A module in user-mode Linux, and nothing asks for it when addresses are set over netlink.
/sbin/modprobe -q ipv6
# Before 7.x the kernel can lock up for good when these two are loaded by the first service that wants them
# while a namespace that used IPVS is being removed: ip_vs_add_service holds __ip_vs_mutex and waits for
# modprobe, which waits in register_pernet_subsys for cleanup_net, which waits in ip_vs_dst_event for that mutex. No other
# scheduler registers anything for each namespace.
/sbin/modprobe -aq ip_vs_lblc ip_vs_lblcr
ip link set lo up

case $results in
9p) mkdir -p "$results_at" && mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576 results "$results_at" ;;
hostfs) mount -t hostfs -o "$results_at" hostfs "$results_at" ;;
esac

if [ -e /sys/class/virtio-ports ]; then
  for port in /sys/class/virtio-ports/*; do
    eval "$(cat "$port/name")=/dev/${port##*/}"
  done
else
  control=/dev/tty1 stdout=/dev/tty2 stderr=/dev/tty3
  for tty in $control $stdout $stderr; do
    stty -F $tty raw -echo
  done
fi

# The command gets pipes, as it would from any parent: the devices themselves can be opened only once.
# tee carries over what comes out of them, wc counts it.
carriers=1 # processes that are needed to the end: this one first
for stream in stdout stderr; do
  mkfifo "/run/lab/$stream" "/run/lab/$stream.copy"
  wc -c <"/run/lab/$stream.copy" >"/run/lab/$stream.count" &
  carriers="$carriers $!"
  eval "device=\$$stream"
  tee "$device" <"/run/lab/$stream" >"/run/lab/$stream.copy" &
  carriers="$carriers $!"
done

exec 3>"$control"
echo "up $release" >&3

# The machine's own shell: the one of busybox would put its own tools before those in PATH.
/bin/sh /run/lab/command.sh </dev/null >/run/lab/stdout 2>/run/lab/stderr 3>&- &
wait $!
status=$?

# What the command left running would hold the pipes open.
for process in /proc/[0-9]*; do
  process=${process##*/}
  case " $carriers " in
  *" $process "*) ;;
  *) kill -9 "$process" 2>/dev/null ;;
  esac
done
wait ${carriers#1 }
[ -z "$results" ] || sync

echo "exit $status $(cat /run/lab/stdout.count) $(cat /run/lab/stderr.count)" >&3

# The host ends this guest now. Should it be gone, end by ourselves.
sleep 60
poweroff -n -f
