"use strict";
// The page: screens, the line to copy, chips, the switch of the x axis, colors of the figures, paper.
document.documentElement.classList.add("js");
const all = selector => [...document.querySelectorAll(selector)];
const on = button => button.getAttribute("aria-pressed") === "true";
const press = (button, pressed) => button.setAttribute("aria-pressed", pressed);

// ---- screens: tabs that arrow keys walk through, and that an address can name
const tabs = all("[role=tab]");
const screenOf = tab => document.getElementById("screen-" + tab.dataset.screen); // not the name: #sweep would scroll there
function show(name, focus) {
  const chosen = tabs.find(tab => tab.dataset.screen === name) || tabs[0];
  for (const tab of tabs) {
    const mine = tab === chosen;
    tab.setAttribute("aria-selected", mine);
    tab.tabIndex = mine ? 0 : -1;
    screenOf(tab).classList.toggle("open", mine);
  }
  const chips = document.getElementById("chips");
  if (chips) chips.hidden = !screenOf(chosen).hasAttribute("data-chips");
  chosen.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (focus) chosen.focus();
}
function go(name, focus) {
  history.replaceState(null, "", "#" + name);
  show(name, focus);
  window.scrollTo(0, 0);
}
for (const [place, tab] of tabs.entries()) {
  tab.onclick = () => go(tab.dataset.screen, false);
  tab.onkeydown = event => {
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(tabs[(to + tabs.length) % tabs.length].dataset.screen, true);
  };
}
window.addEventListener("hashchange", () => show(location.hash.slice(1), false));
show(location.hash.slice(1), false);

// ---- the line to paste
const copy = document.getElementById("copy");
if (copy) copy.onclick = async () => {
  const line = document.getElementById("line");
  try {
    await navigator.clipboard.writeText(line.textContent);
  } catch { // no permission: the old way
    const range = document.createRange();
    range.selectNodeContents(line);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  copy.textContent = "copied";
  setTimeout(() => { copy.textContent = "copy"; }, 2000);
};

// ---- figures
const models = () => Bokeh.documents.flatMap(doc => doc.roots().flatMap(root => [...root.references()]));
const chips = all("#chips [data-optimizer]");
function choose(names) {
  for (const model of models())
    if (model.type === "GlyphRenderer" && String(model.name).startsWith("picked ")) {
      const most = Number(model.name.split(" ")[1]);
      const crowded = most && names.size > most; // bands over bands cannot be told apart
      model.view.filter.booleans = Array.from(model.data_source.data.name, name => !crowded && names.has(name));
    }
}
const chosen = () => new Set(chips.filter(on).map(chip => chip.dataset.optimizer));
for (const chip of chips) {
  const alone = () => choose(new Set([chip.dataset.optimizer]));
  const back = () => choose(chosen());
  chip.onclick = () => { press(chip, !on(chip)); back(); };
  chip.onpointerenter = event => { if (event.pointerType === "mouse") alone(); };
  chip.onpointerleave = back;
}
for (const button of all("#chips [data-first]")) button.onclick = () => {
  chips.forEach((chip, place) => press(chip, place < Number(button.dataset.first)));
  choose(chosen());
};

const along = { // what a step counts as on the x axis
  steps: () => 1,
  epochs: (data, row) => 1 / data.per_epoch[row],
  seconds: (data, row) => data.milliseconds[row] / 1000,
};
for (const button of all("[data-along]")) button.onclick = () => {
  for (const other of all("[data-along]")) press(other, other === button);
  const unit = button.dataset.along;
  for (const model of models()) {
    if (model.type === "ColumnDataSource" && model.name === "courses") {
      model.steps ??= { xs: model.data.xs, band_x: model.data.band_x };
      const scaled = key => model.steps[key].map((line, row) => line.map(step => step * along[unit](model.data, row)));
      model.data = { ...model.data, xs: scaled("xs"), band_x: scaled("band_x") };
    }
    if (String(model.type).endsWith("Axis") && ["steps", "epochs", "seconds"].includes(model.axis_label))
      if (model.name === "along") model.axis_label = unit;
  }
};

const dark = matchMedia("(prefers-color-scheme: dark)");
function paint(ink) {
  for (const model of models())
    if (String(model.type).endsWith("Axis")) model.axis_label_text_color = model.major_label_text_color = ink;
}
const soft = () => getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
dark.addEventListener("change", () => paint(soft()));

// ---- paper: each figure as a drawing that scales to the page
function toPaper() {
  paint("#52606c");
  for (const place of all(".plot")) {
    const view = [...Bokeh.index.roots].find(root => place.contains(root.el));
    if (!view) continue;
    const layer = view.export("svg");
    const drawing = layer.ctx.get_svg();
    drawing.setAttribute("viewBox", `0 0 ${view.bbox.width} ${view.bbox.height}`);
    place.nextElementSibling.replaceChildren(drawing);
  }
}
window.addEventListener("beforeprint", toPaper);
window.addEventListener("afterprint", () => {
  for (const place of all(".printed")) place.replaceChildren();
  paint(soft());
});

(function ready() { // Bokeh draws when it has loaded
  const figures = all(".plot").length;
  if (window.Bokeh && Bokeh.documents.length && Bokeh.documents.flatMap(doc => doc.roots()).length >= figures) {
    paint(soft());
    if (chips.length) choose(chosen());
    document.documentElement.classList.add("drawn");
  } else if (figures) setTimeout(ready, 30);
  else document.documentElement.classList.add("drawn");
})();
