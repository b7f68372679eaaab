/** Every gateway held to account: what it took in against what is stored, what was lost, what is wrong with it. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { api } from '../api/client.ts';
import type { Gateway, Loss } from '../api/types.ts';
import { UNKNOWN } from '../format.ts';
import { accountOf, SKEW_LIMIT_S, skewSeconds, worst } from '../model/audit.ts';
import type { FleetRoute } from '../route.ts';
import { useApp, useNow, usePlant } from '../state/context.ts';
import { VerdictMark, WarnMark } from '../ui/marks.tsx';
import { GatewayEntry, sourceQuiet } from './fleet-gateway.tsx';
import { LossPanel } from './fleet-losses.tsx';

const RATE_OVER_MS = 10_000;
const DAY_MS = 86_400_000;
const LOSSES_FETCHED = 300;
const LOSSES_EVERY_MS = 15_000;

export interface LossesKnown {
  items: Loss[];
  /** There are more than were fetched. */
  more: boolean;
  error: string;
}

export default function Fleet({ route }: { route: FleetRoute }) {
  const { words } = useApp();
  const plant = usePlant();
  const now = useNow();
  const losses = useLosses();
  const { t } = words;
  const { gateways } = plant;
  if (plant.loadedAt === null)
    return (
      <div class="page">
        <h1 tabIndex={-1}>{t('fleet.title')}</h1>
        <p class="wait">{plant.error ? t('app.failed', { reason: plant.error }) : t('app.loading')}</p>
      </div>
    );
  return (
    <div class="page fleet">
      <h1 tabIndex={-1} class="sr">
        {t('fleet.title')}
      </h1>
      {gateways.length === 0 ? (
        <section class="panel empty">
          <h2>{t('fleet.none')}</h2>
          <p>{t('fleet.none_hint')}</p>
        </section>
      ) : (
        <>
          <Strip gateways={gateways} now={now} />
          <div class="gateways">
            {gateways.map((g) => (
              <GatewayEntry key={g.gateway} gateway={g} now={now} route={route} losses={losses?.items ?? []} />
            ))}
          </div>
          <LossPanel now={now} route={route} losses={losses} gateways={gateways} />
        </>
      )}
    </div>
  );
}

/** The newest losses of the last day, fetched now and then; `null` until they are known. */
function useLosses(): LossesKnown | null {
  const { plant } = useApp();
  const [known, setKnown] = useState<LossesKnown | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    const load = () => {
      const at = plant.now();
      api.losses({ from: at - DAY_MS, to: at + 60_000, limit: LOSSES_FETCHED }, abort.signal).then(
        (page) => {
          const items = page.items.toSorted((a, b) => Date.parse(b.to) - Date.parse(a.to));
          setKnown({ items, more: Boolean(page.next), error: '' });
        },
        (e: unknown) => {
          const error = e instanceof Error ? e.message : String(e);
          // What is known stays.
          if (!abort.signal.aborted) setKnown((before) => ({ items: before?.items ?? [], more: before?.more ?? false, error }));
        },
      );
    };
    load();
    const timer = setInterval(load, LOSSES_EVERY_MS);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [plant, plant.generation]);
  return known;
}

/** Readings a second over the last moments, from the growth of a total. */
function useRate(total: number): number | null {
  const samples = useRef<{ at: number; total: number }[]>([]);
  const now = Date.now();
  const list = samples.current;
  const last = list.at(-1);
  if (!last || last.total !== total) list.push({ at: now, total });
  if (list.length > 1 && (list.at(-1) as { total: number }).total < (list.at(-2) as { total: number }).total) list.splice(0, list.length - 1);
  while (list.length > 2 && now - (list[1] as { at: number }).at > RATE_OVER_MS) list.shift();
  const [first, end] = [list[0], list.at(-1)];
  if (!first || !end || end.at - first.at < 1_500) return null;
  // Nothing new for a while counts as slowing down.
  return (end.total - first.total) / ((Math.max(end.at, now - 3_000) - first.at) / 1000);
}

