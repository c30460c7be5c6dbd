// Of every rule, with and without decay: where the values of a step's lines are not what the step leaves; and how many lines.
const wrong = [];
let count = 0;
function compare(rule, list, run, i) {
  const last = {};
  for (const { scope, name, value } of list) if (scope !== "step") last[name] = value;
  const same = (name, value, left) => { if (!Object.is(value, left)) wrong.push([rule, run.step, name, String(value), String(left)]); };
  const [p] = RULES[rule].traced.tensors;
  same(p, last[p], run.p[i]);
  for (const letter of run.rule.states) if (letter in last) same(letter, last[letter], run.states[letter][i]);
  for (const { scope, name, value } of list)
    if (scope === "step" && value !== null && name in run.numbers) same(name, value, run.numbers[name]);
}
for (const rule of Object.keys(RULES)) for (const weight_decay of [0, 0.1]) {
  const run = start(rule, "f64", [1.5, -0.7, 0.2], { weight_decay });
  for (let t = 1; t <= 10; t++) {
    run.p.forEach((p, i) => { run.g[i] = Math.sin(3 * p + i) + 0.1 * t; });
    const told = [0, 1, 2].map(i => trace(run, i));
    advance(run);
    told.forEach((list, i) => { count += list.length; compare(rule, list, run, i); });
  }
}
JSON.stringify([wrong.slice(0, 10), count]);
