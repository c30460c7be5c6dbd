// Screen 1: a race of rules over a surface.

const SEEDS = 20;

const RACE = {
  surface: ["text", "saddle", among(SURFACES)],
  start: ["text", ""],
  constants: ["named", {}],
  racers: ["racers", ["momentum", "adam", "radam"].map(rule => ({ rule, settings: {} }))],
  fair: ["flag", true],
  lr: ["number", 0.05], // of all, where that is wanted
  steps: ["number", 200, counted(1, 20000)],
  precision: ["text", "f32", name => ["f32", "f64"].includes(name)],
  seed: ["number", 0, counted(0, 2 ** 31)],
  batch: ["number", 8, counted(1, 2 ** 20)],
  fan: ["flag", false],
  beside: ["flag", false],
  at: ["number", -1, counted(-1, 20000)], // the step that is shown; -1 is the last
  speed: ["number", 40, speed => SPEEDS.includes(speed)],
};

// What a new reader may try first.
const PRESETS = [
  ["saddle", { surface: "saddle", racers: "adam;radam" }],
  ["rotation", { surface: "ravine", constants: "condition:100,rotation:45", racers: "momentum;rmsprop;adam" }],
  ["noise", { surface: "noisy", racers: "sgd;adam", beside: "1" }],
  ["amsgrad", { surface: "counterexample", racers: "adam(betas=0/0.0588);amsgrad(betas=0/0.0588)", fair: "0", lr: "0.05", steps: "600" }],
];

// The learning rate that a racer runs with, and where it is from.
function rateOf(racer, view) {
  if (!hyperparameter(racer.rule, "lr")) return { lr: null, from: "none" };
  if (!view.fair) return { lr: view.lr, from: "shared" };
  if (racer.settings.lr !== undefined) return { lr: racer.settings.lr, from: "own" };
  const fair = fairRate(view.surface, startOf(view.surface, view.start), racer.rule);
  return fair === null ? { lr: defaultOf(racer.rule, "lr"), from: "default" } : { lr: fair, from: "fair" };
}

// The whole race as the engine takes it.
function specOf(view) {
  return {
    surface: view.surface,
    start: startOf(view.surface, view.start),
    constants: constantsOf(view.surface, view.constants),
    precision: view.precision, steps: view.steps, seed: view.seed, batch: view.batch,
    racers: view.racers.map(racer => {
      const { lr } = rateOf(racer, view);
      return { rule: racer.rule, settings: lr === null ? racer.settings : { ...racer.settings, lr } };
    }),
  };
}

// A run as the pictures read it.
function pathOf(run, surface) {
  const { dimension } = SURFACES[surface];
  const steps = run.losses.length - 1;
  return {
    steps, losses: run.losses,
    point: step => Array.from(run.positions.subarray(step * dimension, (step + 1) * dimension)),
    away: step => distance(surface, run.positions.subarray(step * dimension, (step + 1) * dimension)),
    diverged: run.losses.findIndex(loss => !Number.isFinite(loss)),
  };
}

const runRace = (spec, seed = spec.seed) => paths({ ...spec, seed }).map(run => pathOf(run, spec.surface));

