# Two stages: the first builds with pip and the build tools, the second carries neither sources nor
# build tools. Every package comes from a lock, by hash.

FROM python:3.12-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/overrule

# the locks first: a change of code alone reuses these layers
COPY requirements.lock requirements-build.lock ./
RUN /opt/overrule/bin/pip install --require-hashes -r requirements.lock \
 && pip install --require-hashes -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY migrations migrations
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/overrule/bin/pip install --no-deps --no-index /wheels/*.whl


FROM python:3.12-slim

# 10001: no account of a host; the folder is where the embedded database and the first key are kept
# when no OVERRULE_DATABASE_URL is set
RUN useradd --system --uid 10001 --no-create-home overrule \
 && install --directory --owner=overrule --mode=0700 /var/lib/overrule
COPY --from=build /opt/overrule /opt/overrule

ENV PATH=/opt/overrule/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OVERRULE_DATA_DIR=/var/lib/overrule
USER overrule
WORKDIR /var/lib/overrule
VOLUME /var/lib/overrule
EXPOSE 8080

# the image has no curl; an answer other than 2xx raises, and that is an exit code of 1
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ.get('OVERRULE_PORT', '8080') + '/healthz', timeout=2)"]

ENTRYPOINT ["overrule"]
CMD ["serve", "--host", "0.0.0.0"]
