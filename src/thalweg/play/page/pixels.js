// A pixel is a run. Of a map's column all pixels are worked out here, in workers; and one of them, for the page.
//
// job: {kind, rule, settings, surface, constants, start, steps, x: {name, low, high, scale}, y: {...}, size}
// A column comes back as two lists: `value`, and `which` (the optimum, 0 where there is but one; -1 not there yet; -2 diverged).

const DIVERGED = -2, WANDERING = -1;
const FAR = 100; // times the start: what only swings about the minimum has not diverged
const ARRIVED = 0.01; // of the surface's width, from an optimum

// Ways through a range: linear, by factors, or by factors of what is left to 1.
const SCALES = {
  linear: { to: value => value, from: place => place },
  log: { to: Math.log, from: Math.exp },
  one_minus: { to: value => -Math.log(1 - value), from: place => 1 - Math.exp(-place) },
};

function along({ low, high, scale }, share) {
  const { to, from } = SCALES[scale];
  return from(to(low) + share * (to(high) - to(low)));
}

// The middle of the pixel in this place, of so many.
const middleOf = (axis, place, size) => along(axis, (place + 0.5) / size);

// A setting by the name that a map's axis has: lr, eps, betas[0].
function withSetting(settings, name, value, defaults) {
  const [, plain, index] = name.match(/^(\w+)(?:\[(\d)\])?$/);
  if (index === undefined) return { ...settings, [plain]: value };
  const list = [...(settings[plain] ?? defaults[plain])];
  list[index] = value;
  return { ...settings, [plain]: list };
}

const defaultsOf = rule => Object.fromEntries(RULES[rule].hyperparameters.map(each => [each.name, each.default]));

const KINDS = {
  // Where a run ends that starts here, and when it gets there.
  basins(job, x, ys) {
    const { gradient } = field(job);
    const { optima, domain } = SURFACES[job.surface];
    const near = ARRIVED * (domain[0][1] - domain[0][0]);
    const found = ys.map(() => [job.steps, WANDERING]);
    inOne(job, ys.map(y => [x, y]), (points, gradients, t) => points.forEach((p, k) => gradient(p, gradients[k], t)), (points, t) => {
      points.forEach((p, k) => {
        if (found[k][1] === DIVERGED) return;
        const at = Math.abs(p[0]) + Math.abs(p[1]) < 1e6
          ? optima.findIndex(o => Math.abs(o[0] - p[0]) < near && Math.abs(o[1] - p[1]) < near) : DIVERGED;
        if (at !== found[k][1]) found[k] = [t, at];
      });
    });
    return found;
  },
  // Of a quadratic of one number, by how much the run shrinks a step: lr against another setting.
  stability(job, x, ys) {
    const defaults = defaultsOf(job.rule);
    return ys.map(y => shrinking(job, withSetting({ ...job.settings, [job.x.name]: x }, job.y.name, y, defaults), job.curvature));
  },
  // The same with the curvature in place of the other setting.
  edge(job, x, ys) {
    return ys.map(y => shrinking(job, { ...job.settings, [job.x.name]: x }, y));
  },
  // The loss after so many steps: one run is a column.
  final(job, x, ys) {
    const { value, gradient } = field(job);
    const run = start(job.rule, "f64", job.start, { ...job.settings, lr: x });
    const losses = [];
    const last = Math.round(ys[ys.length - 1]);
    for (let t = 1; t <= last; t++) {
      gradient(run.p, run.g, t);
      advance(run);
      losses.push(value(run.p));
    }
    return ys.map(y => {
      const loss = losses[Math.max(1, Math.round(y)) - 1];
      return Number.isFinite(loss) && Math.abs(loss) < 1e12 ? [loss, 0] : [NaN, DIVERGED];
    });
  },
};

// Runs of equal settings from several starts. A rule that looks at no element's neighbors takes them as one tensor.
function inOne({ rule, settings, steps }, starts, gradient, see) {
  const width = starts[0].length;
  const alone = RULES[rule].measures.length > 0;
  const runs = alone ? starts.map(each => start(rule, "f64", each, settings)) : [start(rule, "f64", starts.flat(), settings)];
  const parts = name => (alone ? runs.map(run => run[name]) : starts.map((_, k) => runs[0][name].subarray(k * width, (k + 1) * width)));
  const points = parts("p"), gradients = parts("g");
  for (let t = 1; t <= steps; t++) {
    gradient(points, gradients, t);
    for (const run of runs) advance(run);
    see(points, t);
  }
}

// One number on curvature * x^2 / 2, as a path.
function onQuadratic({ rule, steps }, settings, curvature) {
  const run = start(rule, "f64", [1], settings);
  const path = new Float64Array(steps + 1);
  path[0] = 1;
  for (let t = 1; t <= steps; t++) {
    run.g[0] = curvature * run.p[0];
    advance(run);
    path[t] = run.p[0];
  }
  return path;
}

// Factor a step by which the run grows (> 1: diverges), from the largest distance in two stretches far apart.
function shrinking(job, settings, curvature) {
  const path = onQuadratic(job, settings, curvature);
  const span = Math.floor(job.steps / 4);
  const largest = (from, to) => {
    let most = 0;
    for (let t = from; t < to; t++) {
      const size = Math.abs(path[t]);
      if (!(size < 1e280)) return Infinity;
      if (size > most) most = size;
    }
    return most;
  };
  const early = largest(span, 2 * span), late = largest(3 * span, 4 * span + 1);
  if (late === Infinity) return [Infinity, DIVERGED];
  if (early < 1e-280 || late === 0) return [0, 0];
  const factor = (late / early) ** (1 / (2 * span));
  return [factor, factor > 1 && late > FAR ? DIVERGED : 0];
}

function column(job, place, size) {
  const ys = Array.from({ length: size }, (_, k) => middleOf(job.y, k, size));
  const found = KINDS[job.kind](job, middleOf(job.x, place, size), ys);
  return { value: Float64Array.from(found, pair => pair[0]), which: Int8Array.from(found, pair => pair[1]) };
}

// What a worker does with a message.
function answerColumn({ data: { id, job, place, size } }) {
  const { value, which } = column(job, place, size);
  postMessage({ id, place, size, value, which }, [value.buffer, which.buffer]);
}
