/** Packet flows of services that every dataplane has to pass, on that of IPVS. */
import { conformanceTests } from '../conformance/tests.js'
import { uses } from './support/features.js'

uses('ipvs')
conformanceTests('ipvs', 'published', 600)
