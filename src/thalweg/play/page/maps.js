// Screen 4: maps on which a pixel is a run, worked out by two workers, coarse first.

const COARSE = 32, FINE = 128;
const QUADRATIC_STEPS = 400;

const MAPS = {
  kind: ["text", "basins", among(KINDS)],
  racer: ["racer", { rule: "adam", settings: { lr: 0.05 } }],
  surface: ["text", "himmelblau", among(SURFACES)],
  constants: ["named", {}],
  against: ["text", ""], // the setting on the stability map's y axis; the first there is
  curvature: ["number", 1, curvature => curvature > 0],
  steps: ["number", 200, counted(1, 2000)],
  pixel: ["numbers", [FINE / 2, FINE / 2], pixel => pixel.length === 2 && pixel.every(counted(0, FINE - 1))], // the one looked at
};

// What a rule has beside its learning rate that can be an axis.
function others(rule) {
  return RULES[rule].hyperparameters.filter(each => each.name !== "lr" && typeof each.default !== "boolean").flatMap(each =>
    (Array.isArray(each.default) ? each.default.map((value, k) => ({ ...each, name: `${each.name}[${k}]`, default: value })) : typeof each.default === "number" ? [each] : []));
}

function jobOf(view) {
  const { rule, settings } = view.racer;
  const job = { kind: view.kind, rule, settings, size: FINE, surface: view.surface, constants: constantsOf(view.surface, view.constants), precision: "f64", seed: 0, batch: 0, steps: view.steps, start: startOf(view.surface, "") };
  const rate = { name: "lr", low: 1e-4, high: 10, scale: "log" };
  const [[left, right], [bottom, top] = [0, 1]] = SURFACES[view.surface].domain;
  if (view.kind === "basins") return { ...job, x: { name: "x", low: left, high: right, scale: "linear" }, y: { name: "y", low: bottom, high: top, scale: "linear" } };
  if (view.kind === "final") return { ...job, x: rate, y: { name: say("steps"), low: 1, high: Math.max(10, view.steps), scale: "linear" } };
  const linear = { name: "lr", low: 0, high: 4.2 / view.curvature, scale: "linear" };
  if (view.kind === "edge") return { ...job, steps: QUADRATIC_STEPS, x: { name: "lr", low: 0.01, high: 10, scale: "log" }, y: { name: say("maps.sharpness"), low: 0.1, high: 1000, scale: "log" } };
  const list = others(rule);
  const each = list.find(other => other.name === view.against) ?? list[0];
  const range = each ? reach(each) : { low: 0, high: 1, scale: "linear" };
  const unit = each && range.high <= 1 && range.scale !== "log" ? { low: 0, high: 1, scale: "linear" } : range;
  return { ...job, steps: QUADRATIC_STEPS, curvature: view.curvature, x: linear, y: { ...unit, name: each?.name ?? "-" } };
}

// Rules whose boundary is known exactly, on a quadratic: lr < 2 (1 + beta) / curvature.
function boundary(job) {
  const has = { momentum: "momentum", classical_momentum: "momentum" }[job.rule];
  const limit = beta => (2 * (1 + beta)) / (job.curvature ?? 1);
  const own = { ...defaultsOf(job.rule), ...job.settings };
  if (job.kind === "stability" && has && job.y.name === has) return y => limit(y);
  if (job.kind === "edge" && (has || job.rule === "sgd")) return y => (2 * (1 + (has ? own[has] : 0))) / y;
  return null;
}

// Two workers that hand in columns. A new job makes the old one's columns stale.
function crew(onColumn, onDone) {
  const source = [byId("engine").textContent, byId("pixels").textContent, "onmessage = answerColumn;"].join("\n");
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const workers = [0, 1].map(() => new Worker(url));
  let id = 0, queue = [], open = 0;
  const next = worker => {
    const task = queue.shift();
    if (task) { open++; worker.busy = true; worker.postMessage(task); } else worker.busy = false;
  };
  for (const worker of workers) worker.onmessage = ({ data: answer }) => {
    open--;
    if (answer.id === id) onColumn(answer);
    next(worker);
    if (answer.id === id && !queue.length && !workers.some(each => each.busy)) onDone();
  };
  return {
    begin(job) {
      id++;
      const places = size => Array.from({ length: size }, (_, place) => ({ id, job, place, size }));
      queue = [...places(COARSE), ...places(FINE)];
      for (const worker of workers) if (!worker.busy) next(worker);
    },
    dismiss() { for (const worker of workers) worker.terminate(); URL.revokeObjectURL(url); },
  };
}

// How a pixel looks: the optimum's color, lighter the later it was reached; for factors and losses a ramp.
const OPTIMA = ["#1a95fe", "#cd8309", "#0a8972", "#ac1fb8"];

