/**
 * The live link as a state machine: what to do next, given what happened and when.
 *
 * Pure: no socket, no timer, no clock. `socket.ts` feeds it events and carries out the effects.
 * Invariant: while a page is open there is always either a socket being tried or a time set for the next try.
 */

/** Without a sign of life for this long, what is on the screen counts as stale. */
export const STALE_AFTER_MS = 6_000;
/** Then the socket is given up: it may be half open. */
export const ABANDON_AFTER_MS = 12_000;
/** A socket that was open this long resets the back-off. */
export const STABLE_AFTER_MS = 10_000;
export const BACKOFF_BASE_MS = 500;
export const BACKOFF_CAP_MS = 15_000;
/** Give up an attempt that neither opens nor fails. */
export const CONNECT_TIMEOUT_MS = 8_000;

export type Phase = 'connecting' | 'open' | 'waiting' | 'ended';

export interface Link {
  phase: Phase;
  /** When this phase began. */
  since: number;
  /** Last sign of life over the socket, or the last poll that worked. */
  lastAlive: number | null;
  /** When the next attempt is due (phase `waiting`). */
  retryAt: number | null;
  /** The wait before that attempt; seed of the next one. */
  backoffMs: number;
  /** When the link was lost, `null` while it is up or was never up. */
  lostAt: number | null;
  /** True once the socket has been open: the next opening closes a gap. */
  wasOpen: boolean;
  /** The last poll over REST, while there is no socket. */
  pollOk: boolean | null;
}

export type LinkEvent =
  | { type: 'opened' }
  | { type: 'message' }
  | { type: 'closed' }
  | { type: 'tick' }
  | { type: 'retry_now' }
  | { type: 'polled'; ok: boolean }
  | { type: 'end' };

export type Effect = 'connect' | 'drop' | 'refetch';

export function start(now: number): { link: Link; effects: Effect[] } {
  return {
    link: { phase: 'connecting', since: now, lastAlive: null, retryAt: null, backoffMs: 0, lostAt: null, wasOpen: false, pollOk: null },
    effects: ['connect'],
  };
}

/** Decorrelated jitter: between the base and three times the wait before, capped. `random` in [0, 1). */
export function nextBackoff(previousMs: number, random: number): number {
  const top = Math.max(BACKOFF_BASE_MS * 2, previousMs * 3);
  return Math.min(BACKOFF_CAP_MS, Math.round(BACKOFF_BASE_MS + random * (top - BACKOFF_BASE_MS)));
}

export function step(link: Link, event: LinkEvent, now: number, random: number): { link: Link; effects: Effect[] } {
  if (link.phase === 'ended') return { link, effects: [] };
  switch (event.type) {
    case 'opened':
      return {
        link: { ...link, phase: 'open', since: now, lastAlive: now, retryAt: null, lostAt: null, wasOpen: true, pollOk: null },
        // Whatever was sent while nobody listened has to be fetched.
        effects: link.wasOpen ? ['refetch'] : [],
      };
    case 'message':
      if (link.phase !== 'open') return { link, effects: [] };
      return { link: { ...link, lastAlive: now }, effects: [] };
    case 'closed':
      if (link.phase === 'waiting') return { link, effects: [] };
      return { link: wait(link, now, random), effects: [] };
    case 'tick': {
      if (link.phase === 'waiting' && link.retryAt !== null && now >= link.retryAt) return connect(link, now);
      if (link.phase === 'connecting' && now - link.since >= CONNECT_TIMEOUT_MS) return { link: wait(link, now, random), effects: ['drop'] };
      if (link.phase === 'open' && now - (link.lastAlive ?? link.since) >= ABANDON_AFTER_MS)
        return { link: wait(link, now, random), effects: ['drop'] };
      return { link, effects: [] };
    }
    case 'retry_now':
      return link.phase === 'waiting' ? connect(link, now) : { link, effects: [] };
    case 'polled':
      if (link.phase === 'open') return { link, effects: [] };
      return { link: { ...link, pollOk: event.ok, lastAlive: event.ok ? now : link.lastAlive }, effects: [] };
    case 'end':
      return { link: { ...link, phase: 'ended', retryAt: null }, effects: ['drop'] };
  }
}

function connect(link: Link, now: number): { link: Link; effects: Effect[] } {
  return { link: { ...link, phase: 'connecting', since: now, retryAt: null }, effects: ['connect'] };
}

function wait(link: Link, now: number, random: number): Link {
  const stable = link.phase === 'open' && now - link.since >= STABLE_AFTER_MS;
  const backoffMs = nextBackoff(stable ? 0 : link.backoffMs, random);
  return { ...link, phase: 'waiting', since: now, retryAt: now + backoffMs, backoffMs, lostAt: link.lostAt ?? now };
}

/** What the reader is told. `starting`: no verdict yet. */
export type Health = 'starting' | 'live' | 'stale' | 'polling' | 'down';

export function health(link: Link, now: number): Health {
  if (link.phase === 'open') return now - (link.lastAlive ?? link.since) >= STALE_AFTER_MS ? 'stale' : 'live';
  if (link.pollOk === true) return 'polling';
  if (link.lostAt === null && link.pollOk === null) return 'starting';
  // A blip shorter than the staleness limit is no news.
  if (link.pollOk === null && link.lastAlive !== null && now - link.lastAlive < STALE_AFTER_MS) return 'live';
  return 'down';
}
