/* Draws the figures of the page, each from the JSON behind it, in the colours of the reader's theme. */
(() => {
  "use strict";
  const root = getComputedStyle(document.documentElement);
  const colour = (word) => {
    const [, role, opacity] = /^@([a-z0-9-]+)(?:\/([0-9.]+))?$/.exec(word) || [];
    if (!role) return word;
    const value = root.getPropertyValue("--" + role).trim();
    if (!opacity) return value;
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${opacity})`;
  };
  const painted = (value, isColour) => {
    if (typeof value === "string") return isColour ? colour(value) : value;
    if (Array.isArray(value)) return value.map((item) => painted(item, isColour));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, painted(item, /colou?r|colorscale|colorway/.test(key))]));
  };
  const merged = (under, over) => {
    const result = { ...under };
    for (const [key, item] of Object.entries(over)) {
      const both = item && typeof item === "object" && !Array.isArray(item) && result[key] && typeof result[key] === "object";
      result[key] = both ? merged(result[key], item) : item;
    }
    return result;
  };
  const layoutOf = (given, narrow) => {
    const axis = {
      gridcolor: "@line", linecolor: "@quiet", tickcolor: "@quiet", zeroline: false, showline: true, ticks: "outside",
      ticklen: 4, automargin: true, title: { standoff: 10, font: { size: narrow ? 12 : 13 } }, fixedrange: narrow,
    };
    const base = {
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 12 : 13, color: "@ink" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true, hovermode: "closest",
      colorway: [1, 2, 3, 4, 5, 6].map((at) => `@series-${at}`),
      margin: { l: narrow ? 40 : 56, r: narrow ? 8 : 16, t: 30, b: 48 }, dragmode: narrow ? false : "zoom",
      hoverlabel: { bgcolor: "@panel", bordercolor: "@line", align: "left", namelength: -1, font: { color: "@ink", size: 12 } },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "@quiet", activecolor: "@ink" }, xaxis: {}, yaxis: {},
    };
    const layout = merged(base, given);
    for (const key of Object.keys(layout)) if (/^[xy]axis\d*$/.test(key)) layout[key] = merged(axis, layout[key]);
    return painted(layout, false);
  };
  const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
  const figures = [...document.querySelectorAll(".chart")].map((place) => [place, JSON.parse(place.nextElementSibling.textContent)]);
  const draw = () => {
    const narrow = window.matchMedia("(max-width: 40rem)").matches || window.matchMedia("(pointer: coarse)").matches;
    for (const [place, { data, layout }] of figures)
      Plotly.react(place, painted(data, false), layoutOf(layout, narrow), { ...config, displayModeBar: narrow ? false : "hover" });
  };
  draw();
  for (const query of ["(prefers-color-scheme: dark)", "(max-width: 40rem)", "print"])
    window.matchMedia(query).addEventListener("change", draw);
})();
