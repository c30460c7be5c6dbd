// What programs call, and what calls them. A run is one tensor under one rule.
const $f = Math.fround;
const $sign = (x) => (x > 0 ? 1 : x < 0 ? -1 : x === x ? 0 : NaN);
const $maximum = (a, b) => (a < b ? b : a >= b ? a : NaN);
const $minimum = (a, b) => (b < a ? b : a <= b ? a : NaN);
const $power = (x, y) => (y === 0 || x === 1 ? 1 : Math.pow(x, y));

function $sum(count, at) {
  let total = 0;
  for (let i = 0; i < count; i++) total += at(i);
  return total;
}

// torch adds squares up without rounding them before the sum.
function $normf32(count, at) {
  let total = 0;
  for (let i = 0; i < count; i++) {
    const x = at(i);
    total = $f(x * x + total);
  }
  return Math.sqrt(total);
}

function $normf64(count, at) {
  let total = 0;
  for (let i = 0; i < count; i++) {
    const x = at(i);
    const square = x * x;
    const sum = square + total;
    const part = sum - square;
    const lost = square - (sum - part) + (total - part); // by the sum
    const high = x * 134217729 - (x * 134217729 - x); // the upper half of the digits
    const low = x - high;
    total = sum + (lost + (high * high - square + 2 * high * low + low * low)); // and by the square
  }
  return Math.sqrt(total);
}

// A run at x0, before its first step. `settings` are laid over the rule's defaults.
function start(name, precision, x0, settings = {}) {
  const rule = RULES[name];
  const array = precision === "f32" ? Float32Array : Float64Array;
  const defaults = {};
  for (const [key, value] of Object.entries(rule.settings)) defaults[key] = value === null ? Infinity : value;
  const run = {
    rule, precision, array,
    p: array.from(x0),
    g: new array(x0.length),
    states: {},
    carried: { ...rule.carried },
    step: 0,
    settings: { ...defaults, ...settings },
    numbers: {},
  };
  for (const letter of rule.states) run.states[letter] = new array(x0.length);
  $begin(run);
  return run;
}

// States as they are before the first step: at 0, at a setting, or at the parameter.
function $begin(run) {
  for (const letter of run.rule.states) {
    const from = run.rule.initial[letter];
    if (from === "p") run.states[letter].set(run.p);
    else run.states[letter].fill(from === undefined ? 0 : run.settings[from]);
  }
}

// One step with the gradient in run.g, which is left as it is.
function advance(run) {
  advanceTogether([run]);
}

// One step of several tensors of one optimizer: a rule that sums over all of them does so.
function advanceTogether(runs) {
  const measured = runs.map($prepare);
  if (runs.length > 0 && runs[0].rule.summed) {
    const sums = {};
    for (const name of runs[0].rule.measures) sums[name] = measured.reduce((total, each) => total + each[name], 0);
    measured.fill(sums);
  }
  runs.forEach((run, index) => $finish(run, measured[index]));
}

function $prepare(run) {
  const { rule, settings } = run;
  if (run.step === 0) $begin(run);
  run.step += 1;
  run.numbers = rule.numbers(run.step, run.carried, settings);
  for (const name of Object.keys(run.carried)) {
    if (!rule.measures.includes(name)) run.carried[name] = run.numbers[name];
  }
  run.staged = run.g;
  for (const stage of STAGES) {
    if ((rule.decay === "own" && stage.name.endsWith("decay")) || !stage.used(settings).on) continue;
    if (run.staged === run.g) run.staged = run.g.slice();
    stage[run.precision](run.p, run.staged, {}, stage.numbers(settings));
  }
  const { tensor } = rule[run.precision];
  return tensor ? tensor(run.p, run.staged, run.states, run.numbers) : {};
}

function $finish(run, measured) {
  const { rule } = run;
  Object.assign(run.numbers, measured);
  for (const name of rule.measures) if (name in run.carried) run.carried[name] = measured[name];
  const before = run.settings.cautious ? run.p.slice() : null;
  rule[run.precision].element(run.p, run.staged, run.states, run.numbers);
  if (before) $cautious(run, before);
}

// What a step would do against the gradient is left undone, and the rest made larger.
function $cautious(run, before) {
  const { p, staged, array } = run;
  const round = array === Float32Array ? $f : (x) => x;
  const agreement = before.map((x, i) => $sign(round(x - p[i])) * $sign(staged[i]));
  const count = agreement.reduce((total, each) => total + (each > 0 ? 1 : 0), 0);
  const scale = round(round(1 / round(Math.max(count, 1e-3 * p.length))) * p.length);
  for (let i = 0; i < p.length; i++) {
    p[i] = agreement[i] <= 0 ? before[i] : round(before[i] + round(scale * round(p[i] - before[i])));
  }
}
