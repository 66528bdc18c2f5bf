# The CPU server, for this machine:
#   docker build -t headstart .
#   docker run -p 127.0.0.1:8000:8000 -e HEADSTART_ALLOWED_HOSTS=localhost -v headstart:/data headstart
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY exporting exporting
COPY scoring scoring
COPY server server
COPY training training
COPY clients/python clients/python
RUN python -m venv /opt/headstart \
    && /opt/headstart/bin/pip install --no-cache-dir '.[cpu,otel,oidc,postgres,objects,mcp,grpc,text]' ./clients/python

FROM python:3.12-slim
# Numbers, since Kubernetes' runAsNonRoot takes no names; those that earlier images had, whose volumes are theirs.
RUN groupadd --system --gid 999 headstart && useradd --system --uid 999 --gid 999 --create-home headstart \
    && install -d -o 999 -g 999 -m 700 /data
COPY --from=build /opt/headstart /opt/headstart
USER 999:999
# Inside a container the published port decides who can reach the server.
ENV HEADSTART_HOST=0.0.0.0 HEADSTART_INSECURE=true HEADSTART_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=10s --interval=30s --timeout=12s \
    CMD ["/opt/headstart/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz')"]
CMD ["/opt/headstart/bin/headstart-server"]
