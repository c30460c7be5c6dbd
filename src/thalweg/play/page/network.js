// Screen 6: a small network learns to part two kinds of points, by any rule of the catalogue.

const NET_POINTS = 400, CELLS = 48, SEEN_EVERY = 5, MOST_NET_STEPS = 20000;

const NET = {
  points: ["text", "moons", name => name === "own" || among(CLOUDS)(name)],
  own: ["points", [], points => points.length <= 1000 && points.every(point => point.length === 3)],
  noise: ["number", 0.05],
  widths: ["numbers", [8, 8], widths => widths.length <= 4 && widths.every(counted(1, 64))],
  activation: ["text", "tanh", among(ACTIVATIONS)],
  racer: ["racer", { rule: "adam", settings: { lr: 0.01 } }],
  schedule: ["text", "constant", among(data("schedules"))],
  horizon: ["number", 1000, counted(1, 1e6)], // steps over which the schedule runs
  batch: ["number", 32, counted(1, NET_POINTS)],
  l2: ["number", 0, l2 => l2 >= 0],
  dropout: ["number", 0, under1],
  seed: ["number", 0, counted(0, 2 ** 31)],
  steps: ["number", 0, counted(0, MOST_NET_STEPS)], // how many have been run
};

// A network with its run. All that can change without beginning anew is read from `view` at each step.
function learner(view) {
  const all = view.points === "own" ? view.own : cloud(view.points, NET_POINTS, view.noise, view.seed);
  const [learn, judge] = halves(all);
  const net = network(view.widths, view.activation, view.seed);
  const runs = net.first.map(tensor => start(view.racer.rule, "f32", tensor, view.racer.settings));
  const tensors = runs.map(run => run.p), gradients = runs.map(run => run.g);
  const next = uniform(77 + view.seed);
  const factors = data("schedules");
  const curve = { step: [], learn: [], judge: [] };
  let step = 0;
  const factor = () => {
    const list = factors[view.schedule];
    return list ? list[Math.round(Math.min(1, step / view.horizon) * (list.length - 1))] : 1;
  };
  const own = {
    net, tensors, learn, judge, curve,
    get lr() { return runs[0].settings.lr; },
    get step() { return step; },
    note() {
      curve.step.push(step);
      curve.learn.push(judged(net, tensors, learn).loss);
      curve.judge.push(judged(net, tensors, judge).loss);
    },
    advance() {
      const size = Math.min(view.batch, learn.length);
      const batch = size === learn.length ? learn : Array.from({ length: size }, () => learn[Math.floor(next() * learn.length)]);
      backward(net, tensors, gradients, batch, view, next);
      const settings = { ...view.racer.settings };
      if (hyperparameter(view.racer.rule, "lr")) settings.lr = settingOf(view.racer, "lr") * factor();
      for (const run of runs) Object.assign(run.settings, settings);
      advanceTogether(runs);
      step++;
      if (step % SEEN_EVERY === 0 || step < 5) own.note();
    },
  };
  if (learn.length) own.note();
  return own;
}

