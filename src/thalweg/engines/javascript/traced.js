// The coming step of coordinate i by the rule's own lines, in double precision. The run stays as it is.
// A list of {scope: "step" | "tensor" | "stage" | "element", name, text, value}; value is null where a line makes no number.
function trace(run, i) {
  const { rule } = run;
  const { tensors: [p, g], lines, named, element } = rule.traced;
  const twin = { ...run, p: run.p.slice(), states: {}, carried: { ...run.carried } };
  for (const letter of rule.states) twin.states[letter] = run.states[letter].slice();
  const told = $told(lines.step, named(run.step + 1, run.carried, run.settings));
  const measured = $prepare(twin);
  Object.assign(twin.numbers, measured);
  for (const name of rule.measures) told.push({ scope: "tensor", name, text: name, value: twin.numbers[name] });
  if (twin.staged[i] !== run.g[i]) told.push({ scope: "stage", name: g, text: g, value: twin.staged[i] });
  if (twin.p[i] !== run.p[i]) told.push({ scope: "stage", name: p, text: p, value: twin.p[i] });
  const at = { [p]: twin.p[i], [g]: twin.staged[i] };
  for (const letter of rule.states) at[letter] = twin.states[letter][i];
  let next = 0;
  element(at, twin.numbers, (name, value) => told.push({ scope: "element", name, text: lines.element[next++][1], value }));
  return told;
}

// Of a name that is assigned more than once the last line has the value.
function $told(lines, values) {
  const last = new Map(lines.map(([name], place) => [name, place]));
  return lines.map(([name, text], place) => {
    const value = last.get(name) === place && name in values ? values[name] : null;
    return { scope: "step", name, text, value };
  });
}
