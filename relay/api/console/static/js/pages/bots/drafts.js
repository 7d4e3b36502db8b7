/* Texts that are written and not in force yet: kept while the console is open, by company and name, and nowhere else.
   Closing the console while there are any is asked about by the browser. */

import { api } from '../../api.js';

const drafts = new Map(); // company → Map(name → text)

window.addEventListener('beforeunload', (event) => {
  if ([...drafts.values()].some(({ size }) => size > 0)) event.preventDefault();
});

/** The company's: name → text. */
export function draftsOf(who) {
  const company = api.company() ?? who.companyId;
  if (!drafts.has(company)) drafts.set(company, new Map());
  return drafts.get(company);
}
