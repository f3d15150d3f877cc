"""Pictures in the page, as SVG and HTML.

Streamlit's own elements would strip such markup or put it into frames.
"""

from streamlit.components.v2 import component

_CSS = """
figure { margin: 0 0 .5rem; overflow-x: auto; overflow-wrap: anywhere;
  color: var(--st-text-color); }
.entities { line-height: 2.1; white-space: pre-wrap; }
mark, .relations span { padding: .15rem .35rem; border: 1px solid var(--label);
  border-radius: .3rem; background: color-mix(in srgb, var(--label) 20%, transparent);
  color: inherit; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
mark small { font-size: .7rem; font-weight: 600; }
.relations { width: 100%; border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
.relations span { white-space: nowrap; }
.relations :is(th, td) { padding: .4rem .6rem .4rem 0; text-align: start;
  border-bottom: 1px solid var(--st-border-color); }
.relations th { font-weight: 600; }
.relations :is(th, td):last-child { padding-inline-end: 0; text-align: end;
  font-variant-numeric: tabular-nums; }
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
