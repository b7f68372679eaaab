import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Format, knownZone, signalText, UNKNOWN, unitText } from '../../src/format.ts';
import { texts as analysisTexts } from '../../src/i18n/analysis.ts';
import { addTexts, catalogue } from '../../src/i18n/catalogue.ts';
import { texts as energyTexts } from '../../src/i18n/energy.ts';
import { texts as maintenanceTexts } from '../../src/i18n/maintenance.ts';
import { texts as oeeTexts } from '../../src/i18n/oee.ts';
import { preferred, Translator } from '../../src/i18n/translate.ts';

const en = new Format('en-GB', 'Europe/Berlin');
const plain = (text: string) => text.replaceAll('\u202f', ' ').replaceAll('\u00a0', ' ');

test('what is unknown is a dash, never zero and never NaN', () => {
  for (const v of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const text of [en.value(v), en.percent(v), en.count(v), en.duration(v), en.bytes(v), en.hours(v), en.compact(v), en.withUnit(v, 'Cel')])
      assert.equal(text, UNKNOWN);
  }
  assert.equal(plain(en.percent(0)), '0.0 %');
});

test('a difference has its sign, and none has none', () => {
  assert.deepEqual([0.04, -0.04, 0.06, -1.25, null].map((v) => en.signed(v)), ['0.0', '0.0', '+0.1', '−1.3', UNKNOWN]);
  assert.equal(en.signed(-12.4, 0), '−12');
});

test('durations show their two largest parts', () => {
  const cases: [number, string][] = [
    [0, '0 s'],
    [0.0214, '21 ms'],
    [-0.5, '−500 ms'],
    [1.44, '1.4 s'],
    [5, '5 s'],
    [59.6, '1 min'],
    [61, '1 min 01 s'],
    [3599.7, '1 h'],
    [3900, '1 h 05 min'],
    [90_000, '1 d 01 h'],
    [-75, '−1 min 15 s'],
  ];
  for (const [s, text] of cases) assert.equal(plain(en.duration(s)), text, String(s));
});

test('units are printed as on a gauge', () => {
  assert.equal(unitText('Cel'), '°C');
  assert.equal(unitText('kW.h'), 'kWh');
  assert.equal(unitText('mm/s'), 'mm/s');
  assert.equal(unitText(''), '');
  assert.equal(plain(en.withUnit(61.23, 'Cel')), '61.2 °C');
  assert.equal(signalText('spindle_temperature'), 'Spindle temperature');
});

test('times are those of the plant, also when its clocks change', () => {
  assert.equal(en.time(Date.parse('2026-03-29T00:59:59Z')), '01:59:59');
  assert.equal(en.time(Date.parse('2026-03-29T01:00:00Z')), '03:00:00');
  assert.equal(en.zone(Date.parse('2026-01-10T00:00:00Z')), 'CET');
  assert.equal(en.hourMinute(Date.parse('2026-01-09T23:00:00Z')), '00:00', 'midnight is not 24:00');
  assert.equal(knownZone('Europe/Berlin'), 'Europe/Berlin');
  assert.equal(knownZone('Mars/Olympus'), 'UTC');
});

test('numbers follow the language', () => {
  const pt = new Format('pt-PT', 'Europe/Lisbon');
  assert.equal(plain(pt.percent(0.684)), '68,4 %');
  assert.equal(plain(en.bytes(1_253_000)), '1.3 MB');
  assert.equal(plain(en.age(59_400)), '59 s');
  assert.equal(plain(en.age(7_300_000)), '2 h');
});

test('both languages fill in the same places', () => {
  const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort().join();
  const parts = [analysisTexts, energyTexts, maintenanceTexts, oeeTexts];
  const own = Object.keys(catalogue.en).length;
  addTexts(...parts);
  const all = own + parts.reduce((n, p) => n + Object.keys(p.en).length, 0);
  assert.equal(Object.keys(catalogue.en).length, all, 'no key stands in two parts');
  for (const [key, text] of Object.entries(catalogue.en)) {
    const other = catalogue.pt[key] ?? '';
    assert.equal(places(other), places(text), key);
    assert.ok(other.trim() !== '', key);
  }
});

test('counts choose singular or plural, unknown words are shown as they came', () => {
  const words = new Translator('en');
  assert.equal(words.n('plant.stopped', 1), '1 machine is stopped');
  assert.equal(words.n('plant.stopped', 3), '3 machines are stopped');
  assert.equal(words.word('loss', 'sequence_gap'), 'Gap in the sender’s sequence');
  assert.equal(words.word('loss', 'solar_flare'), 'solar flare');
  assert.equal(words.known('flag', 'no_such_flag'), null);
  assert.equal(preferred(['de-DE', 'pt-BR', 'en']), 'pt');
  assert.equal(preferred(['de']), 'en');
});