function painter(job) {
  const pale = rgb(ink("high")), deep = rgb(ink("deep"));
  if (job.kind === "basins") {
    const colors = OPTIMA.map(rgb), gray = rgb(ink("gray"));
    return (value, which) => (which === WANDERING ? gray : mixed(colors[which % OPTIMA.length], pale, 0.75 * Math.min(1, value / job.steps)));
  }
  if (job.kind === "final") return loss => mixed(deep, pale, Math.max(0, Math.min(1, (Math.log10(Math.max(loss, 1e-12)) + 8) / 10)));
  return factor => mixed(deep, pale, Math.max(0, Math.min(1, factor)) ** 4);
}

// The map's canvas: columns as they come, divergence hatched, the cursor, the exact boundary where there is one.
function mapView(label, onpick) {
  const canvas = h("canvas", { class: "map", tabindex: 0, role: "img", "aria-label": label, "data-ready": "0" });
  const own = { job: null, image: null, pixel: null };
  const pen = canvas.getContext("2d");

  function put({ place, size, value, which }) {
    const cell = canvas.width / size;
    const color = own.paint;
    for (let k = 0; k < size; k++) {
      const x = place * cell, y = canvas.height - (k + 1) * cell;
      if (which[k] === DIVERGED) { hatch(x, y, cell); continue; }
      pen.fillStyle = `rgb(${color(value[k], which[k]).map(Math.round)})`;
      pen.fillRect(x, y, cell, cell);
    }
    if (size === FINE) own.columns[place] = { value, which };
  }
  function hatch(x, y, cell) { // stripes that go on from pixel to pixel
    pen.fillStyle = ink("hatch");
    pen.fillRect(x, y, cell, cell);
    pen.save();
    pen.beginPath();
    pen.rect(x, y, cell, cell);
    pen.clip();
    pen.beginPath();
    const first = Math.floor((x - y - cell) / 8) * 8;
    for (let d = first; d <= x + cell - y + 8; d += 8) { pen.moveTo(d + y, y); pen.lineTo(d + y + cell, y + cell); }
    pen.strokeStyle = ink("hatching");
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.restore();
  }
  const overlay = h("canvas", { class: "upper", "aria-hidden": "true" });
  function mark() {
    const top = overlay.getContext("2d");
    top.clearRect(0, 0, overlay.width, overlay.height);
    const exact = boundary(own.job);
    if (exact) {
      top.beginPath();
      for (let k = 0; k <= 400; k++) {
        const share = k / 400, { to } = SCALES[own.job.x.scale];
        const low = to(own.job.x.low), high = to(own.job.x.high);
        top.lineTo(((to(exact(along(own.job.y, share))) - low) / (high - low)) * overlay.width, (1 - share) * overlay.height);
      }
      top.strokeStyle = ink("ground"); top.lineWidth = 5; top.stroke();
      top.strokeStyle = ink("ink"); top.lineWidth = 2; top.setLineDash([7, 4]); top.stroke(); top.setLineDash([]);
    }
    if (!own.pixel) return;
    const cell = overlay.width / FINE;
    const [x, y] = [(own.pixel[0] + 0.5) * cell, overlay.height - (own.pixel[1] + 0.5) * cell];
    for (const [color, width] of [[ink("ground"), 4.5], [ink("ink"), 1.8]]) {
      top.beginPath();
      top.arc(x, y, 7, 0, 2 * Math.PI);
      top.moveTo(x - 13, y); top.lineTo(x - 7, y); top.moveTo(x + 7, y); top.lineTo(x + 13, y);
      top.moveTo(x, y - 13); top.lineTo(x, y - 7); top.moveTo(x, y + 7); top.lineTo(x, y + 13);
      top.strokeStyle = color; top.lineWidth = width; top.stroke();
    }
  }
  const pick = (column, row) => {
    own.pixel = [column, row].map(each => Math.max(0, Math.min(FINE - 1, each)));
    mark();
    onpick(own.pixel);
  };
  canvas.addEventListener("pointermove", event => {
    const box = canvas.getBoundingClientRect();
    pick(Math.floor(((event.clientX - box.left) / box.width) * FINE), Math.floor((1 - (event.clientY - box.top) / box.height) * FINE));
  });
  canvas.addEventListener("keydown", event => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const by = event.shiftKey ? 8 : 1;
    pick(own.pixel[0] + dx * by, own.pixel[1] + dy * by);
  });
  return {
    node: h("div", { class: "mapbox" }, canvas, overlay), canvas, put, mark,
    begin(job, pixel) {
      Object.assign(own, { job, paint: painter(job), columns: [], pixel });
      canvas.width = canvas.height = overlay.width = overlay.height = 4 * FINE;
      canvas.dataset.ready = "0";
      mark();
    },
    repaint() { own.paint = painter(own.job); own.columns.forEach((each, place) => put({ place, size: FINE, ...each })); mark(); },
    get columns() { return own.columns; },
  };
}