addScreen("network", NET, function mountNetwork(root) {
  const view = state.network;
  const controls = h("div", { class: "panel options" }), fold = h("div");
  const field2 = decisionView(say("net.decision"), point => {
    view.own = [...(view.points === "own" ? view.own : []), [...point.map(part => Number(part.toFixed(2))), pen]];
    view.points = "own";
    layOut(); anew();
  });
  const curves = chart(null);
  const drawing = h("div", { class: "weights" });
  const decision = figure("decision", { title: say("net.decision"), picture: field2.node });
  const loss = figure("net-loss", { title: say("net.loss"), picture: curves.node, legend: legend(lossLooks()) });
  const weights = figure("weights", { title: say("net.weights"), about: say("net.weights.about"), picture: drawing });
  const message = h("p", { class: "error", role: "alert" });
  let pen = 1, live, timer = 0, speed = 60, seen = 0, owed = 0;

  const playButton = button("", () => (timer ? pause() : play()), { class: "primary", "data-action": "play" });
  const count = h("output", { class: "count" });
  function label() {
    playOrPause(playButton, timer !== 0);
    count.textContent = say("net.count", { steps: live.step, lr: shown(live.lr) });
  }
  function play() {
    seen = performance.now();
    timer = requestAnimationFrame(frame);
    label();
  }
  function pause() {
    cancelAnimationFrame(timer);
    timer = 0;
    show();
    tell();
  }
  function frame(now) {
    if (!timer) return;
    owed = Math.min(owed + ((now - seen) / 1000) * speed, 30);
    seen = now;
    const end = performance.now() + 8; // a frame's share, however large the network
    while (owed >= 1 && performance.now() < end && live.step < MOST_NET_STEPS) { live.advance(); owed--; }
    show();
    timer = requestAnimationFrame(frame);
    if (live.step >= MOST_NET_STEPS) pause();
  }
  function forwardBy(steps) {
    if (timer) pause();
    for (let k = 0; k < steps; k++) live.advance();
    show();
    tell();
  }

  function anew(steps = 0) {
    if (timer) pause();
    message.textContent = "";
    live = learner(view);
    const ready = live.learn.length > 1 && live.judge.length > 0;
    for (const each of [playButton, ...root.querySelectorAll("[data-needs-points]")]) each.disabled = !ready;
    if (ready) for (let k = 0; k < steps; k++) live.advance();
    show();
    tell();
  }

  function show() {
    field2.draw(live);
    curves.show({ title: say("net.loss"), x: { label: say("steps") }, y: { label: say("loss"), scale: "log", floor: 1e-6 },
      lines: [{ x: live.curve.step, y: live.curve.judge, ...lossLooks()[1] }, { x: live.curve.step, y: live.curve.learn, ...lossLooks()[0] }] });
    fill(drawing, wires(live, drawing.clientWidth || 320));
    label();
  }

  function tell() {
    view.steps = live.step;
    noteState();
    if (!live.learn.length || !live.judge.length) return void decision.tell(say("net.none"));
    const [learn, judge] = [live.learn, live.judge].map(points => judged(live.net, live.tensors, points));
    decision.tell(say("net.sentence", { steps: live.step, name: racerName(view.racer), right: percent(judge.right), loss: shown(learn.loss), held: shown(judge.loss) }),
      table(say("net.decision"), ["", say("loss"), say("net.right")], [[say("net.learn"), { text: shown(learn.loss), name: "net-loss" }, percent(learn.right)], [say("net.judge"), shown(judge.loss), { text: percent(judge.right), name: "net-right" }]]));
    const rows = live.curve.step.map((step, k) => [step, shown(live.curve.learn[k]), shown(live.curve.judge[k])]);
    const stride = Math.max(1, Math.ceil(rows.length / 12));
    loss.tell(say("net.loss.text", { from: shown(live.curve.learn[0]), to: shown(learn.loss) }), table(say("net.loss"), [say("step"), say("net.learn"), say("net.judge")], rows.filter((_, k) => k % stride === 0 || k === rows.length - 1)));
    weights.tell(say("net.weights.text", { count: live.net.count, layers: live.net.layers.length }), table(say("net.weights"), [say("net.layer"), say("net.shape"), say("net.norm")],
      live.net.layers.map(({ from, to, weights: at }, k) => [String(k + 1), `${to} × ${from}`, shown(Math.hypot(...live.tensors[at]))])));
  }

  // What begins the run anew, and what is taken over by the run that is on.
  const restart = patch => { Object.assign(view, patch); anew(); };
  const goOn = patch => { Object.assign(view, patch); label(); noteState(); };

  function layOut() {
    const { rule } = view.racer;
    const lr = hyperparameter(rule, "lr");
    const schedules = data("schedules");
    fill(controls, 
      choice(say("net.points"), [...Object.keys(CLOUDS), "own"].map(kind => [kind, say(`net.points.${kind}`)]), view.points, points => { Object.assign(view, { points }); layOut(); anew(); }, { "data-control": "points" }),
      view.points !== "own" && slider(say("net.noise"), { low: 0, high: 0.3, value: view.noise, name: "noise" }, noise => restart({ noise })),
      choice(say("net.layers"), [1, 2, 3, 4].map(each => [String(each), String(each)]), String(view.widths.length), layers => restart({ widths: new Array(+layers).fill(view.widths[0]) }), { "data-control": "layers" }),
      slider(say("net.width"), { low: 1, high: 24, whole: true, value: view.widths[0], maximum: 64, name: "width" }, width => restart({ widths: view.widths.map(() => width) })),
      choice(say("net.activation"), Object.keys(ACTIVATIONS).map(each => [each, each]), view.activation, activation => restart({ activation })),
      choice(say("rule"), ruleOptions(), rule, name => { view.racer = { rule: name, settings: hyperparameter(name, "lr") ? { lr: settingOf(view.racer, "lr") ?? 0.01 } : {} }; layOut(); anew(); }, { "data-control": "rule" }),
      lr && slider(say("net.lr"), { ...reach(lr), value: settingOf(view.racer, "lr"), name: "lr" }, value => goOn({ racer: change(view.racer, "lr", value) })),
      lr && choice(say("why.schedule"), Object.keys(schedules).map(name => [name, scheduleName(name)]), view.schedule, schedule => goOn({ schedule }), { "data-control": "schedule" }),
      lr && view.schedule !== "constant" && slider(say("net.horizon"), { low: 50, high: 10000, scale: "log", whole: true, value: view.horizon, name: "horizon" }, horizon => goOn({ horizon })),
      slider(say("net.batch"), { low: 1, high: NET_POINTS / 2, scale: "log", whole: true, value: view.batch, name: "batch" }, batch => goOn({ batch })),
      slider("L2", { low: 0, high: 0.1, value: view.l2, maximum: null, name: "l2" }, l2 => goOn({ l2 })),
      slider("dropout", { low: 0, high: 0.8, value: view.dropout, maximum: 0.95, name: "dropout" }, dropout => goOn({ dropout })),
      slider(say("seed"), { low: 0, high: 99, whole: true, value: view.seed, maximum: null, name: "seed" }, seed => restart({ seed })));
    fill(fold, 
      h("details", {}, h("summary", {}, say("cards.more")), moreSettings(view.racer, (name, value) => goOn({ racer: change(view.racer, name, value) })), about(rule)),
      h("details", {}, h("summary", {}, say("net.own")), ownPoints()));
  }

  // Own points: the class to draw with, a box to paste CSV into.
  function ownPoints() {
    const id = fresh("csv");
    const area = h("textarea", { id, rows: 5, placeholder: "x,y,class\n0.1,0.8,1\n-0.4,0.2,0" });
    return h("div", { class: "settings" },
      h("p", { class: "about" }, say("net.own.about")),
      switched(say("net.pen"), [["1", say("net.class", { k: 1 })], ["0", say("net.class", { k: 0 })]], String(pen), value => { pen = +value; }),
      h("div", { class: "control" }, h("label", { for: id }, say("net.csv")), area),
      button(say("net.csv.take"), () => {
        try { view.own = fromCSV(area.value); view.points = "own"; layOut(); anew(); } catch (error) { message.textContent = error.message; }
      }, { "data-action": "csv" }),
      button(say("net.clear"), () => { view.own = []; view.points = "own"; layOut(); anew(); }));
  }

  root.append(h("h1", {}, say("net.title")), h("p", { class: "lead" }, say("net.lead")), controls, fold, message,
    h("div", { class: "player" }, iconButton("first", say("net.again"), () => anew()), playButton,
      button(say("net.one"), () => forwardBy(1), { "data-action": "forward", "data-needs-points": true }), button(say("net.hundred"), () => forwardBy(100), { "data-action": "hundred", "data-needs-points": true }), count,
      choice(say("player.speed"), [10, 60, 300, 1500].map(each => [String(each), say("player.rate", { rate: each })]), String(speed), value => { speed = +value; })),
    h("div", { class: "two" }, h("div", {}, decision.node), h("div", {}, loss.node, weights.node)));
  layOut();
  anew(view.steps);
  return { leave: () => { cancelAnimationFrame(timer); timer = 0; }, settle: () => timer && pause(), theme: show };
});

const lossLooks = () => [{ name: say("net.learn"), color: look(0).color, dash: [] }, { name: say("net.judge"), color: look(1).color, dash: [6, 4] }];
