// Elements of the page from one line each: HTML, SVG, MathML.

function built(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || (value === false && !name.startsWith("aria-"))) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : value);
  }
  return fill(element, ...children);
}

// Children in place of those that are there; what is null or false is left out.
function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

const h = (tag, attributes = {}, ...children) => built(document.createElement(tag), attributes, children);

const svg = (tag, attributes = {}, ...children) =>
  built(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const math = (tag, attributes = {}, ...children) =>
  built(document.createElementNS("http://www.w3.org/1998/Math/MathML", tag), attributes, children);

const byId = id => document.getElementById(id);

// Data that the build put into the page.
const data = id => {
  const block = byId(id);
  return block ? JSON.parse(block.textContent) : null;
};

let ids = 0;
const fresh = prefix => `${prefix}-${++ids}`;

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// A table of a few rows. A cell is a text, or {text, name}: the name is what a script finds its number by.
function table(caption, heads, rows) {
  const cell = (value, tag, attributes = {}) => {
    const { text, name } = value !== null && typeof value === "object" ? value : { text: value };
    return h(tag, { ...attributes, "data-name": name }, text);
  };
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, heads.map(head => cell(head, "th", { scope: "col" })))),
      h("tbody", {}, rows.map(row => h("tr", {}, row.map((value, place) =>
        place ? cell(value, "td") : cell(value, "th", { scope: "row" })))))));
}
