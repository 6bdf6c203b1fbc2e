// Subscribers by ioredis, which must hear every message, in order.
//
//     pubsub_order.js PORT MESSAGES

const assert = require("node:assert/strict");
const Redis = require("ioredis");

const SUBSCRIBERS = 10;
// Published before all subscribers must have heard them: what waits for a connection is bounded.
const ROUND = 500;

const [port, messages] = process.argv.slice(2).map(Number);
const count = messages - (messages % ROUND);
const connect = () => new Redis(port, "127.0.0.1", { retryStrategy: null });

async function main() {
  let heard = 0;
  let wake = () => {};
  const subscribers = Array.from({ length: SUBSCRIBERS }, connect);
  await Promise.all(subscribers.map(async (subscriber) => {
    let next = 0;
    subscriber.on("message", (channel, text) => {
      assert.equal(channel, "news");
      assert.equal(text, `${next++} größer\r\n`);
      heard++;
      wake();
    });
    assert.equal(await subscriber.subscribe("sport", "news"), 2);
    assert.equal(await subscriber.unsubscribe("sport"), 1);
  }));
  const publisher = connect();
  for (let first = 0; first < count; first += ROUND) {
    const numbers = Array.from({ length: ROUND }, (_, at) => first + at);
    const reached = await Promise.all(numbers.map((number) => publisher.publish("news", `${number} größer\r\n`)));
    assert.ok(reached.every((members) => members === SUBSCRIBERS));
    while (heard < SUBSCRIBERS * (first + ROUND)) await new Promise((resolve) => { wake = resolve; });
  }
  await Promise.all(subscribers.map((subscriber) => subscriber.unsubscribe()));
  assert.equal(await publisher.publish("news", "nobody"), 0);
  await Promise.all([publisher, ...subscribers].map((client) => client.quit()));
  console.log(`${SUBSCRIBERS} subscribers heard ${count} messages each, in order`);
}

main().catch((error) => { console.error(error); process.exit(1); });
