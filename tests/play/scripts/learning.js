// By rule: the loss after 300 steps of the small network as a share of the first, at the better of two learning rates.
const ends = rule => {
  const lr = hyperparameter(rule, "lr");
  const rates = !lr ? [null] : lr.search ? [Math.sqrt(lr.search[0] * lr.search[1]), lr.search[1]] : [lr.default];
  return Math.min(...rates.map(rate => {
    const racer = { rule, settings: rate === null ? {} : { lr: rate } };
    const live = learner({ ...structuredClone(state.network), points: "moons", racer });
    for (let k = 0; k < 300; k++) live.advance();
    return live.curve.learn.at(-1) / live.curve.learn[0];
  }));
};
return Object.fromEntries(playable().map(rule => [rule, ends(rule)]));
