// Screen 2: one step of a rule, its own lines and the same lines with numbers put in.

const LONGEST = 500;

const STEP = {
  racer: ["racer", { rule: "adam", settings: { lr: 0.1 } }],
  surface: ["text", "fourth", among(SURFACES)],
  start: ["text", ""],
  constants: ["named", {}],
  t: ["number", 1, counted(1, LONGEST)],
};

// All steps up to t: what the rule knew before step t, the step's lines, and what came of it.
function replayed(view) {
  const { rule, settings } = view.racer;
  const start0 = startOf(view.surface, view.start);
  const spec = { surface: view.surface, constants: constantsOf(view.surface, view.constants), precision: "f64", seed: 0, batch: 0, steps: view.t, start: start0 };
  const { gradient } = field(spec);
  const run = start(rule, "f64", start0, settings);
  const { held } = SURFACES[view.surface];
  const rows = [];
  let lines, before;
  for (let t = 1; t <= view.t; t++) {
    gradient(run.p, run.g, t);
    if (t === view.t) {
      before = { p: Array.from(run.p), g: Array.from(run.g), states: copied(run.states) };
      lines = before.p.map((_, i) => trace(run, i));
    }
    const g = Array.from(run.g);
    advance(run);
    if (held) hold(run.p, held);
    rows.push({ t, g, p: Array.from(run.p), states: copied(run.states), numbers: { ...run.numbers } });
  }
  return { run, rows, lines, before, after: rows[rows.length - 1], spec };
}

const copied = states => Object.fromEntries(Object.entries(states).map(([name, values]) => [name, Array.from(values)]));

