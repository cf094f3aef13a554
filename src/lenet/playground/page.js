// The page: a sheet to draw on, what the nets see of it, and every map of every layer, drawn anew with each stroke.
"use strict";

const PAPER = 280; // pixels of the sheet, ten for each that a net sees
const MOST_CLASSES = 30; // that have a bar each; of more, the likeliest ten have one
const FEW = 30; // units of a fully connected layer that stand below one another
// Pixels for each map of a layer that has so many at most.
const SIDES = [[1, 112], [8, 60], [20, 48], [72, 32], [Infinity, 24]];
const HEAT = [[20, 20, 70], [30, 120, 140], [250, 230, 90]]; // brighter is more, also for who sees no colours
const SIGNED = [[25, 45, 140], [128, 128, 128], [255, 225, 120]];
const GREY = [[0, 0, 0], [255, 255, 255]];
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }; // to the right, and down

const page = JSON.parse(document.getElementById("nets-as-text").textContent);
const nets = page.nets.map(ready);
const element = (id) => document.getElementById(id);

// All that the page is about; who looks in from outside, as the tests do, finds it here.
const now = {
  strokes: [], // each { width, points: [[x, y], ...] }
  picture: null, // what was dropped, instead of strokes, in 28x28 bytes: { whole, fitted: [one for each net] }
  pen: { x: PAPER / 2, y: PAPER / 2, down: false, shown: false }, // of the keyboard
  seen: page.nets.map(() => new Uint8Array(SIDE * SIDE)), // what each net sees
  results: [], // of each net what `forward` gives
};

function made(tag, properties = {}, ...children) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children);
  return found;
}

// ---- Colours ----------------------------------------------------------------------------------------------------

// 256 colours from the first of some to the last, as pixels (red is the lowest byte).
function shades(colours) {
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (colours.length - 1), before = Math.min(Math.floor(place), colours.length - 2);
    const [r, g, b] = [0, 1, 2].map((part) =>
      Math.round(colours[before][part] + (place - before) * (colours[before + 1][part] - colours[before][part])));
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
}

const [heat, signed, greys] = [HEAT, SIGNED, GREY].map(shades);

function painted(values, low, high, colours, width) {
  const image = new ImageData(width, values.length / width), pixels = new Uint32Array(image.data.buffer);
  const factor = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < values.length; i++) {
    pixels[i] = colours[Math.max(0, Math.min(255, Math.round((values[i] - low) * factor)))];
  }
  return image;
}

