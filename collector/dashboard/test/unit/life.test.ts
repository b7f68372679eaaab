import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ticks } from '../../src/chart/curve.tsx';
import type { Prediction } from '../../src/api/maintenance-types.ts';
import { healthWord, lifeParts, lifeScale, survivalSteps, urgency } from '../../src/model/life.ts';

const prediction = (rul: Prediction['rul'], failure_probability: number | null = null, flags: string[] = []): Prediction => ({
  device_id: 'm',
  health: null,
  rul,
  failure_probability,
  horizon_h: 168,
  estimates: [],
  drivers: [],
  flags,
  explanation: [],
});
const rul = (hours: number, lower_h = hours / 2, upper_h: number | null = hours * 2) => ({ hours, lower_h, upper_h, confidence: 0.9 });

test('health is a word, and unknown is not poor', () => {
  assert.deepEqual([1, 0.8, 0.79, 0.5, 0.1, 0, null, Number.NaN].map(healthWord), ['good', 'good', 'watch', 'watch', 'poor', 'poor', 'unknown', 'unknown']);
});

test('one scale holds all machines: the soonest to the left, the longest interval within', () => {
  const scale = lifeScale([prediction(rul(10)), prediction(rul(500, 200, 900)), prediction(null)]);
  assert.equal(scale.end, 2160);
  assert.equal(scale.place(0.2), 0);
  assert.equal(scale.place(2160), 1);
  assert.ok(scale.place(10) < scale.place(500) && scale.place(900) < 1);
  assert.equal(scale.place(1e9), 1);
  assert.deepEqual(scale.marks, [1, 8, 24, 168, 720, 2160]);
  assert.equal(lifeScale([]).end, 24, 'also without any prediction');
});

test('what asks for somebody to look comes from the limit, the time left or the probability', () => {
  assert.equal(urgency(prediction(rul(1000), 0.01, ['limit_passed'])), 'now');
  assert.equal(urgency(prediction(rul(20), 0.1)), 'now');
  assert.equal(urgency(prediction(rul(1000), 0.6)), 'now');
  assert.equal(urgency(prediction(rul(100), 0.05)), 'soon');
  assert.equal(urgency(prediction(rul(1000), 0.05)), 'none');
  assert.equal(urgency(prediction(null)), 'unknown');
});

test('survival is level between two failures and begins with everybody', () => {
  const step = (age_h: number, survival: number) => ({ age_h, at_risk: 2, failures: 1, censored: 0, survival, lower: null, upper: null });
  assert.deepEqual(
    survivalSteps([step(10, 0.5), step(20, 0)]).map((p) => [p.age, p.survival]),
    [
      [0, 1],
      [10, 1],
      [10, 0.5],
      [20, 0.5],
      [20, 0],
    ],
  );
  assert.equal(survivalSteps([]).length, 1);
});

test('lengths of life are told in the unit that fits', () => {
  assert.deepEqual([5, 47, 48, 400, 2000, 20_000].map((h) => lifeParts(h).unit), ['h', 'h', 'd', 'wk', 'mo', 'y']);
  assert.equal(lifeParts(72).value, 3);
});

test('axes have round numbers', () => {
  assert.deepEqual(
    ticks(0, 1, 5).map((v) => v.toFixed(1)),
    ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0'],
  );
  assert.deepEqual(ticks(0, 930, 5), [0, 200, 400, 600, 800]);
  assert.deepEqual(ticks(5, 5, 5), [5]);
});
