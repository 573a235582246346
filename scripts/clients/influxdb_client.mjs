// Writes lines with the npm package @influxdata/influxdb-client. Takes what to do as JSON, and prints as JSON what became of it.
import { InfluxDB, Point, setLogger } from "@influxdata/influxdb-client";

const what = JSON.parse(process.argv[2]);
const { port, bucket, token, lines, points = [], precision = "ns", compress = false, patience = 0, options } = what;
// What it would log is in the outcome.
setLogger({ error() {}, warn() {} });
const outcome = { error: null, retried: [], succeeded: 0 };
const quiet = {
  gzipThreshold: compress ? 0 : 1e9,
  writeFailed: (error, _, attempt) => {
    outcome.retried.push({ status: error.statusCode ?? null, attempt });
  },
  writeSuccess: (written) => {
    outcome.succeeded += written.length;
  },
};
const client = new InfluxDB({ url: `http://127.0.0.1:${port}`, token, writeOptions: { ...quiet, ...options } });
const writer = client.getWriteApi("any", bucket, precision);
try {
  for (const line of lines) writer.writeRecord(line);
  for (const { place, degrees, count, open, note, time } of points) {
    const point = new Point("weather").tag("place", place);
    if (degrees !== undefined) point.floatField("degrees", degrees);
    if (count !== undefined) point.intField("count", count);
    if (open !== undefined) point.booleanField("open", open);
    if (note !== undefined) point.stringField("note", note);
    writer.writePoint(point.timestamp(time));
  }
  // close() tries what waits for its retry once more, at once, and gives it up: whoever retries has to stay open.
  const wanted = lines.length + points.length;
  const deadline = Date.now() + patience * 1000;
  if (patience) await writer.flush(false).catch(() => {});
  while (Date.now() < deadline && outcome.succeeded < wanted) await new Promise((resolve) => setTimeout(resolve, 50));
  await writer.close();
} catch (error) {
  outcome.error = { name: error.constructor.name, message: error.message, status: error.statusCode ?? null, body: error.body ?? null };
}
console.log(JSON.stringify(outcome));
