/* Health: what is wrong and what to do, what waits, and the last hour as charts.

    #/health           the company's
    #/health/server    an operator's: everybody's, and the server's own

    GET whatsapp/health, …/problems, …/rates ──► problems.js, figures.js, charts.js
        └── again every few seconds, and soon after a session or a webhook has changed; what is the same keeps its elements
*/

import { api } from '../api.js';
import { h, replace } from '../dom.js';
import { every, listen } from '../events.js';
import { sentence, t, time } from '../i18n.js';
import { pageHeader } from '../parts/header.js';
import { loading } from '../parts/states.js';
import { href } from '../routes.js';
import { charts } from './health/charts.js';
import { figures } from './health/figures.js';
import { problems } from './health/problems.js';

const LOOK_SECONDS = 15;
const SOON_MS = 1500;

export default {
  async show(container, { params, who, signal }) {
    const server = who.operator && (params.id === 'server' || !api.company());
    const view = new HealthView({ server, who, signal });
    replace(container, view.header(), loading());
    const first = await view.ask();
    if (signal.aborted) return;
    view.update(first);
    replace(container, view.header(), view.content);
    view.follow();
  },
};

class HealthView {
  constructor(context) {
    this.context = context;
    this.parts = [problems(context), figures(context), charts()];
    this.note = h('p', { class: 'soft small health-note', role: 'status' });
    this.content = h('div', { class: 'health' }, this.parts.map(({ element }) => element), this.note);
  }

  header() {
    const { server, who } = this.context;
    return pageHeader({
      title: t('health.title'), text: server ? t('health.text.server') : t('health.text'),
      actions: who.operator && api.company() ? [viewSwitch(server)] : [],
    });
  }

  async ask() {
    const { server, signal } = this.context;
    const whose = server ? { companyId: null } : {};
    const [state, found, rates] = await Promise.all(
      ['whatsapp/health', 'whatsapp/health/problems', 'whatsapp/health/rates'].map((path) => api.get(path, whose, { signal })));
    return { state, problems: found.problems, minutes: rates.minutes };
  }

  update(answer) {
    for (const part of this.parts) part.update(answer);
    this.say('soft', t('health.updated', { time: time(new Date()) }));
  }

  async look() {
    if (this.looking) return;
    this.looking = true;
    try {
      this.update(await this.ask());
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      this.say('bad', `${t('health.stale')} ${sentence(error)}`);
    } finally {
      this.looking = false;
    }
  }

  /** The time is for the eye; only trouble is read out. */
  say(kind, words) {
    this.note.className = kind === 'bad' ? 'alert health-note' : 'soft small health-note';
    this.note.setAttribute('aria-live', kind === 'bad' ? 'polite' : 'off');
    this.note.textContent = words;
  }

  follow() {
    const { signal } = this.context;
    let waiting = null;
    listen(['session.status', 'endpoint.disabled'], () => {
      waiting ??= setTimeout(() => {
        waiting = null;
        if (!document.hidden) this.look();
      }, SOON_MS);
    }, signal);
    signal.addEventListener('abort', () => clearTimeout(waiting), { once: true });
    every(LOOK_SECONDS, () => this.look(), signal);
  }
}

function viewSwitch(server) {
  const link = (place, words, chosen) => h('a', { href: href('health', place), 'aria-current': chosen ? 'page' : null }, words);
  return h('nav', { class: 'health-switch', 'aria-label': t('health.view') },
    link(null, t('health.view.company'), !server), link('server', t('health.view.server'), server));
}
