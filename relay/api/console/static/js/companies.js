/* The operator's choice of a company, in the top bar; kept for this tab only. It goes along with every call (api.js). */

import { api } from './api.js';
import { h } from './dom.js';
import { t } from './i18n.js';
import { href } from './routes.js';

const KEPT = 'relay.company';

/** Answers {draw() → element}; chooses the one of before, or the newest. `document`'s event `relay:companies` looks again,
    `relay:company` chooses the one that its detail names. */
export async function chooseCompany({ signal, onChange }) {
  const chooser = { companies: await list() };
  const kept = sessionStorage.getItem(KEPT);
  const first = chooser.companies.find(({ companyId }) => companyId === kept) ?? chooser.companies[0];
  api.choose(first?.companyId ?? null);

  const choose = (companyId) => {
    sessionStorage.setItem(KEPT, companyId);
    api.choose(companyId);
    onChange();
  };
  document.addEventListener('relay:companies', async () => {
    chooser.companies = await list();
    const gone = !chooser.companies.some(({ companyId }) => companyId === api.company());
    if (gone) choose(chooser.companies[0]?.companyId ?? null);
    chooser.node?.replaceWith(chooser.draw());
  }, { signal });

  document.addEventListener('relay:company', ({ detail }) => {
    choose(detail);
    chooser.node?.replaceWith(chooser.draw());
  }, { signal });

  chooser.draw = () => {
    chooser.node = h('div', { class: 'company-chooser' },
      h('span', { class: 'soft small', 'aria-hidden': 'true' }, t('shell.company')),
      chooser.companies.length
        ? h('select', { class: 'small', 'aria-label': t('shell.company'), value: api.company(), onchange: (event) => choose(event.target.value) },
          chooser.companies.map(({ companyId, name }) => h('option', { value: companyId }, name)))
        : h('a', { class: 'company', href: href('companies') }, t('shell.noCompany')));
    return chooser.node;
  };
  return chooser;
}

async function list() {
  const found = [];
  for await (const page of api.all('admin/tenants', 'tenants')) found.push(...page);
  return found;
}
