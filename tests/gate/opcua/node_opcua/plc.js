// Plays the PLC at the gate: `node plc.js`, its orders as one JSON object on stdin, its report on stdout.
//
// It scans every 10 ms: writes its block, reads the line's, counts one part, takes the line's verdict and
// acknowledges it. Where the values lie in the blocks it is told; what OPC UA is it knows by itself.
"use strict";
const {
  AttributeIds, ClientMonitoredItem, DataType, MessageSecurityMode, OPCUAClient, SecurityPolicy,
  StatusCodes, TimestampsToReturn, VariantArrayType, constructEventFilter, makeBrowsePath,
} = require("node-opcua-client");

const SCAN_MS = 10;
const COUNT_AT_SCAN = 20;
const MOST_SCANS = 3000;
const ROUND_TRIPS = 100;
const EVENT = ["ResultId", "PartId", "Outcome", "Reason", "InternalRecipeId"];

class Block {
  constructor(registers, words) {
    this.at = new Map(registers.map((register) => [register.name, register]));
    const last = registers[registers.length - 1];
    this.words = words || new Uint16Array(last.offset + 1);
  }
  set(name, value) {
    const { offset, kind } = this.at.get(name);
    if (kind === "u32") {
      this.words[offset] = value >>> 16;
      this.words[offset + 1] = value & 0xffff;
    } else {
      this.words[offset] = value & 0xffff;
    }
  }
  get(name) {
    const { offset, kind } = this.at.get(name);
    return kind === "u32" ? this.words[offset] * 65536 + this.words[offset + 1] : this.words[offset];
  }
}

async function child(session, ...names) {
  const path = names.map((name) => `.${name}`).join("");
  const found = await session.translateBrowsePath(makeBrowsePath("ObjectsFolder", path.replace(".", "/")));
  if (!found.statusCode.isGood()) throw new Error(`${path}: ${found.statusCode}`);
  return found.targets[0].targetId;
}

async function value(session, node) {
  const read = await session.read({ nodeId: node, attributeId: AttributeIds.Value });
  return read.value.value;
}

function write(session, node, words) {
  return session.write({
    nodeId: node,
    attributeId: AttributeIds.Value,
    value: { value: { dataType: DataType.UInt16, arrayType: VariantArrayType.Array, value: words } },
  });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main(orders) {
  const options = { endpointMustExist: false, connectionStrategy: { maxRetry: 0 }, keepSessionAlive: false };
  if (orders.certificate) {
    Object.assign(options, {
      certificateFile: orders.certificate,
      privateKeyFile: orders.privateKey,
      securityMode: MessageSecurityMode.SignAndEncrypt,
      securityPolicy: SecurityPolicy.Basic256Sha256,
      applicationUri: orders.applicationUri,
    });
  }
  const client = OPCUAClient.create(options);
  await client.connect(orders.endpoint);
  const session = await client.createSession();
  const space = await session.readNamespaceArray();
  const ns = space.indexOf(orders.namespace);
  const named = (...names) => child(session, ...names.map((name) => `${ns}:${name}`));
  const gate = { plc: await named("Gate", "PlcToLine"), line: await named("Gate", "LineToPlc") };
  const machine = ["VisionSystem", "VisionStateMachine"];
  const report = {
    recipe: await value(session, await named("VisionSystem", "RecipeManagement", "Recipes", "Active", "InternalId")),
    events: [],
  };

  const subscription = await session.createSubscription2({
    requestedPublishingInterval: SCAN_MS, requestedLifetimeCount: 300, requestedMaxKeepAliveCount: 50,
    maxNotificationsPerPublish: 100, publishingEnabled: true, priority: 1,
  });
  const watched = ClientMonitoredItem.create(
    subscription,
    { nodeId: await named("VisionSystem", "ResultManagement"), attributeId: AttributeIds.EventNotifier },
    { samplingInterval: 0, queueSize: 50, filter: constructEventFilter(EVENT.map((name) => `${ns}:${name}`)) },
    TimestampsToReturn.Both,
  );
  watched.on("changed", (fields) => {
    report.events.push(Object.fromEntries(EVENT.map((name, index) => [name, fields[index].value])));
  });
  let line = new Block(orders.line);
  ClientMonitoredItem.create(
    subscription,
    { nodeId: gate.line, attributeId: AttributeIds.Value },
    { samplingInterval: 0, queueSize: 10, discardOldest: true },
    TimestampsToReturn.Both,
  ).on("changed", (data) => { line = new Block(orders.line, data.value.value); });

  const own = new Block(orders.plc);
  for (const [name, said] of Object.entries(orders.constant)) own.set(name, said);
  const scan = async (number) => {
    own.set("sequence", number);
    own.set("sequence_end", number);
    own.set("heartbeat_seen", line.get("heartbeat"));
    own.set("clock_ms", Date.now() % 2 ** 32);
    const status = await write(session, gate.plc, own.words);
    if (status !== StatusCodes.Good) throw new Error(`writing the PLC's block: ${status}`);
  };
  let counted = 0;
  for (let number = 1; ; number += 1) {
    if (number > MOST_SCANS) throw new Error(`no verdict and no event: ${JSON.stringify(report)}`);
    if (number === COUNT_AT_SCAN) {
      own.set("part_count", 1);
      own.set("photo_eye[1].number", 1);
      own.set("photo_eye[1].clock_ms", Date.now() % 2 ** 32);
      counted = performance.now();
    }
    if (!report.outcome && line.get("result[1].number") === 1) {
      report.outcome = line.get("result[1].outcome");
      report.verdict_ms = performance.now() - counted;
      own.set("results_taken", 1);
      own.set("gate_count", 1);
      for (const [name, said] of Object.entries(orders.gate_result)) own.set(name, said);
    }
    await scan(number);
    if (report.outcome && report.events.length && line.get("gate_read") === 1) break;
    await pause(SCAN_MS);
  }
  report.state = (await value(session, await named(...machine, "AutomaticModeStateMachine").then(
    (node) => session.translateBrowsePath(makeBrowsePath(node, ".CurrentState")).then((found) => found.targets[0].targetId),
  ))).text;

  const second = OPCUAClient.create(options);
  await second.connect(orders.endpoint);
  const theirs = await second.createSession();
  await scan(999);
  report.second_writer = (await write(theirs, gate.plc, own.words)).name;
  await theirs.close();
  await second.disconnect();

  const trips = [];
  for (let trip = 0; trip < ROUND_TRIPS; trip += 1) {
    const began = performance.now();
    await scan(1000 + trip);
    await value(session, gate.line);
    trips.push(performance.now() - began);
  }
  trips.sort((a, b) => a - b);
  report.round_trip_ms = { median: trips[ROUND_TRIPS / 2], p99: trips[Math.floor(ROUND_TRIPS * 0.99)] };
  await session.close();
  await client.disconnect();
  return report;
}

let orders = "";
process.stdin.on("data", (chunk) => { orders += chunk; });
process.stdin.on("end", () => {
  main(JSON.parse(orders)).then(
    (report) => { process.stdout.write(`${JSON.stringify(report)}\n`); process.exit(0); },
    (error) => { process.stderr.write(`${error.stack}\n`); process.exit(1); },
  );
});