function extremes(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// ---- A layer's maps ---------------------------------------------------------------------------------------------

const workbench = made("canvas").getContext("2d", { willReadFrequently: true });

// A card with the maps of a layer side by side. A fully connected layer is one map, with a unit in each cell.
class Maps {
  constructor(title, shape, colours, what = "maps ") {
    this.colours = colours;
    this.isVector = shape.slice(1).every((side) => side === 1); // also LeNet-5's C5, whose maps are 1x1
    // Twice as high as wide: the 84 units of F6 are then the 7x12 pixels that LeNet-5's F6 draws.
    const columns = shape[0] > FEW ? Math.ceil(Math.sqrt(shape[0] / 2)) : 1;
    [this.maps, this.height, this.width] = this.isVector ? [1, Math.ceil(shape[0] / columns), columns] : shape;
    const [, side] = SIDES.find(([most]) => this.maps <= most);
    this.zoom = this.isVector ? (shape[0] > FEW ? 10 : 16) : Math.max(1, Math.floor(side / this.width));
    this.columns = this.isVector ? 1 : this.maps <= 8 ? Math.ceil(this.maps / 3) : Math.ceil(Math.sqrt(this.maps));
    this.gap = this.maps > 72 ? 2 : 4;
    const across = this.columns * (this.width * this.zoom + this.gap) - this.gap;
    const down = Math.ceil(this.maps / this.columns) * (this.height * this.zoom + this.gap) - this.gap;
    this.canvas = made("canvas", { width: across, height: down });
    this.canvas.setAttribute("role", "img");
    this.canvas.style.setProperty("--wide", across);
    const sides = `${this.height}x${this.width}`;
    this.size = this.isVector ? `${shape[0]} units` : this.maps === 1 ? sides : `${this.maps} ${what}of ${sides}`;
    this.digits = colours === greys ? 0 : 2;
    this.title = title;
    this.range = made("span");
    this.figure = made("figure", {}, made("figcaption", {}, made("b", { textContent: title }), ` ${this.size}`,
      this.range), this.canvas);
    this.canvas.tabIndex = 0;
    this.cell = [0, 0]; // column and row, of all maps together, that the keys are at
    for (const kind of ["pointermove", "pointerdown"]) this.canvas.addEventListener(kind, (event) => this.point(event));
    for (const kind of ["pointerleave", "blur"]) {
      this.canvas.addEventListener(kind, () => {
        element("reading").hidden = !this.canvas.matches(":focus-visible"); // the keys are still there
      });
    }
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // Where a map is on the canvas.
  place(map) {
    const side = [this.width * this.zoom + this.gap, this.height * this.zoom + this.gap];
    return [(map % this.columns) * side[0], Math.floor(map / this.columns) * side[1]];
  }

  draw(values, [low, high] = extremes(values)) {
    Object.assign(this, { values, low, high });
    const { width, height, zoom } = this, context = this.canvas.getContext("2d");
    const cells = new Float32Array(this.maps * width * height).fill(low);
    cells.set(values);
    Object.assign(workbench.canvas, { width, height: height * this.maps });
    workbench.putImageData(painted(cells, low, high, this.colours, width), 0, 0);
    context.imageSmoothingEnabled = false;
    for (let map = 0; map < this.maps; map++) {
      const [x, y] = this.place(map);
      context.drawImage(workbench.canvas, 0, map * height, width, height, x, y, width * zoom, height * zoom);
    }
    if (this.isVector) { // no unit
      const left = values.length % width;
      if (left) context.clearRect(left * zoom, (height - 1) * zoom, width * zoom, zoom);
    }
    this.say();
  }

  say(words = `${this.low.toFixed(this.digits)} to ${this.high.toFixed(this.digits)}`) {
    this.range.textContent = words;
    this.canvas.setAttribute("aria-label", `${this.title}: ${this.size}, ${words}`);
  }

  point(event) {
    const scale = this.canvas.width / this.canvas.clientWidth;
    const across = event.offsetX * scale, down = event.offsetY * scale;
    const pitch = [this.width, this.height].map((side) => side * this.zoom + this.gap);
    const [x, y] = [Math.floor(across / pitch[0]), Math.floor(down / pitch[1])]; // of the map
    const column = Math.floor((across % pitch[0]) / this.zoom), row = Math.floor((down % pitch[1]) / this.zoom);
    if (column < this.width && row < this.height) this.read(x * this.width + column, y * this.height + row);
  }

  key(event) {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    this.read(this.cell[0] + step[0], this.cell[1] + step[1]);
  }

  // Say a value, beside where it is.
  read(column, row) {
    const map = Math.floor(row / this.height) * this.columns + Math.floor(column / this.width);
    const place = (row % this.height) * this.width + (column % this.width);
    const value = this.values[map * this.width * this.height + place];
    if (column < 0 || row < 0 || column >= this.columns * this.width || value === undefined) return;
    this.cell = [column, row];
    const reading = element("reading"), box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.clientWidth / this.canvas.width, [left, top] = this.place(map);
    const where = this.isVector ? `unit ${place + 1}`
      : `${this.maps > 1 ? `map ${map + 1}, ` : ""}row ${(row % this.height) + 1}, column ${(column % this.width) + 1}`;
    reading.textContent = `${this.title}, ${where}: ${value.toFixed(this.digits)}`;
    reading.hidden = false;
    const x = box.left + scale * (left + ((column % this.width) + 1) * this.zoom);
    const y = box.top + scale * (top + ((row % this.height) + 1) * this.zoom);
    reading.style.left = `${Math.max(0, Math.min(x, innerWidth - reading.offsetWidth - 4))}px`;
    reading.style.top = `${Math.min(y, innerHeight - reading.offsetHeight - 4)}px`;
  }
}

// ---- A net ------------------------------------------------------------------------------------------------------

// c1, norm1 and act1 are what the paper calls C1; what comes last is what the next layer gets.
function layersOf(steps) {
  const groups = new Map();
  steps.forEach(({ name }, i) => {
    const number = name.replace(/^\D+/, "") || name;
    const title = name === "output" ? "Output" : name.toUpperCase();
    if (!groups.has(number)) groups.set(number, { title, steps: [] });
    groups.get(number).steps.push(i);
  });
  return [...groups.values()];
}

class NetView {
  constructor(net, steps) {
    this.net = net;
    this.cards = new Map(); // by the number of the step
    const flow = made("div", { className: "flow" });
    this.answer = made("p", { className: "class" });
    this.words = made("p");
    const count = net.classes.length <= MOST_CLASSES ? net.classes.length : 10;
    this.bars = made("ul", { className: "bars" });
    this.bars.classList.toggle("words", net.classes.some((name) => name.length > 3));
    this.bars.classList.toggle("many", count > 12);
    this.rows = Array.from({ length: count }, () => {
      const [label, share, percent] = ["label", "share", "percent"].map((className) => made("span", { className }));
      const row = made("li", {}, label, made("span", { className: "track" }, share), percent);
      this.bars.append(row);
      return { row, label, share, percent };
    });
    flow.append(made("div", { className: "answer" }, this.answer, this.words, this.bars));
    const first = net.layers[0];
    const filters = new Maps("Filters", [first.maps, first.kernel, first.kernel], signed, "");
    const most = Math.max(...extremes(first.weight).map(Math.abs));
    filters.draw(first.weight, [-most, most]);
    this.input = new Maps("Input", [1, SIDE, SIDE], greys);
    flow.append(this.input.figure, filters.figure);
    for (const { title, steps: numbers } of layersOf(steps).slice(1)) { // the first one is what it sees
      for (const number of numbers) {
        const isLast = number === numbers.at(-1) && title !== "Output"; // which the bars show
        const card = new Maps(title, steps[number].shape, heat);
        this.cards.set(number, { card, isLast, title, full: `${title}: ${net.layers[number - 1].kind}` });
        flow.append(card.figure);
      }
    }
    this.section = made("section", { className: "net" }, made("h2", { textContent: net.title }),
      made("p", { className: "about", textContent: net.about }), flow);
  }

  // Either the last step of each layer, or every step.
  choose(every) {
    for (const { card, isLast, title, full } of this.cards.values()) {
      card.figure.hidden = !every && !isLast;
      card.figure.querySelector("b").textContent = every ? full : title;
    }
  }

  show(seen, { steps, probabilities }, isEmpty) {
    this.input.draw(seen, [0, 255]);
    for (const [number, { card }] of this.cards) if (!card.figure.hidden) card.draw(steps[number].values);
    const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
    const listed = this.rows.length === probabilities.length ? probabilities.map((_, i) => i) : order.slice(0, 10);
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    listed.forEach((label, i) => {
      const row = this.rows[i], share = isEmpty ? 0 : probabilities[label];
      row.label.textContent = this.net.classes[label];
      row.share.style.width = `${100 * share}%`;
      row.percent.textContent = isEmpty ? "" : percent(share);
      row.row.classList.toggle("first", !isEmpty && label === order[0]);
    });
    this.answer.textContent = isEmpty ? "…" : this.net.classes[order[0]];
    const [first, second] = order;
    this.words.textContent = isEmpty ? "nothing is drawn yet"
      : `${percent(probabilities[first])}, then ${this.net.classes[second]}: ${percent(probabilities[second])}`;
    return isEmpty ? null : this.net.classes[first];
  }
}

// ---- The sheet --------------------------------------------------------------------------------------------------

const paper = element("paper"), shown = paper.getContext("2d");
const ink = made("canvas", { width: PAPER, height: PAPER }).getContext("2d", { willReadFrequently: true });

// All strokes, white on black. A stroke of one point is a dot.
function drawStrokes() {
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, PAPER, PAPER);
  Object.assign(ink, { strokeStyle: "#fff", lineCap: "round", lineJoin: "round" });
  for (const { width, points } of now.strokes) {
    ink.lineWidth = width;
    ink.beginPath();
    ink.moveTo(...points[0]);
    for (const point of points.length > 1 ? points.slice(1) : points) ink.lineTo(...point);
    ink.stroke();
  }
}

function showPaper() {
  shown.imageSmoothingEnabled = false;
  if (now.picture) {
    Object.assign(workbench.canvas, { width: SIDE, height: SIDE });
    workbench.putImageData(painted(now.seen[0], 0, 255, greys, SIDE), 0, 0);
    shown.drawImage(workbench.canvas, 0, 0, PAPER, PAPER);
  } else {
    shown.drawImage(ink.canvas, 0, 0);
  }
  const { x, y, down, shown: visible } = now.pen;
  if (!visible) return;
  shown.lineWidth = 3;
  shown.strokeStyle = "#ffb000";
  shown.beginPath(); // a ring that is filled while the pen is down
  shown.arc(x, y, Math.max(6, penWidth() / 2), 0, 2 * Math.PI);
  shown.stroke();
  if (down) {
    shown.fillStyle = "#ffb000";
    shown.fill();
  }
}

const penWidth = () => Number(element("pen").value);

// What each net sees, 28x28 bytes.
function seenNow() {
  const isFitted = element("fit").checked;
  if (now.picture) return nets.map((_, i) => (isFitted ? now.picture.fitted[i] : now.picture.whole));
  const { data } = ink.getImageData(0, 0, PAPER, PAPER), grey = new Float32Array(PAPER * PAPER);
  for (let i = 0; i < grey.length; i++) grey[i] = data[4 * i] / 255;
  return nets.map(({ fit }) => (isFitted && fit ? fitted(grey, PAPER, fit) : whole(grey, PAPER)));
}

// ---- From a stroke to the maps ----------------------------------------------------------------------------------

const views = nets.map((net, i) => new NetView(net, forward(net, now.seen[i]).steps));

function update() {
  const begun = performance.now();
  drawStrokes();
  now.seen = seenNow();
  showPaper();
  const isEmpty = !now.picture && now.strokes.length === 0;
  now.results = nets.map((net, i) => forward(net, now.seen[i]));
  const answers = views.map((view, i) => view.show(now.seen[i], now.results[i], isEmpty));
  element("time").textContent = `From the stroke to the maps: ${(performance.now() - begun).toFixed(0)} ms.`;
  say(answers);
}

// What a screen reader says once a stroke has ended.
function say(answers) {
  const known = answers.filter((answer) => answer !== null);
  const [one, other] = known;
  const words = known.length < 2 ? "" : one === other ? `Both say ${one}.` : `They disagree: ${one} and ${other}.`;
  element("verdict").textContent = known.length === 1 ? `It is taken for: ${one}` : words;
}

// At most once for each picture on the screen, however often the pointer moves in between.
let isWaiting = false;
function soon() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    update();
  });
}

