/** Configurations in which everything is said. */

export const head = { apiVersion: 'viaduct/v1', kind: 'Configuration' }

export const everything = {
  ...head,
  manifests: ['/etc/viaduct/manifests'],
  dataplane: {
    kind: 'ipvs',
    name: 'viaduct',
    statistics: true,
    masqueradeBit: 16384,
    netns: 'blue',
    scheduler: 'rr',
  },
  node: {
    name: 'a',
    zone: 'z',
    addresses: ['192.0.2.1', '2001:db8::1'],
    clusterRanges: ['10.244.0.0/16'],
    serviceRanges: ['10.96.0.0/12'],
    nodePortAddresses: ['192.0.2.0/24', '2001:db8::1'],
    masqueradeAll: true,
  },
  allocate: {
    clusterRanges: ['10.96.0.0/12'],
    nodePorts: '30000-32767',
    pools: { public: ['198.51.100.0/24'] },
  },
  reconcile: { coalesceMilliseconds: 10, repairIntervalMilliseconds: 60000 },
  health: {
    checks: [
      {
        services: ['default/*'],
        protocol: 'tcp',
        check: { kind: 'http', path: '/ready' },
        rules: { fall: 2 },
      },
    ],
  },
  healthCheckNodePorts: { enabled: true, addresses: ['192.0.2.1'] },
  edge: {
    device: 'eth0',
    addresses: ['192.0.2.10/24'],
    pools: { public: ['192.0.2.10-192.0.2.20'] },
    nodeHealthPort: 10256,
    vrrp: {
      virtualRouterId: 51,
      priority: 150,
      intervalCentiseconds: 20,
      preempt: false,
      preemptDelayMilliseconds: 100,
      peers: ['192.0.2.2'],
      sourceAddress: '192.0.2.1',
    },
  },
  dns: {
    listen: [{ address: '127.0.0.1', port: 5353 }],
    zones: ['cluster.local'],
    upstreams: ['192.0.2.53'],
    podRecords: 'verified',
    ttlSeconds: 5,
    rateLimit: { responsesPerSecond: 100, burst: 500 },
  },
  conntrack: {
    tcpEstablishedTimeoutSeconds: 86400,
    tcpCloseWaitTimeoutSeconds: 3600,
    tcpBeLiberal: true,
    udpTimeoutSeconds: 30,
    udpStreamTimeoutSeconds: 120,
  },
  state: { enabled: true, file: '/var/lib/viaduct/state' },
  control: { enabled: true, socket: '/run/viaduct/control.sock' },
  log: { level: 'info' },
}

export const kubeProxy = {
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  mode: 'ipvs',
  clusterCIDR: '10.244.0.0/16, fd00::/48',
  hostnameOverride: 'a',
  nodePortAddresses: ['192.0.2.0/24'],
  ipvs: { scheduler: 'rr', syncPeriod: '30s', minSyncPeriod: '100ms', strictARP: true, excludeCIDRs: null },
  iptables: { masqueradeAll: true, masqueradeBit: 14, syncPeriod: '1h' },
  conntrack: {
    maxPerCore: 32768,
    min: 0,
    tcpEstablishedTimeout: '24h0m0s',
    tcpCloseWaitTimeout: '1h',
    udpTimeout: '0s',
  },
  metricsBindAddress: '127.0.0.1:10249',
  bindAddress: '0.0.0.0',
  winkernel: { networkName: '' },
}
