import { commonOptions, helpOf } from '../options.js'
import { drainRows, explainRows, runRows, socketRow } from './rows.js'

/** What `viaduct run --help` and its like print. */
export const help = `Usage: viaduct run [-f FOLDER]… [--config FILE] [--dataplane KIND] [--dry-run | --teardown]
       viaduct status | get services|endpoints|nodes | describe service NAME
       viaduct completion bash|zsh|fish
       viaduct drain SERVER [--undo] | explain ADDRESS:PORT [--from ADDRESS] [--protocol NAME]

Keeps the kernel at what manifests say: Services, EndpointSlices, Pods and Nodes as Kubernetes writes them, and a short form of
viaduct's own. It ends by SIGTERM, and everything goes on forwarding; SIGHUP has it read its configuration again.

  run        follows folders of manifests until it is ended
  status     whether everything is as it was asked for, and what is not
  get        services, endpoints or nodes, a line each
  describe   all there is to know of a service: where it was written, its servers, and why each gets what it gets
  drain      a server keeps its connections and gets no new ones; ADDRESS or ADDRESS:PORT
  explain    what becomes of a packet, step by step: the service, the policy, who may be chosen, the entry that decides

Of run
${helpOf(runRows)}
Of drain
${helpOf(drainRows)}
Of explain
${helpOf(explainRows)}
Of those that ask
${helpOf([socketRow])}
Of all
${helpOf(commonOptions)}
Examples
  viaduct run -f manifests
  viaduct run -f manifests --dataplane ipvs --dry-run
  viaduct explain 10.96.0.10:80 --from 10.0.1.5
  viaduct drain 10.0.2.7:8080

Exit status: 0 done, 1 it could not be done (of status: something is not as it was asked for), 2 the arguments or the
configuration cannot be meant, 3 no \`viaduct run\` answers, 255 an option is unknown.
`
