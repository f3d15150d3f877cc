// The search has a name, and tables that scroll can be reached by the keyboard.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) table.tabIndex = 0;
});
