// Screen 4, put together: controls, the map with its axes, and the run under the cursor.

addScreen("maps", MAPS, function mountMaps(root) {
  const view = state.maps;
  const controls = h("div", { class: "panel options" }), fold = h("div");
  const map = mapView(say("maps.title"), look => { view.pixel = look; showRun(); noteState(); });
  const axes = { x: h("p", { class: "axis x" }), y: h("p", { class: "axis y" }) };
  const key = h("div");
  const picture = figure("map", { title: say("maps.map"), about: null, legend: key,
    picture: h("div", { class: "framed" }, axes.y, map.node, axes.x) });
  const board = stage({ label: say("maps.run") });
  const graph = chart(null);
  const side = figure("run", { title: say("maps.run"), picture: h("div", {}, board.node, graph.node) });
  let job;
  const started = { at: 0 };
  const workers = crew(answer => {
    map.put(answer);
    if (!started.first) { started.first = performance.now() - started.at; map.canvas.dataset.first = started.first.toFixed(0); }
  }, () => { map.mark(); map.canvas.dataset.ready = "1"; map.canvas.dataset.full = (performance.now() - started.at).toFixed(0); tell(); });

  function anew() {
    job = jobOf(view);
    Object.assign(started, { at: performance.now(), first: 0 });
    map.begin(job, view.pixel);
    for (const which of ["x", "y"]) axes[which].replaceChildren(...ends(job[which]));
    fill(key, keyOf(job));
    workers.begin(job);
    showRun();
    noteState();
  }

  const ends = ({ name, low, high }) => [h("span", {}, shown(low, 3)), h("b", {}, name), h("span", {}, shown(high, 3))];

  // The run that the cursor's pixel is.
  function showRun() {
    const [x, y] = [middleOf(job.x, view.pixel[0], FINE), middleOf(job.y, view.pixel[1], FINE)];
    const where = `${job.x.name} ${shown(x)}, ${job.y.name} ${shown(job.kind === "final" ? Math.round(y) : y)}`;
    const onSurface = job.kind === "basins" || job.kind === "final";
    board.node.hidden = !onSurface;
    graph.node.hidden = onSurface;
    if (onSurface) {
      const basin = job.kind === "basins";
      const spec = { ...job, start: basin ? [x, y] : job.start, steps: basin ? job.steps : Math.round(y), racers: [{ rule: job.rule, settings: basin ? job.settings : { ...job.settings, lr: x } }] };
      const path = runRace(spec)[0];
      board.show(job.surface, job.constants, spec.start, () => {
        const pen = board.clear();
        stretch(pen, board, path, 0, path.steps, look(0));
        const end = board.at(path.point(path.steps)), top = board.top();
        if (end.every(Number.isFinite)) head(top, end, look(0));
      });
      const lost = path.diverged >= 0;
      side.tell(say(lost ? "maps.run.lost" : "maps.run.end", { where, end: place(path.point(path.steps)), loss: shown(path.losses[path.steps]), step: path.diverged }),
        table(say("maps.run"), [say("step"), say("position"), say("loss")], telling(path.steps).map(t => [t, place(path.point(t)), shown(path.losses[t])])));
    } else {
      const settings = job.kind === "edge" ? { ...job.settings, lr: x } : withSetting({ ...job.settings, lr: x }, job.y.name, y, defaultsOf(job.rule));
      const path = onQuadratic(job, settings, job.kind === "edge" ? y : job.curvature).map(Math.abs);
      const steps = Float64Array.from({ length: path.length }, (_, k) => k);
      graph.show({ title: say("maps.run"), x: { label: say("steps") }, y: { label: "|x|", scale: "log", floor: 1e-12 }, lines: [{ x: steps, y: path, ...look(0), dash: [], name: "x" }] });
      side.tell(say("maps.run.quadratic", { where, end: shown(path[path.length - 1]) }),
        table(say("maps.run"), [say("step"), "|x|"], telling(job.steps).map(t => [t, shown(path[t])])));
    }
  }

  // What the whole map shows: shares, and against the exact boundary.
  function tell() {
    const all = map.columns.flatMap(({ which }) => [...which]);
    const share = kind => all.filter(each => each === kind).length / all.length;
    const name = racerName(view.racer);
    const rows = [];
    let text;
    if (job.kind === "basins") {
      const { optima } = SURFACES[job.surface];
      optima.forEach((point, k) => rows.push([place(point), percent(share(k))]));
      rows.push([say("maps.wandering"), percent(share(WANDERING))]);
      text = say("maps.basins.text", { name, steps: job.steps, arrived: percent(1 - share(WANDERING) - share(DIVERGED)), diverged: percent(share(DIVERGED)) });
    } else text = say(`maps.${job.kind}.text`, { name, diverged: percent(share(DIVERGED)) });
    rows.push([say("maps.diverged"), percent(share(DIVERGED))]);
    const exact = boundary(job);
    if (exact) {
      const { wrong, near } = againstExact(map.columns, job, exact);
      text += say("space") + say("maps.exact", { wrong, near });
      rows.push([say("maps.wrong"), { text: String(wrong), name: "boundary-wrong" }], [say("maps.near"), { text: String(near), name: "boundary-near" }]);
    }
    picture.tell(text, table(say("maps.map"), [say("maps.what"), say("maps.share")], rows));
  }

  function layOut() {
    const { rule } = view.racer;
    const quadratic = view.kind === "stability" || view.kind === "edge";
    const list = others(rule);
    const flat = Object.keys(SURFACES).filter(name => SURFACES[name].dimension === 2 && (view.kind !== "basins" || SURFACES[name].optima.length));
    if (!quadratic && !flat.includes(view.surface)) view.surface = flat[0];
    fill(controls, 
      choice(say("maps.kind"), Object.keys(KINDS).map(kind => [kind, say(`maps.${kind}`)]), view.kind, kind => {
        view.kind = kind;
        const known = { stability: "momentum", edge: "sgd" }[kind]; // whose boundary is known
        if (known) view.racer = { rule: known, settings: {} };
        layOut(); anew();
      }, { "data-control": "kind" }),
      choice(say("rule"), ruleOptions(), rule, name => {
        view.racer = { rule: name, settings: hyperparameter(name, "lr") ? { lr: settingOf(view.racer, "lr") ?? 0.05 } : {} };
        view.against = "";
        layOut(); anew();
      }, { "data-control": "rule" }),
      !quadratic && choice(say("surface"), flat.map(name => [name, surfaceName(name)]), view.surface, name => { Object.assign(view, { surface: name, constants: {} }); anew(); }, { "data-control": "surface" }),
      view.kind === "basins" && hyperparameter(rule, "lr") && slider("lr", { ...reach(hyperparameter(rule, "lr")), value: settingOf(view.racer, "lr"), name: "lr" }, lr => { view.racer = change(view.racer, "lr", lr); anew(); }),
      view.kind === "stability" && list.length > 0 && choice(say("maps.against"), list.map(each => [each.name, each.name]), view.against || list[0].name, name => { view.against = name; anew(); }, { "data-control": "against" }),
      view.kind === "stability" && slider(say("maps.curvature"), { low: 0.1, high: 100, scale: "log", value: view.curvature, name: "curvature" }, number => { view.curvature = number; anew(); }),
      !quadratic && slider(say("steps"), { low: 20, high: 1000, scale: "log", whole: true, value: view.steps, name: "steps" }, steps => { view.steps = steps; anew(); }));
    fill(fold, h("details", {}, h("summary", {}, say("cards.more")), moreSettings(view.racer, (name, value) => { view.racer = change(view.racer, name, value); anew(); }), about(rule)));
  }

  root.append(h("h1", {}, say("maps.heading")), h("p", { class: "lead" }, say("maps.lead")), controls, fold,
    h("div", { class: "two" }, h("div", {}, picture.node, h("p", { class: "hint" }, say("maps.hint"))), h("div", {}, side.node)));
  layOut();
  anew();
  return { leave: () => workers.dismiss(), theme: () => { map.repaint(); showRun(); } };
});

