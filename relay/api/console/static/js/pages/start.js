/* Start: three steps to a bot that answers, until there is one; from then on how the accounts stand, at a glance. */

import { api } from '../api.js';
import { h, replace } from '../dom.js';
import { t } from '../i18n.js';
import { pages } from '../pages.js';
import { pageHeader } from '../parts/header.js';
import { empty, loading } from '../parts/states.js';
import { href } from '../routes.js';
import { showGuide } from './start/guide.js';
import { showOverview } from './start/overview.js';

export default {
  async show(container, { params, who, signal }) {
    if (!who.can('sessions')) {
      const others = pages.some(({ scopes }) => scopes.some(who.can));
      replace(container, pageHeader({ title: t('start.noSessions.title'), text: others ? t('start.noSessions.text') : t('start.noPages.text') }));
      return;
    }
    if (who.operator && !api.company()) {
      replace(container, h('h1', { class: 'visually-hidden' }, t('start.title')), empty({
        icon: 'building', title: t('start.noCompany.title'), text: t('start.noCompany.text'),
        action: h('a', { class: 'button primary', href: href('companies') }, t('start.noCompany.button')),
      }));
      return;
    }
    replace(container, loading());
    const sessions = [];
    for await (const page of api.all('whatsapp/sessions', 'sessions', {}, { signal })) sessions.push(...page);
    const runs = sessions.some(({ status, automation, engine }) => status === 'connected' && (automation || engine !== 'sandbox'));
    if (runs && !params.query.guide) showOverview(container, { sessions, signal });
    else await showGuide(container, { sessions, who, signal });
  },
};
