// Screen 5: slices of the loss of the reader's own model, with the runs that were recorded on it.
//
// The block `model` of the page, when it has one:
//   {title, batchnorm: "recalibrated" | "as trained" | null,
//    notes: [...], slices: [{name, kind: "pca" | "filter", stage: "whole" | "first" | "middle" | "last", x: [low, high], y: [low, high],
//              values: [[row of losses], ...from y low], lines: [{name, at: [...], loss: [...]}],
//              runs: [{name, steps: [...], path: [[x, y], ...], share: [of each piece in the plane, 0 to 1, ...], total: of the whole
//                      length, loss: [...], slice_loss: [...]}]}]}
// A loss that is not finite is null.

const MODEL = data("model");

const finite = values => values.map(value => value ?? NaN);
for (const each of MODEL?.slices ?? []) {
  each.values = each.values.map(finite);
  for (const run of each.runs) Object.assign(run, { loss: finite(run.loss), slice_loss: finite(run.slice_loss) });
  for (const line of each.lines ?? []) line.loss = finite(line.loss);
}

const nameOf = each => sayIfKnown(`model.${each.kind}.${each.stage}`, each.name);

const MINE = { slice: ["number", 0, counted(0, (MODEL?.slices.length ?? 1) - 1)] };

// The slice between its grid's values.
function between({ x, y, values }) {
  const rows = values.length, columns = values[0].length;
  return ([a, b]) => {
    const column = Math.max(0, Math.min(columns - 1.000001, ((a - x[0]) / (x[1] - x[0])) * (columns - 1)));
    const row = Math.max(0, Math.min(rows - 1.000001, ((b - y[0]) / (y[1] - y[0])) * (rows - 1)));
    const i = Math.floor(row), j = Math.floor(column), u = row - i, v = column - j;
    return (1 - u) * ((1 - v) * values[i][j] + v * values[i][j + 1]) + u * ((1 - v) * values[i + 1][j] + v * values[i + 1][j + 1]);
  };
}

addScreen("model", MINE, function mountModel(root) {
  const view = state.model;
  root.append(h("h1", {}, say("model.title")));
  if (!MODEL) {
    root.append(h("p", { class: "lead" }, say("model.none")), h("pre", {}, "thalweg compare my_task.py:task --record\nthalweg play STUDY"), h("p", { class: "note" }, say("model.what")));
    return {};
  }
  const canvas = h("canvas", { class: "slice", role: "img" });
  const canvasBox = h("div", { class: "stage" }, canvas);
  const key = h("div");
  const picture = figure("slice", { title: say("model.slice"), about: say("model.share.about"), legend: key, picture: canvasBox });
  const loss = chart(null), lines = chart(null);
  const beside = figure("slice-loss", { title: say("model.loss"), about: say("model.loss.about"), picture: loss.node });
  const single = figure("lines", { title: say("model.lines"), picture: lines.node });
  const slice = () => MODEL.slices[view.slice];

  // A path's pieces are as opaque as the share of the way that lies in the plane.
  function draw() {
    const own = slice(), width = canvasBox.clientWidth;
    if (!width) return;
    const scale = Math.min(2, devicePixelRatio || 1), tall = Math.round(width * 0.8);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(tall * scale);
    canvas.style.height = canvasBox.style.height = `${tall}px`;
    const frame = frameOf([own.x, own.y], width, tall);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.drawImage(ground(`model-${view.slice}`, between(own), frame, scale), 0, 0, width, tall);
    own.runs.forEach((run, place) => {
      const at = run.path.map(([x, y]) => [frame.x(x), frame.y(y)]);
      let far = 0;
      for (let k = 1; k < at.length; k++) {
        pen.beginPath();
        pen.moveTo(...at[k - 1]);
        pen.lineTo(...at[k]);
        pen.globalAlpha = Math.max(0.08, run.share[k] ?? 1);
        pen.lineDashOffset = far;
        stroke(pen, look(place).color, look(place).dash, 2.6);
        far += Math.hypot(at[k][0] - at[k - 1][0], at[k][1] - at[k - 1][1]);
      }
      pen.globalAlpha = 1;
      pen.lineDashOffset = 0;
      head(pen, at[at.length - 1], look(place));
    });
  }

  function show() {
    const own = slice();
    fill(key, legend(own.runs.map((run, place) => ({ ...look(place), name: run.name }))));
    draw();
    const share = run => run.total ?? median(run.share);
    picture.tell(say("model.sentence", { slice: nameOf(own), list: own.runs.map(run => `${run.name} ${percent(share(run))}`).join(say("comma")), batchnorm: MODEL.batchnorm ? say(`model.batchnorm.${MODEL.batchnorm === "recalibrated" ? "recalibrated" : "kept"}`) : "" }),
      table(say("model.slice"), [say("racer"), say("model.share"), say("loss"), say("model.slice_loss")], own.runs.map((run, place) => [run.name, { text: percent(share(run)), name: `share-${place}` }, shown(run.loss.at(-1)), shown(run.slice_loss.at(-1))])));
    loss.show({ title: say("model.loss"), x: { label: say("steps") }, y: { label: say("loss"), scale: own.runs.every(run => [...run.loss, ...run.slice_loss].every(value => value > 0)) ? "log" : "linear" },
      lines: own.runs.flatMap((run, place) => [{ x: run.steps, y: run.loss, ...look(place), dash: [], name: run.name }, { x: run.steps, y: run.slice_loss, ...look(place), dash: [3, 4], opacity: 0.8, name: `${run.name} *` }]) });
    beside.tell(say("model.loss.text"), table(say("model.loss"), [say("step"), ...own.runs.flatMap(run => [run.name, `${run.name} *`])],
      own.runs[0].steps.map(step => [step, ...own.runs.flatMap(run => [run.loss, run.slice_loss].map(losses => run.steps.includes(step) ? shown(losses[run.steps.indexOf(step)]) : ""))]).filter((_, k, all) => k % Math.ceil(all.length / 10) === 0)));
    const along = (own.lines ?? MODEL.lines ?? []).map(line => ({ ...line, name: sayIfKnown(`model.line.${line.name}`, line.name) }));
    single.node.hidden = !along.length;
    if (!along.length) return noteState();
    lines.show({ title: say("model.lines"), x: { label: say("model.along") }, y: { label: say("loss") }, lines: along.map((line, place) => ({ x: line.at, y: line.loss, ...look(place), name: line.name })) });
    single.tell(sayIfKnown(`model.lines.${own.kind}.${own.stage}`, say("model.lines.text")), table(say("model.lines"), [say("model.along"), ...along.map(line => line.name)], along[0].at.map((at, k) => [shown(at), ...along.map(line => shown(line.loss[k]))]).filter((_, k, all) => k % Math.ceil(all.length / 10) === 0)));
    noteState();
  }

  root.append(h("p", { class: "lead" }, MODEL.title), (MODEL.notes ?? []).map(note => h("p", { class: "note" }, note)),
    h("div", { class: "panel options" }, choice(say("model.which"), MODEL.slices.map((each, k) => [String(k), nameOf(each)]), String(view.slice), value => { view.slice = +value; show(); }, { "data-control": "slice" })),
    h("div", { class: "two" }, h("div", {}, picture.node), h("div", {}, beside.node, single.node)));
  show();
  new ResizeObserver(draw).observe(canvasBox);
  return { theme: show };
});
