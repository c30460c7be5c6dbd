// Surfaces, their noise, and runs over them. `paths(spec)` is what `thalweg.play.race` computes in Python.
const $mixed = (x) => {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
};

// The normal of a seed, a step and a coordinate: 12 uniform numbers, less 6.
function noise(seed, step, coordinate) {
  const key = $mixed($mixed($mixed(seed | 0) + step | 0) + coordinate | 0);
  let total = 0;
  for (let k = 1; k <= 12; k++) total += $mixed(key + Math.imul(0x9e3779b9, k) | 0);
  return total / 4294967296 - 6;
}

// Height and gradient of a spec {surface, precision, constants, seed, batch}; steps count from 1.
function field(spec) {
  const surface = SURFACES[spec.surface];
  const narrow = spec.precision !== "f64";
  const at = surface[narrow ? "f32" : "f64"];
  const c = { large: narrow ? 12582912 : 6755399441055744, step: 1 };
  for (const each of surface.constants) c[each.name] = each.default;
  Object.assign(c, spec.constants);
  let numbers = surface.numbers(c);
  const slopes = new Float64Array(3);
  const deviation = spec.batch && surface.noise ? surface.noise / Math.sqrt(spec.batch) : 0;
  const round = narrow ? $f : (x) => x;
  return {
    value(p) {
      at(p[0], p.length > 1 ? p[1] : 0, numbers, slopes);
      return slopes[0];
    },
    gradient(p, g, step) {
      if (surface.turns) {
        c.step = step;
        numbers = surface.numbers(c);
      }
      at(p[0], p.length > 1 ? p[1] : 0, numbers, slopes);
      for (let i = 0; i < p.length; i++) {
        g[i] = slopes[1 + i];
        if (deviation) g[i] += round(deviation * noise(spec.seed || 0, step, i));
      }
    },
  };
}

// The runs of a race {surface, start (a name or a place), constants, precision, steps, seed, batch, racers}.
function paths(spec) {
  const surface = SURFACES[spec.surface];
  const place = Array.isArray(spec.start) ? spec.start : $startOf(surface, spec.start).point;
  const ground = field(spec);
  const steps = spec.steps || 300;
  return spec.racers.map(({ rule, settings }) => {
    const run = start(rule, spec.precision || "f32", place, settings || {});
    const n = run.p.length;
    const positions = new run.array((steps + 1) * n);
    const losses = new run.array(steps + 1);
    for (let step = 0; step <= steps; step++) {
      if (step > 0) {
        ground.gradient(run.p, run.g, step);
        advance(run);
        if (surface.held) hold(run.p, surface.held);
      }
      positions.set(run.p, step * n);
      losses[step] = ground.value(run.p);
    }
    return { positions, losses };
  });
}

function $startOf(surface, name) {
  return surface.starts.find((each) => each.name === name) || surface.starts[0];
}

// Bring a place back into an interval.
function hold(p, [low, high]) {
  for (let i = 0; i < p.length; i++) p[i] = p[i] < low ? low : p[i] > high ? high : p[i];
}
