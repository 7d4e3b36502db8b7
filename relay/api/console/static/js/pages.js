/* Every page, once, in the order of the navigation. README.md beside this folder says how one is added.

    name       the hash (#/name), the catalogue (locales/…/name.json, whose `nav` is the link's text and `title` the tab's)
    scopes     whoever has one of these sees it; [] everybody; an operator sees all
    operator   true: operators only
    icon       a name of icons.js
    load       the module: export default {show(container, {params, who, signal})}
    css        true: console/css/pages/<name>.css is loaded with it
    uses       further catalogues whose words it shows
    wide       true: takes the whole width
*/

export const pages = [
  { name: 'start', scopes: [], icon: 'home', load: () => import('./pages/start.js'), css: true, uses: ['sessions'] },
  { name: 'sessions', scopes: ['sessions'], icon: 'phone', load: () => import('./pages/sessions.js'), css: true },
  { name: 'conversations', scopes: ['messages:read'], icon: 'chat', load: () => import('./pages/conversations.js'), css: true, wide: true },
  { name: 'webhooks', scopes: ['webhooks'], icon: 'webhook', load: () => import('./pages/webhooks.js'), css: true },
  { name: 'bots', scopes: ['rules'], icon: 'robot', load: () => import('./pages/bots.js'), css: true },
  { name: 'health', scopes: ['sessions'], icon: 'pulse', load: () => import('./pages/health.js'), css: true, uses: ['sessions'] },
  { name: 'keys', scopes: ['admin'], icon: 'key', load: () => import('./pages/keys.js'), css: true },
  { name: 'companies', scopes: [], operator: true, icon: 'building', load: () => import('./pages/companies.js'), css: true, uses: ['keys'] },
];
