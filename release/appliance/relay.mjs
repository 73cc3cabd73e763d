// QEMU starts this for each connection that the guest makes to 10.0.2.100:80, and passes bytes by stdin and stdout: they go on to the hub at
// the given host and port. For measuring and testing images alone; volunteers have the launcher's relay, which also shapes and counts.
// Plain JavaScript, since it is started for every connection.
import { connect } from "node:net"

const [host, port] = process.argv.slice(2)
const hub = connect(Number(port), host)
process.stdin.pipe(hub)
hub.pipe(process.stdout)
hub.on("error", () => process.exit(1))
hub.on("close", () => process.exit(0))
