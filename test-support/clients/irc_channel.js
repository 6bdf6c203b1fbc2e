// Bots of irc-framework in one channel: what each says, all others hear; ends, too.
//
//     irc_channel.js PORT BOTS LINES

const assert = require("node:assert/strict");
const { once } = require("node:events");
const IRC = require("irc-framework");

// Lines of each before all must have come: what waits for a connection is bounded.
const ROUND = 10;
const CHANNEL = "#bots";

const [port, count, lines] = process.argv.slice(2).map(Number);

class Bot {
  constructor(number) {
    this.nick = `bot${number}`;
    this.heard = [];
    this.client = new IRC.Client();
    this.client.on("privmsg", (event) => this.heard.push([event.nick, event.target, event.message]));
    this.client.connect({ host: "127.0.0.1", port, nick: this.nick, username: "bot", auto_reconnect: false });
  }

  async join() {
    await once(this.client, "registered");
    const names = once(this.client, "userlist");
    this.client.join(CHANNEL);
    await names;
  }

  async until(event, matches) {
    for (;;) {
      const [what] = await once(this.client, event);
      if (matches(what)) return;
    }
  }
}

async function main() {
  const bots = Array.from({ length: count }, (_, number) => new Bot(number));
  await Promise.all(bots.map((bot) => bot.join()));
  for (let first = 0; first < lines; first += ROUND) {
    for (let number = first; number < Math.min(first + ROUND, lines); number++) {
      for (const bot of bots) bot.client.say(CHANNEL, `${number} größer`);
    }
    const all = Math.min(first + ROUND, lines) * (count - 1);
    while (bots.some((bot) => bot.heard.length < all)) {
      await Promise.race(bots.filter((bot) => bot.heard.length < all).map((bot) => once(bot.client, "privmsg")));
    }
  }
  for (const bot of bots) {
    for (const other of bots.filter((other) => other !== bot)) {
      const heard = bot.heard.filter(([nick]) => nick === other.nick);
      assert.deepEqual(heard, Array.from({ length: lines }, (_, number) => [other.nick, CHANNEL, `${number} größer`]));
    }
  }

  const [first, second] = bots;
  const parted = second.until("part", (event) => event.nick === "bot0" && event.channel === CHANNEL);
  first.client.part(CHANNEL);
  await parted;
  const back = second.until("join", (event) => event.nick === "bot0" && event.channel === CHANNEL);
  first.client.join(CHANNEL);
  await back;
  const left = second.until("quit", (event) => event.nick === "bot0" && event.message === "so long");
  first.client.quit("so long");
  await left;
  const ended = Promise.all(bots.slice(1).map((bot) => once(bot.client, "socket close")));
  for (const bot of bots.slice(1)) bot.client.quit();
  await ended;
  console.log(`${count} bots heard ${lines} lines of each other, in order, and a part, a join and a quit`);
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
