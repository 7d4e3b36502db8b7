# The image of Relay: all roles in one container, data in /data.
#   docker build -t relay .
#   docker run --shm-size 1g -p 8080:8080 -v relay-data:/data -e RELAY_OPERATOR_KEY relay

FROM python:3.11-slim AS build
RUN python -m venv /venv
WORKDIR /src
# The dependencies first: they change less often than the code.
COPY requirements/run.lock requirements/
RUN /venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements/run.lock
COPY pyproject.toml LICENSE ./
COPY relay relay
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin relay \
    && install -d -o relay -g relay -m 0700 /data
COPY --from=build /venv /venv
WORKDIR /app
COPY LICENSE config.yaml ./
COPY rules rules
COPY plugins plugins
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RELAY__SERVER__HOST=0.0.0.0
USER relay
VOLUME /data
EXPOSE 8080
# Time to drain stands in config.yaml; Docker must wait longer than that before it kills (see compose.yaml).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('RELAY__SERVER__PORT', '8080') + '/livez', timeout=4)"]
ENTRYPOINT ["relay"]
CMD ["serve", "--config", "/app/config.yaml", "--data-dir", "/data"]
