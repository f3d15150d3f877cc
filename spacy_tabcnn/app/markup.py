"""Pictures in the page, as SVG and HTML.

Streamlit's own elements would strip such markup or put it into frames.
"""

from streamlit.components.v2 import component

_CSS = """
figure { margin: 0 0 .5rem; overflow-x: auto; overflow-wrap: anywhere;
  color: var(--st-text-color); }
.entities { line-height: 2.1; white-space: pre-wrap; }
mark { padding: .2rem .35rem; border-radius: .3rem; color: #000;
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
mark .label { padding: 0; font-size: .7rem; font-weight: 600; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
th, td { padding: .4rem .6rem .4rem 0; border-bottom: 1px solid var(--st-border-color);
  text-align: start; }
th { font-weight: 400; opacity: .7; }
th:last-child, td:last-child { padding-inline-end: 0; text-align: end;
  font-variant-numeric: tabular-nums; }
.label { padding: .1rem .4rem; border-radius: .3rem; color: #000; white-space: nowrap; }
svg { display: block; }
"""
# The markup comes from templates, which escape texts and labels.
_JS = """
export default function ({ data, parentElement }) {
  const figures = data.map(markup => {
    const figure = document.createElement("figure");
    figure.innerHTML = markup;
    // A picture that scrolls can be reached by the keyboard; a text breaks its lines.
    if (!figure.querySelector(".entities")) figure.tabIndex = 0;
    return figure;
  });
  parentElement.querySelector(".figures").replaceChildren(...figures);
}
"""

# Shows a list of pictures, one below the other: show_markup(key=..., data=[...]).
# A picture that is wider than the page scrolls by itself.
show_markup = component("spacy_tabcnn_markup", html='<div class="figures"></div>', css=_CSS, js=_JS)
