# The image of `fullon`: servers, workers and migrations are one image with different commands.

ARG PYTHON=3.13

# Builds the wheel with its pages (Node comes from a wheel of PyPI) and installs it into an environment of its own.
FROM python:${PYTHON}-slim AS build
WORKDIR /build
COPY . .
RUN python -m venv /opt/fullon \
 && python -m pip wheel --no-cache-dir --no-deps --wheel-dir dist . \
 && /opt/fullon/bin/pip install --no-cache-dir --compile dist/*.whl \
 && mkdir -p /var/lib/fullon

FROM python:${PYTHON}-slim
COPY --from=build /opt/fullon /opt/fullon
COPY --from=build --chown=10001:10001 /var/lib/fullon /var/lib/fullon
ENV PATH=/opt/fullon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/var/lib/fullon \
    LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/fullon
VOLUME /var/lib/fullon
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/readyz', timeout=4)"]
ENTRYPOINT ["fullon"]
CMD ["serve"]
