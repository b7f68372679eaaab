/**
 * What is known of the plant now: machines, gateways, newest anomalies. Filled over REST, kept up to date by live messages.
 *
 * Invariant: an object in here is never changed, only replaced, so a row whose object is the same need not be drawn again.
 */

import { ApiError, api } from '../api/client.ts';
import type { Anomaly, Asset, Gateway, ServerMessage } from '../api/types.ts';

const KEPT_ANOMALIES = 100;
const ANOMALY_DAYS_MS = 86_400_000;
/** Listeners hear of changes at most this often. */
const NOTIFY_EVERY_MS = 200;
const RENEW_EVERY_MS = 3_000;
const RETRY_MS = 3_000;
const RETRY_CAP_MS = 60_000;
/** Smaller differences between the collector's clock and ours are noise of the network. */
const CLOCK_NOISE_MS = 250;

export class Plant {
  assets: Asset[] = [];
  gateways: Gateway[] = [];
  anomalies: Anomaly[] = [];
  /** When all was fetched last, by our clock; `null`: never. */
  loadedAt: number | null = null;
  error: string | null = null;
  /** Goes up when pages have to fetch anew what they show. */
  generation = 0;

  private byPath = new Map<string, Asset>();
  private clockOffsetMs = 0;
  private changeListeners = new Set<() => void>();
  private messageListeners = new Set<(message: ServerMessage) => void>();
  private renewedAt = 0;
  private renewTimer: ReturnType<typeof setTimeout> | null = null;
  private retryTimer: ReturnType<typeof setTimeout> | null = null;
  private retryMs = RETRY_MS;
  private ended = false;
  private notifyTimer: ReturnType<typeof setTimeout> | null = null;
  private collator = new Intl.Collator('en', { numeric: true });

  /** The collector's clock. */
  now(): number {
    return Date.now() + this.clockOffsetMs;
  }

  asset(path: string): Asset | undefined {
    return this.byPath.get(path);
  }

  onChange(listener: () => void): () => void {
    this.changeListeners.add(listener);
    return () => this.changeListeners.delete(listener);
  }

  onMessage(listener: (message: ServerMessage) => void): () => void {
    this.messageListeners.add(listener);
    return () => this.messageListeners.delete(listener);
  }

  clock(at: string): void {
    const offset = Date.parse(at) - Date.now();
    if (Number.isFinite(offset) && Math.abs(offset - this.clockOffsetMs) > CLOCK_NOISE_MS) this.clockOffsetMs = offset;
  }

  /** Fetches the overview; throws if the collector can't be reached. */
  async load(withAnomalies: boolean): Promise<void> {
    try {
      const now = this.now();
      const [assets, gateways, anomalies] = await Promise.all([
        api.assets(),
        api.gateways(),
        withAnomalies ? api.anomalies({ from: now - ANOMALY_DAYS_MS, to: now + 60_000, limit: KEPT_ANOMALIES }) : null,
      ]);
      this.byPath = new Map(assets.map((a) => [a.asset, a]));
      this.sort();
      this.gateways = gateways.toSorted((a, b) => this.collator.compare(a.gateway, b.gateway));
      if (anomalies) this.anomalies = anomalies.toSorted(newestFirst);
      this.loadedAt = Date.now();
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
      throw error;
    } finally {
      this.notify();
    }
  }

  /** Something may have been missed: pages fetch anew as well. However often that is said, it is done now and then only. */
  renew(): void {
    const wait = this.renewedAt + RENEW_EVERY_MS - Date.now();
    if (wait > 0) {
      this.renewTimer ??= setTimeout(() => {
        this.renewTimer = null;
        this.renew();
      }, wait);
      return;
    }
    this.renewedAt = Date.now();
    this.generation++;
    this.start();
  }

  /** Fetches the overview, and again while that fails, ever more rarely: as long as the link is up nobody else would ask again. */
  start(): void {
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.retryTimer = null;
    this.load(true).then(
      () => {
        this.retryMs = RETRY_MS;
      },
      (error: unknown) => {
        const told = error instanceof ApiError ? (error.retryAfterS ?? 0) * 1_000 : 0;
        this.retry(Math.max(this.retryMs, told));
        this.retryMs = Math.min(this.retryMs * 2, RETRY_CAP_MS);
      },
    );
  }

  private retry(wait: number): void {
    if (this.ended || this.retryTimer !== null) return;
    this.retryTimer = setTimeout(() => {
      this.retryTimer = null;
      // Nobody sees it.
      if (document.hidden) this.retry(wait);
      else this.start();
    }, wait);
  }

  /** Nobody looks any more. */
  end(): void {
    this.ended = true;
    for (const timer of [this.renewTimer, this.retryTimer]) if (timer !== null) clearTimeout(timer);
    this.renewTimer = this.retryTimer = null;
  }

  apply(message: ServerMessage): void {
    switch (message.type) {
      case 'Heartbeat':
        this.clock(message.payload.at);
        return;
      case 'Lagged':
        this.renew();
        return;
      case 'Alerts':
        for (const anomaly of message.payload.anomalies ?? []) {
          if (this.anomalies.some((a) => sameAnomaly(a, anomaly))) continue;
          this.anomalies = [anomaly, ...this.anomalies].sort(newestFirst).slice(0, KEPT_ANOMALIES);
        }
        break;
      case 'Events':
        if (message.payload.assets?.length) {
          let added = false;
          for (const asset of message.payload.assets) {
            added ||= !this.byPath.has(asset.asset);
            this.byPath.set(asset.asset, asset);
          }
          if (added) this.sort();
          else this.assets = this.assets.map((a) => this.byPath.get(a.asset) ?? a);
        }
        if (message.payload.gateways?.length) {
          const all = new Map(this.gateways.map((g) => [g.gateway, g]));
          for (const gateway of message.payload.gateways) all.set(gateway.gateway, gateway);
          this.gateways = [...all.values()].sort((a, b) => this.collator.compare(a.gateway, b.gateway));
        }
        break;
    }
    for (const listener of this.messageListeners) listener(message);
    if (message.type === 'Events' || message.type === 'Alerts') this.notify();
  }

  private sort(): void {
    this.assets = [...this.byPath.values()].sort((a, b) => this.collator.compare(a.asset, b.asset));
  }

  private notify(): void {
    this.notifyTimer ??= setTimeout(() => {
      this.notifyTimer = null;
      for (const listener of this.changeListeners) listener();
    }, NOTIFY_EVERY_MS);
  }
}

export function newestFirst(a: Anomaly, b: Anomaly): number {
  return Date.parse(b.event_time) - Date.parse(a.event_time);
}

export function sameAnomaly(a: Anomaly, b: Anomaly): boolean {
  return a.event_time === b.event_time && a.asset === b.asset && a.signal === b.signal && a.detector === b.detector;
}
