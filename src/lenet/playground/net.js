// The forward pass of the LeNet family, from 28x28 grey values to every map of every layer. Nothing here knows the page.
//
// A map is a run of float32 numbers, row after row; a layer's maps stand one after another. Sums are taken in double
// precision and rounded once, so the numbers are torch's to about six digits.
"use strict";

// Of base64, the numbers that torch had: float32, the lowest byte first.
function decoded(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Float64Array.from(new Float32Array(bytes.buffer)); // in which all sums are taken
}

// A net as lenet/playground/describe.py writes it, with numbers instead of base64.
function ready(net) {
  const arrays = ["weight", "bias", "scale", "shift", "coefficient", "centres"];
  const layers = net.layers.map((layer) => {
    const found = arrays.filter((name) => name in layer).map((name) => [name, decoded(layer[name])]);
    return { ...layer, ...Object.fromEntries(found) };
  });
  return { ...net, layers };
}

// Grey values 0 to 255 as the net gets them: background around them, then (value / 255 - mean) / std.
function normalised(grey, net) {
  const side = Math.sqrt(grey.length), size = side + 2 * net.pad;
  const values = new Float32Array(size * size).fill((0 - net.mean) / net.std);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      values[(y + net.pad) * size + x + net.pad] = (grey[y * side + x] / 255 - net.mean) / net.std;
    }
  }
  return { values, shape: [1, size, size] };
}

// What each window of a convolution sees, one window after another, with zeros where it looks beyond the map.
function windows({ values, shape }, rows, columns, { kernel, stride, padding }) {
  const [inputs, height, width] = shape;
  const seen = new Float64Array(rows * columns * inputs * kernel * kernel);
  let to = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const top = row * stride - padding, left = column * stride - padding;
      for (let input = 0; input < inputs; input++) {
        for (let y = top; y < top + kernel; y++) {
          for (let x = left; x < left + kernel; x++, to++) {
            if (y >= 0 && y < height && x >= 0 && x < width) seen[to] = values[(input * height + y) * width + x];
          }
        }
      }
    }
  }
  return seen;
}

// The product of two matrices, `left` (rows, inner) and `right` (columns, inner), as (rows, columns), plus a bias for
// each row. Four rows and three columns at a time, so that a number that has been fetched is used more than once. Where
// fewer are left, the last one is computed again.
function product(left, right, inner, bias) {
  const rows = left.length / inner, columns = right.length / inner;
  const result = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row += 4) {
    // One by one, and not in an array that is taken apart: engines compile what follows better.
    const a = row, b = Math.min(row + 1, rows - 1), c = Math.min(row + 2, rows - 1), d = Math.min(row + 3, rows - 1);
    const atA = a * inner, atB = b * inner, atC = c * inner, atD = d * inner;
    const ofA = bias ? bias[a] : 0, ofB = bias ? bias[b] : 0, ofC = bias ? bias[c] : 0, ofD = bias ? bias[d] : 0;
    for (let u = 0; u < columns; u += 3) {
      const v = Math.min(u + 1, columns - 1), w = Math.min(u + 2, columns - 1);
      const atU = u * inner, atV = v * inner, atW = w * inner;
      let au = ofA, av = ofA, aw = ofA, bu = ofB, bv = ofB, bw = ofB;
      let cu = ofC, cv = ofC, cw = ofC, du = ofD, dv = ofD, dw = ofD;
      for (let i = 0; i < inner; i++) {
        const one = right[atU + i], two = right[atV + i], three = right[atW + i];
        au += left[atA + i] * one;
        av += left[atA + i] * two;
        aw += left[atA + i] * three;
        bu += left[atB + i] * one;
        bv += left[atB + i] * two;
        bw += left[atB + i] * three;
        cu += left[atC + i] * one;
        cv += left[atC + i] * two;
        cw += left[atC + i] * three;
        du += left[atD + i] * one;
        dv += left[atD + i] * two;
        dw += left[atD + i] * three;
      }
      result[a * columns + u] = au;
      result[a * columns + v] = av;
      result[a * columns + w] = aw;
      result[b * columns + u] = bu;
      result[b * columns + v] = bv;
      result[b * columns + w] = bw;
      result[c * columns + u] = cu;
      result[c * columns + v] = cv;
      result[c * columns + w] = cw;
      result[d * columns + u] = du;
      result[d * columns + v] = dv;
      result[d * columns + w] = dw;
    }
  }
  return result;
}

