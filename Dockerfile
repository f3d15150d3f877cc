# The API in a container:
#
#     docker build --tag tabcnn-api .
#     docker run --publish 127.0.0.1:8501:8501 --volume "$PWD/training/sample/model-best:/model:ro" \
#         --env SPACY_TABCNN_TOKEN tabcnn-api
#
# For a GPU: docker build --build-arg DEVICE=gpu ..., and docker run --gpus all ... --gpu-id 0
FROM python:3.11-slim

# "cpu" or "gpu". A GPU needs torch and CuPy for CUDA 13, and NVIDIA's container toolkit on the host.
ARG DEVICE=cpu

WORKDIR /app
COPY setup.py setup.cfg pyproject.toml README.md LICENSE MANIFEST.in ./
COPY configs configs
COPY spacy_tabcnn spacy_tabcnn

RUN if [ "$DEVICE" = gpu ]; then extras=api,gpu-cuda13; index=https://pypi.org/simple; \
    else extras=api; index=https://download.pytorch.org/whl/cpu; fi \
    && pip install --no-cache-dir --extra-index-url "$index" ".[$extras]"

# The server needs no rights. The model is mounted read-only.
RUN useradd --create-home --uid 10001 tabcnn
USER tabcnn
WORKDIR /home/tabcnn
ENV HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1

EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/health', timeout=4)"]
# All addresses of the container: `--publish` decides who reaches them. The signal to stop is SIGTERM,
# after which requests in flight are answered.
ENTRYPOINT ["python", "-m", "spacy", "tabcnn", "serve", "/model", "--api", "--host", "0.0.0.0"]
CMD ["--port", "8501"]
