#!/bin/sh
# A stub in Grafana's place, for machines where its image cannot be had. It proves the wiring only:
# that the provisioning files and dashboards are mounted where they say, that the data source's
# address answers, that the port and the health check are right. It draws nothing.
set -eu
provisioning=/etc/grafana/provisioning
folder=$(sed -n 's/^ *path: //p' "$provisioning/dashboards/towline.yaml")
url=$(sed -n 's/^ *url: //p' "$provisioning/datasources/towline.yaml")
count=0
for file in "$folder"/*.json; do
    grep -q '"uid": "towline-' "$file"
    count=$((count + 1))
done
wget -q -O /dev/null "$url/-/ready"
mkdir -p /tmp/api
printf '{"stub":true,"dashboards":%d,"datasource":"%s"}\n' "$count" "$url" > /tmp/api/health
# Grafana's own state must be writable on the read-only root.
touch /var/lib/grafana/written
exec httpd -f -p 3000 -h /tmp
