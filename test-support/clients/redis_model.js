// Random commands by ioredis or node-redis, pipelined by the client, against a Map.
//
//     redis_model.js PORT COMMANDS {ioredis|node-redis}

const assert = require("node:assert/strict");

const [port, count] = process.argv.slice(2, 4).map(Number);
let state = 1;
const below = (end) => {
  state = (state * 48271) % 2147483647;
  return state % end;
};
const pick = (list) => list[below(list.length)];
const KEYS = Array.from({ length: 40 }, (_, number) => `k${number}`).concat("", "a key\r\n", "ключ");
const value = () => (below(2) ? String(below(2000) - 1000) : "x\r\n".repeat(below(20)));
const map = new Map();

const add = (key, number) => {
  const old = map.get(key) ?? "0";
  if (!/^-?\d+$/.test(old)) return /not an integer/;
  map.set(key, String(Number(old) + number));
  return Number(old) + number;
};

// The arguments of a command, and what it answers.
const COMMANDS = {
  get: () => { const key = pick(KEYS); return [[key], map.get(key) ?? null]; },
  set: () => { const args = [pick(KEYS), value()]; map.set(...args); return [args, "OK"]; },
  del: () => { const keys = [pick(KEYS), pick(KEYS)]; return [keys, keys.filter((key) => map.delete(key)).length]; },
  exists: () => { const key = pick(KEYS); return [[key], Number(map.has(key))]; },
  incr: () => { const key = pick(KEYS); return [[key], add(key, 1)]; },
  incrby: () => { const key = pick(KEYS), number = below(1000) - 500; return [[key, number], add(key, number)]; },
  strlen: () => { const key = pick(KEYS); return [[key], Buffer.byteLength(map.get(key) ?? "")]; },
  echo: () => { const text = value(); return [[text], text]; },
};

// A function that sends a command.
const LIBRARIES = {
  ioredis: async () => {
    const Redis = require("ioredis");
    const redis = new Redis(port, "127.0.0.1", { enableAutoPipelining: true, retryStrategy: null });
    return (name, args) => redis[name](...args);
  },
  "node-redis": async () => {
    const client = require("redis").createClient({ socket: { host: "127.0.0.1", port, reconnectStrategy: false } });
    client.on("error", (error) => { console.error(error); process.exit(1); });
    await client.connect();
    return (name, args) => client.sendCommand([name, ...args.map(String)]);
  },
};

async function main() {
  const call = await LIBRARIES[process.argv[4]]();
  await call("flushall", []);
  for (let done = 0; done < count; ) {
    const round = Array.from({ length: 1 + below(100) }, () => {
      const name = pick(Object.keys(COMMANDS));
      const [args, expected] = COMMANDS[name]();
      return { name, args, expected, reply: call(name, args) };
    });
    for (const { name, args, expected, reply } of round) {
      const about = `${name} ${JSON.stringify(args)}`;
      if (expected instanceof RegExp) await assert.rejects(reply, expected, about);
      else assert.deepEqual(await reply, expected, about);
    }
    done += round.length;
  }
  assert.equal(await call("dbsize", []), map.size);
  await call("quit", []);
  console.log(`${count} commands agree with a Map`);
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
