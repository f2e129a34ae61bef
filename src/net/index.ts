/** Network namespaces, and what is opened in them: sockets and files. */
export { type Netns, netnsPath, NetworkNamespace } from './namespace.js'
export {
  closeDescriptor,
  type FileOptions,
  openFile,
  readChunks,
  readFile,
  readLines,
  type ReadOptions,
  writeFile,
} from './files.js'
export type { SocketOptions } from './endpoints.js'
export {
  type ConnectOptions,
  connectTcp,
  connectUdp,
  listenTcp,
  type ListenOptions,
  openTcpListener,
  openUdp,
  openUdpServer,
  type TcpListenOptions,
} from './sockets.js'
export {
  type Datagram,
  DatagramSocket,
  openPacket,
  openPingSocket,
  openRaw,
  type PacketOptions,
  type PingSocketOptions,
  type RawOptions,
  type ReceiveOptions,
  type SendTarget,
} from './datagrams.js'
export { type UdpAnswerer, UdpServer } from './udp-server.js'
export { formatSettingsRecord, parseSettingsRecord, readSysctl, writeSysctl } from './sysctl.js'
export { ping, type PingOptions, type PingReply } from './ping.js'
export {
  type ConnectOutcome,
  type ConnectPlan,
  type ConnectPlanOptions,
  type PendingConnect,
  prepareConnect,
  takeOver,
  TcpConnector,
} from './connector.js'
