// How far the small network's gradient is from differences of its loss, at worst: with L2, with dropout's masks held fixed.
const [activation] = arguments;
const net = network([5, 4], activation, 3), points = cloud("spiral", 20, 0.05, 1), l2 = 0.1;
const mask = (next, dropout) => () => (next() < dropout ? 0 : 1 / (1 - dropout));
let worst = 0;
for (const dropout of [0, 0.4]) {
  const shift = uniform(9); // off zero, where relu has no slope
  const p = net.first.map(tensor => Float64Array.from(tensor, w => w + 0.2 * (shift() - 0.5)));
  const g = net.first.map(tensor => new Float64Array(tensor.length));
  const loss = () => {
    const next = uniform(5), into = buffers(net);
    let sum = 0;
    for (const point of points) {
      const masks = dropout ? net.sizes.slice(1, -1).map(size => Float64Array.from({ length: size }, mask(next, dropout))) : null;
      const z = forward(net, p, point, into, masks);
      sum += softplus(z) - point[2] * z;
    }
    const squares = net.layers.reduce((all, { weights }) => all + p[weights].reduce((sum, w) => sum + w * w, 0), 0);
    return sum / points.length + (l2 * squares) / 2;
  };
  backward(net, p, g, points, { l2, dropout }, uniform(5));
  p.forEach((tensor, k) => tensor.forEach((was, i) => {
    tensor[i] = was + 1e-6;
    const up = loss();
    tensor[i] = was - 1e-6;
    const down = loss();
    tensor[i] = was;
    worst = Math.max(worst, Math.abs((up - down) / 2e-6 - g[k][i]));
  }));
}
return worst;
