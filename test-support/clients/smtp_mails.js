// Sends mails by nodemailer, with attachments, over a pool of connections, and looks for each in what was kept.
//
//     smtp_mails.js PORT MAILS FOLDER

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");
const nodemailer = require("nodemailer");

const PATIENCE_MS = 60_000;
const [port, count, folder] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];

async function main() {
  const transport = nodemailer.createTransport({ host: "127.0.0.1", port, pool: true, maxConnections: 8, ignoreTLS: true });
  const attachment = Buffer.from(Array.from({ length: 3000 }, (_, at) => at % 256));
  await Promise.all(Array.from({ length: count }, async (_, number) => {
    const sent = await transport.sendMail({
      from: "a@example.com",
      to: ["b@example.com", "c@example.com"],
      subject: `number ${number} of größer`,
      text: `.\n..\n.${"x".repeat(number % 60)}\n`,
      attachments: [{ filename: "bytes", content: attachment }],
    });
    assert.equal(sent.accepted.length, 2);
    assert.match(sent.response, /^250 /);
  }));
  transport.close();

  const deadline = Date.now() + PATIENCE_MS;
  const kept = () => fs.readdirSync(folder).filter((name) => name.endsWith(".eml"));
  while (kept().length < count) {
    assert.ok(Date.now() < deadline, `${kept().length} of ${count} mails were kept`);
    await sleep(50);
  }
  const base64 = attachment.toString("base64").match(/.{1,76}/g).join("\r\n");
  for (const name of kept()) {
    const text = fs.readFileSync(path.join(folder, name), "latin1");
    assert.ok(text.includes(base64), `${name}: its attachment is another`);
    assert.match(text, /\r\n\r\n\.\r\n\.\.\r\n\.x*\r\n/, `${name}: its dots are others`);
  }
  console.log(`${count} mails with attachments were kept as they were sent`);
}

main().catch((error) => { console.error(error); process.exit(1); });
