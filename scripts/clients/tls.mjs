// Writes one point over TLS: node tls.mjs PORT DATABASE. NODE_EXTRA_CA_CERTS names the certificate to trust.
import { InfluxDB } from "influx";

const [port, database] = process.argv.slice(2);
const client = new InfluxDB({ host: "localhost", port: Number(port), protocol: "https", database });
await client.writePoints([{ measurement: "weather", tags: { client: "npm" }, fields: { degrees: 21.5 }, timestamp: "1767225600000000000" }]);