// Pixels that an exact boundary runs through may be either way; all others must be as it says.
function againstExact(columns, job, exact) {
  let wrong = 0, near = 0;
  const edge = (axis, k) => along(axis, k / FINE);
  columns.forEach(({ which }, place) => which.forEach((each, row) => {
    const limits = [exact(edge(job.y, row)), exact(edge(job.y, row + 1))];
    const unstable = edge(job.x, place) >= Math.max(...limits), stable = edge(job.x, place + 1) <= Math.min(...limits);
    if (!unstable && !stable) near++;
    else if ((each === DIVERGED) !== unstable) wrong++;
  }));
  return { wrong, near };
}

// What colors stand for.
function keyOf(job) {
  const patch = (style, text) => h("li", {}, h("span", { class: `patch ${style.startsWith("#") ? "" : style}`, style: style.startsWith("#") ? `background:${style}` : null }), " ", text);
  const items = job.kind === "basins" ? [...SURFACES[job.surface].optima.map((point, k) => patch(OPTIMA[k % OPTIMA.length], place(point))), patch("wandering", say("maps.wandering")), h("li", {}, say("maps.paler"))]
    : [patch("deep", say(job.kind === "final" ? "maps.low" : "maps.quick")), patch("pale", say(job.kind === "final" ? "maps.high" : "maps.slow"))];
  return h("ul", { class: "legend" }, items, patch("hatched", say("maps.diverged")), boundary(job) && h("li", {}, swatch({ color: ink("ink"), dash: [7, 4] }), " ", say("maps.boundary")));
}