// ---- Mouse, finger, pen -----------------------------------------------------------------------------------------

const pointers = new Map(); // each mouse button, finger or pen that is down, by its number: its stroke

// A stroke on the sheet, which is empty where a picture was.
function begin(point) {
  if (now.picture) now.strokes = [];
  forget();
  const stroke = { width: penWidth(), points: [point] };
  now.strokes.push(stroke);
  return stroke;
}

function onPaper(event) {
  const box = paper.getBoundingClientRect(), border = paper.clientLeft;
  return [(event.clientX - box.left - border) * (PAPER / paper.clientWidth),
    (event.clientY - box.top - border) * (PAPER / paper.clientHeight)];
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  paper.setPointerCapture(event.pointerId);
  now.pen.shown = now.pen.down = false;
  pointers.set(event.pointerId, begin(onPaper(event)));
  soon();
});
paper.addEventListener("pointermove", (event) => {
  const stroke = pointers.get(event.pointerId);
  if (!stroke) return;
  const moves = event.getCoalescedEvents?.() ?? [];
  for (const move of moves.length ? moves : [event]) stroke.points.push(onPaper(move));
  soon();
});
for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
  paper.addEventListener(kind, (event) => pointers.delete(event.pointerId));
}

// ---- Keys -------------------------------------------------------------------------------------------------------

