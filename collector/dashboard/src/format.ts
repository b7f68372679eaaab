/** Numbers, units and times as text. Pure: language, zone and `now` are given. */

/** Shown wherever a value is unknown. */
export const UNKNOWN = '–';
const NARROW = '\u202f';

const UNIT_TEXT: Record<string, string> = {
  Cel: '°C',
  K: 'K',
  '%': '%',
  'kW.h': 'kWh',
  'm/s2': 'm/s²',
  'L/min': 'l/min',
  'm3/h': 'm³/h',
  '1': '',
  '/min': '1/min',
  '{rpm}': 'rpm',
  um: 'µm',
};

/** UCUM code to what is printed on a gauge. */
export function unitText(ucum: string | null | undefined): string {
  if (!ucum) return '';
  return UNIT_TEXT[ucum] ?? ucum;
}

/** `spindle_temperature` to "Spindle temperature". */
export function signalText(signal: string): string {
  const text = signal.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export class Format {
  private readonly formats = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

  constructor(
    readonly language: string,
    readonly timeZone: string,
  ) {}

  /** A measured value: four significant digits, as many as a gauge can be read to. */
  value(value: number | null | undefined, digits?: number): string {
    if (typeof value !== 'number' || !Number.isFinite(value)) return UNKNOWN;
    const size = Math.abs(value);
    const places = digits ?? (size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
    return this.number(`v${places}`, { minimumFractionDigits: places, maximumFractionDigits: places }).format(value);
  }

  withUnit(value: number | null | undefined, unit: string | null | undefined, digits?: number): string {
    const text = this.value(value, digits);
    const u = unitText(unit);
    return text === UNKNOWN || u === '' ? text : `${text}${NARROW}${u}`;
  }

  /** A difference, always with its sign unless it is none. */
  signed(value: number | null | undefined, digits = 1): string {
    if (typeof value !== 'number' || !Number.isFinite(value)) return UNKNOWN;
    const text = this.value(Math.abs(value), digits);
    return Number(Math.abs(value).toFixed(digits)) === 0 ? text : `${value > 0 ? '+' : '−'}${text}`;
  }

  count(value: number | null | undefined): string {
    if (typeof value !== 'number' || !Number.isFinite(value)) return UNKNOWN;
    return this.number('c', { maximumFractionDigits: 0 }).format(value);
  }

  /** Short form of a large count: 1.2 M. */
  compact(value: number | null | undefined): string {
    if (typeof value !== 'number' || !Number.isFinite(value)) return UNKNOWN;
    if (Math.abs(value) < 10_000) return this.count(value);
    return this.number('k', { notation: 'compact', maximumFractionDigits: 1 }).format(value);
  }

  percent(ratio: number | null | undefined, places = 1): string {
    if (typeof ratio !== 'number' || !Number.isFinite(ratio)) return UNKNOWN;
    const text = this.number(`p${places}`, { minimumFractionDigits: places, maximumFractionDigits: places }).format(ratio * 100);
    return `${text}${NARROW}%`;
  }

  bytes(value: number | null | undefined): string {
    if (typeof value !== 'number' || !Number.isFinite(value)) return UNKNOWN;
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    let size = value;
    let u = 0;
    while (Math.abs(size) >= 1000 && u < units.length - 1) {
      size /= 1000;
      u++;
    }
    return `${this.value(size, u === 0 || size >= 100 ? 0 : 1)}${NARROW}${units[u]}`;
  }

  /** A length of time in its two largest parts: "1 h 05 min", "3 min 20 s", "1.4 s", "21 ms". */
  duration(seconds: number | null | undefined): string {
    if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return UNKNOWN;
    const sign = seconds < 0 ? '−' : '';
    const s = Math.abs(seconds);
    if (s < 0.9995) {
      const ms = Math.round(s * 1000);
      return ms === 0 ? `0${NARROW}s` : `${sign}${ms}${NARROW}ms`;
    }
    if (s < 9.95) return `${sign}${this.value(s, Math.abs(s - Math.round(s)) < 0.05 ? 0 : 1)}${NARROW}s`;
    const whole = Math.round(s);
    if (whole < 60) return `${sign}${whole}${NARROW}s`;
    const two = (n: number) => String(n).padStart(2, '0');
    const parts = (all: number, base: number, large: string, small: string) =>
      `${sign}${Math.floor(all / base)}${NARROW}${large}${all % base === 0 ? '' : ` ${two(all % base)}${NARROW}${small}`}`;
    if (whole < 3600) return parts(whole, 60, 'min', 's');
    const minutes = Math.round(s / 60);
    if (minutes < 1440) return parts(minutes, 60, 'h', 'min');
    return parts(Math.round(s / 3600), 24, 'd', 'h');
  }

  /** Age in one part, for tight places: "now", "12 s", "3 min", "2 h". */
  age(ms: number): string {
    const s = Math.max(0, Math.round(ms / 1000));
    if (s < 60) return `${s}${NARROW}s`;
    if (s < 3600) return `${Math.floor(s / 60)}${NARROW}min`;
    if (s < 172_800) return `${Math.floor(s / 3600)}${NARROW}h`;
    return `${Math.floor(s / 86_400)}${NARROW}d`;
  }

  /** Hours with one decimal, for costs. */
  hours(seconds: number | null | undefined): string {
    if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return UNKNOWN;
    if (Math.abs(seconds) < 3600) return `${this.value(seconds / 60, Math.abs(seconds) < 600 ? 1 : 0)}${NARROW}min`;
    return `${this.value(seconds / 3600, 1)}${NARROW}h`;
  }

  time(ms: number): string {
    return this.date('t', { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(ms);
  }

  hourMinute(ms: number): string {
    return this.date('hm', { hour: '2-digit', minute: '2-digit' }).format(ms);
  }

  dateTime(ms: number): string {
    return this.date('dt', { day: '2-digit', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(ms);
  }

  day(ms: number): string {
    return this.date('d', { weekday: 'short', day: '2-digit', month: 'short' }).format(ms);
  }

  /** Time alone if it is the same day as `now`, else with the date. */
  moment(ms: number, now: number): string {
    return this.day(ms) === this.day(now) ? this.time(ms) : this.dateTime(ms);
  }

  /** "CET" or "GMT+1". */
  zone(ms: number): string {
    const part = this.date('z', { hour: '2-digit', timeZoneName: 'short' }).formatToParts(ms);
    return part.find((p) => p.type === 'timeZoneName')?.value ?? this.timeZone;
  }

  private number(key: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
    let format = this.formats.get(`n${key}`) as Intl.NumberFormat | undefined;
    if (!format) this.formats.set(`n${key}`, (format = new Intl.NumberFormat(this.language, options)));
    return format;
  }

  private date(key: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
    let format = this.formats.get(`d${key}`) as Intl.DateTimeFormat | undefined;
    if (!format) {
      const all: Intl.DateTimeFormatOptions = { hourCycle: 'h23', timeZone: this.timeZone, ...options };
      this.formats.set(`d${key}`, (format = new Intl.DateTimeFormat(this.language, all)));
    }
    return format;
  }
}

/** The zone if the browser knows it, else UTC: a wrong clock is worse than a plain one. */
export function knownZone(zone: string): string {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return zone;
  } catch {
    return 'UTC';
  }
}
