// Prints how many milliseconds the first import takes: by the clock, or of the processor where others use it meanwhile.
const start = performance.now()
const used = process.cpuUsage()
await import(process.argv[2])
const { user, system } = process.cpuUsage(used)
console.log(Math.min(performance.now() - start, (user + system) / 1000))
