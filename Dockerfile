# Two images:
#
#   docker build --target worker  -t stepwire-worker .     runs handlers; has no FastAPI
#   docker build --target gateway -t stepwire-gateway .    serves HTTP; has no handlers
#
# Handlers are mounted at /app, or copied there by an image of your own:
#
#   FROM stepwire-worker
#   USER root
#   RUN pip install -r requirements.txt
#   USER stepwire
#   COPY app.py .
#
# Every package is installed at the version and with a hash of requirements.lock.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock deploy/pip.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install -r pip.lock \
    && python -m pip install --constraint requirements.lock hatchling
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY cli cli
COPY gateway gateway
COPY shared shared
COPY worker worker
# The wheel gets a requirement with its own hash, or pip would refuse it among the others.
RUN --mount=type=cache,target=/root/.cache/pip \
    hatchling build -t wheel -d /dist \
    && wheel=$(ls /dist/*.whl) \
    && hash=$(sha256sum "$wheel" | cut -d ' ' -f 1) \
    && for extra in worker gateway; do \
        echo "stepwire[$extra,s3] @ file://$wheel --hash=sha256:$hash" > "/dist/$extra.txt" \
        && python -m venv --without-pip "/opt/$extra" \
        && python -m pip --python "/opt/$extra/bin/python" install \
            --constraint requirements.lock -r "/dist/$extra.txt" || exit 1; \
    done

FROM python:${PYTHON}-slim AS runtime
RUN useradd --uid 10001 --create-home stepwire
WORKDIR /app
ENV PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
USER stepwire

FROM runtime AS gateway
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH STEPWIRE_HOST=0.0.0.0 STEPWIRE_PORT=8000
EXPOSE 8000
# Whether it lives, not whether Redis does: an orchestrator restarts what is unhealthy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["stepwire", "gateway"]

FROM runtime AS worker
COPY --from=build /opt/worker /opt/worker
# PIP_PYTHON: an image built on this one installs where the worker looks.
ENV PATH=/opt/worker/bin:$PATH PIP_PYTHON=/opt/worker/bin/python
HEALTHCHECK --interval=15s --timeout=10s --start-period=20s CMD ["stepwire", "worker", "--check"]
CMD ["stepwire", "worker", "app.py"]
