// A stand-in for the collector: serves dist/, the API and /ws over the pretended plant. `node mock/server.mjs [--port 8090] [--machines 12]`.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { MockPlant, WINDOW_S } from './plant.mjs';

export const KEY = 'mk_0000000000000000000000000000000000000000000000000000000000000001';
const COOKIE = 'millrace_session=mock';
const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' };
// As strict as it can be: what works here needs no exception anywhere.
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SEND_DELAY_S = 1.2;
const SHARES = 10;

const iso = (s) => new Date(Math.round(s * 1000)).toISOString().replace('Z', '000Z');

export class MockServer {
  /** Set to stop heartbeats while sockets stay open: a half-dead link. */
  silent = false;
  /** Set to answer as a collector from before the account. */
  old = false;
  /** How late each answer of the API comes, in milliseconds; MOCK_LATE_MS sets it, to see that no page and no test takes an early answer for granted. */
  late = Number(process.env.MOCK_LATE_MS ?? 0);

  constructor(options = {}) {
    this.plant = new MockPlant(options);
    this.sockets = new Map();
  }

  async listen(port = 0) {
    this.http = createServer((request, response) => {
      this.handle(request, response).catch((error) => problem(response, 500, 'Internal error', String(error)));
    });
    this.ws = new WebSocketServer({ noServer: true });
    this.http.on('upgrade', (request, socket, head) => {
      if (!request.url.startsWith('/ws') || !allowed(request)) return socket.destroy();
      this.ws.handleUpgrade(request, socket, head, (client) => this.accept(client));
    });
    await new Promise((resolve, reject) => {
      this.http.once('error', reject);
      this.http.listen(port, '127.0.0.1', resolve);
    });
    this.port = this.http.address().port;
    this.timers = [setInterval(() => this.heartbeat(), 2000), setInterval(() => this.tick(), 1000)];
    this.lastTick = Date.now() / 1000;
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async close() {
    for (const timer of this.timers) clearInterval(timer);
    for (const client of this.sockets.keys()) client.terminate();
    this.sockets.clear();
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }

  accept(client) {
    this.sockets.set(client, { channels: new Set(), assets: null });
    client.on('message', (data) => {
      const message = JSON.parse(String(data));
      if (message.type !== 'Subscribe') return;
      const { channels = [], assets = null } = message.payload;
      this.sockets.set(client, { channels: new Set(channels), assets: assets && new Set(assets) });
      client.send(JSON.stringify({ type: 'Subscribed', payload: message.payload }));
    });
    client.on('close', () => this.sockets.delete(client));
    client.on('error', () => this.sockets.delete(client));
  }

  gateways(now) {
    const all = this.plant.gateways(now);
    if (!this.old) return all;
    return all.map(({ audit, alarms, durable, generations, skew_us, spool_max_bytes, spool_hours_left, written_today_bytes, ...rest }) => rest);
  }

  heartbeat() {
    if (this.silent) return;
    for (const client of this.sockets.keys()) client.send(JSON.stringify({ type: 'Heartbeat', payload: { at: iso(Date.now() / 1000) } }));
  }

  tick() {
    const now = Date.now() / 1000;
    const before = this.lastTick;
    this.lastTick = now;
    if (this.silent || this.sockets.size === 0) return;
    // Of a large plant only some have changed each second; the mock shares two cores with the browser.
    const turn = Math.floor(now) % SHARES;
    const large = this.plant.machines.length > 100;
    const live = this.plant.machines.filter((m) => m.silentSince === null && (!large || m.i % SHARES === turn));
    // A window is sent a moment after it has closed.
    const start = Math.floor((now - SEND_DELAY_S) / WINDOW_S) * WINDOW_S - WINDOW_S;
    const closed = start !== this.lastWindow;
    this.lastWindow = start;
    const gateways = Math.floor(now) % 2 === 0 ? this.gateways(now) : [];
    const assets = new Map(live.map((m) => [m, this.plant.asset(m, now)]));
    for (const [client, { channels, assets: wanted }] of this.sockets) {
      const mine = live.filter((m) => !wanted || wanted.has(m.asset));
      const send = (type, payload) => client.send(JSON.stringify({ type, payload }));
      if (channels.has('metrics') && closed) {
        const summaries = mine.flatMap((m) => assets.get(m).signals.map((s) => this.plant.series(m, s.signal, start, now + 9, WINDOW_S)).flatMap((s) => s.points.map((p) => ({ asset: m.asset, signal: s.signal, unit: s.unit, start: p.at, end: iso(Date.parse(p.at) / 1000 + WINDOW_S), count: p.count, min: p.min, max: p.max, mean: p.mean, last: p.mean, quality: 'good' }))));
        if (summaries.length) send('Metrics', { summaries });
      }
      if (channels.has('events')) {
        const states = mine.flatMap((m) => m.spans.filter((s) => s.from >= before && s.from < now).map((s) => ({ asset: m.asset, event_time: iso(s.from), state: s.state, stop_reason: s.reason || null })));
        send('Events', { states, parts: [], assets: mine.map((m) => assets.get(m)), gateways });
      }
      if (channels.has('alerts')) {
        const anomalies = mine.flatMap((m) => this.plant.anomalies(m, before, now));
        if (anomalies.length) send('Alerts', { anomalies });
      }
    }
  }

  async handle(request, response) {
    const url = new URL(request.url, 'http://mock');
    const path = decodeURIComponent(url.pathname);
    if (!path.startsWith('/api/')) return this.file(path, response);
    if (this.late > 0) await new Promise((resolve) => setTimeout(resolve, this.late));
    if (path === '/api/v1/login') {
      const { key } = JSON.parse((await body(request)) || '{}');
      if (key !== KEY) return problem(response, 401, 'Unknown key');
      response.writeHead(204, { 'set-cookie': `${COOKIE}; HttpOnly; SameSite=Strict; Path=/` });
      return response.end();
    }
    if (!allowed(request)) return problem(response, 401, 'No session');
    const now = Date.now() / 1000;
    const q = url.searchParams;
    const time = (name) => Date.parse(q.get(name)) / 1000;
    const machine = () => {
      const m = this.plant.find(q.get('asset'));
      if (!m) throw new Error(`no machine ${q.get('asset')}`);
      return m;
    };
    if (path === '/api/v1/logout') {
      response.writeHead(204, { 'set-cookie': 'millrace_session=; Max-Age=0; Path=/' });
      return response.end();
    }
    if (path === '/api/v1/session') return json(response, { name: 'first-admin', role: 'admin', timezone: 'Europe/Berlin', version: '0.1.0', now: iso(now) });
    if (path === '/api/v1/assets') {
      const from = Number(q.get('cursor') ?? 0);
      const limit = Number(q.get('limit') ?? 100);
      const page = this.plant.machines.slice(from, from + limit);
      const next = from + limit < this.plant.machines.length ? String(from + limit) : null;
      return json(response, { items: page.map((m) => this.plant.asset(m, now)), next });
    }
    if (path.startsWith('/api/v1/industry40/twin/')) {
      const m = this.plant.find(path.slice('/api/v1/industry40/twin/'.length));
      return m ? json(response, { ...this.plant.asset(m, now), gateway_status: null }) : problem(response, 404, 'No such machine');
    }
    if (path === '/api/v1/gateways') return json(response, { items: this.gateways(now), next: null });
    if (path === '/api/v1/oee') {
      const m = machine();
      const [from, to] = [time('from'), time('to')];
      const buckets = [];
      for (let at = from; at < to; ) {
        const end = Math.min(to, (Math.floor(at / 3600) + 1) * 3600);
        buckets.push({ from: iso(at), to: iso(end), oee: this.plant.oee(m, at, end) });
        at = end;
      }
      return json(response, { asset: m.asset, from: iso(from), to: iso(to), total: this.plant.oee(m, from, to), buckets });
    }
    if (path === '/api/v1/states') {
      const m = machine();
      const [from, to] = [time('from'), Math.min(time('to'), now)];
      const end = m.silentSince ?? to;
      const items = m.spans
        .map((s) => ({ from: Math.max(s.from, from), to: Math.min(s.to, to, end), state: s.state, stop_reason: s.reason || null }))
        .filter((s) => s.to > s.from);
      if (end < to) items.push({ from: Math.max(from, end), to, state: 'no_data', stop_reason: null });
      return json(response, { items: items.map((s) => ({ ...s, from: iso(s.from), to: iso(s.to) })) });
    }
    if (path.startsWith('/api/v1/metrics/')) {
      const answer = this.plant.series(machine(), path.slice('/api/v1/metrics/'.length), time('from'), time('to'), Number(q.get('step') ?? 60));
      return answer ? json(response, answer) : problem(response, 404, 'No such signal');
    }
    if (path === '/api/v1/anomalies') {
      const machines = q.get('asset') ? [machine()] : this.plant.machines.slice(0, 50);
      const items = machines.flatMap((m) => this.plant.anomalies(m, time('from'), Math.min(now, time('to'))));
      items.sort((a, b) => (a.event_time < b.event_time ? 1 : -1));
      return json(response, { items: items.slice(0, Number(q.get('limit') ?? 100)), next: null });
    }
    if (path === '/api/v1/losses') {
      const at = this.plant.born - 5400;
      const m = this.plant.machines[1];
      const items = [
        { gateway: 'mill-gw1', asset: m.asset, signal: 'active_power', reason: 'sequence_gap', count: 36, from: iso(at), to: iso(at + 12), detail: 'sequence 4012 to 4024' },
        { gateway: 'mill-gw1', asset: null, signal: null, reason: 'malformed', count: 6, from: iso(at + 900), to: iso(at + 901), detail: 'expected a JSON object' },
        { gateway: 'mill-gw1', asset: null, signal: null, reason: 'power_cut', count: 0, from: iso(at + 2700), to: iso(at + 2704.2), detail: 'the gateway stopped between two commits' },
      ];
      const audit = this.plant.gateways(now).map((g) => ({ gateway: g.gateway, ...g.audit }));
      return json(response, { items, totals: { sequence_gap: 36, malformed: 6, power_cut: 0 }, next: null, audit });
    }
    return problem(response, 404, 'Not found');
  }

  async file(path, response) {
    const name = normalize(path === '/' ? '/index.html' : path);
    try {
      const data = await readFile(join(DIST, name));
      response.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream', 'content-security-policy': CSP, 'x-content-type-options': 'nosniff' });
      response.end(data);
    } catch {
      problem(response, 404, 'Not found');
    }
  }
}

function allowed(request) {
  return (request.headers.cookie ?? '').includes(COOKIE) || request.headers['x-api-key'] === KEY;
}

function json(response, value) {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function problem(response, status, title, detail) {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ type: 'about:blank', title, status, detail }));
}

async function body(request) {
  let text = '';
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 65_536) throw new Error('too large');
  }
  return text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name, fallback) => {
    const i = process.argv.indexOf(`--${name}`);
    return i > 0 ? Number(process.argv[i + 1]) : fallback;
  };
  const server = await new MockServer({ machines: option('machines', 12), gateways: option('gateways', 2) }).listen(option('port', 8090));
  console.log(`${server.url}   key: ${KEY}`);
}
