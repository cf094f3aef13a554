// From a drawing or a photograph to the 28x28 grey values that a net gets, as the makers of its data set did it: what
// is bright is cut out, brought into a box with its proportions kept (MNIST: 20x20), and laid into the middle. It is
// what lenet/data/prepare.py does, which does more for photographs.
"use strict";

const SIDE = 28; // pixels
const INK = 0.2; // share of the brightest from which on something counts as drawn
const LEAST = 0.08; // of all brightness between a thing and what is behind it

// The mean brightness of each of `columns` times `rows` equal parts of a rectangle of a picture.
function shrunk(grey, width, { left, top, wide, high }, columns, rows) {
  const result = new Float64Array(columns * rows);
  for (let row = 0; row < rows; row++) {
    const above = top + (row * high) / rows, below = top + ((row + 1) * high) / rows;
    for (let column = 0; column < columns; column++) {
      const before = left + (column * wide) / columns, behind = left + ((column + 1) * wide) / columns;
      let sum = 0;
      for (let y = Math.floor(above); y < below; y++) {
        const tall = Math.min(y + 1, below) - Math.max(y, above); // how much of this pixel lies within the part
        for (let x = Math.floor(before); x < behind; x++) {
          sum += grey[y * width + x] * tall * (Math.min(x + 1, behind) - Math.max(x, before));
        }
      }
      result[row * columns + column] = sum / ((below - above) * (behind - before));
    }
  }
  return result;
}

// The smallest rectangle around what is drawn; null where nothing is.
function around(grey, width) {
  const ink = INK * grey.reduce((most, value) => Math.max(most, value), 0);
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  grey.forEach((value, i) => {
    if (!(value > ink)) return;
    const x = i % width, y = (i - x) / width;
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  });
  return right < 0 ? null : { left, top, wide: right - left + 1, high: bottom - top + 1 };
}

// 28x28 bytes of a picture (brightness 0 to 1, things bright on dark), cut out and laid into the middle. `fit` has the
// longer side in pixels, and whether its centre of mass is in the middle or its box is: `lenet.datasets.Fit`.
function fitted(grey, width, fit) {
  const box = around(grey, width), seen = new Uint8Array(SIDE * SIDE);
  if (!box) return seen;
  const scale = fit.size / Math.max(box.wide, box.high);
  const columns = Math.max(1, Math.round(box.wide * scale)), rows = Math.max(1, Math.round(box.high * scale));
  const patch = shrunk(grey, width, box, columns, rows);
  let mass = 0, across = 0, down = 0, most = 0;
  patch.forEach((value, i) => {
    mass += value;
    across += value * (i % columns);
    down += value * Math.floor(i / columns);
    most = Math.max(most, value);
  });
  const corner = (side, sum) => {
    const wanted = fit.by_mass ? SIDE / 2 - sum / mass : (SIDE - side) / 2;
    return Math.min(Math.max(Math.floor(wanted + 0.5), 0), SIDE - side);
  };
  const left = corner(columns, across), top = corner(rows, down);
  patch.forEach((value, i) => {
    seen[(top + Math.floor(i / columns)) * SIDE + left + (i % columns)] = Math.round((255 * value) / most);
  });
  return seen;
}

// 28x28 bytes of a whole picture, wherever in it something is; squeezed where it is no square.
function whole(grey, width) {
  const box = { left: 0, top: 0, wide: width, high: grey.length / width };
  return Uint8Array.from(shrunk(grey, width, box, SIDE, SIDE), (value) => Math.round(255 * value));
}

// The brightness 0 to 1 of RGBA bytes, on white where nothing is.
function brightness(rgba) {
  return Float64Array.from({ length: rgba.length / 4 }, (_, i) => {
    const opacity = rgba[4 * i + 3] / 255;
    const grey = 0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2];
    return (grey / 255) * opacity + 1 - opacity;
  });
}

// Of a photograph what is on it, bright on dark; null where nothing stands out. What lies along its border is its
// background: ink on paper becomes bright, and paper dark.
function standingOut(grey, width) {
  const isBorder = (i) => i % width === 0 || i % width === width - 1 || i < width || i >= grey.length - width;
  const border = grey.filter((_, i) => isBorder(i)).sort();
  const paper = border[border.length >> 1];
  const isDarker = paper > grey.reduce((sum, value) => sum + value, 0) / grey.length;
  const thing = grey.map((value) => Math.max(0, isDarker ? paper - value : value - paper));
  const most = thing.reduce((a, b) => Math.max(a, b), 0);
  if (most < LEAST) return null;
  return thing.map((value) => Math.max(0, value / most - INK) / (1 - INK)); // without the shadows on the paper
}
