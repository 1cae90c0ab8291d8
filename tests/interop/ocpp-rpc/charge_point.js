// A charge point as the npm package `ocpp-rpc` drives it, its strict mode on: every message of either side
// is held against the package's own copy of the OCPP 1.6 schemas.
//
//     node charge_point.js ws://HOST:PORT/ocpp IDENTITY
//
// Boots, charges once, then obeys until its standard input ends. Prints one JSON object a line: the number
// of the session it charged by itself, then `ready`. Exits 1 if the central system says anything odd.
"use strict";

const assert = require("node:assert/strict");
const { RPCClient, createRPCError } = require("ocpp-rpc");

const [endpoint, identity] = process.argv.slice(2);
const client = new RPCClient({
  endpoint,
  identity,
  protocols: ["ocpp1.6"],
  strictMode: true,
  backoff: { initialDelay: 50, maxDelay: 500 },
});

const configuration = new Map([
  ["HeartbeatInterval", { value: "300", readonly: false }],
  ["NumberOfConnectors", { value: "1", readonly: true }],
]);
let transactionId;
let meterWh = 1000;

const tell = (what) => console.log(JSON.stringify(what));
const now = () => new Date().toISOString();
const soon = (what) => setImmediate(() => what().catch(fail));

function fail(error) {
  console.error(error);
  process.exit(1);
}

const status = (state) =>
  client.call("StatusNotification", {
    connectorId: 1,
    errorCode: "NoError",
    status: state,
    timestamp: now(),
  });

async function boot() {
  await client.connect();
  assert.equal(client.protocol, "ocpp1.6");
  const answer = await client.call("BootNotification", {
    chargePointVendor: "Interop",
    chargePointModel: "npm ocpp-rpc",
  });
  assert.equal(answer.status, "Accepted");
  assert.equal(answer.interval, 300);
  await status("Available");
}

async function start(idTag) {
  await status("Preparing");
  const answer = await client.call("StartTransaction", {
    connectorId: 1,
    idTag,
    meterStart: meterWh,
    timestamp: now(),
  });
  assert.equal(answer.idTagInfo.status, "Accepted");
  assert.ok(answer.transactionId > 0);
  transactionId = answer.transactionId;
  await status("Charging");
}

async function stop(reason) {
  meterWh += 7400;
  const stopped = transactionId;
  transactionId = undefined;
  await client.call("MeterValues", {
    connectorId: 1,
    transactionId: stopped,
    meterValue: [{ timestamp: now(), sampledValue: [{ value: String(meterWh), unit: "Wh" }] }],
  });
  await client.call("StopTransaction", { transactionId: stopped, meterStop: meterWh, timestamp: now(), reason });
  await status("Available");
  return stopped;
}

client.handle("RemoteStartTransaction", ({ params }) => {
  if (transactionId) return { status: "Rejected" };
  soon(() => start(params.idTag));
  return { status: "Accepted" };
});

client.handle("RemoteStopTransaction", ({ params }) => {
  if (params.transactionId !== transactionId) return { status: "Rejected" };
  soon(() => stop("Remote"));
  return { status: "Accepted" };
});

client.handle("Reset", () => {
  soon(async () => {
    await client.close({ awaitPending: true });
    await boot();
  });
  return { status: "Accepted" };
});

client.handle("GetConfiguration", ({ params }) => {
  const asked = params.key?.length ? params.key : [...configuration.keys()];
  return {
    configurationKey: asked.filter((key) => configuration.has(key)).map((key) => ({ key, ...configuration.get(key) })),
    unknownKey: asked.filter((key) => !configuration.has(key)),
  };
});

client.handle("ChangeConfiguration", ({ params }) => {
  const known = configuration.get(params.key);
  if (!known) return { status: "NotSupported" };
  if (known.readonly) return { status: "Rejected" };
  known.value = params.value;
  return { status: "Accepted" };
});

client.handle("TriggerMessage", ({ params }) => {
  if (params.requestedMessage !== "StatusNotification") return { status: "NotImplemented" };
  soon(() => status(transactionId ? "Charging" : "Available"));
  return { status: "Accepted" };
});

client.handle(() => {
  throw createRPCError("NotImplemented");
});

client.on("strictValidationFailure", ({ error }) => fail(error));
client.on("badMessage", ({ error }) => fail(error));

async function main() {
  await boot();
  const heartbeat = await client.call("Heartbeat", {});
  assert.match(heartbeat.currentTime, /Z$/);
  const verdict = await client.call("Authorize", { idTag: "CAFE0001" });
  assert.equal(verdict.idTagInfo.status, "Accepted");
  await start("CAFE0001");
  tell({ transaction_id: await stop("Local") });
  tell({ ready: true });
  process.stdin.resume();
  process.stdin.on("end", () => client.close().then(() => process.exit(0), fail));
}

main().catch(fail);
