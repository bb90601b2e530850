/**
 * Plotly writes its rules into a style element, which the page's policy forbids, or into the sheet of the element
 * that has this id. It does so when it is loaded: this module comes before it.
 */
const rules = new CSSStyleSheet();
document.adoptedStyleSheets.push(rules);
document.head.append(Object.assign(document.createElement("meta"), { id: "plotly.js-style-global", sheet: rules }));
