/** The dataplane that keeps virtual services in IPVS. */
export { openIpvsDataplane } from './dataplane.js'