paper.addEventListener("keydown", (event) => {
  const { pen } = now, step = STEPS[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (step) {
    pen.x = Math.max(0, Math.min(PAPER, pen.x + (10 * step[0])));
    pen.y = Math.max(0, Math.min(PAPER, pen.y + (10 * step[1])));
    if (pen.down) now.strokes.at(-1).points.push([pen.x, pen.y]);
  } else if (event.key === " ") {
    pen.down = !pen.down;
    if (pen.down) begin([pen.x, pen.y]);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else {
    return;
  }
  pen.shown = true;
  event.preventDefault();
  soon();
});
paper.addEventListener("focus", () => {
  now.pen.shown = paper.matches(":focus-visible");
  showPaper();
});
paper.addEventListener("blur", () => {
  now.pen.shown = now.pen.down = false;
  showPaper();
});

// ---- Buttons ----------------------------------------------------------------------------------------------------

// No picture is on the sheet, or on its way there.
function forget() {
  now.picture = null;
  opened += 1;
  element("message").textContent = "";
}

// Nothing that is down draws on.
function lift() {
  pointers.clear();
  now.pen.down = false;
}

function clear() {
  lift();
  forget();
  now.strokes = [];
  soon();
}

element("clear").addEventListener("click", clear);
element("undo").addEventListener("click", () => {
  lift();
  if (!now.picture) now.strokes.pop();
  forget();
  soon();
});
element("fit").addEventListener("change", soon);
element("every").addEventListener("change", () => {
  views.forEach((view) => view.choose(element("every").checked));
  fill();
  soon();
});

// ---- Pictures ---------------------------------------------------------------------------------------------------

const LARGEST = 1024; // pixels of a side, to which a photograph is brought first

// A picture as this browser reads it. It turns photographs as the camera was held.
async function readHere(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale)), height = Math.max(1, Math.round(bitmap.height * scale));
  Object.assign(workbench.canvas, { width, height });
  workbench.imageSmoothingQuality = "high";
  workbench.drawImage(bitmap, 0, 0, width, height);
  const grey = brightness(workbench.getImageData(0, 0, width, height).data);
  const thing = standingOut(grey, width), seen = whole(grey, width);
  if (!thing) throw new Error("all of one colour, or nothing that stands out; give one with more contrast");
  return { warnings: [], whole: seen, fitted: nets.map(({ fit }) => (fit ? fitted(thing, width, fit) : seen)) };
}

