// Native controls, each with its label.

const button = (text, action, attributes = {}) => h("button", { type: "button", onclick: action, ...attributes }, text);

function choice(label, options, value, change, attributes = {}) {
  const id = attributes.id ?? fresh("choice");
  const option = ([name, text]) => h("option", { value: name, selected: name === value }, text);
  const groups = Array.isArray(options) ? options.map(option)
    : Object.entries(options).map(([group, members]) => h("optgroup", { label: group }, members.map(option)));
  return h("div", { class: "control" }, h("label", { for: id }, label),
    h("select", { id, onchange: event => change(event.target.value), ...attributes }, groups));
}

function toggle(label, value, change, attributes = {}) {
  const id = fresh("toggle");
  return h("div", { class: "control toggle" },
    h("input", { type: "checkbox", id, checked: value, onchange: event => change(event.target.checked), ...attributes }),
    h("label", { for: id }, label));
}

const NOTCHES = 200;

// A range and a box for the same number. `whole`: counts only.
function slider(label, { low, high, scale = "linear", value, whole = false, minimum = low, maximum = high, name }, change) {
  const id = fresh("slider");
  const { to, from } = SCALES[scale];
  const bottom = to(low), top = to(high);
  const place = number => Math.round(((to(Math.min(high, Math.max(low, number))) - bottom) / (top - bottom)) * NOTCHES);
  const tidy = number => (whole ? Math.round(number) : scale === "one_minus"
    ? Number((1 - Number((1 - number).toPrecision(2))).toFixed(12)) : Number(number.toPrecision(3)));
  const range = h("input", {
    type: "range", id, min: 0, max: NOTCHES, value: place(value), "aria-valuetext": shown(value), "data-control": name,
    oninput: () => set(tidy(from(bottom + ((top - bottom) * range.value) / NOTCHES)), range),
  });
  const box = h("input", {
    type: "number", class: "number", "aria-label": label, value, min: minimum ?? null, max: maximum ?? null, step: "any", "data-number": name,
    onchange: () => { if (box.value !== "" && box.checkValidity()) set(whole ? Math.round(+box.value) : +box.value, box); else box.value = value; },
  });
  function set(number, by) {
    value = number;
    if (by !== range) range.value = place(number);
    if (by !== box) box.value = number;
    range.setAttribute("aria-valuetext", shown(number));
    if (by) change(number);
  }
  const control = h("div", { class: "control slider" }, h("label", { for: id }, label), range, box);
  control.set = number => set(number, null);
  return control;
}

// A button with a drawing on it; its label is what it does.
const ICONS = {
  first: "M3 3v10M13 3 6 8l7 5z", back: "M11 3 4 8l7 5z", forward: "M4 3l7 5-7 5zM13 3v10", play: "M4 3l9 5-9 5z", pause: "M5 3v10M11 3v10", remove: "M4 4l8 8M12 4l-8 8",
};
const icon = name => svg("svg", { viewBox: "0 0 16 16", width: 15, height: 15, class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
const iconButton = (name, label, action, attributes = {}) =>
  h("button", { type: "button", "aria-label": label, title: label, onclick: action, ...attributes }, icon(name));

// Buttons of which one is pressed.
function switched(label, options, value, change) {
  const group = h("div", { class: "switch", role: "group", "aria-label": label });
  const press = chosen => {
    for (const each of group.children) each.setAttribute("aria-pressed", each.dataset.value === chosen);
  };
  group.append(...options.map(([name, text]) =>
    button(text, () => { press(name); change(name); }, { "data-value": name })));
  press(value);
  return group;
}
