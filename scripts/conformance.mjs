/**
 * `npm run conformance -- FILE.json --dataplane nftables|ipvs`: packet flows of services, checked with packets. Here if
 * this kernel has what the dataplane takes, else in the lab. `npm run conformance -- dns FILE.json`: queries, asked of a server.
 */
import { release } from 'node:os'
import path from 'node:path'
import { KernelUnavailableError, kernelHasIpvs, kernelRoles, runInLab } from './lab/index.mjs'
import { inProject, runNode } from './project.mjs'

const script = inProject('dist/test/conformance/main.js')
const dnsScript = inProject('dist/test/conformance/dns/main.js')
const dnsUsage = 'usage: npm run conformance -- dns FILE.json'
const usage = `usage: npm run conformance -- FILE.json --dataplane nftables|ipvs [--kernel ${kernelRoles.join('|')}]`
/** When the newest kernel cannot be had that day. */
const insteadOf = { newest: '6.12' }

/** @param {readonly string[]} args */
export async function conformance(args) {
  if (args[0] === 'dns') return dns(args.slice(1))
  const parsed = parseArguments(args)
  if (typeof parsed === 'string') {
    console.error(`conformance: ${parsed}\n${usage}`)
    return 2
  }
  const { dataplane, kernel } = parsed
  const file = fromCaller(parsed.file)
  const command = [script, file, dataplane]
  if (kernel === undefined && (dataplane === 'nftables' || (await kernelHasIpvs()))) {
    return (await runNode(command, { echo: true })).status
  }
  if (kernel === undefined) console.error(`This kernel, ${release()}, has no IPVS: booting one that has.`)
  return inLab(kernel ?? 'newest', [process.execPath, ...command])
}

async function dns(files) {
  if (files.length !== 1 || files[0].startsWith('-')) {
    console.error(`conformance: one file of cases\n${dnsUsage}`)
    return 2
  }
  return (await runNode([dnsScript, fromCaller(files[0])], { echo: true })).status
}

/** Relative files are those of where the command was given. */
const fromCaller = (file) => path.resolve(process.env.INIT_CWD ?? process.cwd(), file)

async function inLab(kernel, command) {
  try {
    const onOutput = (chunk, stream) => void process[stream].write(chunk)
    return (await runInLab({ kernel, command, onOutput })).status
  } catch (error) {
    if (!(error instanceof KernelUnavailableError) || insteadOf[kernel] === undefined) throw error
    console.error(`${error.message}: ${insteadOf[kernel]} takes its place.`)
    return inLab(insteadOf[kernel], command)
  }
}

/**
 * @param {readonly string[]} args
 * @returns {{ file: string, dataplane: string, kernel: string | undefined } | string} a string tells what is wrong
 */
export function parseArguments(args) {
  const choices = { dataplane: ['nftables', 'ipvs'], kernel: kernelRoles }
  const chosen = {}
  const files = []
  for (let index = 0; index < args.length; index++) {
    const [, name, given] = /^--([^=]+)(?:=(.*))?$/s.exec(args[index]) ?? []
    if (name === undefined) {
      if (args[index].startsWith('-')) return `unknown option ${args[index]}`
      files.push(args[index])
      continue
    }
    if (!Object.hasOwn(choices, name)) return `unknown option --${name}`
    const value = given ?? args[++index]
    if (!choices[name].includes(value)) {
      return `--${name} takes ${choices[name].join(' or ')}, not ${value ?? 'nothing'}`
    }
    chosen[name] = value
  }
  if (files.length !== 1) return files.length === 0 ? 'FILE.json is missing' : 'one file at a time'
  if (chosen.dataplane === undefined) return '--dataplane is missing'
  return { file: files[0], dataplane: chosen.dataplane, kernel: chosen.kernel }
}
