// The table of connections. Addresses come from outside: they are set as text only.
const LISTED = 20;
// Time between two lists, in milliseconds. A list reads every connection of the server.
const PAUSE = 2000;
const COLUMNS = [
  ['id', (c) => c.id], ['peer', (c) => c.peer],
  ['state', (c) => [mark(STATES[c.state]?.[0] ?? 'gray'), STATES[c.state]?.[1] ?? c.state]],
  ['for', (c) => age(c.state_seconds)], ['cause', (c) => c.write_wait_cause ?? '–'],
  ['waited', (c) => age(c.write_wait_seconds)], ['unsent', (c) => size(c.unsent_bytes)],
  ['idle', (c) => age(c.idle_seconds ?? NaN)], ['age', (c) => age(c.age_seconds)], ['lines', (c) => short(c.lines)],
  ['read', (c) => size(c.read_bytes ?? NaN)], ['written', (c) => size(c.written_bytes ?? NaN)],
  ['round trip', (c) => time(c.rtt_seconds ?? NaN)], ['sent again', (c) => short(c.retransmits ?? NaN)],
];

function listed(words) {
  by('listed').textContent = `· ${words}`;
}

async function list() {
  const sort = by('sort').value;
  try {
    const answer = await fetch(`connections?limit=${LISTED}&sort=${sort}`, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    if (answer.status === 404) {
      // An older server, or a proxy that passes only some paths. The other figures are all there.
      by('connections').replaceChildren();
      listed('this server has no /connections');
      return;
    }
    if (!answer.ok) throw new Error(answer.status);
    const { open, shown, partial, connections } = await answer.json();
    // Another order was chosen meanwhile, and is asked for already.
    if (sort !== by('sort').value) return;
    const head = element('tr', COLUMNS.map(([name]) => element('th', name)));
    const body = connections.map((connection) => element('tr', COLUMNS.map(([, text]) => element('td', text(connection)))));
    by('connections').replaceChildren(element('thead', head), element('tbody', body));
    by('connections').classList.remove('stale');
    listed(`${short(shown)} of ${short(open)} open${partial ? ', incomplete: a worker or the kernel did not answer in time' : ''}`);
  } catch {
    by('connections').classList.add('stale');
    listed('no list: the server did not answer');
  }
}

let next;
async function lists() {
  clearTimeout(next);
  if (!document.hidden) await list();
  clearTimeout(next);
  next = setTimeout(lists, PAUSE);
}
