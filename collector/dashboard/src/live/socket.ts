/** Drives the link: one WebSocket, one ticking timer, REST polling while there is no socket. */

import type { ServerMessage } from '../api/types.ts';
import { type Effect, type Health, health, type Link, type LinkEvent, start, step } from './link.ts';

const TICK_MS = 500;
const POLL_EVERY_MS = 5_000;

export interface Subscription {
  channels: string[];
  /** Without it: all machines. */
  assets?: string[];
}

export interface Handlers {
  message(message: ServerMessage): void;
  /** Fetch the overview over REST; throws if that fails. */
  poll(): Promise<void>;
  /** Something may have been missed: fetch all that is shown. */
  refetch(): void;
  changed(): void;
}

export class LiveLink {
  private link: Link;
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setInterval>;
  private lastPoll = 0;
  private polling = false;
  private lastHealth: Health = 'starting';

  constructor(
    private readonly url: string,
    private subscription: Subscription,
    private readonly handlers: Handlers,
  ) {
    const first = start(Date.now());
    this.link = first.link;
    this.timer = setInterval(() => this.tick(), TICK_MS);
    document.addEventListener('visibilitychange', this.wake);
    window.addEventListener('online', this.wake);
    this.run(first.effects);
  }

  get health(): Health {
    return health(this.link, Date.now());
  }
  get retryAt(): number | null {
    return this.link.retryAt;
  }
  get lostAt(): number | null {
    return this.link.lostAt;
  }
  get lastAlive(): number | null {
    return this.link.lastAlive;
  }

  subscribe(subscription: Subscription): void {
    this.subscription = subscription;
    this.sendSubscription();
  }

  retryNow(): void {
    this.lastPoll = 0;
    this.feed({ type: 'retry_now' });
    this.tick();
  }

  end(): void {
    clearInterval(this.timer);
    document.removeEventListener('visibilitychange', this.wake);
    window.removeEventListener('online', this.wake);
    this.feed({ type: 'end' });
  }

  private wake = () => {
    if (!document.hidden) this.retryNow();
  };

  private feed(event: LinkEvent): void {
    const { link, effects } = step(this.link, event, Date.now(), Math.random());
    this.link = link;
    this.run(effects);
    const now = this.health;
    if (now !== this.lastHealth) {
      this.lastHealth = now;
      this.handlers.changed();
    }
  }

  private run(effects: Effect[]): void {
    for (const effect of effects) {
      if (effect === 'connect') this.connect();
      else if (effect === 'drop') this.drop();
      else this.handlers.refetch();
    }
  }

  private tick(): void {
    this.feed({ type: 'tick' });
    if (this.link.phase !== 'open') {
      void this.poll();
      this.handlers.changed();
    }
  }

  private async poll(): Promise<void> {
    const now = Date.now();
    // Not in the first moments: the socket is usually there before.
    if (this.polling || now - this.lastPoll < POLL_EVERY_MS || (!this.link.wasOpen && now - this.link.since < 1_500 && this.lastPoll === 0)) return;
    this.lastPoll = now;
    this.polling = true;
    let ok = true;
    try {
      await this.handlers.poll();
    } catch {
      ok = false;
    }
    this.polling = false;
    this.feed({ type: 'polled', ok });
  }

  private connect(): void {
    this.drop();
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.url);
    } catch {
      queueMicrotask(() => this.feed({ type: 'closed' }));
      return;
    }
    this.socket = socket;
    // A socket that has been replaced must not speak any more.
    const current = () => this.socket === socket;
    socket.onopen = () => {
      if (!current()) return;
      this.sendSubscription();
      this.feed({ type: 'opened' });
    };
    socket.onmessage = (event) => {
      if (!current() || typeof event.data !== 'string') return;
      let message: ServerMessage;
      try {
        message = JSON.parse(event.data) as ServerMessage;
      } catch {
        return;
      }
      this.feed({ type: 'message' });
      this.handlers.message(message);
    };
    socket.onclose = () => {
      if (!current()) return;
      this.socket = null;
      this.feed({ type: 'closed' });
    };
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private sendSubscription(): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: 'Subscribe', payload: this.subscription }));
  }
}
