// MathJax is two megabytes: only pages with formulas load it, and only from here. Its menu, which offers parts that
// are fetched from elsewhere, stays off.
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]] },
  options: { enableMenu: false, ignoreHtmlClass: ".*|", processHtmlClass: "arithmatex" },
};

const here = document.currentScript.src;
if (document.querySelector(".arithmatex")) {
  const script = document.createElement("script");
  script.src = new URL("tex-svg.js", here).href;
  document.head.appendChild(script);
}