// A line of Python with the values of its names in their place.
function filled(text, known) {
  const [left, right] = text.includes(" = ") ? [text.slice(0, text.indexOf(" = ")), text.slice(text.indexOf(" = ") + 3)] : ["", text];
  const put = right.replace(/\b[A-Za-z_]\w*\b(?!\s*\()/g, name => (typeof known[name] === "number" ? shown(known[name], 5) : name));
  return left ? `${left} = ${put}` : put;
}

addScreen("step", STEP, function mountStep(root) {
  const view = state.step;
  const controls = h("div", { class: "panel options" });
  const fold = h("div");
  const board = stage({ label: say("step.picture") });
  const picture = figure("arrows", { title: say("step.picture"), about: say("step.arrows"), picture: board.node, legend: legend(arrowLooks()) });
  const source = h("div"), worked = h("div", { class: "worked" }), numbers = h("div");

  const range = slider("t", { low: 1, high: 200, scale: "log", whole: true, maximum: LONGEST, value: view.t, name: "t" }, t => { view.t = t; draw(); });
  const to = t => { view.t = Math.max(1, Math.min(LONGEST, t)); range.set(view.t); draw(); };

  function draw() {
    const told = replayed(view);
    fill(worked, ...told.lines.map((lines, i) => coordinate(lines, i, told, view)));
    fill(numbers, pastSteps(told, view));
    board.show(view.surface, told.spec.constants, told.before.p, () => arrows(board, told));
    const { before, after, run } = told;
    const move = after.p.map((part, i) => part - before.p[i]);
    picture.tell(say("step.sentence", { t: view.t, name: racerName(view.racer), from: place(before.p), to: place(after.p), g: place(before.g), move: place(move), lr: shown(run.settings.lr) }),
      table(say("step.picture"), [say("coordinate"), say("before"), "−g", say("move"), say("after")],
        before.p.map((part, i) => [`[${i}]`, shown(part, 6), shown(-before.g[i], 6), shown(move[i], 6), { text: shown(after.p[i], 6), name: `after-${i}` }])));
    noteState();
  }

  function layOut() {
    const surface = SURFACES[view.surface];
    const named = surface.starts.map(each => [each.name, sayIfKnown(`start.${each.name}`, each.name)]);
    const current = view.start === "" ? surface.starts[0].name : view.start;
    if (!surface.starts.some(each => each.name === current)) named.unshift([current, `(${current})`]);
    const { rule } = view.racer;
    const lr = hyperparameter(rule, "lr");
    fill(controls, 
      choice(say("rule"), ruleOptions(), rule, name => { view.racer = { rule: name, settings: hyperparameter(name, "lr") ? { lr: settingOf(view.racer, "lr") ?? 0.1 } : {} }; layOut(); draw(); }, { "data-control": "rule" }),
      choice(say("surface"), surfaceOptions(), view.surface, name => { Object.assign(view, { surface: name, start: "", constants: {} }); layOut(); draw(); }),
      choice(say("start"), named, current, name => { view.start = name; draw(); }),
      lr && slider("lr", { ...reach(lr), value: settingOf(view.racer, "lr"), name: "lr" }, value => { view.racer = change(view.racer, "lr", value); draw(); }));
    fill(fold, h("details", {}, h("summary", {}, say("cards.more")),
      moreSettings(view.racer, (name, value) => { view.racer = change(view.racer, name, value); draw(); })));
    fill(source, listing(rule));
  }

  root.append(
    h("h1", {}, say("step.title")), h("p", { class: "lead" }, say("step.lead")),
    h("div", { class: "presets" }, button(say("step.example"), () => { Object.assign(view, structuredClone(Object.fromEntries(Object.entries(STEP).map(([name, [, first]]) => [name, first])))); layOut(); to(1); }, { "data-preset": "example" })),
    controls, fold,
    h("div", { class: "player" }, iconButton("back", say("player.back"), () => to(view.t - 1), { "data-action": "back" }),
      iconButton("forward", say("player.forward"), () => to(view.t + 1), { "data-action": "forward" }), range),
    h("div", { class: "two" }, h("div", {}, h("h2", {}, say("step.lines")), worked), h("div", {}, picture.node, source)),
    h("h2", {}, say("step.table")), numbers,
    h("section", { class: "note" }, h("h2", {}, say("step.wrong.title")), equation(), h("p", {}, rich("step.wrong"))));
  layOut();
  draw();
  return { theme: draw };
});

// The rule's lines of one coordinate, one below the other: text, numbers, outcome.
function coordinate(lines, i, { before, after, run }, view) {
  const [p, g] = RULES[view.racer.rule].traced.tensors;
  const known = { ...run.settings, ...after.numbers, step: view.t, [p]: before.p[i], [g]: before.g[i] };
  for (const [name, values] of Object.entries(before.states)) known[name] = values[i];
  for (const [name, value] of Object.entries(run.settings)) if (Array.isArray(value)) value.forEach((each, k) => { known[`${name}[${k}]`] = each; });
  const items = lines.filter(line => i === 0 || line.scope !== "step").map(line => {
    const numbers = filled(line.text, known);
    known[line.name] = line.value;
    return h("li", { class: line.scope }, h("code", { class: "text" }, line.text),
      numbers !== line.text && h("code", { class: "filled" }, numbers),
      typeof line.value === "number" && h("code", { class: "value" }, `${line.name} = `, h("b", { "data-name": `${line.name}${view.t}-${i}` }, shown(line.value, 6))));
  });
  return h("section", {}, before.p.length > 1 && h("h3", {}, say("step.coordinate", { i })), h("ol", { class: "lines" }, items));
}

// What the rule says for itself.
function listing(rule) {
  const { traced: { lines }, measuring } = RULES[rule];
  const text = pairs => pairs.map(([, line]) => line).join("\n");
  const parts = [text(lines.step), measuring, text(lines.element)].filter(Boolean);
  return h("details", {}, h("summary", {}, say("step.source", { name: ruleName(rule) })),
    h("pre", { tabindex: 0 }, parts.join("\n\n")), about(rule));
}

// t, the powers of the betas, what is freed of its bias, and the numbers that the rule made of the step count.
function pastSteps({ rows, run }, view) {
  const betas = run.settings.betas ?? [];
  const states = Object.keys(rows[0].states);
  const names = Object.keys(rows[0].numbers).filter(name => typeof rows[0].numbers[name] === "number" && !/^(beta\d|eps)$/.test(name));
  const hats = betas.length >= 2 ? states.filter(name => name === "m" || name === "v") : [];
  const from = Math.max(0, Math.min(view.t - 6, rows.length - 11));
  const heads = ["t", "g", ...states, ...betas.map((_, k) => `β${k + 1}ᵗ`), ...hats.map(name => `${name}_hat`), ...names, "x"];
  const line = ({ t, g, p, states: values, numbers }) => [String(t),
    { text: shown(g[0], 6), name: `g${t}` }, ...states.map(name => ({ text: shown(values[name][0], 6), name: `${name}${t}` })),
    ...betas.map(beta => shown(beta ** t, 6)),
    ...hats.map(name => ({ text: shown(values[name][0] / (1 - betas[name === "m" ? 0 : 1] ** t), 6), name: `${name}_hat${t}` })),
    ...names.map(name => ({ text: shown(numbers[name], 6), name: `${name}${t}` })), { text: shown(p[0], 6), name: `x${t}` }];
  const chosen = [rows[0], ...rows.slice(Math.max(1, from))];
  return table(say("step.table.caption"), heads, chosen.map(line));
}

const arrowLooks = () => [
  { name: "−g", color: ink("arrow-g"), dash: [2.5, 3.5] }, { name: "−m", color: ink("arrow-m"), dash: [8, 4] },
  { name: say("move"), color: ink("ink"), dash: [] }, { name: "1/√v", color: ink("arrow-v"), dash: [4, 3] },
];

// -g and -m to one scale, the step as long as it is (or longer, where it would not be seen), 1/sqrt(v) as an ellipse.
function arrows(board, { before, after }) {
  const flat = before.p.length === 1;
  const { frame } = board;
  board.clear();
  const pen = board.top();
  const here = board.at(before.p);
  const m = after.states.m ?? after.states.buffer ?? after.states.velocity ?? null;
  const two = vector => (flat ? [vector[0], 0] : vector);
  const sized = (vector, pixels, longest) => two(vector).map(part => (part / longest) * pixels);
  const long = vector => Math.hypot(...vector);
  const v = after.states.v;
  if (v && !flat) {
    const widths = two(v.map(each => (each > 0 ? 1 / Math.sqrt(each) : 0)));
    const most = Math.max(...widths) || 1;
    pen.beginPath();
    pen.ellipse(...here, Math.max(2, (widths[0] / most) * 60), Math.max(2, (widths[1] / most) * 60), 0, 0, 2 * Math.PI);
    stroke(pen, ink("arrow-v"), [4, 3], 1.8);
  }
  const longest = Math.max(long(before.g), m ? long(m) : 0) || 1;
  const aside = height => (flat ? [here[0], here[1] + height] : here); // of one number all arrows would lie in one line
  arrow(pen, aside(-16), sized(before.g.map(each => -each), 95, longest), ink("arrow-g"), [2.5, 3.5]);
  if (m) arrow(pen, aside(16), sized(m.map(each => -each), 95, longest), ink("arrow-m"), [8, 4]);
  const there = board.at(after.p);
  let step = [there[0] - here[0], -(there[1] - here[1])];
  if (flat) step[1] = 0;
  const size = long(step);
  if (size > 0 && size < 24) step = step.map(part => (part / size) * 24);
  if (size > frame.width) step = step.map(part => (part / size) * frame.width);
  arrow(pen, here, step, ink("ink"), [], 3);
  head(pen, here, look(0), 5);
}

function stroke(pen, color, dash, width) {
  pen.setLineDash(dash);
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.stroke();
  pen.setLineDash([]);
}

function arrow(pen, [x, y], [dx, dy], color, dash, width = 2.4) {
  const size = Math.hypot(dx, dy);
  if (!(size > 0.5)) return;
  const [ex, ey] = [x + dx, y - dy];
  const [ux, uy] = [dx / size, -dy / size];
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(ex - 5 * ux, ey - 5 * uy);
  stroke(pen, color, dash, width);
  pen.beginPath();
  pen.moveTo(ex, ey);
  pen.lineTo(ex - 10 * ux - 5 * uy, ey - 10 * uy + 5 * ux);
  pen.lineTo(ex - 10 * ux + 5 * uy, ey - 10 * uy - 5 * ux);
  pen.closePath();
  pen.fillStyle = color;
  pen.fill();
}

// x_1 = x_0 - lr m_hat / sqrt(v_hat), as mathematics.
function equation() {
  const sub = (name, index) => math("msub", {}, hatless(name), math("mn", {}, index));
  const hatless = name => (name.length > 1 ? math("mover", { accent: "true" }, math("mi", {}, name[0]), math("mo", {}, "^")) : math("mi", {}, name));
  const n = text => math("mn", {}, text), o = text => math("mo", {}, text);
  return h("p", { class: "equation" }, math("math", { display: "block" }, math("mrow", {},
    sub("x", "1"), o("="), sub("x", "0"), o("−"), math("mi", {}, "η"), math("mfrac", {}, sub("mh", "1"), math("msqrt", {}, sub("vh", "1"))),
    o("="), n("4"), o("−"), n("0.1"), o("·"), math("mfrac", {}, n("256"), math("msqrt", {}, n("65536"))), o("="), n("3.9"))));
}
