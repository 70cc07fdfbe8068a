# Stands in for `mariadb` where nothing can be pulled: the same variables, the same name of the health check.
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends mariadb-server && rm -rf /var/lib/mysql/*
COPY --chmod=755 mariadb-entrypoint healthcheck.sh /usr/local/bin/
VOLUME /var/lib/mysql
ENTRYPOINT ["mariadb-entrypoint"]
