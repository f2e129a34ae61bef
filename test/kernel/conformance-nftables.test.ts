/** Packet flows of services that every dataplane has to pass, on that of nftables. */
import { conformanceTests } from '../conformance/tests.js'

conformanceTests('nftables', 'published', process.env['VIADUCT_LAB'] === undefined ? 120 : 600)
