"""Check that the first example of the README prints the output that the README shows."""

import contextlib
import io
import re
from pathlib import Path

readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
code, expected = re.findall(r"```(?:python)?\n(.*?)```", readme, re.DOTALL)[:2]
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    exec(code, {})
if printed.getvalue() != expected:
    raise SystemExit(f"The README prints\n{expected}\nand its example prints\n{printed.getvalue()}")
