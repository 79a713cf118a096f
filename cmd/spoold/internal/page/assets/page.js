'use strict';
// The status page of spoold: reads /events and draws. Nothing here changes anything.

const el = id => document.getElementById(id);
const PAGE = 100;                // topics shown at a time
const topics = new Map();        // by name, as the daemon sent them
const open = new Set();          // topics whose partitions are shown
const recent = [];               // {at, accepted, acked, bytes} of the last minute
let sort = {key: 'topic', down: false}, page = 0, dirty = true, choices = [];

const number = n => Number(n).toLocaleString('en');
const bytes = n => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i && n < 100 ? n.toFixed(1) : Math.round(n)) + ' ' + units[i];
};
const duration = s => {
  if (s < 1) return '<1 s';
  if (s < 120) return Math.round(s) + ' s';
  if (s < 7200) return Math.round(s / 60) + ' min';
  if (s < 172800) return (s / 3600).toFixed(1) + ' h';
  return (s / 86400).toFixed(1) + ' d';
};
const rate = r => (r < 10 ? r.toFixed(1) : number(Math.round(r))) + '/s';
const text = (id, s) => { const e = el(id); if (e.textContent !== s) e.textContent = s; };
const make = (tag, content, cls) => {
  const e = document.createElement(tag);
  if (content !== undefined) e.textContent = content;
  if (cls) e.className = cls;
  return e;
};

function notice(s) { el('notice').hidden = !s; text('notice', s); }

function showStatus(s) {
  const at = Date.parse(s.time);
  if (recent.length && at <= recent[recent.length - 1].at) recent.length = 0; // a restart, or the clock went back
  recent.push({at, accepted: s.accepted, acked: s.acked, bytes: s.spool_bytes});
  while (recent.length > 2 && at - recent[0].at > 60000) recent.shift();
  const from = recent[Math.max(0, recent.length - 6)], seconds = (at - from.at) / 1000;

  el('link').className = 'pill ' + (s.link === 'up' ? 'up' : 'down');
  text('link', s.link !== 'up' ? 'link down: ' + (s.link_error || 'no cluster reached yet') : s.brokers === 0 ? 'link up (idle: no connection is open)' : 'link up');
  text('version', s.version);
  text('where', s.spool_path + (s.cluster_id ? ' → cluster ' + s.cluster_id : ''));
  text('pending', number(s.pending));
  text('age', s.pending ? 'oldest ' + duration(s.oldest_age_seconds) : 'nothing waits');
  text('accepted-rate', seconds > 0 ? rate((s.accepted - from.accepted) / seconds) : '–');
  text('accepted', number(s.accepted) + ' records');
  text('acked-rate', seconds > 0 ? rate((s.acked - from.acked) / seconds) : '–');
  text('acked', number(s.acked) + ' records');
  text('dead', number(s.dead_lettered));
  text('expired', s.expired || s.lost ? `${number(s.expired || 0)} expired, ${number(s.lost || 0)} lost` : '');
  text('bytes', bytes(s.spool_bytes) + (s.spool_limit_bytes ? ` (${Math.round(100 * s.spool_bytes / s.spool_limit_bytes)} %)` : ''));
  text('until-full', untilFull(s, at));
  text('free', bytes(s.disk_free_bytes));
  text('uptime', 'running for ' + duration(s.uptime_seconds));
  text('topic-count', `(${number(s.topics)})`);
  notice(s.error || (s.spool_full ? 'No records are taken: ' + s.spool_full : ''));
  draw();
}

function untilFull(s, at) {
  const first = recent[0], grown = s.spool_bytes - first.bytes, seconds = (at - first.at) / 1000;
  const limit = `of ${bytes(s.spool_limit_bytes)}`;
  if (!s.spool_limit_bytes || seconds < 10 || grown <= 0) return limit;
  const left = Math.max(0, s.spool_limit_bytes - s.spool_bytes);
  return `${limit}, full in ${duration(left / (grown / seconds))}`;
}

function showTopics(e) {
  if (e.full) topics.clear();
  for (const t of e.topics) topics.set(t.topic, t);
  dirty = true;
}

const parkedOf = t => t.partitions.filter(p => p.park_reason);
const troubled = t => t.state === 'parked' || parkedOf(t).length > 0 || t.dead_lettered > 0 || t.detail || t.state === 'unknown-topic';

