// A run of the rule from the race that is shown: its positions, and the gradients that it met.
const [rule, settings, steps] = arguments;
const spec = { ...specOf(state.race), steps }, told = field(spec);
const run = start(rule, "f32", spec.start, settings), positions = [[...run.p]], gradients = [];
for (let t = 1; t <= steps; t++) {
  told.gradient(run.p, run.g, t);
  gradients.push([...run.g]);
  advance(run);
  positions.push([...run.p]);
}
return [positions, gradients];
