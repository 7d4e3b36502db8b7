/* The one place where elements are made. Text goes in as text: nothing that a person wrote can become markup.

    h('button', {class: 'primary', onclick: save, 'aria-label': t('…')}, icon('check'), 'text')  → element
        on…          a function: listens
        class, for, data-…, aria-…   attributes; true sets an empty one, false, null and undefined none
        value, checked, selected, disabled, indeterminate, open   set as properties
        style        an object: {width: '30%', '--share': 0.3} (the page's policy forbids style attributes)
        children     nodes, texts, numbers; arrays are flattened; null, undefined and false are left out
    svg('path', {d: '…'})                         the same for drawings
    replace(node, …children)                      puts these children in place of what is there
*/

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set(['value', 'checked', 'selected', 'disabled', 'indeterminate', 'open']);

export function h(name, properties, ...children) {
  return build(document.createElement(name), properties, children);
}

export function svg(name, properties, ...children) {
  return build(document.createElementNS(SVG, name), properties, children);
}

export function replace(node, ...children) {
  node.replaceChildren(...flatten(children));
  return node;
}

function build(node, properties, children) {
  node.append(...flatten(children));
  // Last: a select's value needs its options.
  for (const [name, value] of Object.entries(properties ?? {})) set(node, name, value);
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined) return;
  if (name.startsWith('on')) {
    node.addEventListener(name.slice(2), value);
  } else if (name === 'style') {
    for (const [key, worth] of Object.entries(value)) node.style.setProperty(key, String(worth));
  } else if (PROPERTIES.has(name)) {
    node[name] = value;
  } else if (value !== false || name.startsWith('aria-')) {
    node.setAttribute(name, value === true && !name.startsWith('aria-') ? '' : String(value));
  }
}

function flatten(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}
