// Screen 3: why rules are as they are. Strips over steps, each measured live by the rules themselves.

const WHY = {
  beta1: ["number", 0.9, under1],
  beta2: ["number", 0.999, under1],
  beta: ["number", 0.9, under1],
  condition: ["number", 100, condition => condition > 0],
  schedule: ["text", "cosine", among(data("schedules"))],
};
const BAND_SEEDS = 200;

// In the order of the page: each takes the view and gives {chart spec, sentence, tables}.
const STRIPS = { bias, rectification, band, dying, rates, memory, decay, schedules, oscillation };

function bias({ beta1, beta2 }) {
  const steps = 200, t = firstSteps(steps);
  const off = biasLengths(steps, [beta1, beta2], false), on = biasLengths(steps, [beta1, beta2], true);
  const peak = off.indexOf(Math.max(...off));
  const rows = [1, 2, 5, 10, 12, 20, 50, 100, 200].filter(step => step !== peak + 1).concat(peak + 1).sort((a, b) => a - b);
  return {
    spec: { x: { label: say("steps"), scale: "log" }, y: { label: say("why.length"), low: 0 },
      lines: [{ x: t, y: off, ...look(5), mark: null, name: say("why.bias.off") }, { x: t, y: on, ...look(0), mark: null, name: say("why.bias.on") }],
      dots: [{ x: peak + 1, y: off[peak], color: look(5).color, text: `t = ${peak + 1}: ${shown(off[peak], 3)}` }] },
    text: say("why.bias.text", { first: shown(off[0], 3), peak: shown(off[peak], 3), at: peak + 1, hundred: shown(off[99], 3) }),
    rows: [["t", say("why.bias.off"), say("why.bias.on")], rows.map(step => [{ text: String(step), name: step === peak + 1 ? "bias-peak-step" : undefined },
      { text: shown(off[step - 1]), name: step === peak + 1 ? "bias-peak" : `bias-off-${step}` }, { text: shown(on[step - 1]), name: `bias-on-${step}` }])],
  };
}

function rectification({ beta1, beta2 }) {
  const steps = 1000, t = firstSteps(steps);
  const paper = rectified(steps, [beta1, beta2], 4), torch = rectified(steps, [beta1, beta2], 5);
  const r = step => paper.r[step - 1];
  return {
    spec: { x: { label: say("steps"), scale: "log" }, y: { label: "rₜ", low: 0, high: 1 },
      lines: [{ x: t, y: paper.r, ...look(2), mark: null, name: say("why.r.paper") }, { x: t, y: torch.r, ...look(1), mark: null, name: say("why.r.torch") }],
      rules: [{ x: paper.first }, { x: torch.first, text: say("why.switch", { four: paper.first, five: torch.first }) }] },
    second: { x: { label: say("steps"), low: 1, high: 20 }, y: { label: "ρₜ", low: 0, high: 12 }, height: 190,
      lines: [{ x: t.slice(0, 20), y: paper.rho.slice(0, 20), ...look(3), mark: null, dash: [], name: "ρₜ" }],
      rules: [{ y: 4, below: true, text: say("why.threshold", { value: 4 }) }, { y: 5, text: say("why.threshold", { value: 5 }) }],
      dots: [{ x: paper.first, y: paper.rho[paper.first - 1], ...look(2) }, { x: torch.first, y: torch.rho[torch.first - 1], ...look(1) }] },
    text: say("why.r.text", { four: paper.first, five: torch.first, r5: shown(r(5), 3), r100: shown(r(100), 3), r1000: shown(r(1000), 3) }),
    rows: [["t", "ρₜ", say("why.r.paper"), say("why.r.torch")], [...[1, 2, 3, 4, 5, 6, 7, 10, 20, 50, 100, 200, 500, 1000].map(step => [String(step),
      { text: shown(paper.rho[step - 1]), name: `rho-${step}` }, { text: shown(r(step), 3), name: `r-${step}` }, shown(torch.r[step - 1], 3)]),
    [say("why.first"), "", { text: String(paper.first), name: "switch-4" }, { text: String(torch.first), name: "switch-5" }]]],
  };
}

