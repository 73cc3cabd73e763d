// A study in cells, with the library that cah itself is made of: how far does an epidemic go, for several rates of contact?
//
//   CAH_HUB=http://127.0.0.1:8080 CAH_TOKEN=... node --import tsx examples/notebook/campaign.mjs
//
// `// %%` begins a cell in editors that know notebooks; each can be run again by itself, top to bottom.
import { ClientError, Hub } from "clouds-at-home/client"

// %% The hub. Calls are repeated and cut transfers resumed by themselves; what cannot succeed throws a ClientError.
const hub = new Hub({ url: process.env.CAH_HUB ?? "http://127.0.0.1:8080", token: process.env.CAH_TOKEN ?? null })
try {
  const { principal, hubVersion } = await hub.whoAmI()
  console.log(`${principal} at ${hub.url.origin}, version ${hubVersion}`)
} catch (error) {
  if (!(error instanceof ClientError)) throw error
  console.error(`${error.code}: ${error.message}${error.hint && `\n${error.hint}`}`)
  process.exit(error.exitCode)
}

// %% The model: one job for each rate of contact, which is appended to the command and becomes $1.
const model = `awk -v contacts="$1" 'BEGIN {
  susceptible = 0.999; ill = 0.001
  for (day = 0; day < 365; day++) {
    caught = contacts * 0.1 * susceptible * ill
    recovered = 0.1 * ill
    susceptible -= caught; ill += caught - recovered
    if (ill > peak) peak = ill
  }
  printf "%.3f %.3f\\n", 1 - susceptible, peak
}'`
const rates = ["0.5", "1.0", "1.5", "2.0", "3.0", "5.0"]
const { campaign } = await hub.submit({
  spec: { name: "epidemic", command: ["sh", "-c", model, "sh"], needs: { slots: 1 } },
  parameters: rates,
})
console.log(`campaign ${campaign}: ${rates.length} jobs`)

// %% Wait, and see what went wrong, if anything did.
const { campaign: ended, errors } = await hub.wait(campaign, { timeoutMs: 5 * 60_000 })
console.log(`finished ${ended?.counts?.finished} of ${ended?.counts?.total}`)
for (const { count, exitCode, message } of errors) console.log(`${count} × exit code ${exitCode} ${message}`)

// %% The results, by index, which is the order of the parameters.
const results = []
for await (const job of hub.jobs(campaign)) {
  const text = Buffer.from(job.result?.stdout?.inline ?? []).toString()
  const [caught = Number.NaN, peak = Number.NaN] = text.trim().split(" ").map(Number)
  results.push({ rate: rates[job.id?.index ?? 0], caught, peak, node: job.node })
}
console.table(results)

// %% A picture.
for (const { rate, caught } of results) {
  console.log(`${rate} ${"█".repeat(Math.round(caught * 40)).padEnd(40)} ${(caught * 100).toFixed(0)} %`)
}
hub.close()