function convolved(x, layer) {
  const { maps, kernel, stride, padding, weight, bias } = layer;
  const [inputs, height, width] = x.shape;
  const rows = Math.floor((height + 2 * padding - kernel) / stride) + 1;
  const columns = Math.floor((width + 2 * padding - kernel) / stride) + 1;
  const values = product(weight, windows(x, rows, columns, layer), inputs * kernel * kernel, bias);
  return { values, shape: [maps, rows, columns] };
}

// 2x2 windows that do not overlap; of an odd side the last row or column is left out. `join` gets the four values.
function pooled({ values, shape }, join) {
  const [maps, height, width] = shape, rows = height >> 1, columns = width >> 1;
  const result = new Float32Array(maps * rows * columns);
  for (let map = 0, to = 0; map < maps; map++) {
    for (let row = 0; row < rows; row++) {
      let from = (map * height + 2 * row) * width;
      for (let column = 0; column < columns; column++, from += 2) {
        result[to++] = join(values[from], values[from + 1], values[from + width], values[from + width + 1], map);
      }
    }
  }
  return { values: result, shape: [maps, rows, columns] };
}

// A number for each row of a matrix: `start` and what each of its entries adds to it.
function perRow({ values }, matrix, start, add) {
  const inputs = values.length, rows = matrix.length / inputs, result = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = start(row);
    for (let input = 0, from = row * inputs; input < inputs; input++) sum += add(values[input], matrix[from + input]);
    result[row] = sum;
  }
  return { values: result, shape: [rows] };
}

const each = ({ values, shape }, change) => ({ values: values.map(change), shape });

// The error function to double precision: Abramowitz and Stegun 7.1.5, a sum, and 7.1.14, a continued fraction.
function erf(x) {
  const size = Math.abs(x);
  if (size < 2.5) {
    let term = size, sum = size;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
      term *= (-size * size) / n;
      sum += term / (2 * n + 1);
      if (n > 100) break;
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = size;
  for (let n = 60; n > 0; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / fraction / Math.sqrt(Math.PI));
}

// What each kind of layer makes of the maps before it. The names are those of torch's classes, and of ours.
const KINDS = {
  Conv2d: convolved,
  Linear: (x, { weight, bias }) => perRow(x, weight, (row) => (bias ? bias[row] : 0), (a, b) => a * b),
  BatchNorm: ({ values, shape }, { scale, shift }) => {
    const size = values.length / scale.length;
    return each({ values, shape }, (v, i) => v * scale[Math.floor(i / size)] + shift[Math.floor(i / size)]);
  },
  Sigmoid: (x) => each(x, (v) => 1 / (1 + Math.exp(-v))),
  Tanh: (x) => each(x, Math.tanh),
  ScaledTanh: (x) => each(x, (v) => 1.7159 * Math.tanh((2 / 3) * v)),
  ReLU: (x) => each(x, (v) => (v > 0 ? v : 0)),
  LeakyReLU: (x, { slope }) => each(x, (v) => (v > 0 ? v : slope * v)),
  GELU: (x) => each(x, (v) => (v / 2) * (1 + erf(v / Math.SQRT2))),
  SiLU: (x) => each(x, (v) => v / (1 + Math.exp(-v))),
  AvgPool2d: (x) => pooled(x, (a, b, c, d) => (a + b + c + d) / 4),
  MaxPool2d: (x) => pooled(x, (a, b, c, d) => Math.max(a, b, c, d)),
  Subsampling: (x, { coefficient, bias }) =>
    pooled(x, (a, b, c, d, map) => (a + b + c + d) * coefficient[map] + bias[map]),
  RBF: (x, { centres }) => perRow(x, centres, () => 0, (a, b) => (a - b) * (a - b)),
};

// Every layer's maps, { name, values, shape } in order, the picture first; and the probability of each class.
function forward(net, grey) {
  let x = normalised(grey, net);
  const steps = [{ name: "input", ...x }];
  for (const layer of net.layers) {
    x = KINDS[layer.kind](x, layer);
    steps.push({ name: layer.name, ...x });
  }
  // LeNet-5 gives penalties, whose negative is a logit.
  const logits = Array.from(x.values, (value) => (net.layers.at(-1).kind === "RBF" ? -value : value));
  const largest = Math.max(...logits), shares = logits.map((logit) => Math.exp(logit - largest));
  const total = shares.reduce((a, b) => a + b);
  return { steps, probabilities: shares.map((share) => share / total) };
}
