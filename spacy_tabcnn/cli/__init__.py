"""`spacy tabcnn ...`: the package's commands on spaCy's command line."""

from ._app import tabcnn_cli
from .agreement import agreement_cli
from .annotate import annotate_cli
from .calibration import calibration_cli
from .convert import convert, convert_cli
from .cross_validate import cross_validate, cross_validate_cli
from .debug_data import debug_data_cli
from .encoder import copy_encoder, encoder_cli
from .ensemble import ensemble_cli, join_models
from .errors import errors_cli, write_errors
from .evaluate import evaluate, evaluate_cli
from .graph import graph_cli
from .init_config import find_configs, init_config_cli
from .model_card import model_card_cli
from .round_trip import round_trip_cli
from .select import select, select_cli
from .serve import serve_cli
from .show import show_cli
from .split import split, split_cli
from .suspects import find_in_folds, suspects_cli
from .train import train, train_cli

__all__ = [
    "agreement_cli",
    "annotate_cli",
    "calibration_cli",
    "convert",
    "convert_cli",
    "copy_encoder",
    "cross_validate",
    "cross_validate_cli",
    "debug_data_cli",
    "encoder_cli",
    "ensemble_cli",
    "errors_cli",
    "evaluate",
    "evaluate_cli",
    "find_configs",
    "find_in_folds",
    "graph_cli",
    "init_config_cli",
    "join_models",
    "model_card_cli",
    "round_trip_cli",
    "select",
    "select_cli",
    "serve_cli",
    "show_cli",
    "split",
    "split_cli",
    "suspects_cli",
    "tabcnn_cli",
    "train",
    "train_cli",
    "write_errors",
]