function band({ beta2 }) {
  const steps = 200, t = firstSteps(steps);
  const { low, middle, high } = spread(steps, beta2, BAND_SEEDS);
  const width = step => shown(high[step - 1] / low[step - 1], 3);
  return {
    spec: { x: { label: say("steps"), scale: "log" }, y: { label: "1/√v̂", scale: "log" },
      bands: [{ x: t, low, high, color: look(3).color }], lines: [{ x: t, y: middle, ...look(3), mark: null, dash: [], name: say("why.band.median") }] },
    text: say("why.band.text", { seeds: BAND_SEEDS, one: width(1), ten: width(10), hundred: width(100) }),
    rows: [["t", "5 %", "50 %", "95 %"], [1, 2, 5, 10, 20, 50, 100, 200].map(step => [step, shown(low[step - 1]), shown(middle[step - 1]), shown(high[step - 1])])],
  };
}

function dying() {
  const steps = 1000, t = firstSteps(steps);
  const lines = [["adagrad", {}], ["rmsprop", { alpha: 0.99 }], ["adam", {}]].filter(([rule]) => RULES[rule]).map(([rule, settings], place) =>
    ({ x: t, y: lengthsOf(rule, settings, steps), ...look(place), mark: null, name: ruleName(rule) }));
  const root = t.map(step => step ** -0.5);
  return {
    spec: { x: { label: say("steps"), scale: "log" }, y: { label: say("why.relative"), scale: "log" }, lines: [{ x: t, y: root, color: ink("soft"), width: 5, opacity: 0.35, name: "t^−1/2" }, ...lines] },
    text: say("why.dying.text", { hundred: shown(lines[0].y[99], 3), thousand: shown(lines[0].y[999], 3) }),
    rows: [["t", "t^−1/2", ...lines.map(line => line.name)], [1, 10, 100, 1000].map(step => [step, shown(root[step - 1]), ...lines.map((line, k) => ({ text: shown(line.y[step - 1]), name: k ? undefined : `adagrad-${step}` }))])],
  };
}

function rates({ condition }) {
  const steps = 60, t = firstSteps(steps), surface = "ravine";
  const constants = constantsOf(surface, { condition, rotation: 0 });
  const lines = [["momentum", { lr: 0.01 }], ["adam", { lr: 0.01 }]].flatMap(([rule, settings], place) =>
    effectiveRates(rule, settings, surface, constants, steps).map((list, i) =>
      ({ x: t, y: list, ...look(place), dash: i ? [4, 4] : [], mark: null, name: `${ruleName(rule)} [${i}]` })));
  return {
    spec: { x: { label: say("steps") }, y: { label: "|Δx| / |g|", scale: "log", floor: 1e-6, high: 10 }, lines },
    text: say("why.rates.text", { condition: shown(condition), one: shown(median(lines[2].y)), other: shown(median(lines[3].y)) }),
    rows: [["t", ...lines.map(line => line.name)], [1, 5, 10, 20, 60].map(step => [step, ...lines.map(line => shown(line.y[step - 1], 3))])],
  };
}

function memory({ beta }) {
  const half = Math.log(0.5) / Math.log(beta);
  const steps = Math.min(4000, Math.max(20, Math.ceil(half * 5))), t = firstSteps(steps);
  const left = remembered(beta, steps);
  return {
    spec: { x: { label: say("why.ago") }, y: { label: say("why.left"), low: 0, high: 1 }, lines: [{ x: t.map(step => step - 1), y: left, ...look(4), mark: null, dash: [], name: "m" }],
      rules: [{ y: 0.5 }, { x: half, text: say("why.half", { half: shown(half, 3) }) }] },
    text: say("why.memory.text", { beta: shown(beta, 5), half: shown(half, 3), mean: shown(1 / (1 - beta), 3) }),
    rows: [[say("why.ago"), say("why.left")], telling(steps - 1).map(ago => [ago, shown(left[ago])])],
  };
}

function decay() {
  const steps = 300, t = Float64Array.from({ length: steps + 1 }, (_, k) => k);
  const lines = ["adam", "adamw"].flatMap((rule, place) => [0.01, 1].map((size, k) =>
    ({ x: t, y: decayed(rule, 0.1, size, steps), ...look(place), dash: k ? [] : [5, 4], mark: null, name: `${ruleName(rule)}, |g| ${size}` })));
  return {
    spec: { x: { label: say("steps") }, y: { label: say("why.weight") }, lines },
    text: say("why.decay.text", { small: shown(lines[0].y[steps], 3), large: shown(lines[1].y[steps], 3), decoupled: shown(lines[3].y[steps], 3) }),
    rows: [[say("step"), ...lines.map(line => line.name)], [0, 50, 100, 200, 300].map(step => [step, ...lines.map(line => shown(line.y[step], 3))])],
  };
}

