"""A pipeline as a model of label-studio-ml, the server that Label Studio has for models."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ..corpora.files import JsonObject
from .api_server import load_served
from .batcher import DEFAULT_BATCH
from .label_studio import find_texts, make_predictions, read_interface

# Without the packages that label-studio-ml requires: they are old, and one of them, `attr`,
# overwrites files of `attrs`.
_INSTALLATION = (
    "pip install --no-deps label-studio-ml==1.0.9 label-studio-tools==0.0.4 and "
    "pip install flask redis rq attrs colorama appdirs lxml requests"
)


def make_backend(model: str, *, gpu_id: int = -1, batch_size: int = DEFAULT_BATCH) -> type:
    """Make a model of Label Studio's ML SDK from a pipeline, for `label_studio_ml.api.init_app`.

    model (str): Name or folder of the pipeline. It is loaded once.
    gpu_id (int): The GPU, or -1 for the CPU.
    batch_size (int): Maximum number of texts that go through the pipeline at once.
    RETURNS (type): A subclass of `label_studio_ml.model.LabelStudioMLBase`.
    RAISES (ImportError): If the SDK is missing.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If it predicts no relations, or its folder is refused.
    """
    try:
        from label_studio_ml.model import LabelStudioMLBase
    except ImportError as err:
        raise ImportError(
            f"The backend needs label-studio-ml ({err}). Install it with: {_INSTALLATION}"
        ) from err
    # The server has several threads, and the pipeline has one.
    executor = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
    pipeline = executor.submit(load_served, model, gpu_id, batch_size).result()

    class Backend(LabelStudioMLBase):
        """The pipeline. The SDK makes an object for each project, and newer versions for each
        request."""

        def setup(self) -> None:
            """Set the version that newer versions of the SDK report."""
            self.set("model_version", pipeline.name)

        def predict(self, tasks: Sequence[object], **_: object) -> list[JsonObject]:
            """Predict the entities and relations of tasks.

            tasks (Sequence[object]): The tasks.
            RETURNS (list[JsonObject]): A prediction for each task.
            """
            interface = read_interface(self.label_config)
            texts = find_texts(tasks, interface)
            results = executor.submit(pipeline.annotate, list(texts.values())).result()
            return make_predictions(
                len(tasks), texts, results, interface, model_version=pipeline.name
            )

    return Backend
