/** What `-h` and `-v` print. */

/** The version that this command stands in for; scripts look at it. */
export const version = 'ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n'

export function help(program: string): string {
  return `${version}
Services
  ${program} -A|--add-service SERVICE [SERVICE OPTIONS]
  ${program} -E|--edit-service SERVICE [SERVICE OPTIONS]
  ${program} -D|--delete-service SERVICE
  ${program} -C|--clear                          deletes all of them

  SERVICE is one of
    -t|--tcp-service, -u|--udp-service, --sctp-service HOST[:PORT]   ([ADDRESS]:PORT for IPv6)
    -f|--fwmark-service MARK [-6|--ipv6]
  SERVICE OPTIONS
    -s|--scheduler NAME       wlc unless said; rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh
    -b|--sched-flags FLAG,…   sh-fallback sh-port mh-fallback mh-port flag-1 flag-2 flag-3
    -p|--persistent [SECONDS] keeps clients at their server; 360 unless said
    -M|--netmask MASK         which clients count as one (a prefix length for IPv6)
    --pe ENGINE               what else tells clients apart: sip
    -o|--ops                  every datagram by itself

Real servers
  ${program} -a|--add-server SERVICE -r|--real-server HOST[:PORT] [SERVER OPTIONS]
  ${program} -e|--edit-server SERVICE -r|--real-server HOST[:PORT] [SERVER OPTIONS]
  ${program} -d|--delete-server SERVICE -r|--real-server HOST[:PORT]

  SERVER OPTIONS
    -g|--gatewaying, -i|--ipip, -m|--masquerading
                              direct routing (unless said), a tunnel, address translation
    -w|--weight NUMBER        1 unless said; 0 takes no new connections
    -x|--u-threshold NUMBER   no new connections from so many on
    -y|--l-threshold NUMBER   new ones again below so many
    --tun-type ipip|gue|gre, --tun-port PORT, --tun-nocsum, --tun-csum, --tun-remcsum

Lists
  ${program} -L|-l|--list [SERVICE] [-n|--numeric] [--nosort] [-X|--exact]
           [--stats] [--rate] [--thresholds] [--persistent-conn] [--tun-info]
  ${program} -L -c|--connection [-n] [--persistent-conn]
  ${program} -L --timeout, ${program} -L --daemon

Everything at once
  ${program} -S|--save [-n]                      as lines that -R reads, to standard output
  ${program} -R|--restore                        from standard input
  ${program} -Z|--zero [SERVICE]                 sets counters to zero
  ${program} --set TCP TCPFIN UDP                timeouts in seconds; 0 leaves one as it is
  ${program} --start-daemon master|backup [--mcast-interface NAME] [--syncid ID] [--sync-maxlen BYTES]
           [--mcast-group ADDRESS] [--mcast-port PORT] [--mcast-ttl TTL]
  ${program} --stop-daemon master|backup [--syncid ID]
`
}
