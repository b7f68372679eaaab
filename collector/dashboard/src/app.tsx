/** Wires session, plant, link and pages together; nothing else. */

import type { ComponentType } from 'preact';
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { ApiError, api, whenUnauthorized } from './api/client.ts';
import type { Session } from './api/types.ts';
import { Format, knownZone } from './format.ts';
import { type Language, LANGUAGES } from './i18n/catalogue.ts';
import { preferred, Translator } from './i18n/translate.ts';
import { LiveLink, type Subscription } from './live/socket.ts';
import { Login } from './pages/login.tsx';
import { PlantPage } from './pages/plant.tsx';
import type { View } from './model/range.ts';
import { type EnergyRoute, type FleetRoute, type MaintenanceRoute, type OeeRoute, parseRoute, type Route } from './route.ts';
import { type App as AppValue, AppContext } from './state/context.ts';
import { Plant } from './state/plant.ts';
import { storedLanguage, storeLanguage } from './state/settings.ts';
import { Shell } from './ui/shell.tsx';

const RETRY_MS = 3_000;

type Entry = { kind: 'asking' } | { kind: 'unreachable'; reason: string } | { kind: 'out' } | { kind: 'in'; session: Session };

export function App() {
  const [entry, setEntry] = useState<Entry>({ kind: 'asking' });
  const [language, setLanguageState] = useState<Language>(() => storedLanguage() ?? preferred(navigator.languages));
  const words = useMemo(() => new Translator(language), [language]);
  const setLanguage = useCallback((l: Language) => {
    storeLanguage(l);
    setLanguageState(l);
  }, []);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);

  const ask = useCallback(async () => {
    try {
      setEntry({ kind: 'in', session: await api.session() });
    } catch (error) {
      const status = error instanceof ApiError ? error.status : 0;
      if (status === 401 || status === 403) setEntry({ kind: 'out' });
      else setEntry({ kind: 'unreachable', reason: (error as Error).message });
    }
  }, []);
  useEffect(() => {
    whenUnauthorized(() => setEntry({ kind: 'out' }));
    void ask();
  }, [ask]);
  useEffect(() => {
    if (entry.kind !== 'unreachable') return;
    const timer = setTimeout(() => void ask(), RETRY_MS);
    return () => clearTimeout(timer);
  }, [entry, ask]);

  if (entry.kind === 'in')
    return (
      <Inside
        session={entry.session}
        words={words}
        setLanguage={setLanguage}
        logOut={() => {
          void api.logout().catch(() => {});
          setEntry({ kind: 'out' });
        }}
      />
    );
  if (entry.kind === 'out') return <Login words={words} setLanguage={setLanguage} done={() => void ask()} />;
  return (
    <p class="wait" role="status">
      {entry.kind === 'asking' ? words.t('app.loading') : words.t('link.banner.down_never')}
    </p>
  );
}

/** A page in a file of its own: fetched after the overview, but before anyone asks for it, as the link may be bad by then. */
function later<P>(load: () => Promise<{ default: ComponentType<P> }>): () => ComponentType<P> | null {
  let page: ComponentType<P> | null = null;
  return () => {
    const [known, setKnown] = useState<ComponentType<P> | null>(() => page);
    useEffect(() => {
      if (page !== null) return;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const attempt = () =>
        load().then(
          (file) => {
            page = file.default;
            setKnown(() => file.default);
          },
          () => {
            timer = setTimeout(attempt, RETRY_MS);
          },
        );
      void attempt();
      return () => clearTimeout(timer);
    }, []);
    return known;
  };
}
const useMachinePage = later<{ asset: string; view: View }>(() => import('./pages/machine.tsx'));
const useOeePage = later<{ route: OeeRoute }>(() => import('./pages/oee.tsx'));
const useMaintenancePage = later<{ route: MaintenanceRoute }>(() => import('./pages/maintenance.tsx'));
const useEnergyPage = later<{ route: EnergyRoute }>(() => import('./pages/energy.tsx'));
const useFleetPage = later<{ route: FleetRoute }>(() => import('./pages/fleet.tsx'));

function subscriptionOf(route: Route): Subscription {
  // Window summaries of a whole plant are many: only the machine that is looked at sends them.
  if (route.page === 'machine') return { channels: ['metrics', 'events', 'alerts'], assets: [route.asset] };
  return { channels: ['events', 'alerts'] };
}

function Inside(props: { session: Session; words: Translator; setLanguage: (l: Language) => void; logOut: () => void }) {
  const { session, words } = props;
  const [route, setRoute] = useState<Route>(() => parseRoute(location.hash));
  const [, redraw] = useReducer((n: number) => n + 1, 0);

  const plant = useMemo(() => {
    const made = new Plant();
    made.clock(session.now);
    return made;
  }, [session]);
  const [link, setLink] = useState<LiveLink | null>(null);

  const Machine = useMachinePage();
  const Fleet = useFleetPage();
  const OeePage = useOeePage();
  const Maintenance = useMaintenancePage();
  const Energy = useEnergyPage();
  const pages = { plant: PlantPage, machine: Machine, fleet: Fleet, oee: OeePage, maintenance: Maintenance, energy: Energy };
  const loaded = useRef(false);
  useEffect(() => {
    const url = new URL('ws', document.baseURI);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    const made = new LiveLink(url.href, subscriptionOf(parseRoute(location.hash)), {
      message: (message) => plant.apply(message),
      poll: () => plant.load(false),
      refetch: () => plant.renew(),
      changed: () => redraw(0),
    });
    setLink(made);
    plant.start();
    return () => {
      made.end();
      plant.end();
    };
  }, [plant]);

  useEffect(() => {
    const follow = () => setRoute(parseRoute(location.hash));
    window.addEventListener('hashchange', follow);
    return () => window.removeEventListener('hashchange', follow);
  }, []);

  const place = route.page === 'machine' ? `machine/${route.asset}` : route.page;
  useEffect(() => {
    link?.subscribe(subscriptionOf(parseRoute(location.hash)));
  }, [place, link]);
  useEffect(() => {
    if (!loaded.current) {
      loaded.current = true;
      return;
    }
    window.scrollTo(0, 0);
    // A new page is announced by the focus moving to its heading; the overview may have missed what this machine's subscription left out.
    document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true });
    if (route.page !== 'machine') plant.renew();
  }, [place]);

  const format = useMemo(
    () => new Format(LANGUAGES.find((l) => l.id === words.language)?.locale ?? 'en-GB', knownZone(session.timezone)),
    [words.language, session.timezone],
  );
  const app = useMemo<AppValue | null>(() => (link === null ? null : { session, plant, link, words, format }), [session, plant, link, words, format]);
  if (app === null) return null;
  return (
    <AppContext.Provider value={app}>
      <Shell page={route.page} setLanguage={props.setLanguage} logOut={props.logOut}>
        {route.page === 'plant' && <PlantPage filter={route.filter} only={route.only} />}
        {route.page === 'machine' && Machine !== null && <Machine key={route.asset} asset={route.asset} view={route.view} />}
        {route.page === 'fleet' && Fleet !== null && <Fleet route={route} />}
        {route.page === 'oee' && OeePage !== null && <OeePage route={route} />}
        {route.page === 'maintenance' && Maintenance !== null && <Maintenance route={route} />}
        {route.page === 'energy' && Energy !== null && <Energy route={route} />}
        {pages[route.page] === null && <p class="wait">{words.t('app.loading')}</p>}
      </Shell>
    </AppContext.Provider>
  );
}
