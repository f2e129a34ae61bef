/** Packet flows of services, on the IPVS dataplane. */
import { conformanceTests } from '../conformance/tests.js'
import { uses } from './support/features.js'

uses('ipvs')
conformanceTests('ipvs', 600)