function Strip({ gateways, now }: { gateways: Gateway[]; now: number }) {
  const { words, format } = useApp();
  const { t, n } = words;
  // A revoked gateway is meant to be silent.
  const wanted = gateways.filter((g) => !g.revoked_at);
  const online = wanted.filter((g) => g.online).length;
  const accounts = gateways.map(accountOf);
  const sum = (pick: (a: (typeof accounts)[number]) => number | null) => accounts.reduce((all, a) => all + (pick(a) ?? 0), 0);
  const stored = sum((a) => a.stored);
  const rate = useRate(stored);
  const lost = sum((a) => a.lost);
  const ranges = sum((a) => a.lostUnknown);
  const verdict = worst(accounts);
  const duplicates = gateways.reduce((all, g) => all + (g.duplicates_total ?? 0), 0);
  const wrong: string[] = [];
  const offline = wanted.length - online;
  if (offline > 0) wrong.push(n('fleet.offline', offline));
  const quiet = gateways.reduce((c, g) => c + (g.online ? (g.sources ?? []).filter((s) => !s.connected || sourceQuiet(s.last_data_at, now)).length : 0), 0);
  if (quiet > 0) wrong.push(n('fleet.sources_bad', quiet));
  const skewed = gateways.filter((g) => Math.abs(skewSeconds(g) ?? 0) > SKEW_LIMIT_S).length;
  if (skewed > 0) wrong.push(n('fleet.skewed', skewed));
  const inMemory = wanted.filter((g) => g.durable === false).length;
  if (inMemory > 0) wrong.push(n('fleet.in_memory', inMemory));
  return (
    <div class="summary fleet-summary">
      <section class="panel status">
        <h2>{t('fleet.account')}</h2>
        <p class={`big verdict-line is-${verdict.verdict}`} data-testid="verdict">
          <VerdictMark verdict={verdict.verdict} />
          {t(`audit.${verdict.verdict}`)}
        </p>
        <p class="sub num">
          {verdict.verdict === 'balanced' ? t('audit.all') : n('audit.some', verdict.count, format.count(verdict.count))}
          {' · '}
          {t('audit.flight_sum', { n: format.count(sum((a) => a.inFlight)) })}
        </p>
      </section>
      <section class="panel">
        <h2>{t('fleet.lost')}</h2>
        <p class={`big num ${lost + ranges > 0 ? 'warn' : ''}`} data-testid="lost">
          {lost + ranges > 0 && <WarnMark />}
          {format.count(lost)}
        </p>
        <p class="sub">
          {ranges > 0 ? n('audit.ranges', ranges, format.count(ranges)) : lost > 0 ? t('fleet.lost_hint') : t('fleet.no_losses')}
        </p>
      </section>
      <section class="panel">
        <h2>{t('fleet.rate')}</h2>
        <p class="big num" data-testid="rate">
          {rate === null ? UNKNOWN : format.value(rate, rate >= 100 ? 0 : 1)} <small>{t('fleet.per_second')}</small>
        </p>
        <p class="sub num">
          {t('fleet.stored')}: <span data-testid="stored">{format.count(stored)}</span>
          <br />
          {t('fleet.duplicates')}: {format.count(duplicates)}
        </p>
      </section>
      <section class="panel">
        <h2>{t('fleet.online')}</h2>
        <p class="big num" data-testid="online">
          {online} <small>{t('plant.of', { n: wanted.length })}</small>
        </p>
        <p class={`verdict small ${wrong.length ? 'bad' : ''}`}>
          {wrong.length === 0
            ? t('fleet.well')
            : wrong.map((w) => (
                <span key={w} class="stale">
                  <WarnMark />
                  {w}
                </span>
              ))}
        </p>
      </section>
    </div>
  );
}
