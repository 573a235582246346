// One write with the npm package influx. Takes what to do as JSON, and prints as JSON what became of it.
import { FieldType, InfluxDB } from "influx";

const { port, database, username, password, points, precision = "n", create = false } = JSON.parse(process.argv[2]);
const schema = {
  measurement: "weather",
  tags: ["place", "sensor id"],
  fields: { degrees: FieldType.FLOAT, count: FieldType.INTEGER, open: FieldType.BOOLEAN, note: FieldType.STRING },
};
const client = new InfluxDB({ host: "127.0.0.1", port, database, username, password, schema: [schema] });
const outcome = { error: null };
try {
  for (const host of await client.ping(5000)) {
    if (!host.online) throw new Error(`${host.url} does not answer /ping as online`);
  }
  if (create) {
    await client.createDatabase(database);
    outcome.databases = await client.getDatabaseNames();
  }
  await client.writePoints(points, { precision });
} catch (error) {
  outcome.error = { name: error.constructor.name, message: error.message, status: error.res?.statusCode ?? null };
}
console.log(JSON.stringify(outcome));
