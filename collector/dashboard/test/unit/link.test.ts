import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ABANDON_AFTER_MS,
  BACKOFF_BASE_MS,
  BACKOFF_CAP_MS,
  CONNECT_TIMEOUT_MS,
  type Effect,
  health,
  type Link,
  type LinkEvent,
  nextBackoff,
  STABLE_AFTER_MS,
  STALE_AFTER_MS,
  start,
  step,
} from '../../src/live/link.ts';

/** Plays events against the machine. */
function play(random = 0.5) {
  let link: Link = start(0).link;
  return {
    get link() {
      return link;
    },
    at(now: number, event: LinkEvent): Effect[] {
      const result = step(link, event, now, random);
      link = result.link;
      return result.effects;
    },
  };
}

test('a silent socket is stale after six seconds and given up after twelve', () => {
  const p = play();
  p.at(100, { type: 'opened' });
  assert.equal(health(p.link, 100 + STALE_AFTER_MS - 1), 'live');
  assert.equal(health(p.link, 100 + STALE_AFTER_MS), 'stale');
  assert.deepEqual(p.at(100 + ABANDON_AFTER_MS - 1, { type: 'tick' }), []);
  assert.deepEqual(p.at(100 + ABANDON_AFTER_MS, { type: 'tick' }), ['drop']);
  assert.equal(p.link.phase, 'waiting');
});

test('each message is a sign of life', () => {
  const p = play();
  p.at(0, { type: 'opened' });
  for (let now = 2_000; now <= 60_000; now += 2_000) {
    p.at(now, { type: 'message' });
    assert.deepEqual(p.at(now + 1_900, { type: 'tick' }), []);
    assert.equal(health(p.link, now + 1_900), 'live');
  }
});

test('after a loss it tries again when the back-off is over, and fetches what it missed once it is open', () => {
  const p = play();
  assert.deepEqual(p.at(10, { type: 'opened' }), [], 'nothing was missed before the first opening');
  p.at(1_000, { type: 'closed' });
  const retryAt = p.link.retryAt as number;
  assert.ok(retryAt > 1_000);
  assert.deepEqual(p.at(retryAt - 1, { type: 'tick' }), []);
  assert.deepEqual(p.at(retryAt, { type: 'tick' }), ['connect']);
  assert.deepEqual(p.at(retryAt + 20, { type: 'opened' }), ['refetch']);
  assert.equal(p.link.lostAt, null);
});

test('an attempt that neither opens nor fails is given up', () => {
  const p = play();
  assert.deepEqual(p.at(CONNECT_TIMEOUT_MS, { type: 'tick' }), ['drop']);
  assert.equal(p.link.phase, 'waiting');
});

test('waits grow while the link flaps, stay under the cap, and start small again after a stable time', () => {
  const p = play(0.99);
  let now = 0;
  let longest = 0;
  for (let i = 0; i < 12; i++) {
    p.at(now, { type: 'opened' });
    p.at(now + 50, { type: 'closed' });
    const wait = (p.link.retryAt as number) - (now + 50);
    assert.ok(wait >= longest || wait === BACKOFF_CAP_MS || longest === BACKOFF_CAP_MS);
    assert.ok(wait <= BACKOFF_CAP_MS);
    longest = Math.max(longest, wait);
    now = p.link.retryAt as number;
    p.at(now, { type: 'tick' });
  }
  assert.equal(longest, BACKOFF_CAP_MS);
  p.at(now, { type: 'opened' });
  p.at(now + STABLE_AFTER_MS, { type: 'message' });
  p.at(now + STABLE_AFTER_MS, { type: 'closed' });
  assert.ok((p.link.retryAt as number) - now - STABLE_AFTER_MS <= 2 * BACKOFF_BASE_MS);
});

test('jitter keeps every wait between the base and three times the wait before', () => {
  for (const previous of [0, 500, 2_000, 9_000, 15_000])
    for (const random of [0, 0.25, 0.5, 0.999]) {
      const wait = nextBackoff(previous, random);
      assert.ok(wait >= BACKOFF_BASE_MS && wait <= Math.min(BACKOFF_CAP_MS, Math.max(2 * BACKOFF_BASE_MS, previous * 3)), `${previous} ${random} ${wait}`);
    }
});

test('while there is no socket, polling decides what the reader is told', () => {
  const p = play();
  assert.equal(health(p.link, 10), 'starting');
  p.at(50, { type: 'opened' });
  p.at(1_000, { type: 'closed' });
  assert.equal(health(p.link, 2_000), 'live', 'a blip is no news');
  p.at(7_500, { type: 'polled', ok: true });
  assert.equal(health(p.link, 7_600), 'polling');
  p.at(12_600, { type: 'polled', ok: false });
  assert.equal(health(p.link, 12_700), 'down');
  p.at(13_000, { type: 'retry_now' });
  p.at(13_100, { type: 'opened' });
  assert.equal(health(p.link, 13_200), 'live');
});

test('a late poll says nothing about an open socket, and an ended link does nothing any more', () => {
  const p = play();
  p.at(0, { type: 'opened' });
  p.at(100, { type: 'polled', ok: false });
  assert.equal(health(p.link, 200), 'live');
  assert.deepEqual(p.at(300, { type: 'end' }), ['drop']);
  for (const type of ['opened', 'closed', 'tick', 'retry_now'] as const) assert.deepEqual(p.at(99_999, { type }), []);
});