function draw() {
  if (!dirty) return;
  dirty = false;
  const want = el('filter').value.toLowerCase(), only = el('troubled').checked;
  const rows = [...topics.values()].filter(t => t.topic.toLowerCase().includes(want) && (!only || troubled(t)));
  const sign = sort.down ? -1 : 1, key = sort.key;
  rows.sort((a, b) => sign * (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0) || (a.topic < b.topic ? -1 : 1));
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  page = Math.min(page, pages - 1);
  const body = document.createDocumentFragment();
  for (const t of rows.slice(page * PAGE, (page + 1) * PAGE)) row(body, t);
  if (!rows.length) {
    const tr = make('tr'), td = make('td', topics.size ? 'no topic matches' : 'no record has come yet');
    td.colSpan = 7;
    tr.append(td);
    body.append(tr);
  }
  const focused = document.activeElement && document.activeElement.dataset.topic;
  el('topics').replaceChildren(body);
  if (focused) for (const b of el('topics').querySelectorAll('button')) if (b.dataset.topic === focused) b.focus();
  text('pages', `page ${page + 1} of ${pages}, ${number(rows.length)} ${rows.length === 1 ? 'topic' : 'topics'}`);
  el('prev').disabled = page === 0;
  el('next').disabled = page + 1 >= pages;
  drawParked();
}

function row(into, t) {
  const tr = make('tr'), name = make('td', undefined, 'topic'), button = make('button', (open.has(t.topic) ? '▾ ' : '▸ ') + t.topic);
  button.type = 'button';
  button.dataset.topic = t.topic;
  button.setAttribute('aria-expanded', String(open.has(t.topic)));
  button.onclick = () => { open.has(t.topic) ? open.delete(t.topic) : open.add(t.topic); dirty = true; draw(); };
  name.append(button);
  const state = t.state === 'parked' ? 'trouble' : t.state === 'waiting' || t.state === 'unknown-topic' ? 'waiting' : '';
  tr.append(name, make('td', t.state + (t.detail ? ': ' + t.detail : ''), state), make('td', number(t.pending), 'n'),
    make('td', t.pending ? duration(t.oldest_age_seconds) : '', 'n'), make('td', number(t.accepted), 'n'),
    make('td', number(t.acked), 'n'), make('td', number(t.dead_lettered), t.dead_lettered ? 'n trouble' : 'n'));
  into.append(tr);
  if (!open.has(t.topic)) return;
  if (!t.partitions.length) t = {...t, partitions: [null]};
  for (const p of t.partitions) {
    const sub = make('tr', undefined, 'parts'), td = make('td');
    td.colSpan = 7;
    const what = p === null ? 'nothing was sent to any partition yet'
      : `partition ${p.partition}: ${p.state}, leader ${p.leader < 0 ? 'unknown' : p.leader}, ${p.in_flight} batches in flight, ` +
        `${number(p.in_doubt)} records in doubt, last acked offset ${p.last_offset < 0 ? 'none' : number(p.last_offset)}` +
        (p.park_reason ? `, parked: ${p.park_reason}` : '') + (p.detail ? ` (${p.detail})` : '');
    td.append(make('span', what));
    sub.append(td);
    into.append(sub);
  }
}

function drawParked() {
  const list = document.createDocumentFragment();
  let n = 0;
  for (const t of topics.values()) for (const p of parkedOf(t)) {
    if (++n > 50) continue;
    const li = make('li'), where = `${t.topic}:${p.partition}`;
    li.append(make('strong', where), ` is parked${p.parked_at ? ' since ' + new Date(p.parked_at).toLocaleString() : ''}: ${p.park_reason}. `,
      p.detail ? `Seen: ${p.detail}. ` : '',
      `In doubt: ${number(p.in_doubt)} records. Look at the topic from offset ${number(p.last_offset + 1)} on, then decide on the host:`);
    const ul = make('ul');
    for (const c of choices) {
      const item = make('li');
      item.append(make('code', `spoold resolve ${where} --${c.choice}`), ` ${c.does}. Risk: ${c.risk}.`);
      ul.append(item);
    }
    li.append(ul);
    list.append(li);
  }
  if (n > 50) list.append(make('li', `and ${n - 50} more: spoold status`));
  el('parked-section').hidden = n === 0;
  el('parked').replaceChildren(list);
}

const warnings = [];
function showWarning(w) {
  warnings.unshift(w);
  warnings.length = Math.min(warnings.length, 50);
  el('warnings').replaceChildren(...warnings.map(w => {
    const fields = Object.entries(w.fields || {}).filter(([k]) => k !== 'event').map(([k, v]) => `${k}=${v}`).join(' ');
    return make('li', `${new Date(w.time).toLocaleString()} ${w.level} ${w.message}${fields ? ' (' + fields + ')' : ''}`);
  }));
}

