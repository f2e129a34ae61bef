// Prints how many milliseconds the first import takes: by the clock, or of the processor where others use it meanwhile;
// and how many of the processor Node itself took to come here.
const start = performance.now()
const used = process.cpuUsage()
await import(process.argv[2])
const { user, system } = process.cpuUsage(used)
const taken = Math.min(performance.now() - start, (user + system) / 1000)
console.log(taken, (used.user + used.system) / 1000)