// Of several runs of one racer the middle one by its last loss.
function middle(runs) {
  const sorted = [...runs].sort((a, b) => (a.losses[a.steps] || Infinity) - (b.losses[b.steps] || Infinity));
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

addScreen("race", RACE, function mountRace(root) {
  const view = state.race;
  const noisy = () => Boolean(SURFACES[view.surface].noise);
  const board = stage({ label: say("race.picture"), onmove: moved });
  const lossChart = chart(null), farChart = chart(null);
  const besides = h("div", { class: "besides" });
  const options = h("div", { class: "panel options" });
  const cards = h("div", { class: "cards" });
  const rates = h("div", { class: "rates" });
  let spec, runs, fans, drawnTo, lengths;

  const play = player({
    last: view.steps, at: view.at < 0 ? view.steps : view.at, speed: view.speed,
    on: at => draw(at), ended: at => { view.at = at === view.steps ? -1 : at; repaint(); tell(); noteState(); },
    onspeed: speed => { view.speed = speed; noteState(); },
  });

  const ground = figure("race", { title: say("race.picture"), picture: h("div", {}, board.node, play.node) });

  function moved(point, going) {
    view.start = point.map(part => Number(part.toPrecision(4))).join(",");
    anew(going);
    if (!going) fillOptions();
  }

  // Something of the experiment has changed: run it and show the whole of it, or play it.
  function anew(going = false) {
    play.pause();
    spec = specOf(view);
    runs = runRace(spec);
    fans = view.fan && noisy() && !going ? Array.from({ length: SEEDS }, (_, k) => runRace(spec, spec.seed + k)) : null;
    if (fans) runs = runs.map((_, place) => middle(fans.map(fan => fan[place])));
    view.at = -1;
    play.reset(view.steps);
    board.show(view.surface, spec.constants, spec.start, repaint);
    charts();
    if (!going) { tell(); sideBySide(); noteState(); }
  }

  // From the ground up: the picture depends on the state alone, not on how one came there.
  function repaint() {
    if (!board.frame || !runs) return;
    const pen = board.clear();
    if (fans) for (const fan of fans) fan.forEach((path, place) =>
      stretch(pen, board, path, 0, play.at, { ...look(place), width: 1, opacity: 0.35 }));
    drawnTo = 0;
    lengths = runs.map(() => 0);
    draw(play.at);
  }

  function draw(at) {
    if (!board.frame) return;
    if (at < drawnTo || drawnTo === undefined) { drawnTo = undefined; return void (lengths && repaint()); }
    const pen = board.pen();
    const style = { width: fans ? 3.4 : 2.2 };
    runs.forEach((path, place) => {
      lengths[place] = stretch(pen, board, path, drawnTo, Math.min(at, path.steps), { ...look(place), ...style }, lengths[place]);
    });
    drawnTo = at;
    const top = board.top();
    runs.forEach((path, place) => {
      const spot = board.at(path.point(at));
      if (spot.every(Number.isFinite)) head(top, spot, look(place));
    });
    board.hold(spec.start);
    for (const each of [lossChart, farChart]) each.until(at);
  }

  function charts() {
    const steps = Float64Array.from({ length: view.steps + 1 }, (_, k) => k);
    const lowest = Math.min(...runs.map(path => path.losses.reduce((a, b) => (b < a ? b : a), Infinity)));
    const line = (path, place, y) => ({ x: steps, y, ...look(place), name: view.racers[place].rule });
    const scale = lowest > 0 || SURFACES[view.surface].optima.length ? "log" : "linear";
    const first = runs[0]?.losses[0] ?? 1;
    lossChart.show({
      title: say("race.loss"), x: { label: say("steps"), low: 0, high: view.steps },
      y: { label: say("loss"), scale, ...(scale === "log" ? { floor: 1e-12 } : { low: Math.max(lowest, first - 40), high: first + 2 }) },
      lines: runs.map((path, place) => line(path, place, path.losses)),
    });
    farFigure.node.hidden = !SURFACES[view.surface].optima.length;
    farChart.show({
      title: say("race.distance"), x: { label: say("steps"), low: 0, high: view.steps }, y: { label: say("distance"), scale: "log", floor: 1e-9 },
      lines: runs.map((path, place) => line(path, place, steps.map(step => path.away(step)))),
    });
  }

  // The sentence and the tables: what happened, racer by racer.
  function tell() {
    const at = play.at;
    const rows = runs.map((path, place) => {
      const lost = path.diverged >= 0 && path.diverged <= at;
      return { name: racerName(view.racers[place]), loss: path.losses[at], far: path.away(at), lost: lost ? path.diverged : -1 };
    });
    const by = Number.isFinite(rows[0]?.far) || rows.some(row => Number.isFinite(row.far)) ? "far" : "loss";
    const alive = rows.filter(row => row.lost < 0).sort((a, b) => a[by] - b[by]);
    const parts = [say("race.where", { surface: surfaceName(view.surface), start: place(spec.start), steps: at })];
    if (alive.length) parts.push(say(by === "far" ? "race.nearest" : "race.lowest", { name: alive[0].name, value: shown(alive[0][by]) }));
    if (alive.length > 1) parts.push(say("race.others", { list: alive.slice(1).map(row => `${row.name} ${shown(row[by])}`).join(say("comma")) }));
    for (const row of rows) if (row.lost >= 0) parts.push(say("race.diverged", { name: row.name, step: row.lost }));
    if (fans) parts.push(say("race.fan", { seeds: SEEDS }));
    const heads = [say("racer"), "lr", say("position"), say("loss"), say("distance")];
    ground.tell(parts.join(say("space")), table(say("race.table", { at }), heads, runs.map((path, k) => [
      rows[k].name, { text: shown(spec.racers[k].settings.lr), name: `${view.racers[k].rule}-lr` },
      place(path.point(at)), { text: shown(rows[k].loss), name: `${view.racers[k].rule}-loss` }, shown(rows[k].far)])));
    const steps = telling(view.steps);
    const columns = runs.map((_, k) => rows[k].name);
    lossFigure.tell(say("race.loss.about"), table(say("race.loss"), [say("step"), ...columns], steps.map(step => [step, ...runs.map(path => shown(path.losses[step]))])));
    farFigure.tell(say("race.distance.about"), table(say("race.distance"), [say("step"), ...columns], steps.map(step => [step, ...runs.map(path => shown(path.away(step)))])));
  }

  // The same racers with all data, a mini-batch and one sample a step.
  function sideBySide() {
    besides.hidden = !(view.beside && noisy());
    if (besides.hidden) return besides.replaceChildren();
    const kinds = [["full", 0], ["mini", Math.max(2, view.batch)], ["one", 1]];
    fill(besides, ...kinds.map(([kind, batch]) => {
      const title = say(`race.batch.${kind}`, { batch });
      const own = runRace({ ...spec, batch });
      const small = stage({ label: title });
      const shape = figure(`beside-${kind}`, { title, picture: small.node });
      small.show(view.surface, spec.constants, spec.start, () => {
        const pen = small.clear();
        own.forEach((path, place) => stretch(pen, small, path, 0, path.steps, { ...look(place), width: 1.6 }));
        const top = small.top();
        own.forEach((path, place) => { const spot = small.at(path.point(path.steps)); if (spot.every(Number.isFinite)) head(top, spot, look(place), 4.5); });
      });
      const ends = own.map((path, place) => `${ruleName(view.racers[place].rule)} ${shown(path.losses[path.steps])}`);
      shape.tell(say("race.batch.ends", { list: ends.join(say("comma")) }), table(title, [say("racer"), say("loss")],
        own.map((path, place) => [ruleName(view.racers[place].rule), shown(path.losses[path.steps])])));
      return shape.node;
    }));
  }

  function set(patch) {
    Object.assign(view, patch);
    anew();
  }

  function fillOptions() {
    const surface = SURFACES[view.surface];
    const named = surface.starts.map(each => [each.name, sayIfKnown(`start.${each.name}`, each.name)]);
    const current = view.start === "" ? surface.starts[0].name : view.start;
    if (!surface.starts.some(each => each.name === current)) named.unshift([current, `(${current})`]);
    fill(options, 
      choice(say("surface"), surfaceOptions(), view.surface, name => {
        Object.assign(view, { surface: name, start: "", constants: {} });
        fillOptions(); fillCards(); anew();
      }, { "data-control": "surface" }),
      choice(say("start"), named, current, start => { set({ start }); fillCards(); }, { "data-control": "start" }),
      ...surface.constants.map(each => slider(sayIfKnown(`constant.${each.name}`, each.name),
        { low: each.low, high: each.high, scale: each.scale ?? "linear", value: view.constants[each.name] ?? each.default, name: each.name },
        number => set({ constants: { ...view.constants, [each.name]: number } }))),
      noisy() && slider(say("batch"), { low: 1, high: 1024, scale: "log", whole: true, value: view.batch, name: "batch" }, batch => set({ batch })),
      noisy() && slider(say("seed"), { low: 0, high: 99, whole: true, value: view.seed, maximum: null, name: "seed" }, seed => set({ seed })),
      noisy() && toggle(say("race.seeds", { seeds: SEEDS }), view.fan, fan => set({ fan }), { "data-control": "fan" }),
      noisy() && toggle(say("race.beside"), view.beside, beside => set({ beside }), { "data-control": "beside" }),
      slider(say("steps"), { low: 10, high: 2000, scale: "log", whole: true, value: view.steps, name: "steps" }, steps => set({ steps })),
      choice(say("precision"), [["f32", "float32"], ["f64", "float64"]], view.precision, precision => set({ precision })));
  }

  const fillCards = () => {
    fill(rates, 
      toggle(say("race.unfair"), !view.fair, unfair => { set({ fair: !unfair }); fillCards(); }, { "data-control": "unfair" }),
      view.fair ? h("p", { class: "about" }, say("race.fair.about"))
        : slider(say("race.lr"), { low: 1e-5, high: 10, scale: "log", minimum: 0, maximum: null, value: view.lr, name: "lr-all" }, lr => set({ lr })));
    racerCards(cards, view, { rateOf, anew });
  };

  const lossFigure = figure("loss", { title: say("race.loss"), picture: lossChart.node });
  const farFigure = figure("distance", { title: say("race.distance"), picture: farChart.node });

  function preset(name) {
    const [, text] = PRESETS.find(([key]) => key === name);
    for (const [field, [, first]] of Object.entries(RACE)) view[field] = structuredClone(first);
    for (const [field, value] of Object.entries(text)) view[field] = CODECS[RACE[field][0]].read(value);
    fillOptions(); fillCards(); anew();
    if (!still()) play.play();
  }

  root.append(
    h("h1", {}, say("race.title")), h("p", { class: "lead" }, rich("race.lead")),
    h("div", { class: "presets", role: "group", "aria-label": say("race.try") }, h("span", {}, say("race.try")),
      PRESETS.filter(([, { surface }]) => SURFACES[surface]).map(([name]) => button(say(`preset.${name}`), () => preset(name), { "data-preset": name }))),
    options,
    h("div", { class: "two" },
      h("div", {}, ground.node, h("p", { class: "hint" }, say("race.hint"))),
      h("div", {}, lossFigure.node, farFigure.node)),
    besides,
    h("h2", {}, say("race.racers")), rates, cards, absent(), sameBits(),
    h("p", { class: "note" }, rich("race.caution")));
  fillOptions();
  fillCards();
  const asked = view.at;
  anew();
  if (asked >= 0) { play.reset(view.steps, asked); view.at = asked; repaint(); tell(); }
  else if (!location.hash && !still()) play.play();
  return { leave: () => play.pause(), settle: () => play.pause(), theme: repaint };
});