function schedules({ schedule }) {
  const all = data("schedules");
  const names = Object.keys(all);
  const t = all[names[0]].map((_, k) => k / (all[names[0]].length - 1));
  const chosen = all[schedule] ? schedule : names[0];
  const lines = names.map((name, place) => ({ x: t, y: all[name], color: name === chosen ? look(0).color : ink("soft"), dash: name === chosen ? [] : look(place).dash, width: name === chosen ? 3.2 : 1.2, opacity: name === chosen ? 1 : 0.6, mark: null, name: scheduleName(name) }));
  return {
    spec: { x: { label: say("why.share") }, y: { label: say("why.factor"), low: 0, high: 1.05 }, lines },
    text: say(`schedule.${chosen}.text`),
    rows: [[say("why.share"), ...names.map(scheduleName)], [0, 0.1, 0.25, 0.5, 0.75, 1].map(share => [percent(share), ...names.map(name => shown(all[name][Math.round(share * (t.length - 1))], 3))])],
    quiet: true,
  };
}

const scheduleName = name => say(`schedule.${name}`);

function oscillation({ condition }) {
  const steps = 80, t = Float64Array.from({ length: steps + 1 }, (_, k) => k), lr = 1 / condition;
  const lines = [0, 0.5, 0.9, 0.97].map((beta, place) => ({ x: t, y: across(beta, lr, condition, steps), ...look(place), mark: null, name: `β = ${beta}` }));
  const turns = y => y.reduce((count, value, k) => count + (k > 0 && value * y[k - 1] < 0), 0);
  return {
    spec: { x: { label: say("steps") }, y: { label: say("why.across") }, lines, rules: [{ y: 0 }] },
    text: say("why.oscillation.text", { condition: shown(condition), list: lines.map(line => `${line.name}: ${turns(line.y)}`).join(say("comma")) }),
    rows: [[say("step"), ...lines.map(line => line.name)], [0, 5, 10, 20, 40, 80].map(step => [step, ...lines.map(line => shown(line.y[step], 3))])],
  };
}

addScreen("why", WHY, function mountWhy(root) {
  const view = state.why;
  const beta = (name, value = view[name]) => slider(name, { low: 0, high: 0.9999, scale: "one_minus", minimum: 0, maximum: 0.99999, value, name }, number => { view[name] = number; redraw(); });
  const controlsOf = { // which strip has which controls, above it
    bias: () => [beta("beta1"), beta("beta2")],
    rates: () => [slider(sayIfKnown("constant.condition", "condition"), { low: 10, high: 1000, scale: "log", value: view.condition, name: "condition" }, number => { view.condition = number; redraw(); })],
    memory: () => [beta("beta")],
    schedules: () => [choice(say("why.schedule"), Object.keys(data("schedules")).map(name => [name, scheduleName(name)]), view.schedule, name => { view.schedule = name; redraw(); })],
  };
  const strips = Object.keys(STRIPS).filter(name => !(name === "schedules" && !data("schedules"))).map(name => {
    const one = chart(null), two = chart(null);
    const key = h("div");
    const shape = figure(name, { title: say(`why.${name}`), about: say(`why.${name}.about`), controls: controlsOf[name]?.(), legend: key, picture: h("div", {}, one.node, two.node) });
    const node = h("section", { class: "strip", id: `strip-${name}` }, shape.node);
    return { node, draw() {
      const { spec, second, text, rows, quiet } = STRIPS[name](view);
      one.show({ title: say(`why.${name}`), ...spec });
      two.node.hidden = !second;
      if (second) two.show({ title: say(`why.${name}`), ...second });
      fill(key, quiet ? "" : legend([...spec.lines, ...(second?.lines ?? [])]));
      shape.tell(text, table(say(`why.${name}`), ...rows));
    } };
  });
  const redraw = () => { for (const strip of strips) strip.draw(); noteState(); };
  root.append(h("h1", {}, say("why.title")), h("p", { class: "lead" }, say("why.lead")), h("div", { class: "strips" }, strips.map(strip => strip.node)));
  redraw();
  return { theme: redraw };
});
