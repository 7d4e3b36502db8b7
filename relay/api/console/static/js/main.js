/* Where the page starts: who is there decides between the sign-in and the shell.

    who = {companyId, companyName, operator, scopes, keyId, keyName, can(scope)}; `admin` can all, as in the API
*/

import { api } from './api.js';
import { closeEvents } from './events.js';
import { load } from './i18n.js';
import { failed } from './parts/states.js';
import { replace } from './dom.js';
import { applyTheme } from './theme.js';
import { showShell } from './shell.js';
import { showSignIn } from './sign_in.js';

const app = document.getElementById('app');
let shown = new AbortController();

function begin() {
  shown.abort();
  shown = new AbortController();
  return shown.signal;
}

function enter(given) {
  const who = { ...given, can: (scope) => given.operator || given.scopes.includes('admin') || given.scopes.includes(scope) };
  showShell(app, { who, signal: begin(), onLeave: () => leave() });
}

function leave({ expired = false } = {}) {
  api.choose(null);
  closeEvents({ forget: true });
  showSignIn(app, { signal: begin(), expired, onEnter: enter });
}

async function start() {
  applyTheme();
  await load('common', 'shell');
  api.whenSignedOut(() => leave({ expired: true }));
  try {
    enter(await api.get('console/session'));
  } catch (error) {
    if (error.status === 401) leave();
    else replace(app, failed(error, start));
  }
}

start();
