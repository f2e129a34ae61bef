/** Packet flows of our own, on the IPVS dataplane. */
import { conformanceTests } from '../../conformance/tests.js'
import { uses } from '../../lab/support/features.js'

uses('ipvs')
conformanceTests('ipvs', 'own', 600)
