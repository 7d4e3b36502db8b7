/* await confirm({title, text, action, kind: 'danger' | 'primary', run, signal}) → true once it was done, else undefined.
   A clear sentence, and a button that says what it does. `run` (async) does it while the dialog shows that it is at work. */

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { openDialog } from './dialog.js';

export function confirm({ title, text, action, kind = 'danger', run, signal }) {
  return openDialog({
    title,
    body: [text].flat().map((words) => h('p', {}, words)),
    actions: [
      { label: t('common.cancel') },
      { label: action, kind, run: async () => { await run?.(); return true; } },
    ],
    signal,
  });
}
