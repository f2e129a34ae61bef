/** Packet flows of services on the nftables dataplane. */
import { conformanceTests } from '../conformance/tests.js'

conformanceTests('nftables', process.env['VIADUCT_LAB'] === undefined ? 120 : 600)
