# mambair on the processor, with the page and all formats:
#   docker build -t mambair .
#   docker run --rm --user "$(id -u)" -v "$PWD:/pictures" mambair upscale in.png
#   docker run --rm -p 127.0.0.1:8080:8080 mambair ui --host 0.0.0.0 --no-browser
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/mambair
ENV PATH=/opt/mambair/bin:$PATH
# The build for processors; the one that pip finds by itself brings gigabytes of CUDA libraries.
ARG TORCH=2.13.0
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch==${TORCH}"
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY kernels kernels
COPY archs archs
COPY mambair_cli mambair_cli
COPY options options
COPY datasets datasets
RUN pip install --no-cache-dir '.[formats,large,onnx,ui,video]'

FROM python:${PYTHON}-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/mambair /opt/mambair
# Whoever runs it, with --user or without, has no home of its own.
ENV PATH=/opt/mambair/bin:$PATH HOME=/tmp
USER 1000:1000
WORKDIR /pictures
EXPOSE 8080
ENTRYPOINT ["mambair"]
CMD ["--help"]
