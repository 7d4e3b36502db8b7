/* A text field for YAML: line numbers, marked lines, and keys that indent.

    const editor = yamlEditor({label, describedBy, value, onInput})
        editor.element, editor.text(), editor.write(text)
        editor.mark([3, 7])            these lines are wrong
        editor.goTo(line, column)      puts the cursor there and shows it; from 1

Lines never wrap, so each is one row high, and what stands behind and beside the text moves with it.
Tab indents; Escape and then Tab leaves the field, as people without a mouse need.
*/

import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';

const INDENT = '  ';

export function yamlEditor({ label, describedBy, value, onInput }) {
  const numbers = h('pre', { class: 'bot-numbers' });
  const marks = h('div', { class: 'bot-marks' });
  const hint = h('p', { class: 'soft small', id: 'bot-editor-hint' }, t('bots.editor.hint'));
  const area = h('textarea', {
    'aria-label': label, 'aria-describedby': `bot-editor-hint ${describedBy}`, wrap: 'off', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off',
    value, oninput: () => { count(); onInput(); }, onscroll: follow,
  });
  area.addEventListener('keydown', keys(area));
  let lines = 0;

  function count() {
    const now = area.value.split('\n').length;
    if (now === lines) return;
    lines = now;
    numbers.textContent = Array.from({ length: now }, (_, index) => index + 1).join('\n');
  }

  function follow() {
    const moved = `translateY(${-area.scrollTop}px)`;
    numbers.style.setProperty('transform', moved);
    marks.style.setProperty('transform', moved);
  }

  count();
  return {
    element: h('div', { class: 'stack tight' },
      h('div', { class: 'bot-editor' }, h('div', { class: 'bot-behind', 'aria-hidden': 'true' }, marks, numbers), area), hint),
    text: () => area.value,
    write(text) {
      area.value = text;
      count();
      follow();
    },
    mark(wrong) {
      replace(marks, [...new Set(wrong)].map((line) => h('div', { class: 'bot-mark', 'data-line': line, style: { '--line': line - 1 } })));
      if (wrong.length) area.setAttribute('aria-invalid', 'true');
      else area.removeAttribute('aria-invalid');
    },
    goTo(line, column = 1) {
      const before = area.value.split('\n').slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
      const place = Math.min(before + column - 1, area.value.length);
      area.focus();
      area.setSelectionRange(place, place);
      const row = parseFloat(getComputedStyle(area).lineHeight);
      area.scrollTop = Math.max(0, (line - 1) * row - area.clientHeight / 3);
      area.scrollLeft = 0;
      follow();
    },
  };
}

function keys(area) {
  let leaving = false;
  return (event) => {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === 'Tab' && !leaving) {
      event.preventDefault();
      indent(area, event.shiftKey);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      put(`\n${nextIndent(area)}`);
    }
    leaving = event.key === 'Escape' || (leaving && event.key === 'Shift');
  };
}

/** As if it were typed: it can be undone, and `input` is told. */
function put(text) {
  document.execCommand(text ? 'insertText' : 'delete', false, text);
}

function nextIndent(area) {
  const line = area.value.slice(area.value.lastIndexOf('\n', area.selectionStart - 1) + 1, area.selectionStart);
  return /^ */.exec(line)[0] + (/:\s*$/.test(line) ? INDENT : '');
}

function indent(area, back) {
  const { value, selectionStart, selectionEnd } = area;
  const from = value.lastIndexOf('\n', selectionStart - 1) + 1;
  const chosen = value.slice(from, selectionEnd);
  if (!back && !value.slice(selectionStart, selectionEnd).includes('\n')) {
    put(INDENT);
    return;
  }
  const moved = chosen.replace(/^.*/gm, (line) => (back ? line.replace(/^ {1,2}/, '') : line && INDENT + line));
  if (moved === chosen) return;
  area.setSelectionRange(from, selectionEnd);
  put(moved);
  // Several lines stay chosen, to be moved once more; in one the cursor is where it was.
  if (moved.includes('\n')) area.setSelectionRange(from, from + moved.length);
}
