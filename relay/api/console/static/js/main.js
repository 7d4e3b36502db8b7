/* Where the page starts: who is there decides between the sign-in and the shell.

    another tab signs in or out ──┐
    this one is looked at again ──┼──► still the same? ──► else the shell of who is there now, or the sign-in
    events come again ────────────┘    The cookie is the browser's: every tab works for whoever signed in last.

    who = {companyId, companyName, operator, scopes, keyId, keyName, can(scope)}; `admin` can all, as in the API
*/

import { api } from './api.js';
import { closeEvents, isLive, onLive } from './events.js';
import { load } from './i18n.js';
import { failed } from './parts/states.js';
import { replace } from './dom.js';
import { applyTheme } from './theme.js';
import { showShell } from './shell.js';
import { showSignIn } from './sign_in.js';

const app = document.getElementById('app');
const AGAIN_MS = 3000;
const tabs = new BroadcastChannel('relay.session');
let shown = new AbortController();
let present = null; // who is there

function begin() {
  shown.abort();
  shown = new AbortController();
  return shown.signal;
}

async function enter(given) {
  const who = { ...given, can: (scope) => given.operator || given.scopes.includes('admin') || given.scopes.includes(scope) };
  const signal = begin();
  present = who;
  api.choose(null);
  const onLeave = () => {
    leave();
    tabs.postMessage('left');
  };
  try {
    await showShell(app, { who, signal, onLeave });
  } catch (error) {
    if (!signal.aborted) replace(app, failed(error, () => enter(given)));
  }
}

function leave({ expired = false } = {}) {
  present = null;
  api.choose(null);
  closeEvents({ forget: true });
  const onEnter = (given) => {
    enter(given);
    tabs.postMessage('entered');
  };
  showSignIn(app, { signal: begin(), expired, onEnter });
}

async function lookAgain() {
  const before = shown;
  let now = null;
  try {
    now = await api.get('console/session');
  } catch (error) {
    if (error.status !== 401) return;
  }
  // Somebody signed in or out right here meanwhile; or nothing is new.
  if (shown !== before || isSame(now, present)) return;
  if (now) enter(now);
  else leave({ expired: true });
}

function isSame(one, other) {
  return one?.keyId === other?.keyId && one?.companyId === other?.companyId;
}

async function start() {
  try {
    await load('common', 'shell');
  } catch {
    // There are no words yet to say it in.
    setTimeout(start, AGAIN_MS);
    return;
  }
  try {
    enter(await api.get('console/session'));
  } catch (error) {
    if (error.status === 401) leave();
    else replace(app, failed(error, start));
  }
}

applyTheme();
api.whenSignedOut(() => leave({ expired: true }));
tabs.onmessage = lookAgain;
document.addEventListener('visibilitychange', () => { if (!document.hidden) lookAgain(); });
onLive(() => { if (isLive()) lookAgain(); });
start();