// Plots.
let history = null, range = 'hour', plots = [];
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function plot(id, series, data, format, incrs) {
  const at = el(id), axis = {stroke: style('--dim'), grid: {stroke: style('--line'), width: 1}, ticks: {stroke: style('--line')}};
  at.replaceChildren();
  return new uPlot({
    width: Math.max(200, at.clientWidth), height: 190, cursor: {y: false},
    series: [{}, ...series.map(([label, color, dash]) => ({label, stroke: style(color), width: 2, dash, value: (u, v) => v == null ? '' : format(v)}))],
    axes: [axis, {...axis, size: 62, ...(incrs && {incrs}), values: (u, vs) => vs.map(format)}],
    scales: {x: {range: () => [Date.now() / 1000 - (range === 'hour' ? 3600 : 86400), Date.now() / 1000]}, y: {range: (u, lo, hi) => [0, hi > 0 ? Math.max(hi * 1.05, incrs ? 4 : 0) : incrs ? 4 : 1]}},
  }, data, at);
}

// Steps of an axis that counts, and of one that has bytes.
const counts = [...Array(16).keys()].flatMap(e => [1, 2, 5].map(m => m * 10 ** e)), sizes = [...Array(44).keys()].map(e => 2 ** e);

function drawPlots() {
  if (!history) return;
  const points = history[range].points, column = k => points.map(p => p[k]), x = points.map(p => p.at / 1000);
  for (const p of plots) p.destroy();
  plots = [
    plot('plot-rates', [['accepted', '--accent'], ['acked', '--good', [6, 4]]], [x, column('accepted'), column('acked')], v => rate(v)),
    plot('plot-pending', [['pending', '--warn']], [x, column('pending')], v => number(Math.round(v)), counts),
    plot('plot-bytes', [['bytes', '--accent']], [x, column('bytes')], bytes, sizes),
  ];
}

async function get(path) {
  const r = await fetch(path);
  if (!r.ok) throw new Error(path + ': ' + r.status);
  return r.json();
}

async function refreshHistory() {
  try {
    history = await get('/api/history');
    drawPlots();
  } catch { /* the daemon is away: the stream shows that */ }
}

async function refreshFacts() {
  try {
    [choices] = [await get('/api/choices')];
    const rows = (await get('/api/config')).map(k => {
      const tr = make('tr');
      tr.append(make('td', k.key, 'topic'), make('td', k.value, 'topic'), make('td', k.source));
      return tr;
    });
    el('config').replaceChildren(...rows);
    dirty = true;
  } catch { /* as above */ }
}

for (const name of ['hour', 'day']) el('range-' + name).onclick = () => {
  range = name;
  for (const other of ['hour', 'day']) el('range-' + other).setAttribute('aria-pressed', String(other === name));
  drawPlots();
};
for (const button of document.querySelectorAll('[data-sort]')) button.onclick = () => {
  const key = button.dataset.sort;
  sort = {key, down: sort.key === key ? !sort.down : key !== 'topic' && key !== 'state'};
  for (const b of document.querySelectorAll('[data-sort]')) b.parentElement.removeAttribute('aria-sort');
  button.parentElement.setAttribute('aria-sort', sort.down ? 'descending' : 'ascending');
  dirty = true;
  draw();
};
for (const id of ['filter', 'troubled']) el(id).oninput = () => { page = 0; dirty = true; draw(); };
el('prev').onclick = () => { page--; dirty = true; draw(); };
el('next').onclick = () => { page++; dirty = true; draw(); };
let resizing;
addEventListener('resize', () => { clearTimeout(resizing); resizing = setTimeout(drawPlots, 150); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawPlots);

const stream = new EventSource('/events');
stream.onopen = () => { warnings.length = 0; el('warnings').replaceChildren(make('li', 'none since the start')); refreshFacts(); refreshHistory(); };
stream.onerror = () => {
  el('link').className = 'pill down';
  text('link', 'the daemon does not answer');
};
stream.addEventListener('status', e => showStatus(JSON.parse(e.data)));
stream.addEventListener('topics', e => { showTopics(JSON.parse(e.data)); draw(); });
stream.addEventListener('warning', e => showWarning(JSON.parse(e.data)));
setInterval(refreshHistory, 10000);
