import { render } from 'preact';
import { App } from './app.tsx';
import { applyTheme, storedTheme } from './state/settings.ts';
import './styles/base.css';
import './styles/shell.css';
import './styles/plant.css';
import './styles/machine.css';
import './styles/fleet.css';

applyTheme(storedTheme());
const root = document.getElementById('app');
if (root) render(<App />, root);
