/** Rulesets laid out as other programs lay out theirs: a host's firewall, container engines, and iptables over nf_tables. */

/** In the manner of firewalld: a table for all, zones as chains, and what came in by an interface is sent to its zone. */
export const firewall = `
table inet firewalld {
  ct helper helper-ftp-tcp { type "ftp" protocol tcp; l3proto inet; }
  set trusted { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.1-192.0.2.9 } }
  set blocked { type ipv4_addr . inet_service; flags timeout; timeout 1h; }
  chain mangle_PREROUTING {
    type filter hook prerouting priority mangle + 10; policy accept;
    jump mangle_PREROUTING_ZONES
  }
  chain mangle_PREROUTING_ZONES {
    iifname "lo" return
    goto mangle_PRE_public
  }
  chain mangle_PRE_public { meta mark 0x64 return; }
  chain nat_POSTROUTING {
    type nat hook postrouting priority srcnat + 10; policy accept;
    meta nfproto ipv4 oifname != "lo" masquerade
  }
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES {
    ip saddr @trusted goto filter_IN_trusted
    iifname vmap { "lo" : goto filter_IN_trusted, "eth0" : goto filter_IN_public, "eth1" : goto filter_IN_public }
    goto filter_IN_public
  }
  chain filter_IN_trusted { accept; }
  chain filter_IN_public {
    tcp dport 22 accept
    tcp dport 21 ct helper set "helper-ftp-tcp"
    ip6 daddr fe80::/64 udp dport 546 accept
    icmpv6 type { nd-neighbor-advert, nd-neighbor-solicit, nd-router-advert, nd-redirect } accept
    ip saddr . tcp dport @blocked drop
    meta nfproto ipv6 fib saddr . mark . iif oif missing log prefix "rpfilter_DROP: " drop
  }
}
`

/** In the manner of container engines: maps that send each bridge and each published port to a chain of its own. */
export const containers = `
table ip docker-bridges {
  map filter-forward-in-jumps { type ifname : verdict; }
  map filter-forward-out-jumps { type ifname : verdict; }
  chain filter-forward-in__docker0 {
    ct state established,related counter accept
    iifname "docker0" counter accept comment "ICC"
    ip daddr 172.17.0.2 tcp dport 80 counter accept
    counter drop comment "UNPUBLISHED PORT DROP"
  }
  chain filter-forward-out__docker0 {
    ct state established,related counter accept
    counter accept
  }
  chain filter-FORWARD {
    type filter hook forward priority filter; policy accept;
    oifname vmap @filter-forward-in-jumps
    iifname vmap @filter-forward-out-jumps
  }
  chain nat-prerouting-and-output {
    tcp dport 8080 counter dnat to 172.17.0.2:80 comment "DNAT"
  }
  chain nat-PREROUTING {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local counter jump nat-prerouting-and-output
  }
  chain nat-POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    oifname != "docker0" ip saddr 172.17.0.0/16 counter masquerade comment "MASQUERADE"
  }
  chain raw-PREROUTING {
    type filter hook prerouting priority raw; policy accept;
    ip daddr 172.17.0.2 iifname != "docker0" counter drop comment "DROP DIRECT ACCESS"
  }
}
add element ip docker-bridges filter-forward-in-jumps { "docker0" : jump filter-forward-in__docker0 }
add element ip docker-bridges filter-forward-out-jumps { "docker0" : jump filter-forward-out__docker0 }
table inet netavark {
  chain INPUT {
    type filter hook input priority filter; policy accept;
    ip saddr 10.88.0.0/16 meta l4proto { tcp, udp } th dport 53 accept
  }
  chain FORWARD {
    type filter hook forward priority filter; policy accept;
    ct state invalid drop
    ip daddr 10.88.0.0/16 ct state { established, related } accept
    ip saddr 10.88.0.0/16 accept
  }
  chain POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & 0x00002000 == 0x00002000 masquerade
    ip saddr 10.88.0.0/16 jump nv_2f259bab_10_88_0_0_nm16
  }
  chain HOSTPORT-SETMARK { meta mark set meta mark | 0x00002000; }
  chain HOSTPORT-DNAT { tcp dport 8088 goto nv_2f259bab_10_88_0_0_nm16_dnat; }
  chain PREROUTING {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump HOSTPORT-DNAT
  }
  chain nv_2f259bab_10_88_0_0_nm16 {
    ip daddr 10.88.0.0/16 accept
    ip daddr != 224.0.0.0/4 masquerade
  }
  chain nv_2f259bab_10_88_0_0_nm16_dnat {
    ip saddr 10.88.0.0/16 tcp dport 8088 jump HOSTPORT-SETMARK
    tcp dport 8088 dnat ip to 10.88.0.2:80
  }
}
`

/** For iptables-restore. Some of it has no words in nf_tables, and goes as matches and targets of iptables. */
export const iptables = `
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A INPUT -p tcp -m multiport --dports 22,80,1000:2000 -j ACCEPT
-A INPUT -m mark --mark 0x1/0xff -j DROP
-A INPUT -p tcp -m string --string "evil" --algo bm -j REJECT --reject-with tcp-reset
-A INPUT -m limit --limit 5/min -m comment --comment "some of them" -j LOG --log-prefix "in: "
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.18.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp --dport 8081 -m addrtype --dst-type LOCAL -j DNAT --to-destination 172.18.0.2:80
-A POSTROUTING -s 172.18.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p udp -j MARK --set-xmark 0x1/0x1
-A PREROUTING -p tcp -m tcp --syn -j TCPMSS --set-mss 1400
COMMIT
`
