/* The frame of every page: navigation by scopes, company, language, colours, sign-out; and the router inside it.

    hash changes ──► another page ──► abort the old one's signal ──► load module, words, css ──► show()
                └──► the same page ──► moved(params) where show() answered such a function, else show() again
*/

import { api } from './api.js';
import { chooseCompany } from './companies.js';
import { h, replace } from './dom.js';
import { unreachable } from './errors.js';
import { closeEvents, isLive, onLive, openEvents } from './events.js';
import { load, sentence, t } from './i18n.js';
import { icon } from './icons.js';
import { pages } from './pages.js';
import { failed, loading } from './parts/states.js';
import { toast } from './parts/toast.js';
import { languageSwitch, themeSwitch } from './preferences.js';
import { here, href } from './routes.js';

const MAY_READ_EVENTS = ['messages:read', 'webhooks', 'admin'];
const broken = new Set(); // pages whose module could not be had
const styles = new Map(); // page's name → the promise of its css

export async function showShell(app, { who, signal, onLeave }) {
  const allowed = pages.filter((page) => (page.operator ? who.operator : page.scopes.length === 0 || page.scopes.some(who.can)));
  const shell = { who, signal, onLeave, allowed, page: null, pageSignal: new AbortController() };
  signal.addEventListener('abort', () => shell.pageSignal.abort(), { once: true });
  replace(app, loading());
  // The navigation's words are the pages' own.
  const words = () => load('common', 'shell', ...allowed.map(({ name }) => name));
  await words();
  shell.company = who.operator ? await chooseCompany({ signal, onChange: () => restart(shell) }) : null;
  if (signal.aborted) return;
  const redraw = async () => {
    await words();
    if (!signal.aborted) draw(app, shell);
  };
  document.addEventListener('relay:language', redraw, { signal });
  window.addEventListener('hashchange', () => route(shell, { focus: true }), { signal });
  startEvents(shell);
  draw(app, shell);
}

function startEvents({ who }) {
  closeEvents({ forget: true });
  if (MAY_READ_EVENTS.some(who.can) && (!who.operator || api.company())) openEvents();
}

/** Another company: its own events, and the page from its beginning. */
function restart(shell) {
  startEvents(shell);
  shell.page = null;
  route(shell);
}

function draw(app, shell) {
  shell.page = null;
  shell.main = h('main', { id: 'main', tabindex: '-1' });
  shell.side = sidebar(shell);
  replace(app,
    h('a', { class: 'skip', href: '#main', onclick: (event) => { event.preventDefault(); shell.main.focus(); } }, t('shell.skip')),
    h('div', { class: 'shell' }, topBar(shell), shell.side, shell.main));
  route(shell);
}

function sidebar({ allowed }) {
  return h('div', { class: 'side', id: 'side' },
    h('a', { class: 'brand', href: href('start') }, h('img', { src: 'console/icon.svg', alt: '' }), 'Relay'),
    h('nav', { class: 'nav', 'aria-label': t('shell.navigation') },
      h('ul', {}, allowed.map((page) => h('li', {},
        h('a', { href: href(page.name), 'data-page': page.name }, icon(page.icon), t(`${page.name}.nav`)))))),
    h('div', { class: 'side-end' },
      h('a', { href: 'docs' }, icon('book'), t('shell.docs')),
      h('div', { class: 'preferences' }, languageSwitch(), themeSwitch())));
}

function topBar(shell) {
  const menu = h('button', {
    type: 'button', class: 'menu-button quiet icon-only', 'aria-label': t('shell.menu'), 'aria-controls': 'side', 'aria-expanded': 'false',
    onclick: () => openMenu(shell, !shell.side.classList.contains('open')),
  }, icon('menu'));
  shell.menu = menu;
  return h('header', { class: 'top' },
    menu,
    shell.company ? shell.company.draw() : h('span', { class: 'company', title: shell.who.keyName }, shell.who.companyName),
    h('div', { class: 'end' },
      liveness(shell),
      h('button', { type: 'button', class: 'quiet sign-out', onclick: () => signOut(shell) }, icon('leave'), h('span', {}, t('shell.signOut')))));
}

function liveness({ signal }) {
  const words = h('span');
  const node = h('span', { class: 'live', role: 'status' }, words);
  let opened = false;
  const say = () => {
    opened ||= isLive();
    node.hidden = !opened;
    node.className = `live ${isLive() ? 'on' : 'off'}`;
    words.textContent = isLive() ? t('shell.live') : t('shell.notLive');
    node.title = words.textContent;
  };
  onLive(say, signal);
  say();
  return node;
}

function openMenu(shell, open) {
  shell.side.classList.toggle('open', open);
  shell.menu.setAttribute('aria-expanded', String(open));
}

async function signOut({ onLeave }) {
  try {
    await api.delete('console/session');
  } catch (error) {
    // Whoever reads that they are signed out leaves the computer to others.
    if (error.status !== 401) {
      toast(sentence(error), { kind: 'bad' });
      return;
    }
  }
  onLeave();
}

function route(shell, { focus = false } = {}) {
  const params = here();
  const page = shell.allowed.find(({ name }) => name === params.name) ?? shell.allowed[0];
  for (const link of shell.side.querySelectorAll('[data-page]')) {
    if (link.dataset.page === page.name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  openMenu(shell, false);
  if (shell.page === page && shell.moved) shell.moved(params);
  else showPage(shell, page, params, focus);
}

async function showPage(shell, page, params, focus = false) {
  shell.pageSignal.abort();
  shell.pageSignal = new AbortController();
  Object.assign(shell, { page, moved: null });
  const { signal } = shell.pageSignal;
  const container = h('div');
  shell.main.classList.toggle('wide', Boolean(page.wide));
  replace(shell.main, loading());
  try {
    const [module] = await Promise.all([loadModule(page), page.css && loadCss(page.name), load(page.name, ...page.uses ?? [])]);
    if (signal.aborted) return;
    document.title = `${t(`${page.name}.title`)} · Relay`;
    replace(shell.main, container);
    const moved = await module.default.show(container, { params, who: shell.who, signal });
    if (signal.aborted) return;
    shell.moved = moved ?? null;
    if (focus) container.querySelector('h1')?.focus();
  } catch (error) {
    if (signal.aborted || error.name === 'AbortError') return;
    replace(shell.main, failed(error, () => showPage(shell, page, here())));
  }
}

/** A browser that could not have a module once does not ask for it again: once the server answers, the document is loaded anew. */
async function loadModule(page) {
  if (broken.has(page)) {
    await api.get('console/session').catch((error) => { if (error.status !== 401) throw error; });
    location.reload();
    throw unreachable();
  }
  try {
    return await page.load();
  } catch (error) {
    console.error(error);
    broken.add(page);
    throw unreachable();
  }
}

function loadCss(name) {
  if (!styles.has(name)) styles.set(name, fetchCss(name));
  return styles.get(name);
}

function fetchCss(name) {
  return new Promise((resolve, reject) => {
    const link = h('link', {
      rel: 'stylesheet', href: `console/css/pages/${name}.css`, 'data-css': name, onload: resolve,
      onerror: () => {
        link.remove();
        styles.delete(name);
        reject(unreachable());
      },
    });
    document.head.append(link);
  });
}
