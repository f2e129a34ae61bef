/** The dataplane that keeps virtual services in IPVS. */
export { openIpvsDataplane, type TransportOf } from './dataplane.js'
