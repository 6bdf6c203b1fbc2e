// Figures as text, and elements for them. Text is never taken for HTML.
const by = (id) => document.getElementById(id);

function short(number) {
  if (!Number.isFinite(number)) return '–';
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (number >= size) return `${(number / (unit === 'k' ? 1e3 : size)).toPrecision(3)} ${unit}`;
  }
  return number >= 100 || Number.isInteger(number) ? Math.round(number).toLocaleString('en') : number.toPrecision(2);
}
const percent = (share) => (Number.isFinite(share) ? `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %` : '–');
function time(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  for (const [size, unit] of [[1, 's'], [1e-3, 'ms'], [1e-6, 'µs']]) {
    if (seconds >= size) return `${(seconds / size).toPrecision(3)} ${unit}`;
  }
  return `${(seconds * 1e9).toPrecision(3)} ns`;
}
function size(bytes) {
  if (!Number.isFinite(bytes)) return '–';
  for (const [unit, of] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]]) {
    if (bytes >= of) return `${(bytes / of).toPrecision(3)} ${unit}`;
  }
  return `${Math.round(bytes)} B`;
}
function age(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}
function cores(used) {
  if (!Number.isFinite(used)) return '–';
  return used < 1 ? `${percent(used)} of one core` : `${used.toPrecision(3)} cores`;
}

function element(name, content, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...[content ?? []].flat());
  return made;
}
const cell = (content) => element('td', content, content instanceof Node ? 'meter' : '');
function rows(id, lines) {
  const made = lines.map((line) => element('tr', line.map(cell)));
  by(id).replaceChildren(...(made.length ? made : [element('tr', cell('none yet'), 'none')]));
}
function mark(color) {
  const made = element('b');
  made.style.background = `var(--${color})`;
  return made;
}
function meter(share) {
  const [bar, part] = [element('div', null, 'bar'), element('i')];
  part.style.width = `${Math.min(share || 0, 1) * 100}%`;
  part.style.background = `var(--${share > 0.9 ? 'red' : share > 0.75 ? 'orange' : 'green'})`;
  bar.append(part);
  return bar;
}

// Samples that a sparkline shows.
const KEPT = 60;
const courses = {};
// A figure with the course of its value. The line fills its box, from the least to the largest value.
function figure(id, value, text, format) {
  const [number, ...unit] = text.split(' ');
  by(id).replaceChildren(number, element('small', ` ${unit.join(' ')}`));
  const course = (courses[id] ??= []);
  // The first rate needs two scrapes.
  if (course.length || Number.isFinite(value)) course.push(Number.isFinite(value) ? value : 0);
  if (course.length > KEPT) course.shift();
  if (course.length < 2) return;
  const [least, most] = [Math.min(...course), Math.max(...course)];
  // A value that hardly changes is a level line, not noise that fills the box.
  const spread = Math.max(most - least, most * 0.05) || 1;
  const floor = (least + most - spread) / 2;
  const points = course.map((at, x) => `${x},${19 - ((at - floor) / spread) * 18}`).join(' ');
  const svg = by(`${id}-course`);
  svg.setAttribute('viewBox', `0 0 ${course.length - 1} 20`);
  svg.replaceChildren(...[['polygon', `0,20 ${points} ${course.length - 1},20`], ['polyline', points]].map(([name, at]) => {
    const line = document.createElementNS('http://www.w3.org/2000/svg', name);
    line.setAttribute('points', at);
    return line;
  }));
  by(`${id}-range`).replaceChildren(...[`min ${format(least)}`, `max ${format(most)}`].map((text) => element('span', text)));
}
