// What the strips of screen 3 measure: rules of the catalogue, run on gradients that are simple enough to understand.

// A rule under gradients g(t, i), step by step. `see(run, t, before)` looks at it after each step.
function driven(rule, settings, p0, steps, g, see) {
  const run = start(rule, "f64", p0, settings);
  for (let t = 1; t <= steps; t++) {
    for (let i = 0; i < run.g.length; i++) run.g[i] = g(t, i, run);
    const before = run.p.slice();
    advance(run);
    see(run, t, before);
  }
  return run;
}

const firstSteps = steps => Float64Array.from({ length: steps }, (_, k) => k + 1);

// Length of Adam's steps, in units of lr, under a gradient of 1 in every step.
function biasLengths(steps, betas, bias_correction) {
  const lengths = [];
  driven("adam", { lr: 1, betas, eps: 0, bias_correction }, [0], steps, () => 1, (run, t, before) => lengths.push(Math.abs(run.p[0] - before[0])));
  return lengths;
}

// RAdam's rho_t and r_t, and the first step that it rectifies.
function rectified(steps, betas, rectify_above) {
  const rho = [], r = [];
  const run = start("radam", "f64", [0], { lr: 1, betas, rectify_above });
  for (let t = 1; t <= steps; t++) {
    run.g[0] = 1;
    const lines = trace(run, 0); // the rule's own rho and r, before they go into its numbers
    const value = name => lines.filter(line => line.name === name && typeof line.value === "number").at(-1)?.value;
    rho.push(value("rho"));
    r.push(value("r") > 0 ? value("r") : NaN);
    advance(run);
  }
  return { rho, r, first: r.findIndex(Number.isFinite) + 1 };
}

// 1 / sqrt(v_hat) of Adam over many seeds of normal gradients: a seed is a coordinate.
function spread(steps, beta2, seeds) {
  const bands = { low: [], middle: [], high: [] };
  driven("adam", { lr: 1, betas: [0.9, beta2] }, new Array(seeds).fill(0), steps, (t, i) => noise(i, t, 0), (run, t) => {
    const inverse = Array.from(run.states.v, v => Math.sqrt((1 - beta2 ** t) / v));
    bands.low.push(quantile(inverse, 0.05));
    bands.middle.push(median(inverse));
    bands.high.push(quantile(inverse, 0.95));
  });
  return bands;
}

// Steps under a gradient of 1: those of Adagrad die as t^-1/2.
function lengthsOf(rule, settings, steps) {
  const lengths = [];
  driven(rule, settings, [0], steps, () => 1, (run, t, before) => lengths.push(Math.abs(run.p[0] - before[0])));
  return lengths.map(length => length / lengths[0]);
}

// |step| / |g| of each coordinate, on a ravine: the learning rate that each of them really has.
function effectiveRates(rule, settings, surface, constants, steps) {
  const { gradient } = field({ surface, constants, precision: "f64", seed: 0, batch: 0, steps });
  const point = startOf(surface, "");
  const rates = point.map(() => []);
  const run = start(rule, "f64", point, settings);
  for (let t = 1; t <= steps; t++) {
    gradient(run.p, run.g, t);
    const before = run.p.slice(), g = run.g.slice();
    advance(run);
    rates.forEach((list, i) => list.push(g[i] === 0 ? NaN : Math.abs((run.p[i] - before[i]) / g[i])));
  }
  return rates;
}

// What an average remembers of one gradient: m of Adam after a gradient of 1 and then none.
function remembered(beta, steps) {
  const left = [];
  driven("adam", { lr: 1, betas: [beta, 0.999] }, [0], steps, t => (t === 1 ? 1 : 0), run => left.push(run.states.m[0]));
  return left.map(value => value / left[0]);
}

// A weight that decays, with a small and with a large gradient of mean zero.
function decayed(rule, decay, size, steps) {
  const left = [1];
  driven(rule, { lr: 0.01, weight_decay: decay }, [1], steps, t => (t % 2 ? size : -size), run => left.push(run.p[0]));
  return left;
}

// The coordinate across a ravine of momentum with several betas.
function across(momentum, lr, condition, steps) {
  const path = [1];
  driven("momentum", { lr, momentum }, [1], steps, (t, i, run) => condition * run.p[i], run => path.push(run.p[0]));
  return path;
}
