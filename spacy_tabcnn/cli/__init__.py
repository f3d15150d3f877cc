"""`spacy tabcnn ...`: the package's commands on spaCy's command line."""

from ._app import tabcnn_cli
from .convert import convert, convert_cli
from .encoder import copy_encoder, encoder_cli
from .evaluate import evaluate, evaluate_cli
from .report import report_cli
from .show import show_cli
from .study import study_cli

__all__ = [
    "convert",
    "convert_cli",
    "copy_encoder",
    "encoder_cli",
    "evaluate",
    "evaluate_cli",
    "report_cli",
    "show_cli",
    "study_cli",
    "tabcnn_cli",
]
