# Stands in for `apache/kafka` where nothing can be pulled: the same jars, paths and reader of KAFKA_…
# variables; `jars` is the folder that tests.servers has fetched.
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends default-jre-headless \
    && useradd --uid 1000 appuser \
    && mkdir -p /var/lib/kafka/data /opt/kafka/bin /opt/kafka/config /mnt/shared/config \
    && chown -R appuser /var/lib/kafka /opt/kafka /mnt/shared
COPY jars /opt/kafka/libs
COPY --chmod=755 kafka-entrypoint kafka-topics.sh /opt/kafka/bin/
USER appuser
VOLUME /var/lib/kafka/data
CMD ["/opt/kafka/bin/kafka-entrypoint"]
