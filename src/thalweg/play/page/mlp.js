// A small network of fully connected layers with one logit at its end, in plain JavaScript: forward, and backward by hand.
// Its tensors are a weight matrix and a bias a layer, as in torch: rules that measure whole tensors see them apart.

const ACTIVATIONS = { // f(z), and its derivative told from a = f(z)
  tanh: [Math.tanh, a => 1 - a * a],
  relu: [z => (z > 0 ? z : 0), a => (a > 0 ? 1 : 0)],
  sigmoid: [z => 1 / (1 + Math.exp(-z)), a => a * (1 - a)],
};

function network(widths, activation, seed) {
  const sizes = [2, ...widths, 1];
  const layers = widths.concat(1).map((to, k) => ({ from: sizes[k], to, weights: 2 * k, biases: 2 * k + 1 }));
  const next = uniform(1000 + seed);
  const first = layers.flatMap(({ from, to }) => {
    const scale = Math.sqrt((activation === "relu" ? 2 : 1) / from);
    return [Array.from({ length: from * to }, () => scale * gaussian(next)), new Array(to).fill(0)];
  });
  return { sizes, layers, activation, first, count: first.reduce((sum, tensor) => sum + tensor.length, 0) };
}

// Activations of all layers for one point, given the tensors; `masks` has a factor a hidden unit (dropout), or is null.
function forward({ sizes, layers, activation }, tensors, point, into, masks = null) {
  const [f] = ACTIVATIONS[activation];
  into[0][0] = point[0];
  into[0][1] = point[1];
  layers.forEach(({ from, to, weights, biases }, k) => {
    const last = k === layers.length - 1, w = tensors[weights], b = tensors[biases];
    for (let j = 0; j < to; j++) {
      let z = b[j];
      for (let i = 0; i < from; i++) z += w[j * from + i] * into[k][i];
      into[k + 1][j] = last ? z : f(z) * (masks ? masks[k][j] : 1);
    }
  });
  return into[sizes.length - 1][0];
}

const buffers = ({ sizes }) => sizes.map(size => new Float64Array(size));

const softplus = z => (z > 0 ? z + Math.log1p(Math.exp(-z)) : Math.log1p(Math.exp(z)));

// Mean logistic loss of points, and the share that is told right.
function judged(net, tensors, points, into = buffers(net)) {
  let loss = 0, right = 0;
  for (const point of points) {
    const z = forward(net, tensors, point, into);
    loss += softplus(z) - point[2] * z;
    right += z > 0 === (point[2] === 1);
  }
  return { loss: loss / points.length, right: right / points.length };
}

// The gradient of the mean loss over a batch (and of l2 |w|^2 / 2, of weights but not of biases) is put into `gradients`.
function backward(net, tensors, gradients, batch, { l2, dropout }, next) {
  const { sizes, layers, activation } = net;
  const [, slope] = ACTIVATIONS[activation];
  const into = buffers(net), deltas = buffers(net);
  for (const g of gradients) g.fill(0);
  for (const point of batch) {
    const masks = dropout > 0 ? sizes.slice(1, -1).map(size => Float64Array.from({ length: size }, () => (next() < dropout ? 0 : 1 / (1 - dropout)))) : null;
    const z = forward(net, tensors, point, into, masks);
    deltas[sizes.length - 1][0] = (1 / (1 + Math.exp(-z)) - point[2]) / batch.length;
    for (let k = layers.length - 1; k >= 0; k--) {
      const { from, to, weights, biases } = layers[k];
      const w = tensors[weights], gw = gradients[weights], gb = gradients[biases];
      deltas[k].fill(0);
      for (let j = 0; j < to; j++) {
        const delta = deltas[k + 1][j];
        if (delta === 0) continue;
        gb[j] += delta;
        for (let i = 0; i < from; i++) {
          gw[j * from + i] += delta * into[k][i];
          deltas[k][i] += delta * w[j * from + i];
        }
      }
      if (k === 0) break;
      for (let i = 0; i < from; i++) {
        const factor = masks ? masks[k - 1][i] : 1;
        deltas[k][i] *= factor === 0 ? 0 : slope(into[k][i] / factor) * factor;
      }
    }
  }
  if (l2 > 0) for (const { weights } of layers) tensors[weights].forEach((w, k) => { gradients[weights][k] += l2 * w; });
}
