# The image of upsertd: `docker build --tag upsertd .`; docs/deploying.md has the rest.
#
# Every dependency is a wheel with a hash from requirements/, so no stage needs a compiler. A machine with an
# index or an authority of its own mounts its pip.conf and its bundle (`--secret`): neither ends in a layer.
ARG BASE=python:3.12-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /opt/upsertd
ENV PATH=/opt/upsertd/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PIP_ONLY_BINARY=:all:
COPY requirements/run.txt requirements/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/etc/ssl/certs/ca-certificates.crt \
    pip install --require-hashes --requirement requirements/run.txt

# The build backend has its hash in the development requirements; it stays out of the virtual environment.
COPY requirements/dev.txt requirements/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/etc/ssl/certs/ca-certificates.crt \
    awk '/^[^ ]/ { wanted = /^setuptools==/ } wanted' requirements/dev.txt > /opt/backend.txt \
    && pip install --target /opt/backend --require-hashes --requirement /opt/backend.txt
COPY pyproject.toml README.md LICENSE alembic.ini ./
COPY migrations migrations
COPY service service
# alembic.ini looks for the migrations beside itself; bytecode that is never checked against its source
# needs no file times, and nothing is compiled at a start on a read-only file system.
RUN PYTHONPATH=/opt/backend pip install --no-deps --no-build-isolation . \
    && mkdir /app \
    && cp alembic.ini /app/ \
    && ln -s "$(python -I -c 'import migrations; print(*migrations.__path__)')" /app/migrations \
    && pip uninstall --yes setuptools pip \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/upsertd/lib

# hadolint ignore=DL3006
FROM ${BASE} AS run
# The base's pip has no use here. The number of the user is what Kubernetes and the compose file name.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/bin/pip* \
    && groupadd --gid 10001 upsertd \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin upsertd
COPY --from=build /opt/upsertd /opt/upsertd
COPY --from=build /app /app
COPY --chmod=755 deploy/container/entrypoint /usr/local/bin/
ENV PATH=/opt/upsertd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HTTP_HOST=0.0.0.0
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Liveness, as `docker ps` shows it: a server that is away does not make it unhealthy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ.get('HTTP_PORT') or 8000), timeout=4); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["entrypoint"]
CMD ["run"]
ARG REVISION=
LABEL org.opencontainers.image.title="upsertd" \
      org.opencontainers.image.description="Change events from Kafka into SQL, exactly once in effect" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
