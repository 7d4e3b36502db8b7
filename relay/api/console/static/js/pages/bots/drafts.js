/* Texts that are written and not in force yet: kept while the console is open, by company and name, and nowhere else. */

import { api } from '../../api.js';

const drafts = new Map();

const keyOf = (who, name) => JSON.stringify([api.company() ?? who.companyId, name]);

export const findDraft = (who, name) => drafts.get(keyOf(who, name));
export const keepDraft = (who, name, text) => drafts.set(keyOf(who, name), text);
export const dropDraft = (who, name) => drafts.delete(keyOf(who, name));
export const hasDrafts = () => drafts.size > 0;
