/** Packet flows of our own, on the nftables dataplane. */
import { conformanceTests } from '../conformance/tests.js'

conformanceTests('nftables', 'own', 120)