// A picture as scripts/predict.py reads it: the server that the page is from does.
async function readThere(file) {
  const answer = await fetch("/picture", { method: "POST", body: file });
  const { error, warnings, fitted, whole } = await answer.json();
  if (error) throw new Error(error);
  return { warnings, fitted: fitted.map((pixels) => Uint8Array.from(pixels)), whole: Uint8Array.from(whole) };
}

let opened = 0; // pictures so far; one that took longer than a later one, or than a stroke, is not shown any more

async function open(file) {
  const message = element("message"), number = (opened += 1);
  message.textContent = `${file.name} …`;
  let picture = null, words = "";
  try {
    picture = await (page.server ? readThere : readHere)(file);
    words = picture.warnings.join(": ");
  } catch (error) {
    words = error instanceof DOMException ? "not a picture that can be read here" : error.message;
  }
  if (number !== opened) return;
  if (picture) now.picture = picture;
  message.textContent = words ? `${file.name}: ${words}` : file.name;
  soon();
}

element("open").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = ""; // so that the same one can be chosen again
});
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
addEventListener("dragleave", () => document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file) open(file);
});

// ---- The page as large as the screen ----------------------------------------------------------------------------

// Maps become as large as the window allows while all of them are in sight, as on a projector.
function fill() {
  for (const scale of [2.5, 2.25, 2, 1.75, 1.5, 1.25, 1]) {
    document.documentElement.style.setProperty("--scale", scale);
    if (document.documentElement.scrollHeight <= innerHeight) break;
  }
}

for (const [name, colours] of [["heat", heat], ["signed", signed]]) {
  const canvas = element(name), { width, height } = canvas;
  const ramp = Float32Array.from({ length: width * height }, (_, i) => i % width);
  canvas.getContext("2d").putImageData(painted(ramp, 0, width - 1, colours, width), 0, 0);
}
element("nets").append(...views.map((view) => view.section));
views.forEach((view) => view.choose(false));
update();
fill();
addEventListener("resize", fill);
