// What TensorBoard's page cannot be told otherwise. Each part names the element that it changes; where an element or a
// method is not there, as it may be in another version of TensorBoard, the page stays as TensorBoard made it.
"use strict";

// TensorBoard leaves the largest and smallest values out of sight as outliers: of ten epochs the first or the last. The
// box to tick is still there, and what somebody chose stays.
if (localStorage.getItem("_ignoreYOutliers") === null) localStorage.setItem("_ignoreYOutliers", "false");

// Call `change` with the prototype of an element, once the page knows it.
function within(element, change) {
  customElements.whenDefined(element).then(() => change(customElements.get(element).prototype));
}

// Replace a method of a prototype by `make(the method)`.
function replace(prototype, method, make) {
  if (typeof prototype[method] === "function") prototype[method] = make(prototype[method]);
}

// A colour #rrggbb as it looks through a veil of white.
function lighter(colour) {
  const parts = /^#(..)(..)(..)$/.exec(colour);
  if (!parts) return colour;
  const veiled = parts.slice(1).map((part) => Math.round(0.42 * parseInt(part, 16) + 0.58 * 255));
  return `rgb(${veiled.join(", ")})`;
}

// CUSTOM SCALARS: TensorBoard gives all curves of a run one colour. In a plot of training and validation, training is
// lighter. A line says so, and the list of curves, which has the colours, is open.
within("tf-custom-scalar-multi-line-chart-card", (card) =>
  replace(card, "ready", (ready) => function () {
    ready.call(this);
    if (!(this.tagRegexes || []).some((tag) => tag.startsWith("^val/")) || !this._colorScale) return;
    const usual = this._colorScale;
    this._colorScale = {
      scale: (name) => (name.startsWith("train/") ? lighter(usual.scale(name)) : usual.scale(name)),
    };
    this._matchesListOpened = true;
    const legend = document.createElement("div");
    legend.id = "shades";
    legend.style.cssText = "font-size: 13px; margin: 2px 0 4px 4px";
    for (const [words, colour] of [["validation", "#616161"], ["training", lighter("#616161")]]) {
      const line = document.createElement("span");
      line.style.cssText = `display: inline-block; width: 22px; border-top: 3px solid ${colour}; margin: 0 5px 4px 0`;
      const name = document.createElement("span");
      name.textContent = words;
      name.style.marginRight = "16px";
      legend.append(line, name);
    }
    this.shadowRoot.querySelector("#tf-line-chart-data-loader-container").before(legend);
  }),
);

// Likewise the plots over seeds, which have no other legend than that list.
within("tf-custom-scalar-margin-chart-card", (card) =>
  replace(card, "ready", (ready) => function () {
    ready.call(this);
    this._matchesListOpened = true;
  }),
);

// HPARAMS: a whole number is written as one, and the columns are narrow enough for val/acc to be seen at once.
within("tf-hparams-table-view", (table) => {
  const whole = (value, usual) => (Number.isInteger(value) && Math.abs(value) < 1e9 ? String(value) : usual);
  replace(table, "_sessionGroupHParam", (usual) => function (group, name) {
    return whole(group?.hparams?.[name], usual.call(this, group, name));
  });
  replace(table, "_sessionGroupMetric", (usual) => function (group, name) {
    const shown = (group?.metricValues || []).find((one) => one.name.group === name.group && one.name.tag === name.tag);
    return whole(shown?.value, usual.call(this, group, name));
  });
  replace(table, "ready", (ready) => function () {
    ready.call(this);
    const narrow = () =>
      this.shadowRoot.querySelectorAll("vaadin-grid-column[flex-grow='2'][width='10em']").forEach((column) => {
        column.setAttribute("width", "6.4em");
      });
    new MutationObserver(narrow).observe(this.shadowRoot, { childList: true, subtree: true });
  });
});
