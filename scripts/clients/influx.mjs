// Writes a few points with the npm package influx: node influx.mjs PORT DATABASE
import { FieldType, InfluxDB } from "influx";

const [port, database] = process.argv.slice(2);
const client = new InfluxDB({
  host: "127.0.0.1",
  port: Number(port),
  database,
  schema: [
    {
      measurement: "weather",
      tags: ["place", "sensor id"],
      fields: { degrees: FieldType.FLOAT, count: FieldType.INTEGER, open: FieldType.BOOLEAN, note: FieldType.STRING },
    },
  ],
});

for (const host of await client.ping(5000)) {
  if (!host.online) throw new Error(`${host.url} does not answer /ping as online`);
}

const time = BigInt("1767225600123456789");
await client.writePoints(
  [
    {
      measurement: "weather",
      tags: { place: "São Paulo, centro", "sensor id": "a=1" },
      fields: { degrees: 21.5, count: 9007199254740991, open: true, note: 'quote " backslash \\ 🦀' },
      timestamp: time.toString(),
    },
    { measurement: "weather", tags: { place: "東京" }, fields: { degrees: -0.25, open: false }, timestamp: (time + 1n).toString() },
  ],
  { precision: "n" },
);
await client.writePoints([{ measurement: "weather", tags: { place: "東京" }, fields: { count: 7 }, timestamp: 1767225601 }], { precision: "s" });
