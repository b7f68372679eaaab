/** The frame around each page: name, pages, state of the link, language, colours. */

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { type Language, LANGUAGES } from '../i18n/catalogue.ts';
import type { Translator } from '../i18n/translate.ts';
import type { Health } from '../live/link.ts';
import { energyHref, fleetHref, maintenanceHref, oeeHref, plantHref } from '../route.ts';
import { useApp, useNow } from '../state/context.ts';
import { applyTheme, storedTheme, type Theme } from '../state/settings.ts';
import { HealthMark, Logo } from './marks.tsx';

export function Brand() {
  return (
    <span class="brand">
      <Logo />
      <span>Millrace</span>
    </span>
  );
}

/** Language and colours: on every page, also before the log-in. */
export function Preferences({ words, setLanguage }: { words: Translator; setLanguage: (l: Language) => void }) {
  const [theme, setTheme] = useState<Theme>(storedTheme());
  const next: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };
  const label = words.t('app.theme', { theme: words.t(`app.theme.${theme}`) });
  return (
    <>
      <label class="language" title={words.t('app.language')}>
        <span class="sr">{words.t('app.language')}</span>
        <select value={words.language} onChange={(e) => setLanguage(e.currentTarget.value as Language)}>
          {LANGUAGES.map((l) => (
            <option key={l.id} value={l.id} lang={l.id} aria-label={l.name}>
              {l.short}
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        class="icon theme"
        title={label}
        aria-label={label}
        onClick={() => {
          setTheme(next[theme]);
          applyTheme(next[theme]);
        }}
      >
        <svg viewBox="0 0 16 16" aria-hidden="true">
          {theme === 'auto' && (
            <>
              <circle cx="8" cy="8" r="5.5" />
              <path class="solid" d="M8 2.5a5.5 5.5 0 0 1 0 11z" />
            </>
          )}
          {theme === 'light' && (
            <>
              <circle cx="8" cy="8" r="3" />
              <path d="M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13" />
            </>
          )}
          {theme === 'dark' && <path class="solid" d="M13.5 9.8A5.8 5.8 0 0 1 6.2 2.5a5.8 5.8 0 1 0 7.3 7.3z" />}
        </svg>
      </button>
    </>
  );
}

export function Shell(props: {
  page: string;
  setLanguage: (l: Language) => void;
  logOut: () => void;
  children: ComponentChildren;
}) {
  const { words, format, session, link } = useApp();
  const now = useNow();
  const state = link.health;
  const { t } = words;
  const pages = [
    { id: 'plant', href: plantHref(), text: t('nav.plant') },
    { id: 'oee', href: oeeHref({}), text: t('nav.oee') },
    { id: 'maintenance', href: maintenanceHref(), text: t('nav.maintenance') },
    { id: 'energy', href: energyHref({}), text: t('nav.energy') },
    { id: 'fleet', href: fleetHref(), text: t('nav.fleet') },
  ];
  return (
    <div class={`shell link-${state}`}>
      <a
        class="skip"
        href="#main"
        onClick={(e) => {
          // The hash is the address of the page: move the focus only.
          e.preventDefault();
          document.getElementById('main')?.focus();
        }}
      >
        {t('app.skip')}
      </a>
      <header class="top">
        <a class="home" href={plantHref()} aria-label="Millrace">
          <Brand />
        </a>
        <nav aria-label={t('nav.main')}>
          {pages.map((p) => (
            <a key={p.id} href={p.href} aria-current={props.page === p.id || (p.id === 'plant' && props.page === 'machine') ? 'page' : undefined}>
              {p.text}
            </a>
          ))}
        </nav>
        <div class="tools">
          <span class={`chip health-${state}`}>
            <HealthMark health={state} />
            <span>{t(`link.${state}`)}</span>
          </span>
          <time class="clock num" title={t('app.plant_time', { zone: session.timezone })}>
            {format.time(now)} <span class="zone">{format.zone(now)}</span>
          </time>
          <Preferences words={words} setLanguage={props.setLanguage} />
          <button type="button" class="icon" onClick={props.logOut} title={t('app.logout')} aria-label={t('app.logout')}>
            <svg viewBox="0 0 16 16" aria-hidden="true">
              <path d="M9.5 2.5h-6v11h6M6.5 8H14M11.2 5.2 14 8l-2.8 2.8" />
            </svg>
          </button>
        </div>
      </header>
      <Banner />
      <main id="main" tabIndex={-1}>
        {props.children}
      </main>
      <footer class="foot">
        <span>{t('app.version', { version: session.version })}</span>
        <span>{t('app.signed_in', { name: session.name, role: words.word('role', session.role) })}</span>
        <span>{t('app.plant_time', { zone: session.timezone })}</span>
      </footer>
    </div>
  );
}

/** Says plainly that what is shown is not live, and since when. */
function Banner() {
  const { words, format, link, plant } = useApp();
  useNow();
  const { t } = words;
  const state: Health = link.health;
  const clock = Date.now();
  const offset = plant.now() - clock;
  const time = (ms: number | null) => (ms === null ? '' : format.moment(ms + offset, plant.now()));
  const waitS = link.retryAt === null ? 0 : Math.max(0, Math.ceil((link.retryAt - clock) / 1000));
  let text = '';
  if (state === 'stale') text = t('link.banner.stale', { age: format.age(clock - (link.lastAlive ?? clock)), time: time(link.lastAlive) });
  else if (state === 'polling') text = t('link.banner.polling');
  else if (state === 'down') {
    const since = link.lastAlive ?? link.lostAt;
    text = link.lastAlive !== null && since !== null ? t('link.banner.down', { time: time(since) }) : t('link.banner.down_never');
  }
  // The announcement changes with the state, not with each second.
  const spoken = state === 'live' || state === 'starting' ? t(`link.say.${state}`) : `${t(`link.${state}`)}. ${state === 'stale' ? '' : text}`;
  return (
    <>
      <p class="sr" role="status" aria-live="polite" data-testid="link-say">
        {spoken}
      </p>
      {text !== '' && (
        <div class={`banner banner-${state}`} data-testid="banner">
          <HealthMark health={state} />
          <span>
            <strong>{t(`link.${state}`)}.</strong> {text}
            {state !== 'stale' && <span class="num"> {waitS > 0 ? t('link.next', { wait: format.age(waitS * 1000) }) : t('link.now')}</span>}
          </span>
          {state !== 'stale' && (
            <button type="button" onClick={() => link.retryNow()}>
              {t('link.retry')}
            </button>
          )}
        </div>
      )}
    </>
  );
}
