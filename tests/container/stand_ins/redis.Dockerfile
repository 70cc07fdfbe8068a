# Stands in for `redis` where nothing can be pulled.
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && mkdir -p /data
WORKDIR /data
VOLUME /data
